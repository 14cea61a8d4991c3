"""DATA: finding the end of the message, undoing dot-stuffing, and the message as it was received.

A body is never handled line by line. Each chunk is searched once for a line end followed by a dot, with a few octets carried
from the chunk before; chunks are joined once, at the end, and dots are unstuffed only when one was seen. The search begins at the
end of the chunk: CPython is twice as fast that way, and where there is just one such dot, as nearly always, it stands there.
"""

from collections.abc import Iterator
from typing import ClassVar, Final, NamedTuple

_NEWLINES: Final = (b"\r", b"\n")


def with_lf(text: bytes) -> bytes | None:
    """Return ``text`` with LF line ends when all of its line ends are CRLF; ``None`` when there is any other.

    Taking out single octets and putting them back is three times as fast as replacing pairs.
    """
    bare = text.replace(b"\r", b"")
    return bare if bare.replace(b"\n", b"\r\n") == text else None


class Content(NamedTuple):
    """A received message: the trace lines this server adds, and what the client sent after DATA.

    A large one is in pieces, as it came. Whoever wants it whole has it joined: most of them are only kept.
    """

    trace: str  #: the trace header (RFC 5321, 4.4), lines joined by LF, none after the last
    pieces: list[bytes]  #: of the message as meant: dots unstuffed, each line ended by ``newline``; BDAT's as it is
    newline: bytes  #: how lines end in ``body``: LF where any line end was taken for one, else CRLF

    @property
    def body(self) -> bytes:
        """The message as meant, in one piece; joined anew each time."""
        return b"".join(self.pieces)

    @property
    def size(self) -> int:
        """How many octets :attr:`body` has."""
        pieces = self.pieces
        return len(pieces[0]) if len(pieces) == 1 else sum(map(len, pieces))

    def text(self) -> bytes:
        """Return the whole message, trace header first, lines joined by LF with none after the last."""
        head = self.trace.encode("latin-1", "replace")
        pieces = [piece for piece in self.pieces if piece]
        if not pieces:
            return head
        if self.newline != b"\n":
            pieces = [self._with_lf(self.body)]
        pieces[-1] = pieces[-1].removesuffix(b"\n")  # the last chunk of BDAT need not end a line
        return b"".join((head, b"\n", *pieces) if head else pieces)

    def lines_in_pieces(self, size: int) -> Iterator[bytes]:
        """Return what :meth:`text` does, piece by piece: whole lines, joined by LF, at least so many octets but for the last one.

        Who goes through a large message so never has to have it in one piece.
        """
        head = self.trace.encode("latin-1", "replace")
        gathered, count = ([head, b"\n"], len(head)) if head else ([], 0)
        for piece in self.pieces:
            gathered.append(piece)
            count += len(piece)
            end = piece.rfind(b"\n") + 1 if count >= size else 0
            if end:
                gathered[-1] = piece[:end]
                yield self._with_lf(b"".join(gathered))[:-1]
                gathered = [piece[end:]]
                count = len(piece) - end
        if rest := b"".join(gathered):
            yield self._with_lf(rest).removesuffix(b"\n")

    def _with_lf(self, lines: bytes) -> bytes:
        return lines if self.newline == b"\n" else with_lf(lines) or lines.replace(b"\r\n", b"\n")

    def lines(self) -> list[str]:
        """Return the whole message as the stock package's list of lines, one character per octet."""
        return self.text().decode("latin-1").split("\n")


