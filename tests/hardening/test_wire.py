"""Hostile bytes on the wire, against every driver: it lives, serves others meanwhile, and keeps nothing afterwards."""

import contextlib
import itertools
import re

import pytest
from subject import in_threads

MEGABYTE = 1 << 20
ENVELOPE = b"MAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\nDATA\r\n"
SESSION = b"EHLO client.example\r\n" + ENVELOPE + b"Subject: x\r\n\r\nhello\r\n.\r\nQUIT\r\n"


def codes(data):
    """Return the codes of all replies in what a server sent; every line must be well-formed, and the last reply whole."""
    found = []
    assert data == b"" or data.endswith(b"\r\n")
    for line in data.split(b"\r\n")[:-1]:
        assert re.fullmatch(rb"[2-5]\d\d[ -][\t\x20-\x7e]*", line), f"malformed reply line {line!r}"
        if line[3:4] == b" ":
            found.append(int(line[:3]))
    return found


@pytest.mark.parametrize("part", [b"E", b"EHLO client.exam", b"EHLO client.example\r", b"\x16\x03\x01\x02\x00\x01\x00\x01"])
def test_a_partial_line_stalls_nobody(server, part):
    with server.client() as slow:
        slow.expect(220)
        slow.send(part)
        server.assert_alive()


def test_a_body_that_does_not_go_on_stalls_nobody(server):
    with server.client() as slow:
        slow.hello()
        slow.send(ENVELOPE + b"half a mess")
        slow.expect(250, 250, 354)
        server.assert_alive()


def test_32_megabytes_without_a_line_end_are_refused_and_not_kept(server):
    before = server.memory()
    with server.client() as client:
        client.expect(220)
        for _ in range(32):
            client.send(b"x" * MEGABYTE)
        server.assert_alive()
        assert server.memory() - before < 16 * MEGABYTE
        client.send(b"\r\n")
        client.expect(500)
        client.command("EHLO client.example", 250)
    server.assert_alive()


def test_a_body_without_a_line_end_is_one_message_whatever_its_size(server):
    with server.client() as client:
        client.hello()
        client.command("MAIL FROM:<a@b.example>", 250)
        client.command("RCPT TO:<c@d.example>", 250)
        client.command("DATA", 354)
        for _ in range(8):
            client.send(b"x" * MEGABYTE)
        client.send(b"\r\n.\r\n")
        client.expect(250)
    assert [len(line) for line in server.last()] == [8 * MEGABYTE]


def test_sixty_thousand_commands_and_no_reply_read_are_held_back_and_all_answered_later(server):
    before = server.memory()
    commands = 60_000
    with server.client(receive_buffer=4096) as client:
        client.expect(220)
        sent, stuck = client.send_until_stuck(b"NOOP\r\n", limit=64 * MEGABYTE)
        assert stuck, f"{sent} octets were taken with no reply read"
        server.assert_alive()
        assert server.memory() - before < 32 * MEGABYTE
    with server.client() as client:
        client.expect(220)
        in_threads(2, lambda number: client.send(b"NOOP\r\n" * commands) if number else client.expect(*[250] * commands))
        client.command("QUIT", 221)
    server.assert_alive()


def test_every_octet_in_a_command_is_answered(server):
    octets = [bytes([octet]) for octet in range(256) if octet not in b"\r\n"]
    for group in (octets[place : place + 32] for place in range(0, 256, 32)):
        with server.client() as client:
            client.expect(220)
            for octet in group:
                assert client.command(b"XY" + octet + b"Z").code == 500
                assert client.command(b"HELP " + octet).code in (214, 504)
            client.command("NOOP", 250)


@pytest.mark.parametrize("octet", [0, 9, 10, 13, 27])
def test_a_control_octet_in_a_name_or_an_address_is_refused(server, octet):
    byte = bytes([octet])
    with server.client() as client:
        client.expect(220)
        assert client.command(b"EHLO cli" + byte + b"ent").code == 501
        client.command("EHLO client.example", 250)
        assert client.command(b"MAIL FROM:<a" + byte + b"b@c.example>").code == 501
        client.command("MAIL FROM:<a@b.example>", 250)
        assert client.command(b"RCPT TO:<a" + byte + b"b@c.example>").code == 501
        client.command("RCPT TO:<a@b.example>", 250)


def test_a_helo_name_over_255_octets_is_refused(server):
    with server.client() as client:
        client.expect(220)
        client.command("HELO " + "x" * 256, 501)
        client.command("HELO " + "x" * 255, 250)


