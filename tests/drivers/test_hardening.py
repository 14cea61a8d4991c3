"""Hostile bytes and faults, on each driver for Python. Alive means: others are served meanwhile, and everything comes back."""

import asyncio
import io
import os
import select
import socket
import ssl
import subprocess
import sys
import threading
import time
import tracemalloc

import pytest
from smtp_client import DEADLINE, Client
from tclsh import environment

from pysmtpd import ConfigurationError, Refused, Server

ENVELOPE = b"MAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\nDATA\r\n"
SESSION = b"EHLO x\r\n" + ENVELOPE + b"Subject: x\r\n\r\nbody\r\n.\r\nQUIT\r\n"

HOSTILE_WORDS = [
    "[set x 1]", "$x", "{*}x", ";", '"', "{", "}", "\\", "#", "%s%n", "*", "?", "`x`", "$(x)", "../../x", "\x80\xff", "a b", "-x", "--",
]  # fmt: skip


def alive(address):
    """Deliver a mail, from connecting to the goodbye."""
    with Client(address) as client:
        client.hello()
        assert client.mail().code == 250
        client.quit()


# Remote input is never code


@pytest.mark.parametrize("word", HOSTILE_WORDS)
def test_an_address_reaches_the_validator_as_text_or_is_refused(running, word):
    seen = []
    address = running(validate_sender=seen.append)
    with Client(address) as client:
        client.hello()
        for path in (f"<{word}@b.example>", f'<"{word}"@b.example>', f"<a@{word}>"):
            client.send(f"MAIL FROM:{path}\r\nRSET\r\n")
            assert client.reply().code in (250, 501, 553, 555)
            client.expect(250)
            assert set(seen) <= {path[1:-1]}
            seen.clear()
    alive(address)


@pytest.mark.parametrize("word", [*HOSTILE_WORDS, "\x00", "\xc3\xa9", "é" * 2, "NOOP\x00", "N*", "?OOP"])
def test_a_command_word_is_compared_literally(running, word):
    address = running()
    with Client(address) as client:
        client.expect(220)
        client.send(f"{word}\r\nNOOP\r\n".encode("latin-1", "replace"))
        client.expect(500, 250)
    alive(address)


def test_topics_names_and_headers_are_data(running):
    address = running()
    with Client(address) as client:
        client.expect(220)
        for word in HOSTILE_WORDS:
            assert client.command(f"HELP {word}").code in (214, 504)
            assert client.command(f"HELO {word}").code in (250, 501)
            assert client.command(f"NOOP {word}").code == 250
    alive(address)


def test_logs_and_replies_carry_no_controls(make, capfd):
    def refuse(_):
        raise ValueError("one\r\n250 two\x1b[31m\x00\n")

    made = make(validate_sender=refuse, validate_recipient=refuse, loglevel="debug")
    with Client(made.start().getsockname()) as client:
        client.hello()
        client.command(b"NOOP \x1b[31m\x07\x9b", 250)
        client.command("MAIL FROM:<a@b.example>", 553)
        client.quit()
    made.close()  # nothing is written any more
    log = capfd.readouterr().err
    assert not set(log) & {chr(code) for code in (*range(10), *range(11, 32), 127, *range(128, 160))}


# The wire


@pytest.mark.parametrize(
    "part", [b"", b"EH", b"EHLO x", b"EHLO x\r", b"EHLO x\r\nMAIL FROM:<a@b", b"EHLO x\r\n" + ENVELOPE + b"x\r\n."]
)
def test_a_partial_line_stalls_nobody(running, part):
    address = running()
    with Client(address) as slow:
        slow.send(part)
        alive(address)


def test_a_partial_handshake_stalls_nobody(running):
    address = running(tls="implicit")
    with Client(address) as slow:
        slow.send(b"\x16\x03\x01")
        context = Server(tls="implicit").client_context()
        with socket.create_connection(address) as raw, context.wrap_socket(raw, server_hostname="localhost") as client:
            assert client.recv(4) == b"220 "