class Body:
    """Collects a body chunk by chunk. The two ways to read one differ in where a line ends, and in what an extra dot is."""

    newline: ClassVar[bytes]  #: how lines end in what :meth:`take` returns
    _before: ClassVar[int] = 0  # octets kept of what stands before the body
    __slots__ = ("_chunks", "_limit", "_odd", "_size", "_surplus", "_tail", "oversize")

    def __init__(self, limit: int) -> None:
        self._chunks: list[bytes] = []
        self._tail = b"\r\n"  # the line end of the DATA command itself: a dot may stand on the very first line
        self._size = -self._before
        self._surplus = 0  # octets of the end among those kept
        self._limit = limit
        self._odd = False  # what is kept is not the body yet: see take
        self.oversize = False  #: more than the limit has come; nothing is kept any more, the end is still looked for

    def feed(self, data: bytes, start: int) -> int:
        """Take ``data[start:]``; return the index just behind the end of the body, or -1 when it has not come yet."""
        raise NotImplementedError

    def lines_as_sent(self, *, ended: bool) -> list[str]:
        """Return the whole lines of the body before any dot is unstuffed, for the log; its end has come, or not."""
        text = self._as_sent(ended=ended).decode("latin-1")
        return text.replace("\r\n", "\n").replace("\r", "\n").split("\n")[1:-1]

    def _as_sent(self, *, ended: bool) -> bytes:
        """Return what has come, behind the line end of the DATA command."""
        raise NotImplementedError

    def take(self) -> list[bytes]:
        """Return the pieces of the body, with dots unstuffed and lines ended by :attr:`newline`."""
        raise NotImplementedError


class CrlfBody(Body):
    """A body that only ``CRLF . CRLF`` ends (RFC 5321, 4.1.1.4). It is odd when a line begins with a dot.

    Chunks are kept as they come. When the end comes in two of them, what is its own in the first one goes in the end.

    The dots that are going to be taken off do not count towards the limit (RFC 1870, 3). A line with one has four octets at
    least, so a third more than the limit is kept at most.
    """

    newline = b"\r\n"
    __slots__ = ()

    def feed(self, data: bytes, start: int) -> int:
        """Take ``data[start:]``; return the index just behind the end of the body, or -1 when it has not come yet."""
        found = self._at_seam(data, start) if data[start] in b"\r\n." else None
        if found is None:
            last = data.rfind(b"\r\n.", start)
            if last >= 0:
                ends = data.startswith(b"\r\n", last + 3) and data.rfind(b"\r\n.", start, last + 2) < 0
                found = last + 2 if ends else self._among_dots(data, start)
        if found is None:
            self._keep(data[start:] if start else data)
            return -1
        if found >= start:
            self._chunks.append(data[start:found])
            self._size += found - start
        else:
            self._surplus = start - found
        if self._size - self._surplus > self._limit:
            self.oversize = True
        return found + 3

    def _keep(self, piece: bytes) -> None:
        """Keep a piece, which may have the first two octets of the end as its last."""
        self._tail = piece[-4:] if len(piece) > 3 else (self._tail + piece)[-4:]
        self._size += len(piece)
        if self._size > self._limit + 2:
            self.oversize = True
            self._chunks.clear()
        else:
            self._chunks.append(piece)

    def _at_seam(self, data: bytes, start: int) -> int | None:
        """Return where the closing line begins whose line end began in the chunk before, as if that stood before this one."""
        seam = self._tail + data[start : start + 4]
        if b"\r\n." in seam:
            before = len(self._tail)
            found = seam.find(b"\r\n.\r\n")
            if 0 <= found < before:
                if found + 2 < before:  # the closing dot was taken for one too many
                    self._size += 1
                return start + found + 2 - before
            self._size -= seam.count(b"\r\n.", before - 2, before + 2)  # the others are in one chunk, and counted with that
            if found < 0:
                self._odd = True
        return None

    def _among_dots(self, data: bytes, start: int) -> int | None:
        """Return where the closing line begins in a chunk with other lines that begin with a dot."""
        found = data.find(b"\r\n.\r\n", start)
        dots = data.count(b"\r\n.", start, found if found >= 0 else len(data))
        if dots:
            self._odd = True
            self._size -= dots
        return found + 2 if found >= 0 else None

    def _as_sent(self, *, ended: bool) -> bytes:
        text = b"".join((b"\r\n", *self._chunks))
        return text[: len(text) - self._surplus]

    def take(self) -> list[bytes]:
        """Return the body's pieces, unstuffed: the first dot of a line that has more goes (RFC 5321, 4.5.2)."""
        if self._odd or self._surplus:
            body = self._as_sent(ended=True)
            return [body.replace(b"\r\n.", b"\r\n")[2:]]
        return self._chunks


