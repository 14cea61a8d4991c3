"""The server in a thread of its own: what api.py does not show."""

import smtplib
import socket
import sys
import threading

import pytest
from smtp_client import Client

import pysmtpd
from pysmtpd.server import Server


@pytest.fixture
def server():
    made = Server()
    yield made
    made.close()


def test_all_interfaces_are_ipv4_and_ipv6(server):
    port = server.start("", 0).getsockname()[1]
    with Client(("127.0.0.1", port)) as client:
        client.expect(220)
    if socket.has_dualstack_ipv6():
        with socket.create_connection(("::1", port), timeout=10) as client:
            assert client.recv(4) == b"220 "


def test_a_client_over_ipv4_on_both_has_an_ipv4_address(server):
    seen = []
    server.configure({"validate_host": seen.append})
    port = server.start("", 0).getsockname()[1]
    with Client(("127.0.0.1", port)) as client:
        assert "[127.0.0.1]" in client.hello().text
    assert seen == ["127.0.0.1"]


@pytest.mark.parametrize("address", ["0", "127.0.0.1", "localhost"])
def test_addresses_of_ipv4(server, address):
    sock = server.start(address, 0)
    with Client(("127.0.0.1", sock.getsockname()[1])) as client:
        assert client.expect(220).text.startswith(f"{address} ESMTP pysmtpd; ")


def test_two_servers_have_their_own_options(server):
    other = Server()
    try:
        server.configure({"banner": "one"})
        other.configure({"banner": "two"})
        for each, banner in ((server, "one"), (other, "two")):
            with Client(each.start("127.0.0.1", 0).getsockname()) as client:
                assert f" {banner}; " in client.expect(220).text
    finally:
        other.stop()


def test_stop_and_start_many_times(server):
    for _ in range(20):
        with Client(server.start("127.0.0.1", 0).getsockname()) as client:
            client.expect(220)
        server.stop()


def test_log_lines_go_to_stderr_without_controls(server, capfd):
    server.configure({"loglevel": "debug"})
    with Client(server.start("127.0.0.1", 0).getsockname()) as client:
        client.hello()
        client.command("NOOP \x1b[31m\x00", 250)
        client.quit()
    server.stop()
    errors = capfd.readouterr().err
    assert r"smtpd debug] received: NOOP \x1b[31m\x00" in errors
    assert "smtpd notice] smtpd service started on" in errors
    assert "\x1b" not in errors


def test_log_lines_go_nowhere_where_stderr_is_closed(server, capfd, monkeypatch):
    monkeypatch.setattr(sys, "stderr", None)
    server.configure({"loglevel": "debug"})
    server.start("127.0.0.1", 0)
    server.stop()
    assert capfd.readouterr() == ("", "")


def test_in_a_with_statement_it_listens_and_afterwards_nothing_is_left():
    before = threading.active_count()
    with Server() as server:
        client = Client((server.host, server.port))
        client.hello()
        assert client.mail(body=".dot\r\n", sender="<a@example.org>").code == 250
        assert server.url == f"smtp://127.0.0.1:{server.port}"
    client.expect(421)
    client.expect_end()
    client.close()
    assert threading.active_count() == before
    [message] = server.messages
    assert (message.sender, message.content, message.helo) == ("a@example.org", b"dot\r\n", "client.example")
    with pytest.raises(RuntimeError, match="not listening"):
        server.port  # noqa: B018 # asking is the point


def test_servers_are_each_for_themselves():
    with Server(validate_sender=refuse) as one, Server(banner="the other") as other, Client(one.addr) as client:
        client.hello()
        client.command("MAIL FROM:<a@example.org>", 553)
        with Client(other.addr) as second:
            assert "the other" in second.expect(220).text
            second.command("EHLO x", 250)
            assert second.mail().code == 250
        assert (len(one.messages), len(other.messages)) == (0, 1)


def refuse(_address):
    raise ValueError("no")


def test_a_refused_message_is_not_kept():
    with Server(deliver=lambda *_: refuse("")) as server, Client(server.addr) as client:
        client.hello()
        assert client.mail().code == 554
        assert server.messages == []


def test_a_server_starts_again():
    server = Server()
    for _ in range(3):
        with server, Client(server.addr) as client:
            client.hello()
            assert client.mail().code == 250
    assert len(server.messages) == 3


def test_wrong_options_are_named():
    with pytest.raises(TypeError, match="no_such"):
        Server(no_such=1)
    with pytest.raises(ValueError, match="port is '25'"):
        Server(port="25").start()


# ---- ESMTP


