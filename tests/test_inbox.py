"""Waiting for messages."""

import asyncio
import re
import smtplib
import socket
import threading
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest

import pysmtpd
from pysmtpd.inbox import MAX_SESSIONS, Inbox, Wanted
from pysmtpd.message import Message


@pytest.fixture
def server():
    with pysmtpd.Server() as made:
        yield made


def send(server, to="b@example.org", subject="hello", sender="a@example.org"):
    with smtplib.SMTP(*server.addr) as client:
        client.sendmail(sender, [to], f"Subject: {subject}\n\nbody\n")


def test_messages_that_are_there_and_ones_that_come(server):
    send(server, subject="first")
    later = threading.Thread(target=send, args=(server,), kwargs={"subject": "second"})
    later.start()
    first, second = server.wait_for(to="b@example.org", count=2)
    later.join()
    assert (first.subject, second.subject) == ("first", "second")
    assert server.outbox == server.messages == [first, second]


def test_each_condition_counts(server):
    send(server)
    [found] = server.wait_for("b@example.org", "hell", sender="a@example.org", matching=lambda mail: b"body" in mail.content)
    assert found.recipients == ("b@example.org",)
    for other in ({"to": "x"}, {"subject": "x"}, {"sender": "x"}, {"matching": lambda _: False}, {"count": 2}):
        with pytest.raises(pysmtpd.NotReceived):
            server.wait_for(**other, timeout=0)


def test_a_failure_says_what_came_instead(server):
    send(server, subject="something else")
    with pytest.raises(AssertionError, match=r"(?s)to='nobody': got 0 of 1.*'something else', .*>: another recipient"):
        server.wait_for(to="nobody", timeout=0)
    server.clear()
    with pytest.raises(AssertionError, match="nothing"):
        server.wait_for(timeout=0)


def test_waiting_ends_where_a_test_has_stopped_the_clock(server, monkeypatch):
    monkeypatch.setattr("pysmtpd.inbox.time", SimpleNamespace(monotonic=lambda: 0.0))
    server.expect_none(timeout=0.01)
    asyncio.run(server.inbox.expect_none_async(Wanted(), 0.01))
    later = threading.Thread(target=send, args=(server,))
    later.start()
    assert len(server.wait_for()) == 1
    later.join()


def test_waiting_may_have_no_end(server):
    send(server)
    waiter = threading.Timer(0, send, [server, "late@example.org"])
    waiter.start()
    assert len(server.wait_for(to="late@example.org", timeout=float("inf"))) == 1
    waiter.join()


def test_none_is_expected(server):
    server.expect_none(timeout=0)
    send(server)
    server.expect_none(to="somebody else", timeout=0)
    with pytest.raises(pysmtpd.NotReceived, match="expected no message"):
        server.expect_none(timeout=0)


def message(to="b@example.org", subject="hello", sender="a@example.org"):
    text = f"Subject: {subject}\r\n\r\n".encode()
    return Message(sender, [to], text, peer=("127.0.0.1", 1), helo="x", id="1", time=datetime.now(UTC))


def test_addresses_compare_as_mail_does():
    kept = message(to="Anna@Example.ORG", sender="")
    assert Wanted(to="Anna@example.org", sender="").reasons(kept) == []
    assert Wanted(to="anna@example.org").reasons(kept) == ["another recipient"]
    assert Wanted(to=re.compile("^anna@", re.IGNORECASE), subject=re.compile("^hel+o$")).reasons(kept) == []


def test_near_misses_come_first():
    inbox = Inbox()
    for each in (message(subject="x", to="x"), message(), message(to="c@example.org")):
        inbox.add(each)
    with pytest.raises(pysmtpd.NotReceived) as failure:
        inbox.wait_for(Wanted("b@example.org", "a@example.org", "Hello"), 1, 0)
    lines = str(failure.value).splitlines()
    assert lines[0] == "expected messages with to='b@example.org', sender='a@example.org', subject='Hello': got 0 of 1 in 0 s"
    assert lines[2].endswith("'hello', 18 bytes>: another subject")
    assert lines[3].endswith(": another recipient; another subject")


