"""An invitation as its receiver sees it, and how it was sent."""

import smtplib

import pytest
from app import create_app

pytestmark = pytest.mark.pysmtpd(tls="starttls", auth_users={"events": "s3cret"}, auth_required=True)


@pytest.fixture
def browser(pysmtpd):
    """A browser of Flask's, and an application that sends to this test's server."""
    config = {"MAIL_HOST": "localhost", "MAIL_PORT": pysmtpd.port, "MAIL_TLS": pysmtpd.client_context()}
    return create_app({**config, "MAIL_USER": "events", "MAIL_PASSWORD": "s3cret", "TESTING": True}).test_client()


def test_an_invitation(browser, pysmtpd):
    assert browser.post("/invite", data={"address": "anna@example.org"}).text == "Invited."
    [message] = pysmtpd.wait_for(to="anna@example.org")
    assert message.subject == "You're invited – bring cake"
    assert message.links == ["http://example.org/events/1"]
    [calendar] = message.attachments
    assert (calendar.get_filename(), calendar.get_content_type()) == ("event.ics", "text/calendar")
    assert (message.protocol, message.user, message.tls.version) == ("ESMTPSA", "events", "TLSv1.3")


def test_a_wrong_password(browser, pysmtpd):
    browser.application.config["MAIL_PASSWORD"] = "guessed"
    with pytest.raises(smtplib.SMTPAuthenticationError):
        browser.post("/invite", data={"address": "anna@example.org"})
    assert pysmtpd.messages == []
    assert "guessed" not in pysmtpd.transcript
