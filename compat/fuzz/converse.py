"""Plays one session to one server, fast: its replies, the calls of its callbacks and its log, ready to be compared."""

import contextlib
import json
import random
import re
import socket
from collections.abc import Sequence
from dataclasses import dataclass

from compat.fuzz.sessions import Session, Setup
from compat.masking import mask
from compat.targets import TARGETS, Server, ServerError

#: Seconds after which a server that says nothing any more counts as hung.
DEADLINE = 10.0
#: Seconds to wait for a reply that may not come at all, before the client goes on.
PATIENCE = 0.05

# Sessions after which a server is replaced: the stock package keeps the state of every session that did not say QUIT.
_WORN = 5000

# A line with a dot, and more lines behind it: the message ends there, and what follows is commands.
_EARLY_END = re.compile(rb"(?:\A|[\r\n])\.(?:\r\n?|\n)(?=[^\r\n])")


@dataclass(frozen=True)
class Outcome:
    """What a session came to, masked."""

    replies: tuple[str, ...]
    calls: tuple[str, ...]
    log: tuple[str, ...]
    errors: tuple[str, ...] = ()

    def lines(self) -> list[str]:
        """All of it, as lines of a transcript."""
        return [*self.replies, *self.calls, *(f"LOG: {line}" for line in self.log), *(f"server: {line}" for line in self.errors)]


class Bench:
    """One target with its server, which is started when needed and replaced after a failure."""

    def __init__(self, target: str, deadline: float = DEADLINE) -> None:
        self.target = target
        self._deadline = deadline
        self._server: Server | None = None
        self._setup: Setup | None = None
        self._played = 0

    def close(self) -> None:
        """End the server."""
        if self._server is not None:
            self._server.close()
        self._server = self._setup = None

    def play(self, setup: Setup, session: Session, cut: random.Random | None = None) -> Outcome:
        """Play a session under a set-up; with `cut`, its octets are sent in pieces of random sizes.

        Raises ServerError when the server does not start any more, or hangs.
        """
        server = self._ready(setup)
        try:
            raw = _talk(server.port, session, cut, self._deadline)
        except TimeoutError:
            raise ServerError(
                f"{self.target} says nothing for {self._deadline:.0f} s: {session.items}\n{server.errors()}"
            ) from None
        calls = [json.dumps(record) for record in server.records()]
        log, errors = server.logged()
        hosts = [server.host]
        return Outcome(
            tuple(_lines(raw.decode("latin-1"), hosts)),
            tuple(_lines("\r\n".join(calls), hosts)),
            tuple(_lines("\r\n".join(log), hosts)) if setup.log is not None else (),
            tuple(errors) if self.target != "stock" else (),
        )

    def _ready(self, setup: Setup) -> Server:
        self._played += 1
        if self._played % _WORN == 0:
            self.close()
        if self._server is None:
            self._server = Server(TARGETS[self.target], "127.0.0.1")
        if setup is not self._setup:
            self._server.set_up(setup.words())
            self._server.logged()
            self._setup = setup
        return self._server


def _lines(text: str, hosts: Sequence[str]) -> list[str]:
    return mask(text, hosts).split("\r\n") if text else []


def _talk(port: int, session: Session, cut: random.Random | None, deadline: float) -> bytes:
    """Send a session and read to the end of the connection; what the server said."""
    with socket.create_connection(("127.0.0.1", port), deadline) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        reader = _Reader(connection, deadline)
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            if session.lockstep:
                reader.await_replies(1)
                for item in session.items:
                    if reader.ended:
                        break
                    expected = 1 if reader.in_data else len(item.splitlines())
                    _send(connection, item, cut)
                    reader.await_replies(expected + len(_EARLY_END.findall(item)))
            else:
                _send(connection, session.data, cut)
        with contextlib.suppress(OSError):
            connection.shutdown(socket.SHUT_WR)
        return reader.to_the_end()


def _send(connection: socket.socket, data: bytes, cut: random.Random | None) -> None:
    if cut is None:
        connection.sendall(data)
        return
    start = 0
    while start < len(data):
        size = cut.choice((1, 1, 2, 3, 7, 50, 500))
        connection.sendall(data[start : start + size])
        start += size


class _Reader:
    """Reads replies, and acknowledges at once: the stock package would wait 40 ms for every other reply otherwise."""

    def __init__(self, connection: socket.socket, deadline: float) -> None:
        self._connection = connection
        self._deadline = deadline
        self._parts: list[bytes] = []
        self.ended = False
        self._prompt()

    def _prompt(self) -> None:
        with contextlib.suppress(AttributeError, OSError):  # Linux has it
            self._connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)

    def _read(self) -> bytes:
        try:
            data = self._connection.recv(65536)
        except ConnectionResetError:
            data = b""
        if data:
            self._parts.append(data)
            self._prompt()
        else:
            self.ended = True
        return data

    @property
    def in_data(self) -> bool:
        """Whether the server waits for a message."""
        return b"".join(self._parts[-3:]).rpartition(b"\r\n")[0].rpartition(b"\n")[2].startswith(b"354")

    def await_replies(self, count: int) -> None:
        """Wait until so many whole replies have come, or nothing for a little while: there may be fewer."""
        tail = b""
        self._connection.settimeout(PATIENCE)
        try:
            while count > 0 and not self.ended:
                *lines, tail = (tail + self._read()).split(b"\r\n")
                count -= sum(line[3:4] != b"-" for line in lines)
        except TimeoutError:
            pass
        finally:
            self._connection.settimeout(self._deadline)

    def to_the_end(self) -> bytes:
        """Read until the server closes; everything that was read."""
        while not self.ended:
            self._read()
        return b"".join(self._parts)