def test_many_misses_are_counted():
    inbox = Inbox()
    for _ in range(100):
        inbox.add(message())
    with pytest.raises(pysmtpd.NotReceived, match=r"\.\.\. and 80 more$"):
        inbox.wait_for(Wanted("nobody"), 1, 0)


def test_an_exception_of_the_condition_is_a_no_and_is_shown():
    inbox = Inbox()
    inbox.add(message())
    with pytest.raises(pysmtpd.NotReceived, match="does not match: KeyError: 'nothing there'"):
        inbox.wait_for(Wanted(matching=lambda _: {}["nothing there"]), 1, 0)


def test_each_message_is_looked_at_once():
    inbox = Inbox()
    looked = []
    for each in range(50):
        inbox.add(message(subject=f"{each}."))
    adding = threading.Thread(target=lambda: [inbox.add(message(subject=f"{each}.")) for each in range(50, 100)])
    adding.start()
    inbox.wait_for(Wanted(matching=lambda mail: looked.append(mail) or True), 100, 10)
    adding.join()
    assert len(looked) == len({id(mail) for mail in looked}) == 100


def test_clearing_while_somebody_waits():
    inbox = Inbox()
    inbox.add(message(subject="old"))
    asked = threading.Event()
    found = []

    def wait():
        found.extend(inbox.wait_for(Wanted(matching=lambda _: asked.set() or True), 2, 10))

    waiting = threading.Thread(target=wait)
    waiting.start()
    assert asked.wait(10)
    inbox.clear()
    inbox.add(message(subject="new 1"))
    inbox.add(message(subject="new 2"))
    waiting.join()
    assert [mail.subject for mail in found] == ["new 1", "new 2"]


@pytest.mark.parametrize(
    "options", [{"to": 1}, {"subject": b"x"}, {"sender": ["x"]}, {"matching": "x"}, {"count": 0}, {"count": 1.5}]
)
def test_what_cannot_be_asked(server, options):
    [name] = options
    with pytest.raises((TypeError, ValueError), match=f"{name} is "):
        server.wait_for(**options, timeout=0)


def test_waiting_in_an_event_loop(server):
    async def wait():
        waiting = asyncio.create_task(server.inbox.wait_for_async(Wanted(subject="second"), 1, 10))
        await asyncio.to_thread(send, server, subject="first")
        await asyncio.to_thread(send, server, subject="second")
        [found] = await waiting
        return found.subject

    assert asyncio.run(wait()) == "second"


def test_waiting_in_vain_in_an_event_loop(server):
    async def wait():
        await server.inbox.expect_none_async(Wanted(), 0)
        inbox = Inbox()
        inbox.add(message())
        with pytest.raises(pysmtpd.NotReceived, match="expected no message with anything at all, got <Message"):
            await inbox.expect_none_async(Wanted(), 0)
        with pytest.raises(pysmtpd.NotReceived, match=r"got 1 of 2 in 0\.01 s"):
            await inbox.wait_for_async(Wanted(), 2, 0.01)

    asyncio.run(wait())


def test_a_failure_shows_what_the_clients_did(server):
    send(server)
    with pytest.raises(smtplib.SMTPSenderRefused):
        send(server, sender="a b@example.org")
    with pytest.raises(pysmtpd.NotReceived) as failure:
        server.wait_for(count=2, timeout=0)
    text = str(failure.value)
    assert "session 1 (127.0.0.1:" in text
    assert "\nC: (a message of 24 octets)\nS: 250 2.0.0 " in text
    assert "session 2 (127.0.0.1:" in text
    assert re.search("C: (?i:mail from):<a b@example.org> size=.*\nS: 501 ", text)
    assert text.endswith(server.transcript)


def test_clearing_forgets_sessions(server):
    send(server)
    server.clear()
    assert (server.messages, server.sessions, server.transcript) == ([], [], "")


def test_only_the_last_sessions_are_kept(server):
    for _ in range(MAX_SESSIONS + 3):
        with socket.create_connection(server.addr, 10) as client:
            client.recv(100)
            ports = client.getsockname()[1]
    assert len(server.sessions) == MAX_SESSIONS
    assert server.sessions[-1].port == ports