def test_no_line_end_for_32_megabytes_is_refused_and_not_held(running):
    address = running()
    block = b"x" * 1_000_000
    with Client(address) as client:
        client.hello()
        tracemalloc.start()
        for _ in range(32):
            client.send(block)
        client.send(b"\r\n")
        client.expect(500)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 3_000_000
        client.command("NOOP", 250)


@pytest.mark.parametrize("size", [512, 100_000])
def test_long_commands_are_taken_and_longer_ones_refused(running, size):
    with Client(running()) as client:
        client.expect(220)
        client.command(b"NOOP " + b"x" * size, 250)
        client.command(b"NOOP " + b"x" * 200_000, 500)
        client.command("NOOP", 250)


@pytest.mark.parametrize("local", ["a" * 100_000, "a." * 50_000 + "a", "(" * 1000 + ")" * 1000 + "a", '"' + "\\a" * 50_000 + '"'])
@pytest.mark.parametrize("profile", ["rfc5321", "tcllib-1.5"])
def test_addresses_of_any_length_get_an_answer(running, local, profile):
    address = running(profile=profile)
    with Client(address) as client:
        client.hello()
        assert client.command(f"MAIL FROM:<{local}@b.example>").code in (250, 501, 553, 500)
    alive(address)


def test_every_octet_in_a_command(running):
    address = running(error_limit=0)
    with Client(address) as client:
        client.expect(220)
        for octet in set(range(256)) - {10, 13}:
            assert client.command(b"NOOP " + bytes([octet])).code == 250
            assert client.command(b"HELO " + bytes([octet])).code in (250, 501)
    alive(address)


def test_cr_and_lf_apart(running):
    with Client(running()) as client:
        client.expect(220)
        for piece in (b"NOOP\r", b"\nNO", b"OP\r", b"\n"):
            client.send(piece)
        client.expect(250, 250)


@pytest.mark.parametrize(
    "greeting",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(200)) + b"\r\n",  # a TLS ClientHello
        b"\xff\xfb\x1f\xff\xfb\x20\xff\xfd\x03\r\n",  # telnet
        b"SSH-2.0-OpenSSH_9\r\n",
        b"\x00" * 5000 + b"\r\n",
    ],
)
def test_other_protocols_on_the_plain_port(running, greeting):
    address = running()
    with Client(address) as client:
        client.expect(220)
        client.send(greeting)
        assert client.reply().code == 500
        client.end()
        client.rest()
    alive(address)


def test_a_posted_session_is_not_a_session(make):
    made = make()
    address = made.start().getsockname()
    with Client(address) as client:
        client.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\n" + SESSION)
        client.expect(220, 421)
        client.expect_end()
    assert made.server.messages == []
    alive(address)


@pytest.mark.parametrize("octet", [0, 27, 127])
def test_control_bytes_in_names_and_addresses(running, octet):
    with Client(running()) as client:
        client.expect(220)
        client.command(b"HELO a" + bytes([octet]) + b"b", 501)
        client.command(b"HELO " + b"a" * 256, 501)
        client.command(b"HELO x", 250)
        client.command(b"MAIL FROM:<a" + bytes([octet]) + b"@b>", 501)


@pytest.mark.parametrize("leave", ["end", "reset"])
def test_a_session_cut_off_anywhere_delivers_nothing_or_all(make, leave):
    made = make()
    address = made.start().getsockname()
    accepted = SESSION.index(b"QUIT")
    whole = 0
    for length in range(0, len(SESSION), 3):
        with Client(address) as client:
            client.send(SESSION[:length])
            if leave == "end":
                client.end()
                client.rest()
            elif length >= accepted:
                client.expect(220, 250, 250, 250, 354, 250)  # reset it after that: before, anything may happen
            if leave == "reset":
                client.reset()
        whole += length >= accepted
    alive(address)
    assert len(made.server.messages) == whole + 1
    assert {message.content for message in made.server.messages[:-1]} == {b"Subject: x\r\n\r\nbody\r\n"}


