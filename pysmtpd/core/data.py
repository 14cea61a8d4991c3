"""DATA: finding the end of the message, undoing dot-stuffing, and the message as it was received.

A body is never handled line by line. Each chunk is scanned once for a line end followed by a dot, with a few octets carried
from the chunk before; chunks are joined once, at the end, and dots are unstuffed only when one was seen.
"""

from typing import ClassVar, Final, NamedTuple

_NEWLINES: Final = (b"\r", b"\n")


class Content(NamedTuple):
    """A received message: the trace lines this server adds, and what the client sent after DATA."""

    trace: str  #: the trace header (RFC 5321, 4.4), lines joined by LF, none after the last
    body: bytes  #: the message as the client meant it: dots unstuffed, line ends as ``newline``, the last one included
    newline: bytes  #: how lines end in ``body``: LF where any line end was taken for one, else CRLF

    def text(self) -> bytes:
        """Return the whole message, trace header first, lines joined by LF with none after the last."""
        head = self.trace.encode("latin-1", "replace")
        body = self.body
        if not body:
            return head
        if self.newline != b"\n":
            body = body.replace(self.newline, b"\n")
        return b"%b\n%b" % (head, body[:-1])  # a body ends with a line end, always

    def lines(self) -> list[str]:
        """Return the whole message as the stock package's list of lines, one character per octet."""
        return self.text().decode("latin-1").split("\n")


class Body:
    """Collects a body chunk by chunk. The two ways to read one differ in where a line ends, and in what an extra dot is."""

    newline: ClassVar[bytes]  #: how lines end in what :meth:`take` returns
    _lead: ClassVar[bytes]  # the line end of the DATA command itself: a dot may stand on the very first line
    _terminator: ClassVar[int]  # octets from the start of the closing line to the end of the body
    __slots__ = ("_chunks", "_limit", "_size", "_tail", "oversize")

    def __init__(self, limit: int) -> None:
        self._chunks: list[bytes] = []
        self._tail = self._lead
        self._size = 0
        self._limit = limit
        self.oversize = False  #: more than the limit has come; nothing is kept any more, the end is still looked for

    def feed(self, data: bytes, start: int) -> int:
        """Take ``data[start:]``; return the index just behind the end of the body, or -1 when it has not come yet."""
        tail = self._tail
        window = tail + (data[start:] if start else data)
        end = self._content_end(window)
        if end < 0:
            cut = len(window) - self._terminator - len(self._lead)
            if cut > 0:
                self._keep(window[:cut])
                window = window[cut:]
            self._tail = window
            return -1
        self._keep(window[:end])
        return start + end + self._terminator - len(tail)

    def _keep(self, piece: bytes) -> None:
        self._size += len(piece)
        if self._size > self._limit + len(self._lead):
            self.oversize = True
            self._chunks.clear()
        else:
            self._chunks.append(piece)

    def _content_end(self, window: bytes) -> int:
        raise NotImplementedError

    def lines_as_sent(self) -> list[str]:
        """Return the lines of the body before any dot is unstuffed, for the log."""
        text = b"".join(self._chunks)[len(self._lead) :].decode("latin-1")
        return text.replace("\r\n", "\n").replace("\r", "\n").split("\n")[:-1]

    def take(self) -> bytes:
        """Return the body with dots unstuffed and lines ended by :attr:`newline`."""
        raise NotImplementedError


class CrlfBody(Body):
    """A body that only ``CRLF . CRLF`` ends (RFC 5321, 4.1.1.4)."""

    newline = b"\r\n"
    _lead = b"\r\n"
    _terminator = 3
    __slots__ = ()

    def _content_end(self, window: bytes) -> int:
        found = window.find(b"\r\n.\r\n")
        return found + 2 if found >= 0 else -1

    def take(self) -> bytes:
        """Return the body unstuffed: the first dot of a line that has more goes (RFC 5321, 4.5.2)."""
        body = b"".join(self._chunks)
        if b"\r\n." in body:
            body = body.replace(b"\r\n.", b"\r\n")
        return body[2:]


class AnyNewlineBody(Body):
    """A body in which LF, CR and CRLF all end a line, and so a dot between any two of them ends the message.

    This is the stock package's reading (the quirk ``bare_newline_ends_data``). A CR ends its line at once; an LF that
    follows belongs to it, so the LF of a closing CR LF may still be to come when the end has been found.
    """

    newline = b"\n"
    _lead = b"\n"
    _terminator = 2
    __slots__ = ()

    def _content_end(self, window: bytes) -> int:
        after_lf = window.find(b"\n.") + 1
        if after_lf and window[after_lf + 1 : after_lf + 2] not in _NEWLINES:
            after_lf = _lone_dot(window, b"\n.", after_lf)
        after_cr = window.find(b"\r.") + 1
        if after_cr and window[after_cr + 1 : after_cr + 2] not in _NEWLINES:
            after_cr = _lone_dot(window, b"\r.", after_cr)
        if after_lf and after_cr:
            return min(after_lf, after_cr)
        return (after_lf or after_cr) or -1

    def take(self) -> bytes:
        """Return the body with LF line ends, one dot taken off where two lead a line, as the stock package does."""
        body = b"".join(self._chunks)
        if b"\r" in body:
            body = body.replace(b"\r\n", b"\n")
            if b"\r" in body:
                body = body.replace(b"\r", b"\n")
        if b"\n.." in body:
            body = body.replace(b"\n..", b"\n.")
        return body[1:]


def _lone_dot(window: bytes, newline_dot: bytes, start: int) -> int:
    """Return the index, from ``start``, of a dot that follows this line end and stands alone on its line, or 0."""
    found = window.find(newline_dot, start)
    while found >= 0 and window[found + 2 : found + 3] not in _NEWLINES:
        found = window.find(newline_dot, found + 2)
    return found + 1
