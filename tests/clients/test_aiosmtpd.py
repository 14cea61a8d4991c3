"""What aiosmtpd's own tests hold a server to on the wire, as facts: the same here under `rfc5321`, and where it is not, on purpose.

Reply codes are compared, not texts. Each table says what was sent after EHLO (a session of its own for each line), and the code.
"""

import base64
import smtplib

import pytest
from smtp_client import Client

import pysmtpd

GOOD_PATHS = [
    "<anne@example.com>",
    "<anne.arthur@example.com>",
    "<anne+promo@example.com>",
    "<anne-arthur@example.com>",
    "<_@example.com>",
    "<anne@127.0.0.1>",
    "<anne@[127.0.0.1]>",
    "<anne@[IPv6:2001:db8::1]>",
    "<anne@[IPv6::1]>",
    "<@example.org:anne@example.com>",
    "<@example.net,@example.org:anne@example.com>",
    "<anne@mail>",
    '<""@example.com>',
    '<" "@example.com>',
    '<"anne..arthur"@example.com>',
    "<mailhost!anne@example.com>",
    "<anne%example.org@example.com>",
    '<"Abc@def"@example.com>',
    '<"Fred Bloggs"@example.com>',
    "<customer/department=shipping@example.com>",
    "<$A12345@example.com>",
    "<!def!xyz%abc@example.com>",
    f"<{'a' * 65}@example.com>",
    f"<{'b' * 488}@example.com>",
]

#: Refused there with 553, here with 501: RFC 5321 allows both (4.3.2).
BAD_PATHS = ["<@example.com>", "<johnathon@>", "", "Anne <anne@example.com>"]

COMMANDS = [
    ("NOOP", 250),
    ("NOOP ok", 250),
    ("RSET", 250),
    ("QUIT", 221),
    ("HELO example.org", 250),
    ("EHLO example.org", 250),
    ("HELO", 501),
    ("EHLO", 501),
    ("MAIL", 501),
    ("MAIL <anne@example.com>", 501),
    ("MAIL FROM:", 501),
    ("MAIL FROM: <anne@example.com> SIZE=10000", 250),
    ("MAIL FROM: <anne@example.com>  SIZE=10000 ", 250),
    ("MAIL FROM: <anne@example.com> SIZE 10000", 501),
    ("MAIL FROM: <anne@example.com> SIZE", 501),
    ("MAIL FROM: <anne@example.com> SIZE = 10000", 501),
    ("MAIL FROM: <anne@example.com> #$%=!@#", 501),
    ("MAIL FROM: <anne@example.com> FOO=BAR", 555),
    ("MAIL FROM: <anne@example.com> BODY=FOOBAR", 501),
    ("MAIL FROM: <anne@example.com> BODY=7BIT", 250),
    ("MAIL FROM: <anne@example.com> BODY=8BITMIME SMTPUTF8", 250),
    ("MAIL FROM: <anne@example.com> SIZE=99999999999", 552),
    ("RCPT TO: <anne@example.com>", 503),
    ("DATA", 503),
    ("VRFY <anne@example.com>", 252),
    ("VRFY", 501),
    ("EXPN anne@example.com", 502),
    ("", 500),
    ("FOOBAR", 500),
    ("\x80FAIL", 500),
    ("\x80 FAIL", 500),
    ("a" * 513, 500),
]

#: What is sent, the code there, the code here, and why.
OTHERWISE = [
    ("HELP", 250, 214, "RFC 5321, 4.2.3: 214 is the code of HELP"),
    ("HELP me!", 501, 504, "RFC 5321, 4.3.2: 504 for a parameter that is not implemented"),
    ("QUIT oops", 501, 221, "who wants to leave may"),
    ("RSET FOO", 501, 250, "a reset that was meant is done"),
    ("MAIL FROM:anne@example.com", 250, 501, "RFC 5321, 3.3: the brackets belong to the path"),
    ("MAIL FROM:<anne(comment)@example.com>", 250, 501, "RFC 5321, 4.1.2 has no comments"),
    ("MAIL FROM:<Fred\\ Bloggs@example.com>", 250, 501, "RFC 5321, 4.1.2: only quoted strings have backslashes"),
    ("VRFY @@", 502, 252, "what VRFY is asked about is not looked at"),
]


@pytest.fixture
def server():
    with pysmtpd.Server() as made:
        yield made


@pytest.fixture
def client(server):
    with Client(server.addr) as made:
        yield made


@pytest.mark.parametrize(("line", "code"), COMMANDS, ids=[line[:50] for line, _ in COMMANDS])
def test_commands(client, line, code):
    client.hello()
    client.command(line, code)


@pytest.mark.parametrize(("line", "there", "here", "why"), OTHERWISE, ids=[line for line, *_ in OTHERWISE])
def test_what_differs_on_purpose(client, line, there, here, why):
    client.hello()
    assert client.command(line).code == here != there, why


@pytest.mark.parametrize("path", GOOD_PATHS)
def test_good_paths(client, path):
    client.hello()
    for space in ("", " "):
        client.command(f"MAIL FROM:{space}{path}", 250)
        client.command(f"RCPT TO:{space}{path}", 250)
        client.command("RSET", 250)


