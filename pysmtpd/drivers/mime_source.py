"""What MIME parts are read from, for ``tcl_mime``: a string or a stretch of a file, which tcllib reads in ways of their own."""

from collections.abc import Iterator
from typing import TypeAlias

from pysmtpd.drivers.mime_part import Part, decoded
from pysmtpd.drivers.mime_words import MimeError


class LineSource:
    """The lines of a string."""

    kind = "string"

    def __init__(self, lines: list[str]) -> None:
        self._lines = lines
        self._next = 0

    def header_line(self) -> str | None:
        """Return the next line; None for an empty one, or at the end."""
        line = self._take()
        return line or None

    def _take(self) -> str | None:
        if self._next >= len(self._lines):
            return None
        self._next += 1
        return self._lines[self._next - 1]

    def rest(self) -> tuple[None, str, int]:
        """Return what is left: of no file, the text, and its length."""
        text = "\n".join(self._lines[self._next :])
        return None, text, len(text)

    def inner(self, part: Part) -> "LineSource":
        """Return the message that is this part's body."""
        return LineSource(decoded(part.encoding, part.body).split("\n"))

    def pieces(self, boundary: str, content: str) -> Iterator[tuple["LineSource", bool]]:
        """Yield the parts between boundaries, each with whether it is a guess. Raises MimeError at a missing end."""
        delimiter, end = f"--{boundary}", f"--{boundary}--"
        collected: list[str] | None = None
        seen: list[str] = []
        while True:
            line = self._take()
            if line is None:
                raise MimeError(f"end-of-string encountered while parsing {content}")
            line = line.removesuffix("\r")
            if line.startswith(delimiter):
                seen.append(line)
            if line in (delimiter, end):
                if collected is not None:
                    yield LineSource(collected), False
                elif line == end:
                    yield LineSource(seen), True
                if line == end:
                    return
                collected = []
            elif collected is not None:
                collected.append(line)


class FileSource:
    """A stretch of a file.

    Arguments:
        whole: the file.
        offset: where the stretch begins.
        count: its length.
    """

    kind = "file"

    def __init__(self, whole: str, offset: int, count: int) -> None:
        self._whole = whole
        self._end = offset + count
        self._position = offset  # where the file is read...
        self._counted = offset  # ...and where tcllib thinks it is

    def header_line(self) -> str | None:
        """Return the next line; None for an empty one, or at the end."""
        line = self._take() if self._counted < self._end else None
        if not line:
            return None
        self._counted += len(line) + 1
        return line

    def _take(self) -> str | None:
        if self._position >= len(self._whole):
            return None
        end = self._whole.find("\n", self._position)
        start, self._position = self._position, end + 1 or len(self._whole)
        return self._whole[start : end if end >= 0 else None]

    def rest(self) -> tuple[str, str, int]:
        """Return the file, what is left of the stretch, and its length."""
        length = self._end - self._position
        return self._whole, self._whole[self._position : max(self._position, self._end)], length

    def inner(self, part: Part) -> "FileSource":
        """Return the message that is this part's body."""
        return FileSource(self._whole, self._position, part.count)

    def pieces(self, boundary: str, content: str) -> Iterator[tuple["FileSource", bool]]:
        """Yield the parts between boundaries, each with whether it is a guess. Raises MimeError at a missing end."""
        delimiter, end = f"--{boundary}", f"--{boundary}--"
        position = first = self._position
        start: int | None = None
        while True:
            forced = position >= self._end
            raw = end if forced else self._take()
            if raw is None:
                raise MimeError(f"end-of-file encountered while parsing {content}")
            position += len(raw) + 1
            line = raw.removesuffix("\r")
            if line not in (delimiter, end):
                continue
            if start is not None or line == end:
                begin = first if start is None else start
                line_end = 1 if line == raw else 2
                length = position - begin - len(raw) - line_end - 1
                yield FileSource(self._whole, begin, max(0, length)), forced or start is None
            if line == end:
                return
            start = self._position = position


Source: TypeAlias = LineSource | FileSource


def unfolded(source: Source) -> Iterator[str]:
    """Yield the header's fields; a continuation line keeps its line break."""
    field = ""
    while True:
        line = source.header_line()
        if line is not None:
            line = line.removesuffix("\r")
        if not line:
            if field:
                yield field
            return
        if line[0] in " \t":
            field += "\n" + line
        else:
            if field:
                yield field
            field = line
