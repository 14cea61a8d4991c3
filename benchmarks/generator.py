"""The load generator: SMTP sessions as prebuilt steps, many of them in one epoll loop, every reply checked.

A step is bytes to send and the exact reply codes that must come back. The loop does nothing else per step than
one receive, one pattern match and one send, so that one core of Python outruns the servers it measures.
It spins instead of sleeping: waking a sleeping core takes longer than a reply does, in a virtual machine above all,
and a lock-step figure would then be the hypervisor's.
"""

import os
import re
import select
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import groupby

SENDER = b"MAIL FROM:<sender@example.com>\r\n"
RECIPIENT = b"RCPT TO:<recipient@example.com>\r\n"
ENVELOPE = SENDER + RECIPIENT + b"DATA\r\n"
RESET = b"RSET\r\n"
LAST_LINE = "the last line of the body"
RECEIVE_SIZE = 65536
SPIN = 0 if (os.cpu_count() or 1) > 1 else 0.1  # with one core for both, spinning would starve the server


class LoadError(Exception):
    """The server did not do the work it was asked: a wrong reply, a closed connection, silence."""


class Step:
    """Bytes to send and the replies that must follow, each possibly of several lines."""

    __slots__ = ("codes", "delivers", "known", "match", "send")

    def __init__(self, send: bytes, *codes: int, delivers: int = 0) -> None:
        self.send = send
        self.codes = codes
        self.known = b""  # replies that matched before: most are the same every time
        self.delivers = delivers  # messages that the server has accepted once these replies are here
        reply = "(?:(?:{0}-[^\r\n]*\r\n)*{0}(?: [^\r\n]*)?\r\n){{{1}}}"
        runs = ((code, len(list(run))) for code, run in groupby(codes))
        self.match = re.compile("".join(reply.format(code, length) for code, length in runs).encode()).fullmatch

    def check_partial(self, data: bytes) -> None:
        """Raise unless `data` may still grow into the expected replies. Only runs when replies came in pieces."""
        *lines, _rest = data.split(b"\r\n")
        finals = [line[:3] for line in lines if line[3:4] != b"-"]
        expected = [b"%d" % code for code in self.codes]
        if len(finals) >= len(expected) or finals != expected[: len(finals)]:
            raise LoadError(f"after {self.send[:40]!r} expected {self.codes}, got {data[-300:]!r}")


@dataclass(frozen=True)
class Work:
    """What every session does: open, then the message steps over and over, then close."""

    sessions: int
    opening: tuple[Step, ...]
    message: tuple[Step, ...]
    closing: tuple[Step, ...]
    reconnect: bool = False  # a new connection for each round of message steps


GREETING = Step(b"", 220)
HELLO = Step(b"EHLO client.example.com\r\n", 250)
QUIT = Step(b"QUIT\r\n", 221)


def body_of(size: int) -> bytes:
    """A message of about `size` bytes in lines of 78, with its last line known, ended by the lone dot."""
    head = b"From: sender@example.com\r\nTo: recipient@example.com\r\nSubject: benchmark\r\n\r\n"
    tail = LAST_LINE.encode() + b"\r\n"
    line = b"The quick brown fox jumps over the lazy dog; 0123456789, and once again...\r\n"
    count = max(1, (size - len(head) - len(tail)) // len(line))
    return head + line * count + tail + b".\r\n"


def lock_step(sessions: int, body: bytes) -> Work:
    """One command at a time. RSET first: the stock profile piles up recipients over the messages of a session."""
    message = (
        Step(RESET, 250),
        Step(SENDER, 250),
        Step(RECIPIENT, 250),
        Step(b"DATA\r\n", 354),
        Step(body, 250, delivers=1),
    )
    return Work(sessions, (GREETING, HELLO), message, (QUIT,))


def pipelined(sessions: int, body: bytes) -> Work:
    """The envelope in one segment; then a body together with the next envelope in one segment."""
    opening = (GREETING, HELLO, Step(ENVELOPE, 250, 250, 354))
    message = (Step(body + RESET + ENVELOPE, 250, 250, 250, 250, 354, delivers=1),)
    return Work(sessions, opening, message, (Step(body, 250, delivers=1), QUIT))


def many_recipients(count: int, body: bytes) -> Work:
    """One session; the envelope with all its recipients in one segment, then the body."""
    recipients = b"".join(b"RCPT TO:<recipient%d@example.com>\r\n" % number for number in range(count))
    envelope = RESET + SENDER + recipients + b"DATA\r\n"
    message = (Step(envelope, *[250] * (count + 2), 354), Step(body, 250, delivers=1))
    return Work(1, (GREETING, HELLO), message, (QUIT,))


def connection_each(slots: int, body: bytes) -> Work:
    """A connection for every message, in lock-step, on so many slots at once."""
    message = (
        GREETING,
        HELLO,
        Step(SENDER, 250),
        Step(RECIPIENT, 250),
        Step(b"DATA\r\n", 354),
        Step(body, 250, delivers=1),
        QUIT,
    )
    return Work(slots, (), message, (), reconnect=True)


@dataclass
class Tally:
    """What a run did: `counted` messages in `seconds` for the rate, `delivered` in all, for the server's count."""

    counted: int = 0
    seconds: float = 0.0
    delivered: int = 0
    busy: float = 0.0  # share of the run that the generator was on the processor
    metered: float = 0.0  # what the meter went up by while `counted` messages were done


class Session:
    """One slot: a connection, where it stands in its steps, and what is not yet sent or not yet understood."""

    __slots__ = ("descriptor", "index", "load", "pending", "sock", "step", "steps", "unsent")

    def __init__(self, load: "Load") -> None:
        self.load = load
        self.pending = b""
        self.unsent = memoryview(b"")
        self.connect()
        self.enter(load.work.opening)

    def connect(self) -> None:
        self.sock = socket.create_connection(self.load.address, timeout=self.load.patience)
        self.sock.setblocking(False)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self.load.quick:
            self.acknowledge()
        self.descriptor = self.sock.fileno()
        self.load.sessions[self.descriptor] = self
        self.load.epoll.register(self.descriptor, select.EPOLLIN)

    def disconnect(self) -> None:
        del self.load.sessions[self.descriptor]
        self.sock.close()

    def acknowledge(self) -> None:
        # The kernel leaves this mode by itself, hence again and again. Without it a server that writes its replies
        # one by one under Nagle (the stock package) waits 40 ms for our acknowledgement, and we would measure that.
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)

    def enter(self, steps: tuple[Step, ...]) -> None:
        self.steps = steps
        self.index = 0
        if steps:
            self.begin(steps[0])

    def begin(self, step: Step) -> None:
        self.step = step
        if step.send:
            self.transmit(step.send)

    def transmit(self, data: bytes) -> None:
        sent = self.push(data)
        if sent < len(data):
            self.unsent = memoryview(data)[sent:]
            self.load.epoll.modify(self.descriptor, select.EPOLLIN | select.EPOLLOUT)

    def writable(self) -> None:
        self.unsent = self.unsent[self.push(self.unsent) :]
        if not self.unsent:
            self.load.epoll.modify(self.descriptor, select.EPOLLIN)

    def push(self, data: bytes | memoryview) -> int:
        try:
            return self.sock.send(data)
        except BlockingIOError:
            return 0

    def readable(self) -> None:
        try:
            data = self.sock.recv(RECEIVE_SIZE)
        except BlockingIOError:  # told of a connection that had this number before
            return
        if not data:
            raise LoadError(f"connection closed after {self.step.send[:40]!r}")
        if self.load.quick:
            self.acknowledge()
        if self.pending:
            data = self.pending + data
        step = self.step
        if data != step.known:
            if step.match(data) is None:
                step.check_partial(data)
                self.pending = data
                return
            step.known = data
        self.pending = b""
        self.load.tally.delivered += step.delivers
        self.index += 1
        if self.index < len(self.steps):
            self.begin(self.steps[self.index])
        else:
            self.load.finished(self)