def test_a_command_cut_off_is_not_executed(running):
    seen = []
    with Client(running(validate_sender=seen.append)) as client:
        client.hello()
        client.send("MAIL FROM:<a@b>")
        client.end()
        client.expect_end()
    assert seen == []


@pytest.mark.parametrize(
    "end",
    [
        b"\n.\n",
        b"\r.\r",
        b"\r\n.\r",
        b"\r\n.\n",
        b"\n.\r\n",
        b"\r.\r\n",
        b"\r\n\x00.\r\n",
        b"\r\n.\x00\r\n",
        b"\x0b.\x0b",
        b"\x85.\x85",
        b"\r\r\n.\r\r\n",
    ],
)
def test_smuggling_delivers_one_message(make, end):
    made = make()
    with Client(made.start().getsockname()) as client:
        client.hello()
        client.send(ENVELOPE)
        client.expect(250, 250, 354)
        client.send(b"one" + end + ENVELOPE + b"two\r\n.\r\n")
        client.expect(250)
        client.quit()
    [message] = made.server.messages
    assert b"two" in message.content


def test_talking_before_the_greeting_is_no_way_around_the_check_of_the_host(running):
    from concurrent.futures import ThreadPoolExecutor

    go_on = threading.Event()

    def wait():
        assert go_on.wait(DEADLINE)
        raise Refused(550, "not you")

    with ThreadPoolExecutor() as pool, Client(running(validate_host=lambda _: pool.submit(wait))) as client:
        client.send(b"EHLO x\r\n" + ENVELOPE + b"x\r\n.\r\nQUIT\r\n")
        go_on.set()
        client.expect(550, 503, 503, 503, 503)
        assert client.rest().endswith(b"closing transmission channel\r\n")


def test_recipients_do_not_leak_into_the_next_transaction(make):
    made = make()
    with Client(made.start().getsockname()) as client:
        client.hello()
        assert client.mail(recipients=("<one@b>",)).code == 250
        client.command("DATA", 503)
        client.command("RCPT TO:<x@b>", 503)
        assert client.mail(recipients=("<two@b>",)).code == 250
    assert [message.recipients for message in made.server.messages] == [("one@b",), ("two@b",)]


# Callbacks


class Silent(Exception):
    """Fails even when asked what it says."""

    def __str__(self):
        raise ZeroDivisionError


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (ValueError("plain"), 554, "plain"),
        (Refused(451, "later"), 451, "later"),
        (ValueError("1\r\n250 2\n\n3"), 554, "250 2"),
        (ValueError("caf\xe9 \u2603"), 554, "caf? ?"),
        (ValueError(), 554, "ValueError"),
        (Silent(), 554, "Silent"),
        (SystemExit(0), 554, ""),
        (KeyboardInterrupt(), 554, "KeyboardInterrupt"),
        (GeneratorExit(), 554, "GeneratorExit"),
        (asyncio.CancelledError(), 554, "CancelledError"),
        (MemoryError(), 554, "MemoryError"),
        (RecursionError("deep"), 554, "deep"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else None,
)
def test_whatever_a_callback_raises_is_one_well_formed_reply(make, error, code, text):
    def deliver(*_):
        raise error

    made = make(deliver=deliver)
    address = made.start().getsockname()
    with Client(address) as client:
        client.hello()
        for _ in range(2):
            reply = client.mail()
            assert reply.code == code
            assert text in reply.text
        client.quit()
    made.server.configure({"deliver": None})
    alive(address)
    assert len(made.server.messages) == 1


def test_a_refusal_code_that_is_none_is_an_error_where_it_is_made():
    for code in (250, 399, 600, "451", None):
        with pytest.raises(ValueError, match="must be a number from 400 to 599"):
            Refused(code)