def test_one_octet_at_a_time_and_cr_and_lf_apart(server):
    with server.client() as client:
        for octet in SESSION:
            client.send(bytes([octet]))
        client.expect(220, 250, 250, 250, 354, 250, 221)
        client.expect_end()
    assert server.last() == ["Subject: x", "", "hello"]


@pytest.mark.parametrize(
    "rubbish",
    [
        b"\x16\x03\x01\x00\xf4\x01\x00\x00\xf0\x03\x03" + bytes(range(240)),  # a TLS hello
        b"\xff\xfb\x01\xff\xfd\x03\xff\xfe\x22\xff\xf4\xff\xfd\x06",  # telnet negotiation
        b"\x80\x2e\x01\x00\x02\x00\x15\x00\x00\x00\x10",
        b"SSH-2.0-client\r\n",
        b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n",
        b"\x00" * 4096,
        b"\r\n" * 1000,
        b"\n" * 1000,
        b"\r" * 1000,
        bytes(range(256)) * 256,
    ],
)
def test_another_protocol_is_answered_or_waited_for_and_nothing_happens(server, rubbish):
    with server.client() as client:
        client.send(rubbish + b"\r\n")
        client.end()
        found = codes(client.rest())
    assert found[0] == 220
    assert set(found[1:]) <= {421, 500, 501, 502, 503}
    assert server.delivered() == 0
    server.assert_alive()


