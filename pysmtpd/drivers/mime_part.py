"""One MIME part for ``tcl_mime``: its header fields, its type, the transfer encoding it has or is given, and its body.

Text holds one character per octet.
"""

import os
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Final, TypeAlias

from pysmtpd.core.grammar import TCL_TRIM
from pysmtpd.drivers import mime_words
from pysmtpd.drivers.mime_words import MimeError
from pysmtpd.drivers.tcl_values import array_order

#: A name and a value.
Pair: TypeAlias = tuple[str, str]

# RFC 2045, 5.1, as tcllib reads it: quoted strings keep their backslashes, comments may stand anywhere.
_BLANKS: Final = re.compile(f"[{re.escape(TCL_TRIM)}]*")
_ATOM: Final = re.compile(r'[^ \t\n;,<>:?()@"\[\]=/\\]+')
_QUOTED: Final = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)
_COMMENT_MARK: Final = re.compile(r"\\.|[()]", re.DOTALL)

#: The transfer encodings there are.
ENCODINGS: Final = ("7bit", "8bit", "binary", "quoted-printable", "base64")
#: How much of a file tcllib encodes at a time: line lengths start anew with each.
_CHUNK: Final = 32_766
#: How much of a file tcllib decodes at a time, or less, up to the end of a line.
_BLOCK: Final = 4096


class Part:
    """One MIME part."""

    __slots__ = (
        "body", "boundary", "canonical", "children", "content", "count", "encoding", "fields", "kind", "params", "parts", "path",
        "shown_path", "version", "whole",
    )  # fmt: skip

    def __init__(self) -> None:
        self.content = ""
        self.params: tuple[Pair, ...] = ()
        self.encoding = ""
        self.version = "1.0"
        self.fields: dict[str, tuple[str, list[str]]] = {}  #: lower-case name -> name as written, values
        self.kind = ""  #: file, string or parts
        self.canonical = False
        self.body = ""  #: of a leaf, as it stands there
        self.whole: str | None = None  #: the file that a part was read from
        self.count = 0
        self.path = self.shown_path = ""
        self.parts: list[str] | None = None
        self.children = 0  #: how many parts were made by reading this one
        self.boundary = ""

    def add_field(self, name: str, value: str) -> None:
        """Add a header field."""
        self.fields.setdefault(name.lower(), (name, []))[1].append(value)

    def text(self) -> str:
        """Return the body as it stands there; of a file that is sent as it is, what is in it now. Raises MimeError."""
        if self.kind != "file" or not self.canonical:
            return self.body
        return read_file(self.path, self.shown_path)


def take_field(part: Part, line: str) -> None:
    """Put a field of a message's header into a part. Raises MimeError."""
    colon = line.find(":")
    name = line[: max(colon, 0)].rstrip(TCL_TRIM)
    if not name:
        raise MimeError(f"improper line in header: {line}")
    value = line[colon + 1 :].strip(TCL_TRIM)
    match name.lower():
        case "content-type":
            if part.content:
                raise MimeError(f"multiple Content-Type fields starting with {line}")
            found = parse_content_type(value)
            if found is not None:
                part.content, part.params = found
        case "content-md5":
            pass
        case "content-transfer-encoding":
            if part.encoding and part.encoding != value.lower():
                raise MimeError(f"multiple Content-Transfer-Encoding fields starting with {line}")
            part.encoding = value.lower()
        case "mime-version":
            part.version = value
        case _:
            part.add_field(name, value)


# The Content-Type field


def _lexemes(text: str) -> Iterator[tuple[str, str]]:
    """Yield kinds and words: ``atom``, ``quoted``, ``end``, a special as its own kind, ``broken`` for what is not closed."""
    position = 0
    while True:
        position = _BLANKS.match(text, position).end()  # type: ignore[union-attr] # matches empty
        if position >= len(text):
            break
        if text[position] == "(":
            position = _after_comment(text, position)
            if position < 0:
                yield "broken", ""
                break
            continue
        pattern = _QUOTED if text[position] == '"' else _ATOM
        match = pattern.match(text, position)
        if match is None and text[position] in '"[':
            yield "broken", ""
            break
        word = match[0] if match is not None else text[position]
        yield ("quoted" if pattern is _QUOTED else "atom") if match is not None else word, word
        position += len(word)
    while True:
        yield "end", ""


def _after_comment(text: str, position: int) -> int:
    depth = 0
    for mark in _COMMENT_MARK.finditer(text, position):
        depth += {"(": 1, ")": -1}.get(mark[0], 0)
        if depth == 0 and mark[0] == ")":
            return mark.end()
    return -1


def parse_content_type(text: str) -> tuple[str, tuple[Pair, ...]] | None:
    """Return type and parameters of a Content-Type field, in lower case and in Tcl's order; None when it cannot be read."""
    lexemes = _lexemes(text)
    kind, word = next(lexemes)
    if kind != "atom":
        return None
    main = word.lower()
    kind, _ = next(lexemes)
    if kind == "end":
        return ("message/rfc822", ()) if main == "message" else None
    if kind != "/":
        return None
    kind, word = next(lexemes)
    if kind != "atom":
        return None
    params = _parameters(lexemes)
    if params is None:
        return None
    return f"{main}/{word.lower()}", tuple((name, params[name]) for name in array_order(params))


