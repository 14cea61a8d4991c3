"""What holds for all drivers for Python: connections that leave, stall, or do not read, and callbacks that do anything at all."""

import socket
import threading

import pytest
from smtp_client import Client

TRANSACTION = b"MAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\nDATA\r\n"


def test_a_session_in_one_segment_half_closed_gets_all_its_replies(running):
    with Client(running()) as client:
        client.send(b"EHLO x\r\n" + TRANSACTION + b"x\r\n.\r\nQUIT\r\nNOOP\r\n")
        client.end()
        client.expect(220, 250, 250, 250, 354, 250, 221)
        client.expect_end()


def test_one_octet_at_a_time(running):
    got = []
    with Client(running(deliver=lambda *words: got.append(words))) as client:
        for octet in b"EHLO x\r\n" + TRANSACTION + b"..x\r\n.\r\nQUIT\r\n":
            client.send(bytes([octet]))
        client.expect(220, 250, 250, 250, 354, 250, 221)
    assert got[0][2][4:] == [".x"]


@pytest.mark.parametrize("leave", ["close", "reset", "end"])
def test_a_client_that_leaves_in_data_delivers_nothing(running, leave):
    got = []
    address = running(deliver=lambda *words: got.append(words))
    with Client(address) as client:
        client.hello()
        client.send(TRANSACTION + b"half\r\n.")
        client.expect(250, 250, 354)
        getattr(client, leave)()
        if leave == "end":
            client.expect_end()
    with Client(address) as client:
        client.hello()
        assert client.mail().code == 250
    assert len(got) == 1


def test_a_client_that_sends_and_does_not_read_is_throttled_and_loses_nothing(running):
    address = running()
    with Client(address, receive_buffer=4096) as client:
        client.expect(220)
        sent, stuck = client.send_until_stuck(b"NOOP\r\n", limit=40_000_000)
        assert stuck, f"{sent} octets were taken"
        with Client(address) as other:
            other.hello()
            assert other.mail().code == 250
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        client.end()
        assert client.rest().count(b"250 ") == sent // 6


def test_the_goodbye_arrives_with_more_behind_the_quit(running):
    address = running()
    for size in (10, 300_000):
        with Client(address) as client:
            client.expect(220)
            client.send(b"QUIT\r\n" + b"NOOP\r\n" * (size // 6))
            client.expect(221)
            client.expect_end()


def test_an_http_request_is_turned_away(running):
    with Client(running()) as client:
        client.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        client.expect(220, 421)
        client.expect_end()


def test_a_partial_line_stalls_nobody(running):
    address = running()
    with Client(address) as slow, Client(address) as other:
        slow.expect(220)
        slow.send("EHLO fo")
        other.hello()
        slow.send("o\r\n")
        slow.expect(250)


def test_callbacks_run_one_at_a_time_in_the_servers_thread(running):
    threads, depth = set(), []

    def check(_):
        depth.append(1)
        threads.add(threading.current_thread().name)
        assert len(depth) == 1
        depth.pop()

    address = running(validate_sender=check)
    clients = [Client(address) for _ in range(20)]
    for client in clients:
        client.hello()
        client.send("MAIL FROM:<a@b>\r\n")
    for client in clients:
        client.expect(250)
        client.close()
    assert len(threads) == 1


def test_a_large_body_arrives_as_sent(running):
    got = []
    body = bytes(octet for octet in range(256) if octet not in b"\r\n") * 20_000
    with Client(running(deliver=lambda *words: got.append(words))) as client:
        client.hello()
        assert client.mail(body=b"a\r\n" + body + b"\r\n").code == 250
    assert got[0][2][4:] == ["a", body.decode("latin-1")]


def test_a_message_that_cannot_be_kept_is_refused_for_now(make, monkeypatch, capfd):
    made = make()

    def fail(_):
        raise OSError("no room")

    with Client(made.start().getsockname()) as client:
        client.hello()
        with monkeypatch.context() as patch:
            patch.setattr(made.server.inbox, "add", fail)
            assert client.mail().code == 451
        assert client.mail().code == 250
    made.close()  # nothing is written any more
    assert "smtpd error] cannot keep message" in capfd.readouterr().err
    assert len(made.server.messages) == 1