@pytest.mark.parametrize(
    "request_line", ["POST / HTTP/1.1", "GET /x HTTP/1.0", "PUT / HTTP/1.1", "OPTIONS * HTTP/1.1", "CONNECT x:25 HTTP/1.1"]
)
@pytest.mark.parametrize("pieces", [1, 1000])
def test_an_http_request_that_carries_mail_is_turned_away(server, request_line, pieces):
    request = request_line.encode() + b"\r\nHost: x\r\nContent-Length: 200\r\n\r\n" + SESSION
    size = -(-len(request) // pieces)
    with server.client() as client:
        try:
            for start in range(0, len(request), size):
                client.send(request[start : start + size])
        except ConnectionError:
            pass  # it was told to go, and there was more to say
        assert codes(client.rest()) in ([220, 421], [220])
    assert server.delivered() == 0


def test_an_http_request_too_long_to_be_read_is_turned_away(server):
    """A page may name a path of any length: none of the lines that it posts may be taken for commands."""
    with server.client() as client:
        with contextlib.suppress(ConnectionError):  # it is told to go, and there is more to say
            client.send(b"POST /" + b"x" * 300_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n" + SESSION)
        assert codes(client.rest()) in ([220, 421], [220])
    assert server.delivered() == 0
    server.assert_alive()


def test_pipelined_sessions_in_one_segment_are_one_session_up_to_quit(server):
    with server.client() as client:
        client.send(SESSION * 3)
        client.expect(220, 250, 250, 250, 354, 250, 221)
        client.expect_end()
    assert server.delivered() == 1


@pytest.mark.parametrize("more", [1, 1000, 300_000])
def test_the_goodbye_arrives_with_more_behind_the_quit(server, more):
    with server.client() as client:
        client.expect(220)
        client.send(b"QUIT\r\n" + b"N" * more)
        client.expect(221)
        client.expect_end()


def test_a_session_half_closed_gets_all_its_replies(server):
    with server.client() as client:
        client.send(SESSION.replace(b"QUIT\r\n", b""))
        client.end()
        client.expect(220, 250, 250, 250, 354, 250)
        client.expect_end()
    assert server.delivered() == 1


@pytest.mark.parametrize("leave", ["end", "close", "reset"])
def test_a_client_that_leaves_anywhere_delivers_what_was_whole_and_nothing_else(server, leave):
    """At every place of a session: a command or a message that is cut off is not executed, and nothing is left."""
    descriptors = server.descriptors()
    complete = SESSION.index(b"QUIT")
    expected = 0
    for cut in range(0, len(SESSION) + 1, 3):
        with server.client() as client:
            client.expect(220)
            client.send(SESSION[:cut])
            if leave == "end":
                client.end()
                whole = codes(client.rest())
                expected += cut >= complete
                assert (whole.count(354), whole.count(250)) == (
                    int(b"DATA\r\n" in SESSION[:cut]),
                    SESSION[:cut].count(b"\r\n", 0, complete - 26) if cut < complete else 4,
                )
            else:
                getattr(client, leave)()
    server.wait_nothing_left(descriptors)
    if leave == "end":
        assert server.delivered() == expected
    else:
        assert server.delivered() <= len(range(complete, len(SESSION) + 1, 3))
    server.assert_alive()


SMUGGLED = b"hello\r\n%b" + ENVELOPE.replace(b"<a@", b"<smuggled@") + b"second\r\n.\r\n"
ENDS_OF_ALL_SORTS = [b"\n.\n", b"\r.\r", b"\r\n.\r", b"\r\n.\n", b"\n.\r\n", b"\r.\r\n", b"\r\n\x00.\r\n", b"\r\n.\x00\r\n", b"\r\n.\x0b\r\n",
    b"\x85.\x85", b"\r\n.\r\r\n", b"\x0b.\x0b", b"\x0c.\x0c", b"\r\n. \r\n", b"\r\r\n.\r\r\n", b"\xe2\x80\xa8.\xe2\x80\xa8"]  # fmt: skip


@pytest.mark.parametrize("end", ENDS_OF_ALL_SORTS, ids=repr)
def test_no_smuggled_message_under_rfc5321(start, end):
    server = start(profile="rfc5321")
    for pieces in (1, 1000):
        with server.client() as client:
            client.hello()
            client.command("MAIL FROM:<a@b.example>", 250)
            client.command("RCPT TO:<c@d.example>", 250)
            client.command("DATA", 354)
            data = SMUGGLED % end
            size = -(-len(data) // pieces)
            for place in range(0, len(data), size):
                client.send(data[place : place + size])
            assert client.reply().code == 250
            client.command("NOOP", 250)
    assert server.delivered() == 2


@pytest.mark.parametrize("cut", range(6))
def test_dots_are_transparent_wherever_the_stream_is_cut(server, cut):
    body = b".leading\r\n..\r\n...\r\n.\x00\r\nx.\r\n. \r\n"
    stuffed = b"".join(b"." + line if line.startswith(b".") else line for line in body.splitlines(keepends=True)) + b".\r\n"
    with server.client() as client:
        client.hello()
        client.command("MAIL FROM:<a@b.example>", 250)
        client.command("RCPT TO:<c@d.example>", 250)
        client.command("DATA", 354)
        place = len(stuffed) - cut
        for piece in (stuffed[:place], stuffed[place:]):
            client.send(piece)
        client.expect(250)
    assert "\r\n".join([*server.last(), ""]).encode() == body


def test_recipients_do_not_leak_from_one_transaction_to_the_next_under_rfc5321(start):
    server = start(profile="rfc5321")
    with server.client() as client:
        client.hello()
        assert client.mail().code == 250
        client.command("DATA", 503)
        client.command("MAIL FROM:<a@b.example>", 250)
        client.command("DATA", 503)
        client.command("RSET", 250)
        client.command("RCPT TO:<x@y.example>", 503)


@pytest.mark.parametrize(
    "local",
    [
        "x" * 100_000, ".".join("x" * 50_000), '"' + "q" * 100_000 + '"', "(" * 5_000 + ")" * 5_000 + "x", "(c)" * 30_000 + "x",
        '"' + "\\" * 60_000, "<" * 50_000, "@" * 50_000, " " * 100_000 + "x", "\xe9" * 100_000,
    ],
    ids=lambda local: f"{local[:3]}...",
)  # fmt: skip
def test_a_monstrous_address_is_answered_and_stalls_nobody(server, local):
    with server.client() as client:
        client.hello()
        for verb in ("MAIL FROM", "RCPT TO"):
            assert client.command(f"{verb}:<{local}@example.org>".encode("latin-1")).code in (250, 500, 501, 503, 553)
    server.assert_alive()


def test_replies_are_in_order_and_well_formed_for_every_verb_in_every_case(server):
    words = [
        b"",
        b"HELO",
        b"helo x",
        b"EHLO",
        b"MAIL",
        b"RCPT",
        b"RSET",
        b"NOOP",
        b"HELP",
        b"VRFY x",
        b"EXPN x",
        b"TURN",
        b"*",
        b"[x]",
    ]
    lines = [first + second for first, second in itertools.product(words, (b"", b" ", b" x", b"\t", b":<>"))]
    with server.client() as client:
        client.send(b"\r\n".join(lines) + b"\r\n")
        client.end()
        found = codes(client.rest())
    assert len(found) == 1 + len(lines)
    server.assert_alive()
