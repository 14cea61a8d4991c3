"""TLS under attack, against every driver: what comes in the clear stays outside, and a handshake gone wrong harms nobody."""

import socket
import ssl
from pathlib import Path

import pytest

PAIR = Path(__file__).resolve().parent.parent.parent / "pysmtpd" / "certificates" / "localhost"
ENVELOPE = b"MAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\nDATA\r\n"


@pytest.fixture
def server(start):
    return start(certfile=f"{PAIR}.pem", keyfile=f"{PAIR}.key", usetls=True)


def encrypt(client):
    """Say STARTTLS and shake hands."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    client.command("STARTTLS", 220)
    client.socket = context.wrap_socket(client.socket)


def test_what_was_pipelined_in_the_clear_behind_starttls_is_dropped(server):
    with server.client() as client:
        client.hello()
        client.send(b"STARTTLS\r\nEHLO injected.example\r\n" + ENVELOPE)
        client.expect(220)
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        client.socket = context.wrap_socket(client.socket)
        reply = client.command("EHLO client.example", 250)
        assert "STARTTLS" not in reply.text
        assert client.mail().code == 250
        client.quit()
    assert server.delivered() == 1


def test_after_the_handshake_all_begins_anew_and_there_is_no_second_one(server):
    with server.client() as client:
        client.hello()
        client.command("MAIL FROM:<a@b.example>", 250)
        encrypt(client)
        client.command("DATA", 503)
        client.command("EHLO client.example", 250)
        client.command("STARTTLS", 503)
        assert client.mail().code == 250


@pytest.mark.parametrize(
    "garbage",
    [
        b"EHLO client.example\r\n",
        b"\x00" * 5_000,
        b"\x16\x03\x01\x00\x05hello",
        b"\x16\x03\x01\xff\xff" + b"x" * 70_000,
        b"\x15\x03\x01\x00\x02\x02\x28",
    ],
    ids=["a command", "nothing", "a short hello", "an endless hello", "an alert"],
)
def test_garbage_for_a_handshake_ends_that_client_alone(server, garbage):
    descriptors = server.descriptors()
    with server.client() as client:
        client.hello()
        client.command("STARTTLS", 220)
        client.send(garbage)
        client.end()
        assert b"250" not in client.rest()
    server.assert_alive()
    server.wait_nothing_left(descriptors)


@pytest.mark.parametrize("leave", ["end", "close", "reset"])
@pytest.mark.parametrize("part", [b"", b"\x16", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"])
def test_a_handshake_that_stalls_or_breaks_off_stalls_nobody_and_leaves_nothing(server, part, leave):
    descriptors = server.descriptors()
    with server.client() as client:
        client.hello()
        client.command("STARTTLS", 220)
        client.send(part)
        server.assert_alive()
        getattr(client, leave)()
    server.assert_alive()
    server.wait_nothing_left(descriptors)


@pytest.mark.parametrize("leave", ["end without a word", "close", "reset"])
def test_an_end_without_close_notify_in_data_delivers_nothing(server, leave):
    descriptors = server.descriptors()
    with server.client() as client:
        client.hello()
        encrypt(client)
        client.command("EHLO client.example", 250)
        client.send(ENVELOPE + b"half a message\r\n.")
        client.expect(250, 250, 354)
        plain = client.socket
        if leave == "reset":
            client.reset()
        else:
            plain.close()
    server.wait_nothing_left(descriptors)
    assert server.delivered() == 0
    server.assert_alive()


def test_octets_that_are_no_records_after_the_handshake_end_that_client_alone(server):
    descriptors = server.descriptors()
    with server.client() as client:
        client.hello()
        client.command("STARTTLS", 220)
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        raw = client.socket.dup()
        client.socket = context.wrap_socket(client.socket)
        client.command("EHLO client.example", 250)
        raw.sendall(ENVELOPE)
        raw.close()
        with pytest.raises((ConnectionError, ssl.SSLError, AssertionError)):
            client.command("NOOP", 250)
    server.assert_alive()
    server.wait_nothing_left(descriptors)
    assert server.delivered() == 1


@pytest.mark.parametrize("leave", ["end", "close", "reset"])
@pytest.mark.parametrize("said", ["", "EHLO client.example\r\n"], ids=["nothing", "a command"])
def test_a_client_that_leaves_right_behind_the_handshake_leaves_nothing(server, said, leave):
    descriptors = server.descriptors()
    with server.client() as client:
        client.hello()
        encrypt(client)
        if said:
            client.send(said)
        getattr(client, leave)()
    server.assert_alive()
    server.wait_nothing_left(descriptors)


@pytest.mark.parametrize("no_delay", [False, True], ids=["held back by its system", "at once"])
def test_what_comes_right_behind_the_handshake_is_answered_in_order(server, no_delay):
    with server.client() as client:
        client.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, no_delay)
        client.hello()
        encrypt(client)
        client.send("EHLO client.example\r\nNOOP\r\n")
        client.send("HELP\r\n")
        client.expect(250, 250, 214)
        assert client.mail().code == 250
        client.quit()
    assert server.delivered() == 1