class AnyNewlineBody(Body):
    """A body in which LF, CR and CRLF all end a line, and so a dot between any two of them ends the message.

    This is the stock package's reading (the quirk ``bare_newline_ends_data``). A CR ends its line at once; an LF that
    follows belongs to it, so the LF of a closing CR LF may still be to come when the end has been found.

    It is odd from where a line begins with a dot or ends in any other way than CRLF: from there on it is kept as it came, up
    to there as it is wanted. Nearly no body is.
    """

    newline = b"\n"
    _before = 2  # the line end of the DATA command
    __slots__ = ()

    def feed(self, data: bytes, start: int) -> int:
        """Take ``data[start:]``; return the index just behind the end of the body, or -1 when it has not come yet."""
        tail = self._tail
        if len(tail) == 2 and data[start] not in b"\r\n." and (end := self._whole(data, start)):
            return end
        end = self._search(tail + (data[start:] if start else data))
        return start + end + 2 - len(tail) if end >= 0 else -1

    def _whole(self, data: bytes, start: int) -> int:
        """Take a body that is not odd and begins and ends in these data, as most do: return the index behind it; else 0."""
        found = data.rfind(b"\r\n.", start)
        if found < 0 or data.rfind(b"\r\n.", start, found + 2) >= 0 or not data.startswith(_NEWLINES, found + 3):
            return 0
        piece = with_lf(data[start : found + 2])
        if piece is None:
            return 0
        self._chunks.append(b"\n")  # that of the DATA command
        self._keep(piece, found + 4 - start)
        return found + 4

    def _search(self, window: bytes) -> int:
        """Return where the closing line begins, what stands before it kept; -1, and all but a few octets kept, for none."""
        if not self._odd:
            found = window.rfind(b"\r\n.")
            if found < 0:
                cut = self._cut(window)
                piece = with_lf(window[:cut])
                if piece is not None and _closing_dot(window[cut:]) < 0:
                    self._keep(piece, cut)
                    self._tail = window[cut:]
                    return -1
            else:
                if window.rfind(b"\r\n.", 0, found + 2) >= 0:
                    found = window.find(b"\r\n.")
                if window.startswith(_NEWLINES, found + 3):
                    piece = with_lf(window[: found + 2])
                    if piece is not None:
                        self._keep(piece, found + 2)
                        return found + 2
            self._odd = True
        end = _closing_dot(window)
        cut = end if end >= 0 else self._cut(window)
        self._keep(window[:cut], cut)
        self._tail = window[cut:]
        return end

    def _keep(self, piece: bytes, size: int) -> None:
        """Keep a piece, which had so many octets when it came."""
        self._size += size
        if self._size > self._limit:
            self.oversize = True
            self._chunks.clear()
        elif piece:
            self._chunks.append(piece)

    def _cut(self, window: bytes) -> int:
        """Return how much of a window without an end may go: the end may have begun, and no CR loses its LF."""
        cut = max(len(window) - 4, 0)
        return cut - 1 if window[:cut].endswith(b"\r") else cut

    def _as_sent(self, *, ended: bool) -> bytes:
        return b"".join(self._chunks if ended else (*self._chunks, self._tail))

    def take(self) -> list[bytes]:
        """Return the body's pieces with LF line ends, one dot taken off where two lead a line, as the stock package does."""
        chunks = self._chunks
        if self._odd:
            body = b"".join(chunks).replace(b"\r\n", b"\n").replace(b"\r", b"\n").replace(b"\n..", b"\n.")
            return [body[1:]]
        if chunks:  # oversize, there are none
            chunks[:1] = [chunks[0][1:]] if len(chunks[0]) > 1 else []  # without the line end of the DATA command
        return chunks


def _closing_dot(window: bytes) -> int:
    """Return where the first line begins that is a dot and no more, whatever ends it and the one before; -1 for none."""
    after_lf = _lone_dot(window, b"\n.")
    after_cr = _lone_dot(window, b"\r.")
    if after_lf and after_cr:
        return min(after_lf, after_cr)
    return (after_lf or after_cr) or -1


def _lone_dot(window: bytes, newline_dot: bytes) -> int:
    """Return the index of the first dot that follows this line end and stands alone on its line, or 0."""
    found = window.find(newline_dot)
    while found >= 0 and not window.startswith(_NEWLINES, found + 2):
        found = window.find(newline_dot, found + 2)
    return found + 1