def _parameters(lexemes: Iterator[tuple[str, str]]) -> dict[str, str] | None:
    params: dict[str, str] = {}
    while True:
        kind, _ = next(lexemes)
        if kind == "end":
            return params
        if kind != ";":
            return None
        kind, name = next(lexemes)
        if kind == "end":
            return params
        equals, _ = next(lexemes)
        value_kind, value = next(lexemes)
        if (kind, equals) != ("atom", "=") or value_kind not in ("atom", "quoted"):
            return None
        params[name.lower()] = value[1:-1] if value_kind == "quoted" else value


# The header of a part


def all_fields(part: Part) -> Iterator[Pair]:
    """Yield the fields of a part as a message shows them. Raises MimeError."""
    yield "MIME-Version", part.version
    for name, values in part.fields.values():
        for value in values:
            yield name, value
    encoding = transfer_encoding(part)
    if encoding:
        yield "Content-Transfer-Encoding", encoding
    yield "Content-Type", content_type(part)


def content_type(part: Part) -> str:
    """Return the Content-Type field of a part; a multipart without a boundary gets one."""
    params = part.params
    if part.content.startswith("multipart/") and not dict(params).get("boundary"):
        part.boundary = part.boundary or mime_words.new_boundary()
        params = (*params, ("boundary", part.boundary))
    return part.content + "".join(f';\n              {name}="{value}"' for name, value in params)


def transfer_encoding(part: Part) -> str:
    """Return the transfer encoding of a part, or the one that fits; empty where it needs none. Raises MimeError."""
    encoding = part.encoding or fitting_encoding(part)
    if encoding and encoding not in ENCODINGS:
        raise MimeError(f'Can\'t handle content encoding "{encoding}"')
    return encoding


def fitting_encoding(part: Part) -> str:
    """Return the transfer encoding that tcllib chooses for a content; empty where it needs none."""
    if part.content.startswith(("audio/", "image/", "video/")):
        return "base64"
    if part.content.startswith(("message/", "multipart/")) or part.kind == "parts":
        return ""
    lines = (part.whole if part.whole is not None else part.text()).split("\n")
    if part.kind == "file" and lines[-1] == "":
        lines.pop()
    plain = all(map(_is_ascii, lines))
    short = all(map(_needs_no_quoting, lines))
    if not part.content.startswith("text/"):
        return "" if plain and short else "base64"
    charset = dict(part.params).get("charset")
    if not plain and charset is not None and not _is_latin(charset.lower()):
        return "base64"
    return "" if short else "quoted-printable"


def _is_latin(charset: str) -> bool:
    return charset == "us-ascii" or (len(charset) == 10 and charset.startswith("iso-8859-") and charset[9] in "12345678")


def _is_ascii(line: str) -> bool:
    return "\r" not in line and ((line.isascii() and line.isprintable()) or all(map(_is_ascii_character, line)))


def _is_ascii_character(character: str) -> bool:
    return character == "\t" or 32 <= ord(character) & 0xFF <= 126


def _needs_no_quoting(line: str) -> bool:
    return len(line) <= 76 and line == line.rstrip(TCL_TRIM) and not line.startswith((".", "From "))


def encoded(part: Part) -> str:
    """Return the body of a leaf as a message shows it. Raises MimeError."""
    text = part.text()
    if not part.canonical:
        return text
    encode = _ENCODERS.get(part.encoding or fitting_encoding(part))
    if encode is None:
        return text
    size = _CHUNK if part.kind == "file" else len(text) or 1
    return "".join(encode(text[start : start + size]) for start in range(0, len(text), size))


_ENCODERS: Mapping[str, Callable[[str], str]] = {
    "base64": mime_words.encode_base64,
    "quoted-printable": mime_words.encode_quoted_printable,
}


def decoded(encoding: str, text: str) -> str:
    """Return text with a transfer encoding undone. Raises MimeError."""
    match encoding:
        case "base64":
            return mime_words.decode_base64(text)
        case "quoted-printable":
            return mime_words.decode_quoted_printable(text)
    return text


def pieces(text: str) -> Iterator[str]:
    """Cut a text where tcllib does when it decodes what it reads from a file: broken encodings show it."""
    start = 0
    while start < len(text):
        end = start + _BLOCK
        line_end = text.rfind("\n", start, end)
        if line_end > start:
            end = line_end + 1
        yield text[start:end]
        start = end


def file_size(path: str, shown: str) -> int:
    """Return the size of a file in octets. Raises MimeError in Tcl's words."""
    try:
        return os.path.getsize(path)
    except OSError as error:
        raise MimeError(f'could not read "{shown}": {(error.strerror or str(error)).lower()}') from None


def read_file(path: str, shown: str) -> str:
    """Return what is in a file. Raises MimeError in Tcl's words."""
    try:
        with open(path, "rb") as file:
            return file.read().decode("latin-1")
    except OSError as error:
        raise MimeError(f'couldn\'t open "{shown}": {(error.strerror or str(error)).lower()}') from None
