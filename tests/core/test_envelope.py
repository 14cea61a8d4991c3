"""The envelope: names of protocols, and what a delivery says of its circumstances."""

import pytest
from engine import Driver, config

from pysmtpd.core import Deliver
from pysmtpd.core.envelope import NO_PARAMETERS, Envelope, protocol_name


@pytest.mark.parametrize(
    ("facts", "name"),
    [
        ({}, "SMTP"),
        ({"extended": True}, "ESMTP"),
        ({"extended": True, "secure": True}, "ESMTPS"),
        ({"extended": True, "user": "me"}, "ESMTPA"),
        ({"extended": True, "secure": True, "user": "me"}, "ESMTPSA"),
        ({"extended": True, "utf8": True}, "UTF8SMTP"),
        ({"extended": True, "utf8": True, "secure": True, "user": "me"}, "UTF8SMTPSA"),
        ({"lmtp": True}, "LMTP"),
        ({"lmtp": True, "secure": True, "user": "me"}, "LMTPSA"),
        ({"lmtp": True, "utf8": True}, "UTF8LMTP"),
    ],
)
def test_protocols_are_called_as_registered(facts, name):
    """RFC 3848; RFC 6531, 4.3."""
    assert protocol_name(**{"extended": False, "lmtp": False, "utf8": False, "secure": False, "user": None, **facts}) == name


def delivery(data, **chosen):
    made = config(ask=["deliver"])
    made.choose(chosen)
    driver = Driver(made)
    driver.feed(data)
    return driver.of_type(Deliver)


def test_a_plain_mail_has_no_parameters():
    [event] = delivery(b"HELO me\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\nx\r\n.\r\n")
    assert event.envelope == Envelope("192.0.2.1", 1025, "me", "SMTP", None, None, NO_PARAMETERS, ())
    assert (event.envelope.body, event.envelope.smtputf8) == ("7BIT", False)


def test_parameters_of_mail_and_of_each_recipient_are_kept_as_sent():
    [event] = delivery(
        b"EHLO me\r\nMAIL FROM:<a@b> body=8bitmime ENVID=QQ+2B1 ret=hdrs\r\nRCPT TO:<c@d>\r\n"
        b"RCPT TO:<e@f> NOTIFY=NEVER orcpt=rfc822;E@F\r\nDATA\r\nx\r\n.\r\n"
    )
    envelope = event.envelope
    assert envelope.parameters == {"BODY": "8bitmime", "ENVID": "QQ+2B1", "RET": "hdrs"}
    assert envelope.recipient_parameters == ({}, {"NOTIFY": "NEVER", "ORCPT": "rfc822;E@F"})
    assert (envelope.body, envelope.protocol) == ("8BITMIME", "ESMTP")


def test_parameters_belong_to_one_transaction():
    first, second = delivery(
        b"EHLO me\r\nMAIL FROM:<a@b> SIZE=1\r\nRCPT TO:<c@d> NOTIFY=NEVER\r\nDATA\r\nx\r\n.\r\n"
        b"MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\nx\r\n.\r\n"
    )
    assert (first.envelope.parameters, first.envelope.recipient_parameters) == ({"SIZE": "1"}, ({"NOTIFY": "NEVER"},))
    assert (second.envelope.parameters, second.envelope.recipient_parameters) == ({}, ())


def test_a_new_greeting_makes_a_new_envelope():
    mail = b"MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\nx\r\n.\r\n"
    first, second = delivery(b"HELO one\r\n" + mail + b"EHLO two\r\n" + mail)
    assert [(event.envelope.helo, event.envelope.protocol) for event in (first, second)] == [("one", "SMTP"), ("two", "ESMTP")]


def test_where_parameters_are_ignored_there_are_none_unless_an_extension_was_chosen():
    data = b"EHLO me\r\nMAIL FROM:<a@b> X=1 RET=HDRS\r\nRCPT TO:<c@d> Y\r\nDATA\r\nx\r\n.\r\n"
    [event] = delivery(data, profile="tcllib-1.5")
    assert event.envelope.parameters == {}
    [event] = delivery(data, profile="tcllib-1.5", dsn=True)
    assert event.envelope.parameters == {"RET": "HDRS"}
