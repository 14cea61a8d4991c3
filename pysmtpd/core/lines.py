"""Bytes received and not yet used, and when they are worth looking at again.

A command line ends with CRLF and nothing else (RFC 5321, 2.3.8). A line whose end has not come is not searched again until
an LF has, so that a client which sends one octet at a time costs no more than one that sends them all at once. A line over the
limit is dropped here, through its end.
"""


class LineBuffer:
    """What waits to be handled: because a question is open, or because a line is not whole."""

    __slots__ = ("_parts", "_skipping", "empty", "ready", "size")

    def __init__(self) -> None:
        self._parts: list[bytes] | tuple[()] = ()  # a list only while there is something: most sessions are idle
        self._skipping = False  # inside a line that was over the limit
        self.size = 0  #: octets waiting
        self.empty = True  #: nothing waits, not even for the end of a line that is dropped
        self.ready = False  #: whether there is more to do with them than there was at the last look

    def feed(self, data: bytes, limit: int) -> None:
        """Add what has come. ``limit`` is how long a line may be: more than that is worth a look by itself."""
        parts = self._parts
        if isinstance(parts, list):
            parts.append(data)
        else:
            self._parts = [data]
        self.size += len(data)
        self.empty = False
        if not self.ready:
            self.ready = self._skipping or b"\n" in data or self.size > limit

    def take(self) -> bytes:
        """Take everything, save for the rest of a line that is to be dropped."""
        parts, self._parts = self._parts, ()
        data = parts[0] if len(parts) == 1 else b"".join(parts)
        self.size = 0
        self.ready = False
        self.empty = not self._skipping
        if self.empty:
            return data
        end = data.find(b"\r\n")
        if end < 0:
            self.give_back(data[-1:] if data.endswith(b"\r") else b"", ready=False)
            return b""
        self._skipping = False
        self.empty = True
        return data[end + 2 :]

    def peek(self) -> bytes:
        """Return what :meth:`take` would; nothing in the middle of a line that is dropped."""
        if self._skipping:
            return b""
        if len(self._parts) > 1:
            self._parts = [b"".join(self._parts)]
        return self._parts[0] if self._parts else b""

    def give_back(self, data: bytes, *, ready: bool) -> None:
        """Put bytes back in front of all else; ``ready`` unless they are the beginning of a line and no more."""
        self._parts = [data, *self._parts]
        self.size += len(data)
        self.empty = False
        self.ready = self.ready or ready

    def drop_line(self, data: bytes) -> None:
        """Drop a line that is over the limit, of which ``data`` is the beginning, and whatever is still to come of it."""
        self._skipping = True
        self.give_back(data[-1:] if data.endswith(b"\r") else b"", ready=False)