def test_a_callback_may_stop_the_server_and_configure_it(make):
    made = make()

    def deliver(*_):
        made.server.configure({"deliver": None, "banner": "changed"})
        made.server.stop()

    made.server.configure({"deliver": deliver})
    address = made.start().getsockname()
    with Client(address) as client:
        client.hello()
        assert client.mail().code == 250
        assert client.mail().code == 250
        with pytest.raises(ConnectionRefusedError):
            Client(address)
        client.quit()
    with Client(made.start().getsockname()) as client:
        assert "changed" in client.expect(220).text


def test_a_callback_may_be_a_client_of_another_server(make):
    other = make()
    address = other.start().getsockname()

    def forward(sender, *_):
        if isinstance(other.server, Server):
            alive(address)

    made = make(deliver=forward)
    with Client(made.start().getsockname()) as client:
        client.hello()
        assert client.mail().code == 250
    assert len(other.server.messages) == isinstance(other.server, Server)


def test_a_coroutine_function_is_an_error_at_configure_time_where_none_can_run():
    async def deliver(*_):
        pass

    class Handler:
        async def __call__(self, *_):
            pass

    for function in (deliver, Handler(), Handler().__call__):
        with pytest.raises(ConfigurationError, match="deliver is a coroutine function"):
            Server(deliver=function)


# TLS


@pytest.fixture
def trusted():
    """A context for clients, that trusts the test certificates."""
    return Server(tls="starttls").client_context()


def start_tls(client, context):
    """Begin TLS on a client that has been greeted."""
    client.command("EHLO x", 250)
    client.command("STARTTLS", 220)
    client.socket = context.wrap_socket(client.socket, server_hostname="localhost", suppress_ragged_eofs=False)


def test_a_mail_over_starttls(make, trusted):
    made = make(tls="starttls")
    with Client(made.start().getsockname()) as client:
        client.expect(220)
        start_tls(client, trusted)
        assert "STARTTLS" not in client.command("EHLO x", 250).text
        body = b"x" * 70 + b"\r\n"
        assert client.mail(body=body * 50_000).code == 250
        client.command("STARTTLS", 503)
        client.quit()
    assert len(made.server.messages[0].content) == 50_000 * 72


def test_what_was_pipelined_behind_starttls_is_dropped(make, trusted):
    seen = []
    made = make(tls="starttls", validate_sender=seen.append)
    with Client(made.start().getsockname()) as client:
        client.expect(220)
        client.command("EHLO x", 250)
        client.send("STARTTLS\r\nMAIL FROM:<injected@b>\r\n")
        client.expect(220)
        client.socket = trusted.wrap_socket(client.socket, server_hostname="localhost")
        client.command("EHLO x", 250)
        client.command("RCPT TO:<a@b>", 503)
    assert seen == []


@pytest.mark.parametrize("garbage", [b"NOOP\r\n", b"\x16\x03\x01\xff\xff" + b"x" * 70_000, b"\x00" * 1000])
def test_garbage_for_a_handshake(running, garbage):
    address = running(tls="starttls", loglevel="none")
    with Client(address) as client:
        client.expect(220)
        client.command("EHLO x", 250)
        client.command("STARTTLS", 220)
        client.send(garbage)
        client.end()
        client.rest()
    alive(address)


@pytest.mark.parametrize("leave", ["end", "reset", "close"])
def test_a_client_that_leaves_in_the_handshake(running, leave):
    address = running(tls="starttls", loglevel="none")
    with Client(address) as client:
        client.expect(220)
        client.command("EHLO x", 250)
        client.command("STARTTLS", 220)
        client.send(b"\x16\x03\x01")
        getattr(client, leave)()
    alive(address)