def test_a_message_has_the_facts_of_its_envelope(server):
    server.configure({"auth_users": {"anna": "secret"}, "auth_required": True})
    server.start()
    with smtplib.SMTP(server.host, server.port, "me.example") as client:
        with pytest.raises(smtplib.SMTPSenderRefused, match="530"):
            client.sendmail("a@b.example", ["c@d.example"], "x")
        client.login("anna", "secret")
        client.sendmail("a@b.example", ["c@d.example"], "Subject: x\r\n\r\n", ["RET=HDRS"], ["NOTIFY=NEVER"])
    [message] = server.messages
    assert (message.user, message.protocol, message.helo) == ("anna", "ESMTPA", "me.example")
    assert message.parameters == {"SIZE": "14", "RET": "HDRS"}
    assert message.recipient_parameters == ({"NOTIFY": "NEVER"},)


def test_a_callback_says_who_may_log_in(server):
    def check(username, secret):
        if (username, secret) != ("anna", "secret"):
            raise pysmtpd.Refused(454, "not now")

    server.configure({"validate_user": check})
    server.start()
    with smtplib.SMTP(server.host, server.port) as client:
        with pytest.raises(smtplib.SMTPAuthenticationError, match="454.*not now"):
            client.login("anna", "wrong")
        assert client.login("anna", "secret")[0] == 235
    assert "C: AUTH PLAIN (secret)" in server.transcript
    assert "AGFubmEAc2VjcmV0" not in server.transcript
    server.configure({"validate_user": None})
    with smtplib.SMTP(server.host, server.port) as client, pytest.raises(smtplib.SMTPNotSupportedError):
        client.login("anna", "secret")


def test_an_international_address_arrives_as_text(server):
    server.start()
    with smtplib.SMTP(server.host, server.port) as client:
        client.ehlo()
        client.sendmail("é@b.example", ["用户@例子.example"], "Subject: x\r\n\r\n", ["SMTPUTF8", "BODY=8BITMIME"])
    [message] = server.messages
    assert (message.sender, message.recipients, message.protocol) == ("é@b.example", ("用户@例子.example",), "UTF8SMTP")


def test_lmtp_keeps_a_message_for_those_who_are_not_refused(server):
    def deliver(_sender, _recipients, _lines):
        raise pysmtpd.RefusedRecipients({"c@d.example": pysmtpd.Refused(452, "full")})

    server.configure({"lmtp": True, "deliver": deliver})
    server.start()
    with Client(server.addr) as client:
        client.expect(220)
        client.send("LHLO x\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\nRCPT TO:<e@f.example>\r\nDATA\r\n")
        client.expect(250, 250, 250, 250, 354)
        client.send(".\r\n")
        assert client.expect(452, 250).text.startswith("2.1.5 <e@f.example> ")
    assert [message.recipients for message in server.messages] == [("e@f.example",)]


def test_smtp_refuses_a_message_for_all_where_some_refuse_it(server):
    def deliver(_sender, _recipients, _lines):
        raise pysmtpd.RefusedRecipients({"c@d.example": pysmtpd.Refused(452, "full")})

    server.configure({"deliver": deliver})
    server.start()
    with smtplib.SMTP(server.host, server.port) as client, pytest.raises(smtplib.SMTPDataError, match="452.*full"):
        client.sendmail("a@b.example", ["c@d.example", "e@f.example"], "Subject: x\r\n\r\n")
    assert not server.messages


def test_a_proxy_says_who_the_client_is(server):
    server.configure({"proxy": True})
    server.start()
    with Client(server.addr) as client:
        client.send("PROXY TCP4 203.0.113.7 192.0.2.5 56324 25\r\n")
        client.hello()
        client.mail()
    assert [message.peer for message in server.messages] == [("203.0.113.7", 56324)]
    assert [(session.client, session.port) for session in server.sessions] == [("203.0.113.7", 56324)]


def test_chunks_are_a_message(server):
    server.start()
    with Client(server.addr) as client:
        client.hello()
        client.send(b"MAIL FROM:<a@b.example> BODY=BINARYMIME\r\nRCPT TO:<c@d.example>\r\nBDAT 3\r\n\0\r\nBDAT 1 LAST\r\n\n")
        client.expect(250, 250, 250, 250)
    assert [message.content for message in server.messages] == [b"\0\r\n\n"]


@pytest.mark.parametrize("limit", [sys.maxsize, 10**30])
def test_a_limit_may_be_as_large_as_any_number(limit):
    limits = dict.fromkeys(["line_limit", "size_limit", "recipient_limit", "error_limit"], limit)
    with Server(**limits) as server, Client(server.addr) as client:
        client.hello()
        client.send("NOOP\r\nMAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.org>\r\nDATA\r\n")
        for code in (250, 250, 250, 354):
            client.expect(code)
        client.command("x\r\n.", 250)
        assert len(server.messages) == 1