class Load:
    """One run of a piece of work against one server: opened, timed, drained."""

    def __init__(
        self, port: int, work: Work, *, quick: bool = False, patience: float = 10.0, meter: Callable[[], float] = float
    ) -> None:
        self.address = ("127.0.0.1", port)
        self.work = work
        self.quick = quick
        self.meter = meter  # the server's CPU seconds, say
        self.patience = patience  # seconds without any event after which the server counts as hung
        self.epoll = select.epoll()
        self.sessions: dict[int, Session] = {}
        self.tally = Tally()
        self.waiting: list[Session] = []  # sessions that wait for the clock to start
        self.timing = False
        self.draining = False
        self.working = 0.0  # seconds spent on events
        self.give_up = 0.0

    def run(self, seconds: float, limit: float) -> Tally:
        """Work for `seconds`, to the end of at least one message, and for `limit` seconds at the very most."""
        self.give_up = time.monotonic() + limit
        try:
            self.open()
            self.time(seconds)
            self.drain()
        finally:
            self.close()
        return self.tally

    def open(self) -> None:
        for _ in range(self.work.sessions):
            session = Session(self)
            if not self.work.opening:
                self.waiting.append(session)
        while len(self.waiting) < self.work.sessions:
            self.turn()

    def time(self, seconds: float) -> None:
        """The measured part. It ends with the first message completed after `seconds`."""
        self.timing, self.working = True, 0.0
        start = time.monotonic()
        before, metered = self.tally.delivered, self.meter()
        for session in self.waiting:
            session.enter(self.work.message)
        while self.turn() < start + seconds or self.tally.delivered == before:
            pass
        self.tally.seconds = time.monotonic() - start
        self.tally.metered = self.meter() - metered
        self.tally.counted = self.tally.delivered - before
        self.tally.busy = self.working / self.tally.seconds

    def drain(self) -> None:
        self.draining = True
        while self.sessions:
            self.turn()

    def turn(self) -> float:
        """Wait for events and serve them; returns the time. What the spinning took is not counted as work."""
        poll, clock = self.epoll.poll, time.monotonic
        began = clock()
        hung = began + self.patience
        while not (events := poll(SPIN)):
            began = clock()
            if began > hung:
                raise LoadError(f"no reply for {self.patience:.0f} s")
        if began > self.give_up:
            raise LoadError("not done within its time limit")
        sessions = self.sessions
        for descriptor, event in events:
            session = sessions[descriptor]
            if event & select.EPOLLOUT:
                session.writable()
            if event & ~select.EPOLLOUT:
                session.readable()
        now = clock()
        self.working += now - began
        return now

    def finished(self, session: Session) -> None:
        """A session came to the end of its steps: open, a message, or the closing ones."""
        if not self.timing:
            self.waiting.append(session)
        elif session.steps is self.work.closing:
            session.disconnect()
        elif self.work.reconnect:
            session.disconnect()
            if not self.draining:
                session.connect()
                session.enter(self.work.message)
        else:
            session.enter(self.work.closing if self.draining else self.work.message)

    def close(self) -> None:
        for session in list(self.sessions.values()):
            session.sock.close()
        self.epoll.close()
