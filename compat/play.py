"""Plays one transcript against a running server, and writes down what really happened.

Nothing here waits for time to pass: each step reads until the replies it expects have come, or the deadline has.
"""

import json
import select
import socket
import ssl
import time
from dataclasses import dataclass, field

from compat.targets import Record, Server
from compat.text import escape, unescape
from compat.transcript import Line, Step, Transcript, pipelined
from pysmtpd.certificates import CA, CLIENT, SELF_SIGNED

#: Seconds that a step may take before the rest of the transcript is given up.
DEADLINE = 5.0
#: Seconds of silence after which a server is taken to have said all, when expectations are being learnt.
QUIET = 0.15
POLL = 0.005  # seconds between two looks for callbacks

CLOSED = "S: (closed)"
ALERT = "S: (alert: "

#: Clients under TLS, by the words behind `DO: starttls`: the authorities they trust, and the certificate they have.
#: Those that speak TLS 1.2 at most say so first.
TLS_CLIENTS = {"": (CA, None), "client": (CA, CLIENT), "self-signed": (CA, SELF_SIGNED), "untrusting": (CLIENT.certfile, None)}


def client_context(kind: str) -> ssl.SSLContext:
    """The context of a client of that kind."""
    authorities, certificate = TLS_CLIENTS[kind.removeprefix("tls1.2").strip()]
    context = ssl.create_default_context(cafile=authorities)
    if kind.startswith("tls1.2"):
        context.maximum_version = ssl.TLSVersion.TLSv1_2
    if certificate is not None:
        context.load_cert_chain(*certificate)
    return context


class HungError(Exception):
    """The expected replies did not come; playing on would only produce noise."""


class Connection:
    """One client connection, read by lines."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), DEADLINE)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.setblocking(False)
        self._pending = b""
        self._tls: ssl.SSLObject | None = None
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._alerts: list[str] = []
        self.closed = False

    def start_tls(self, context: ssl.SSLContext) -> None:
        """Shake hands. A handshake that fails is the end of the connection: the missing replies show it."""
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname="localhost")
        deadline = time.monotonic() + DEADLINE
        while True:
            try:
                self._tls.do_handshake()
                self._transmit(self._outgoing.read(), 0)
                return
            except ssl.SSLWantReadError:
                self._transmit(self._outgoing.read(), 0)
            except ssl.SSLError as error:
                self._note(error)
                self._transmit(self._outgoing.read(), 0)
                self._socket.shutdown(socket.SHUT_WR)
                self._tls = None
                return
            data = self._receive(deadline - time.monotonic())
            if data is None:
                raise HungError(f"S: (no end of the handshake within {DEADLINE:.0f} s)")
            if not data:
                self.closed = True
                self._tls = None
                return
            self._incoming.write(data)

    def send(self, data: bytes, piece: int) -> None:
        """Send all, `piece` octets at a time, under TLS as well.

        A connection that the server has left is not an error here: the missing replies show it.
        """
        if self._tls is not None:
            self._tls.write(data)
            data = self._outgoing.read()
        self._transmit(data, piece)

    def _transmit(self, data: bytes, piece: int) -> None:
        self._socket.settimeout(DEADLINE)
        piece = piece or len(data) or 1
        try:
            for start in range(0, len(data), piece):
                self._socket.sendall(data[start : start + piece])
        except (BrokenPipeError, ConnectionResetError):
            pass
        finally:
            self._socket.setblocking(False)

    def half_close(self) -> None:
        """Say that nothing more will come."""
        if self.closed:
            return
        if self._tls is not None:
            try:
                self._tls.unwrap()
            except ssl.SSLError:  # the server has not said the same yet
                self._transmit(self._outgoing.read(), 0)
        try:
            self._socket.shutdown(socket.SHUT_WR)
        except OSError:
            self.closed = True

    def close(self) -> None:
        """Leave."""
        self._socket.close()

    def read(self, wait: float) -> list[str]:
        """Complete lines that arrive before `wait` is over: returns as soon as there is anything, or the end."""
        if self._alerts:
            return [self._alerts.pop()]
        data = None if self.closed else self._receive(wait)
        if data is None:
            return []
        if data and self._tls is not None:
            self._incoming.write(data)
            data = self._decrypted()
            if data is None:
                return [self._alerts.pop()] if self._alerts else []
        if not data:
            self.closed = True
            rest, self._pending = self._pending, b""
            return ([f"S: {escape(rest.decode('latin-1'))}(no line end)"] if rest else []) + [CLOSED]
        *lines, self._pending = (self._pending + data).split(b"\r\n")
        return [f"S: {escape(line.decode('latin-1'))}".rstrip() for line in lines]

    def _receive(self, wait: float) -> bytes | None:
        """What comes before `wait` is over; nothing at the end, None where nothing comes."""
        if not select.select([self._socket], [], [], max(wait, 0))[0]:
            return None
        try:
            return self._socket.recv(65536)
        except ConnectionResetError:
            return b""
        except BlockingIOError:
            return None

    def _decrypted(self) -> bytes | None:
        """What was in the records that have come; None where they hold nothing for us."""
        found = b""
        try:
            while chunk := self._tls.read(65536) if self._tls is not None else b"":
                found += chunk
        except ssl.SSLWantReadError:
            return found or None
        except ssl.SSLError as error:  # a close_notify, or worse: the end of the stream is still to come
            self._note(error)
        return found or None

    def _note(self, error: ssl.SSLError) -> None:
        """Note the server's alert, if it was one."""
        _, alert, what = (error.reason or "").partition("_ALERT_")
        if alert:
            self._alerts.append(f"{ALERT}{what.replace('_', ' ').lower()})")