def test_a_connection_torn_off_in_data_without_close_notify_delivers_nothing(make, trusted):
    made = make(tls="starttls", loglevel="none")
    address = made.start().getsockname()
    with Client(address) as client:
        client.expect(220)
        start_tls(client, trusted)
        client.command("EHLO x", 250)
        client.send(ENVELOPE + b"half\r\n")
        client.expect(250, 250, 354)
        client.socket.unwrap  # noqa: B018 # not called: that would be a close_notify
        socket.socket.shutdown(client.socket, socket.SHUT_WR)
        with pytest.raises((ssl.SSLError, OSError, ConnectionError)):
            client.reply()
    assert made.server.messages == []
    alive(address)


def test_a_certificate_that_cannot_be_used_is_named_at_once(make, tmp_path):
    broken = tmp_path / "broken.pem"
    broken.write_text("no certificate")
    for file in (str(broken), str(tmp_path / "missing.pem")):
        with pytest.raises((ConfigurationError, OSError), match=os.path.basename(file)):
            make(tls="starttls", certfile=file).start()


# Resources


@pytest.mark.parametrize("leave", ["close", "reset", "end", "quit"])
def test_hundreds_of_clients_that_come_and_go_leave_nothing(make, leave):
    made = make(loglevel="none")
    address = made.start().getsockname()
    alive(address)

    def use():
        clients = [Client(address) for _ in range(50)]
        for client in clients:
            client.hello()
            client.send(ENVELOPE + b"half\r\n" if leave != "quit" else b"")
        for client in clients:
            if leave != "quit":
                client.expect(250, 250, 354)
            getattr(client, leave)()
            client.close()

    made.close()  # waits until all are gone
    address = made.start().getsockname()
    descriptors = len(os.listdir("/proc/self/fd"))
    for _ in range(6):
        use()
    made.close()
    assert not made.server._service.live
    assert len(made.server.messages) == 1
    made.start()
    assert len(os.listdir("/proc/self/fd")) == descriptors


def test_many_clients_at_once(make):
    made = make()
    address = made.start().getsockname()
    clients = [Client(address) for _ in range(200)]
    for client in clients:
        client.hello()
    for client in clients:
        assert client.mail().code == 250
    for client in clients:
        client.quit()
        client.close()
    assert len(made.server.messages) == 200


def test_a_thousand_clients_wait_to_be_accepted(make):
    """While a callback keeps the server busy, the system holds the clients that come."""
    entered, go_on = threading.Event(), threading.Event()

    def check(_):
        entered.set()
        assert go_on.wait(DEADLINE)

    made = make(validate_sender=check)
    address = made.start().getsockname()
    with Client(address) as first:
        first.hello()
        first.send("MAIL FROM:<a@b>\r\n")
        assert entered.wait(DEADLINE)
        waiting = [Client(address) for _ in range(300)]
        go_on.set()
        for client in waiting:
            client.expect(220)
            client.close()
        first.expect(250)


EXHAUSTION = """
import asyncio, resource, sys, threading, time, pysmtpd
sys.path.insert(0, sys.argv[2])
from python_server import KINDS
made = KINDS[sys.argv[1]]()
made.start()
resource.setrlimit(resource.RLIMIT_NOFILE, (60, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
print(made.server.port, flush=True)
for line in sys.stdin:
    print(time.process_time(), flush=True)
made.end() if sys.argv[1] == 'selector' else __import__('os')._exit(0)
"""


