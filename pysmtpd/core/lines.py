"""Command lines out of bytes: framing only, apart from what a line means. The limit on a line's length lives here."""

from typing import Final

#: What :meth:`LineBuffer.next_line` returns for a line over the limit.
TOO_LONG: Final = None


class NeedData(Exception):  # noqa: N818 # not an error: there is just no whole line yet
    """Raised where a line was asked for and its end has not arrived."""


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
        if self._waiting:
            kept = len(self._data) - self._start
            self._data = b"".join((self._data[self._start :], *self._waiting))
            self._searched = min(self._searched - self._start, kept)
            self._start = 0
            self._waiting.clear()

    def next_line(self, limit: int) -> str | None:
        """Return the next line without its CRLF, one character per octet; :data:`TOO_LONG` for one over ``limit`` octets.

        A line over the limit is reported once, as soon as it is, and dropped through its end. Raises :exc:`NeedData`.
        """
        self._merge()
        end = self._data.find(b"\r\n", self._searched)
        while self._skipping:
            if end < 0:
                self._drop_line()
                raise NeedData
            self._skipping = False
            self._start = self._searched = end + 2
            end = self._data.find(b"\r\n", self._searched)
        if end < 0:
            if len(self._data) - self._start > limit + 1:
                self._skipping = True
                self._drop_line()
                return TOO_LONG
            self._searched = max(self._start, len(self._data) - 1)
            raise NeedData
        line = self._data[self._start : end]
        self._start = self._searched = end + 2
        return TOO_LONG if len(line) > limit else line.decode("latin-1")

    def _drop_line(self) -> None:
        """Forget the line so far, save for a CR that may be half of its end."""
        self._data = self._data[-1:] if self._data.endswith(b"\r") else b""
        self._start = self._searched = 0

    def take(self) -> tuple[bytes, int]:
        """Take everything: the bytes, and the index of the first one not yet used. What is over goes to :meth:`give_back`."""
        self._merge()
        taken = self._data, self._start
        self._data, self._start, self._searched = b"", 0, 0
        return taken

    def give_back(self, data: bytes, start: int) -> None:
        """Put ``data[start:]`` back in front of all else, after :meth:`take`."""
        self._data, self._start, self._searched = data, start, start