@pytest.mark.parametrize("path", BAD_PATHS)
def test_bad_paths(client, path):
    client.hello()
    client.command(f"MAIL FROM: {path}", 501)
    client.command("MAIL FROM: <anne@example.com>", 250)
    client.command(f"RCPT TO: {path}", 501)


def test_the_postmaster_needs_no_domain(client):
    client.hello()
    client.command("MAIL FROM:<>", 250)
    client.command("RCPT TO:<Postmaster>", 250)


@pytest.mark.parametrize("line", ["MAIL FROM: <anne@example.com>", "RCPT TO: <anne@example.com>", "DATA"])
def test_nothing_goes_before_hello(client, line):
    client.expect(220)
    client.command(line, 503)


@pytest.mark.parametrize(("first", "second"), [("HELO", "HELO"), ("EHLO", "EHLO"), ("HELO", "EHLO"), ("EHLO", "HELO")])
def test_greeting_again_begins_anew(client, first, second):
    client.expect(220)
    client.command(f"{first} example.com", 250)
    client.command("MAIL FROM:<anne@example.com>", 250)
    client.command("RCPT TO:<bart@example.com>", 250)
    client.command(f"{second} example.org", 250)
    client.command("DATA", 503)
    client.command("RCPT TO:<bart@example.com>", 503)
    client.command("MAIL FROM:<anne@example.com>", 250)


def test_reset_forgets_the_transaction(client):
    client.hello()
    client.command("MAIL FROM:<anne@example.com>", 250)
    client.command("RCPT TO:<bart@example.com>", 250)
    client.command("RSET", 250)
    client.command("DATA", 503)
    client.command("RCPT TO:<bart@example.com>", 503)


def test_transactions_do_not_nest_and_end_with_the_message(client):
    client.hello()
    client.command("MAIL FROM:<anne@example.com>", 250)
    client.command("MAIL FROM:<anne@example.com>", 503)
    client.command("RCPT TO:<bart@example.com>", 250)
    client.command("DATA", 354)
    client.send("x\r\n.\r\n")
    client.expect(250)
    client.command("DATA", 503)


def test_a_very_long_command_is_refused_and_the_session_goes_on(client):
    client.hello()
    client.send("a" * 1_000_000)
    client.command("a" * 1001, 500)
    client.command("NOOP", 250)


def test_dots_and_odd_octets_arrive_as_sent(server, client):
    client.hello()
    client.mail(body=b"Test\r\n..\r\n...more\r\nThis is \x80 not utf-8 \xff\r\n")
    assert server.messages[0].content == b"Test\r\n.\r\n..more\r\nThis is \x80 not utf-8 \xff\r\n"


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


def test_a_handler_that_fails_is_one_refused_message_and_no_more():
    def deliver(sender, recipients, lines):
        raise ValueError("oops")

    with pysmtpd.Server(deliver=deliver) as server, Client(server.addr) as client:
        client.hello()
        assert client.mail().code == 554
        assert client.mail(sender="<>").code == 554
        assert server.messages == []


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


# Logging in


def encoded(*words):
    return base64.b64encode("\0".join(words).encode()).decode()


AUTH = [
    (["AUTH PLAIN " + encoded("", "anne", "secret")], [235]),
    (["AUTH PLAIN", encoded("", "anne", "secret")], [334, 235]),
    (["AUTH LOGIN", encoded("anne"), encoded("secret")], [334, 334, 235]),
    (["AUTH LOGIN " + encoded("anne"), encoded("secret")], [334, 235]),
    (["AUTH PLAIN " + encoded("", "bart", "secret")], [535]),
    (["AUTH PLAIN " + encoded("", "anne", "wrong")], [535]),
    (["AUTH PLAIN", "*"], [334, 501]),
    (["AUTH LOGIN", "*"], [334, 501]),
    (["AUTH LOGIN", encoded("anne"), "*"], [334, 334, 501]),
    (["AUTH PLAIN not_base64"], [501]),
    (["AUTH PLAIN", "not_base64"], [334, 501]),
    (["AUTH PLAIN " + encoded("", "a", "b", "c")], [501]),
    (["AUTH"], [501]),
    (["AUTH DONT"], [504]),
    (["AUTH PLAIN " + encoded("", "anne", "secret"), "AUTH PLAIN"], [235, 503]),
    (["AUTH PLAIN " + encoded("", "anne", "secret"), "RSET", "AUTH PLAIN"], [235, 250, 503]),
    (["MAIL FROM:<anne@example.com>"], [530]),
    (["VRFY anne@example.com"], [530]),
    (["AUTH PLAIN " + encoded("", "anne", "secret"), "MAIL FROM:<anne@example.com>"], [235, 250]),
    (["NOOP", "RSET", "HELP", "QUIT"], [250, 250, 214, 221]),
]


@pytest.mark.parametrize(("lines", "codes"), AUTH, ids=[" / ".join(lines) for lines, _ in AUTH])
def test_logging_in(lines, codes):
    with pysmtpd.Server(auth_users={"anne": "secret"}, auth_required=True) as server, Client(server.addr) as client:
        client.hello()
        assert [client.command(line).code for line in lines] == codes


def test_auth_needs_ehlo():
    with pysmtpd.Server(auth_users={"anne": "secret"}) as server, Client(server.addr) as client:
        client.expect(220)
        client.command("AUTH PLAIN " + encoded("", "anne", "secret"), 503)


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
