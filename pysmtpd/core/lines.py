"""Command lines out of bytes: framing only, apart from what a line means. The limit on a line's length lives here."""

from enum import Enum
from typing import Final, Literal


class _Sign(Enum):
    """What :meth:`LineBuffer.next_line` may return besides a line."""

    TOO_LONG = 1
    NEED_DATA = 2


TOO_LONG: Final = _Sign.TOO_LONG
NEED_DATA: Final = _Sign.NEED_DATA


class LineBuffer:
    """Bytes received and not yet used. A line ends with CRLF and nothing else (RFC 5321, 2.3.8)."""

    __slots__ = ("_data", "_searched", "_skipping", "_start", "_waiting")

    def __init__(self) -> None:
        self._data = b""
        self._start = 0  # the first byte not yet used
        self._searched = 0  # where the search for a line end goes on
        self._waiting: list[bytes] = []  # fed while nobody looked: joined when somebody does
        self._skipping = False  # inside a line that was over the limit

    def __len__(self) -> int:
        return len(self._data) - self._start + sum(map(len, self._waiting))

    def feed(self, data: bytes) -> None:
        """Add bytes at the end."""
        if self._start == len(self._data) and not self._waiting:
            self._data, self._start, self._searched = data, 0, 0
        else:
            self._waiting.append(data)

    def _merge(self) -> None:
        self._data = b"".join((self._data[self._start :], *self._waiting))
        self._searched -= self._start
        self._start = 0
        self._waiting.clear()

    def next_line(self, limit: int) -> str | Literal[_Sign.TOO_LONG, _Sign.NEED_DATA]:
        """Return the next line without its CRLF, one character per octet.

        Or :data:`NEED_DATA` when there is no whole line, and :data:`TOO_LONG` for a line of more than ``limit`` octets: once, as
        soon as it is; the line is dropped through its end.
        """
        if self._waiting:
            self._merge()
        start = self._start
        end = self._data.find(b"\r\n", self._searched)
        if end < 0 or self._skipping:
            return self._unfinished(end, limit)
        self._start = self._searched = end + 2
        return TOO_LONG if end - start > limit else self._data[start:end].decode("latin-1")

    def _unfinished(self, end: int, limit: int) -> str | Literal[_Sign.TOO_LONG, _Sign.NEED_DATA]:
        """Go on where there is no line end, or where the one at ``end`` belongs to a line that was too long."""
        if end >= 0:
            self._skipping = False
            self._start = self._searched = end + 2
            return self.next_line(limit)
        if self._skipping:
            self._drop_line()
            return NEED_DATA
        if len(self._data) - self._start > limit + 1:
            self._skipping = True
            self._drop_line()
            return TOO_LONG
        self._searched = max(self._start, len(self._data) - 1)
        return NEED_DATA

    def _drop_line(self) -> None:
        """Forget the line so far, save for a CR that may be half of its end."""
        self._data = self._data[-1:] if self._data.endswith(b"\r") else b""
        self._start = self._searched = 0

    def take(self) -> tuple[bytes, int]:
        """Take everything: the bytes, and the index of the first one not yet used. What is over goes to :meth:`give_back`."""
        if self._waiting:
            self._merge()
        taken = self._data, self._start
        self._data, self._start, self._searched = b"", 0, 0
        return taken

    def give_back(self, data: bytes, start: int) -> None:
        """Put ``data[start:]`` back in front of all else, after :meth:`take`."""
        self._data, self._start, self._searched = data, start, start