@dataclass
class Player:
    """The connections of a session, and the record of it."""

    server: Server
    target: str
    learn: bool = False
    piece: int = 0
    connections: dict[str, Connection] = field(default_factory=dict)
    current: str = ""

    def step(self, step: Step) -> list[str]:
        """Perform one step; the actual CB and S lines."""
        self._act([line for line in step.sends if line.serves(self.target)])
        expected = step.expected(self.target)
        replies = self._listen([line for line in expected if line.startswith("S: ")])
        callbacks = self._callbacks()
        if any(line.startswith(ALERT) for line in replies):
            # A server tells of an alert when it has sent it, not before.
            deadline = time.monotonic() + DEADLINE
            while len(callbacks) + len(replies) < len(expected) and time.monotonic() < deadline:
                time.sleep(POLL)
                callbacks += self._callbacks()
        return callbacks + replies

    def _act(self, lines: list[Line]) -> None:
        """Send neighbouring client lines in one segment; carry out directives in between."""
        segment = b""
        for line in lines:
            if line.kind == "DO":
                self._flush(segment)
                segment = b""
                self._directive(line.text)
            else:
                segment += unescape(line.text).encode("latin-1") + (b"\r\n" if line.kind == "C" else b"")
        self._flush(segment)

    def _flush(self, segment: bytes) -> None:
        if segment.startswith(b"STARTTLS\r\n"):
            # In one piece: what comes behind it later would be taken for a part of the handshake, and rightly so.
            self.connections[self.current].send(segment, len(segment))
        elif segment:
            self.connections[self.current].send(segment, self.piece or len(segment))

    def _directive(self, text: str) -> None:
        match text.split():
            case ["connect", name]:
                self.current = name
                self.connections[name] = Connection(self.server.port)
            case ["use", name]:
                self.current = name
            case ["starttls", *kind]:
                self.connections[self.current].start_tls(client_context(" ".join(kind)))
            case ["half-close"]:
                self.connections[self.current].half_close()
            case ["close"]:
                self.connections[self.current].close()
                self.connections[self.current].closed = True
            case ["flush"]:
                pass
            case _:
                raise ValueError(f"unknown directive {text!r}")

    def _listen(self, expected: list[str]) -> list[str]:
        connection = self.connections[self.current]
        got: list[str] = []
        deadline = time.monotonic() + DEADLINE
        while not connection.closed and (self.learn or not _complete(got, expected)):
            wait = QUIET if self.learn else deadline - time.monotonic()
            lines = connection.read(wait)
            got += lines
            if self.learn and not lines:
                break
            if time.monotonic() > deadline:
                got.append(f"S: (nothing more within {DEADLINE:.0f} s)")
                raise HungError(*self._callbacks(), *got)
        got += connection.read(0)
        return got if self.learn else _settled(got, expected, connection.closed)

    def _callbacks(self) -> list[str]:
        return [line for record in self.server.records() for line in render(record)]

    def end(self) -> list[str]:
        """Half-close every connection that is still open and read it to its end; lines that come now are surplus."""
        surplus: list[str] = []
        for connection in self.connections.values():
            connection.half_close()
            deadline = time.monotonic() + DEADLINE
            while not connection.closed:
                surplus += [line for line in connection.read(deadline - time.monotonic()) if line != CLOSED]
                if time.monotonic() > deadline:
                    surplus.append("S: (not closed after the client's end)")
                    break
            connection.close()
        return surplus


def _settled(got: list[str], expected: list[str], closed: bool) -> list[str]:
    """The end of the connection is told where it is expected, or where replies are missing.

    Elsewhere it would depend on timing whether it is seen in this step or after it.
    """
    replies = [line for line in got if line != CLOSED]
    return [*replies, CLOSED] if closed and (CLOSED in expected or len(replies) < len(expected)) else replies


def _complete(got: list[str], expected: list[str]) -> bool:
    """Whether all expected lines, and no half of a multi-line reply, have come."""
    return len(got) >= len(expected) and (not got or got[-1][6:7] != "-")


def render(record: Record) -> list[str]:
    """A callback record as transcript lines."""
    (name, *arguments), lines = record
    head = " ".join([name, *map(json.dumps, arguments)])
    return [f"CB: {head}", *(f"CB: | {escape(line)}".rstrip() for line in lines)]


def play(
    transcript: Transcript, target: str, server: Server, learn: bool = False, piece: int = 0, pipeline: bool = False
) -> list[tuple[Step, list[str]]]:
    """Each step with its actual lines, and a last step for what came after the end of the transcript."""
    player = Player(server, target, learn, piece)
    played: list[tuple[Step, list[str]]] = []
    *steps, last = pipelined(transcript.steps()) if pipeline else transcript.steps()
    for step in steps:
        try:
            played.append((step, player.step(step)))
        except HungError as hung:
            played.append((step, [str(line) for line in hung.args]))
            for connection in player.connections.values():
                connection.close()
            return played
    rest = player.end()
    server.set_up(transcript.server_words())  # when it answers, it has printed all there was
    rest += [line for record in server.records() for line in render(record)]
    logged, errors = server.logged()
    if transcript.log is not None:
        rest += [f"LOG: {escape(line)}" for line in logged]
    if target != "stock":  # the stock package writes background errors; ours never
        rest += [f"server: {line}" for line in errors]
    played.append((last, rest))
    return played
