"""What aiosmtpd's own tests hold a server to on the wire, as far as it takes more than a transcript to say.

The rest, and where our replies differ on purpose, stands in compat/transcripts/aiosmtpd_*.txt.
"""

import smtplib

import pytest
from smtp_client import Client

import pysmtpd


@pytest.fixture
def server():
    with pysmtpd.Server() as made:
        yield made


@pytest.fixture
def client(server):
    with Client(server.addr) as made:
        yield made


def test_a_very_long_command_is_refused_and_the_session_goes_on(client):
    client.hello()
    client.send("a" * 1_000_000)
    client.command("a" * 1001, 500)
    client.command("NOOP", 250)


def test_too_large_a_message_is_refused_early_and_late():
    with pysmtpd.Server(size_limit=9999) as server, Client(server.addr) as client:
        assert "SIZE 9999" in client.hello().lines
        client.command("MAIL FROM:<anne@example.com> SIZE=10000", 552)
        assert client.mail(body="a" * 10000 + "\r\n").code == 552
        assert client.mail().code == 250
        assert len(server.messages) == 1


def test_a_line_too_long_for_the_standard_is_taken(server, client):
    """There 500, since lines are cut at 1,001 octets; the limit of RFC 5321, 4.5.3.1.6, is a minimum."""
    client.hello()
    assert client.mail(body="a" * 2000 + "\r\n").code == 250


@pytest.mark.parametrize("how", ["close", "reset"])
@pytest.mark.parametrize("sent", ["", "MAIL FROM:<anne@exam", "DATA"])
def test_a_client_that_goes_away_anywhere_leaves_a_server_that_serves(server, how, sent):
    client = Client(server.addr)
    client.hello()
    if sent == "DATA":
        client.command("MAIL FROM:<anne@example.com>", 250)
        client.command("RCPT TO:<bart@example.com>", 250)
        client.command("DATA", 354)
        client.send("half a mess")
    else:
        client.send(sent)
    getattr(client, how)()
    with smtplib.SMTP(*server.addr) as other:
        other.sendmail("anne@example.com", ["bart@example.com"], "Subject: x\n\nwhole\n")
    assert [message.text for message in server.messages] == ["whole\n"]


def test_auth_needs_ehlo():
    with pysmtpd.Server(auth_users={"anne": "secret"}) as server, Client(server.addr) as client:
        client.expect(220)
        client.command("AUTH PLAIN AGFubmUAc2VjcmV0", 503)


def test_auth_is_offered_over_tls_only_where_that_is_asked_for():
    with (
        pysmtpd.Server(tls="starttls", auth_users={"anne": "secret"}, auth_require_tls=True) as server,
        smtplib.SMTP(*server.addr) as client,
    ):
        client.ehlo()
        assert (client.has_extn("auth"), client.has_extn("starttls")) == (False, True)
        assert client.docmd("AUTH", "PLAIN")[0] == 538
        client._host = "localhost"
        client.starttls(context=server.client_context())
        client.ehlo()
        assert (client.has_extn("auth"), client.has_extn("starttls")) == (True, False)
        assert client.docmd("STARTTLS")[0] == 503