@pytest.mark.parametrize("kind", ["selector", "asyncio"])
def test_out_of_descriptors_accepting_pauses_and_recovers(kind):
    """Costs no processor time meanwhile, and the clients that waited are served when others have gone."""
    command = [sys.executable, "-c", EXHAUSTION, kind, os.path.dirname(os.path.dirname(__file__))]
    with subprocess.Popen(
        command, env=environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        address = "127.0.0.1", int(process.stdout.readline())

        def processor_time():
            process.stdin.write("\n")
            process.stdin.flush()
            return float(process.stdout.readline())

        clients = [Client(address) for _ in range(100)]
        served = clients[:30]
        for client in served:
            client.hello()
        before = processor_time()
        clients[-1].socket.settimeout(1.0)
        with pytest.raises(TimeoutError):
            clients[-1].reply()
        assert processor_time() - before < 0.5
        for client in served:
            assert client.mail().code == 250
        for client in clients[:60]:
            client.close()
        clients[-1].socket.settimeout(DEADLINE)
        for client in clients[60:]:
            client.expect(220)
            client.close()
        alive(address)
        process.stdin.close()
        errors = process.stderr.read()
        assert process.wait(DEADLINE) == 0
    if kind == "selector":
        assert errors.count("cannot accept connections, will try again: Too many open files") == 1


def test_a_silent_client_gets_a_421_and_a_busy_one_does_not(running):
    address = running(idle_timeout=0.3)
    with Client(address) as silent, Client(address) as stuck:
        silent.expect(220)
        stuck.hello()
        stuck.send(ENVELOPE + b"half")
        stuck.expect(250, 250, 354)
        for client in (silent, stuck):
            client.expect(421)
            client.expect_end()


def test_a_client_that_waits_for_a_callback_is_not_silent(running):
    from concurrent.futures import ThreadPoolExecutor

    go_on = threading.Event()
    with ThreadPoolExecutor() as pool:
        address = running(idle_timeout=0.2, validate_sender=lambda _: pool.submit(go_on.wait, DEADLINE))
        with Client(address) as client, Client(address) as silent:
            client.hello()
            client.send("MAIL FROM:<a@b>\r\n")
            silent.expect(220, 421)  # longer than the time-out
            answered = time.monotonic()
            go_on.set()
            client.expect(250, 421)
    assert time.monotonic() - answered >= 0.2


def test_a_client_has_its_time_when_what_it_sent_ahead_has_been_answered(running):
    answered = []

    def validate(_):
        time.sleep(0.06)
        answered.append(time.monotonic())

    with Client(running(idle_timeout=0.3, validate_recipient=validate)) as client:
        client.hello()
        client.send("MAIL FROM:<a@b>\r\n" + "RCPT TO:<c@d>\r\n" * 20)
        client.expect(250, *[250] * 20, 421)
    assert time.monotonic() - answered[-1] >= 0.3


def test_a_failure_while_others_have_been_let_in_costs_the_client_its_connection(running, monkeypatch):
    class Log(io.StringIO):
        def write(self, text):
            if "RCPT TO: last@d" in text:
                raise RuntimeError("no log any more")
            return len(text)

    monkeypatch.setattr(sys, "stderr", Log())
    address = running(loglevel="debug", validate_recipient=lambda _: time.sleep(0.03))
    with Client(address) as client:
        client.hello()
        client.send("MAIL FROM:<a@b>\r\n" + "RCPT TO:<c@d>\r\n" * 4 + "RCPT TO:<last@d>\r\nNOOP\r\n")
        client.expect(250, *[250] * 4)
        client.expect_end()
    alive(address)


def test_a_client_that_never_reads_nor_closes_is_dropped(make, monkeypatch):
    from pysmtpd.drivers import conversation

    monkeypatch.setattr(conversation, "LINGER", 0.2)
    with Client(make(idle_timeout=0.2).start().getsockname(), receive_buffer=4096) as client:
        client.send_until_stuck(b"HELP\r\n", limit=40_000_000)
        ended = select.poll()
        ended.register(client.socket, select.POLLRDHUP)  # or broken off, which is always told
        assert ended.poll(DEADLINE * 1000)


def test_limits_are_options(running):
    address = running(error_limit=3, recipient_limit=2, size_limit=1000)
    with Client(address) as client:
        client.hello()
        client.command("MAIL FROM:<a@b>", 250)
        for code in (250, 250, 452):
            client.command("RCPT TO:<a@b>", code)
        client.command("DATA", 354)
        client.send(b"x" * 2000 + b"\r\n.\r\n")
        client.expect(552)
    with Client(address) as client:
        client.hello()
        client.send(b"X\r\n" * 10)
        client.expect(500, 500, 500, 421)
        client.expect_end()
