"""What stands behind our Tcl package ``mime``, for a Tcl without tcllib: MIME parts by token, as tcllib's ``mime`` 1.7 has them.

The results are tcllib's on the same input, its mistakes of substance included where scripts see them; docs/without-tcllib.md
lists the few that are mended. Bodies are text here, one character per octet. What is Tcl's own business, character sets and
dates, is done in ``tcl/mime.tcl``.
"""

import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final, TypeAlias

from pysmtpd.core.address import Mailbox, parse_mailboxes
from pysmtpd.core.grammar import TCL_TRIM
from pysmtpd.drivers import mime_words
from pysmtpd.drivers.mime_words import MimeError

#: A name and a value.
Pair: TypeAlias = tuple[str, str]

#: How deep parts may be nested.
MAX_DEPTH: Final = 400

# RFC 2045, 5.1, as tcllib reads it: quoted strings keep their backslashes, comments may stand anywhere.
_BLANKS: Final = re.compile(f"[{re.escape(TCL_TRIM)}]*")
_ATOM: Final = re.compile(r'[^ \t\n;,<>:?()@"\[\]=/\\]+')
_QUOTED: Final = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)
_COMMENT_MARK: Final = re.compile(r"\\.|[()]", re.DOTALL)

_ENCODINGS: Final = ("7bit", "8bit", "binary", "quoted-printable", "base64")
#: Header fields that are properties of a part.
_OWN_FIELDS: Final = ("content-md5", "content-type", "content-transfer-encoding", "mime-version")
_SPECIALS: Final = ';,<>:.()@"[]\\'
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
        return _read_file(self.path, self.shown_path)


class Mime:
    """The parts of one interpreter.

    :meth:`run` does one operation; the others are the operations.
    """

    def __init__(self) -> None:
        self._parts: dict[str, Part] = {}
        self._operations: dict[str, Callable[..., object]] = {
            "initialize": self.initialize,
            "finalize": self.finalize,
            "getproperty": self.getproperty,
            "getsize": self.getsize,
            "getheader": self.getheader,
            "setheader": self.setheader,
            "getbody": self.getbody,
            "message": self.message,
            "parseaddress": parse_address,
            "mapencoding": mime_words.map_encoding,
            "reversemapencoding": mime_words.reverse_map_encoding,
            "charset": mime_words.charset_for_words,
            "word_encode": mime_words.encode_words,
            "word_decode": mime_words.decode_word,
            "field_decode": mime_words.decode_field,
        }

    def run(self, operation: str, *arguments: str) -> object:
        """Do one operation. Raises MimeError with tcllib's words for what is wrong."""
        return self._operations[operation](*arguments)

    # Making and unmaking

    def initialize(self, token: str, new_id: str, folder: str, *words: str) -> str:
        """Make a part of options: each a name, its value, and the number of elements and the elements of that value as a list."""
        part = self._parts[token] = Part()
        try:
            options = _Options(part, folder, words)
            if options.canonical:
                _finish_canonical(part, options, new_id)
            else:
                options.check_parsed()
                self._parse(token, part, options)
        except (MimeError, RecursionError) as error:
            self._drop_tree(token)
            raise MimeError(str(error)) from None
        return token

    def _parse(self, token: str, part: Part, options: "_Options") -> None:
        if part.kind == "file":
            whole = _read_file(part.path, part.shown_path)
            self._read(token, part, _FileSource(whole, 0, len(whole)), 0)
        else:
            self._read(token, part, _LineSource(options.string.split("\n")), 0)

    def finalize(self, token: str, subordinates: str = "dynamic") -> None:
        """Forget a part, and ``all`` of its parts, those made by reading it (``dynamic``), or ``none``."""
        part = self._part(token, "value" if subordinates == "all" else "cid")
        if subordinates == "all":
            if part.kind == "parts":
                for child in part.parts or ():
                    self.finalize(child, subordinates)
        elif subordinates == "dynamic":
            self._drop_tree(token)
        elif subordinates != "none":
            raise MimeError(f"unknown value for -subordinates {subordinates}")
        self._parts.pop(token, None)

    def _drop_tree(self, token: str) -> None:
        part = self._parts.pop(token, None)
        if part is not None:
            for number in range(part.children, 0, -1):
                self._drop_tree(f"{token}-{number}")

    def _part(self, token: str, element: str) -> Part:
        """Return a part. Without it, tcllib's error names the element of its own array that is looked at first."""
        try:
            return self._parts[token]
        except KeyError:
            raise MimeError(f'can\'t read "state({element})": no such variable') from None

    # Reading a message

    def _read(self, token: str, part: Part, source: "_Source", depth: int) -> None:
        if depth > MAX_DEPTH:
            raise MimeError(f"parts are nested more than {MAX_DEPTH} deep")
        part.kind = source.kind
        for line in _unfolded(source):
            _take_field(part, line)
        if not part.content:
            part.content, part.params = "text/plain", (("charset", "us-ascii"),)
        if part.content.startswith("multipart/"):
            part.kind = "parts"
            self._read_multipart(token, part, source, depth)
            return
        part.whole, part.body, part.count = source.rest()
        if part.content.startswith("message/"):
            part.kind = "parts"
            inner = source.inner(part)
            part.body = ""
            self._read(self._new_child(token, part), self._parts[f"{token}-{part.children}"], inner, depth + 1)

    def _new_child(self, token: str, part: Part) -> str:
        part.children += 1
        child = f"{token}-{part.children}"
        self._parts[child] = Part()
        part.parts = [*(part.parts or ()), child]
        return child

    def _read_multipart(self, token: str, part: Part, source: "_Source", depth: int) -> None:
        boundary = dict(part.params).get("boundary", "")
        if not boundary:
            raise MimeError(f"boundary parameter is missing in {part.content}")
        if not boundary.strip(TCL_TRIM):
            raise MimeError(f"boundary parameter is empty in {part.content}")
        for piece, doubtful in source.pieces(boundary, part.content):
            child = self._new_child(token, part)
            try:
                self._read(child, self._parts[child], piece, depth + 1)
            except MimeError:
                if not doubtful:
                    raise
                if part.parts:
                    part.parts.pop()
                continue
            if doubtful:
                self._parts[child].content = "application/octet-stream"

    # Looking at a part

    def getproperty(self, token: str, name: str = "") -> object:
        """Return a property, the names of all (``-names``), or all with their values."""
        if name == "parts" and token not in self._parts:
            raise MimeError("MIME part is a leaf")
        part = self._part(token, name if name in ("encoding", "params") else "content")
        match name:
            case "":
                found: dict[str, object] = {"content": part.content, "encoding": part.encoding, "params": _flat(part.params)}
                found["size"] = self.getsize(token)
                if part.parts is not None:
                    found["parts"] = part.parts
                return [item for key in array_order(found) for item in (key, found[key])]
            case "-names":
                return ["content", "encoding", "params", *(["parts"] if part.parts is not None else [])]
            case "content":
                return part.content
            case "encoding":
                return part.encoding
            case "params":
                return _flat(part.params)
            case "parts":
                if part.parts is None:
                    raise MimeError("MIME part is a leaf")
                return part.parts
            case "size":
                return self.getsize(token)
        raise MimeError(f"unknown property {name}")

    def getsize(self, token: str) -> int:
        """Return the approximate size of a part's content, in octets."""
        part = self._part(token, "value")
        if part.kind == "parts":
            total = 0
            for child in part.parts or ():
                total += self.getsize(child)
            return total
        if part.kind == "file" and part.canonical:
            return _file_size(part.path, part.shown_path)
        if part.canonical:
            return len(part.body)
        size = part.count
        return (size * 3 + 2) // 4 if part.encoding == "base64" else size

    def getheader(self, token: str, key: str = "") -> object:
        """Return the values of a header field, the names of all fields (``-names``), or all fields with their values."""
        part = self._part(token, "header")
        if key == "":
            return _flat(_all_fields(part))
        if key == "-names":
            return [name for name, _ in part.fields.values()]
        match key.lower():
            case "content-transfer-encoding":
                return _transfer_encoding(part)
            case "content-type":
                return [_content_type(part)]
            case "mime-version":
                return [part.version]
            case lower if lower in part.fields:
                return part.fields[lower][1]
        raise MimeError(f"key {key} not in header")

    def setheader(self, token: str, key: str, value: str, mode: str = "write") -> object:
        """Write, append to or delete a header field; return its values as they were."""
        part = self._part(token, "header")
        lower = key.lower()
        before = list(part.fields[lower][1]) if lower in part.fields else []
        if mode == "delete":
            if lower not in part.fields:
                raise MimeError(f"key {key} not in header")
            del part.fields[lower]
        elif mode in ("append", "write"):
            if lower in _OWN_FIELDS and value not in _listed(self.getheader(token, lower)):
                raise MimeError(f"key {key} may not be set")
            name = part.fields[lower][0] if lower in part.fields else key
            part.fields[lower] = (name, [*before, value] if mode == "append" else [value])
        else:
            raise MimeError(f"unknown value for -mode {mode}")
        return before

    def getbody(self, token: str) -> str:
        """Return the body of a leaf, its transfer encoding undone."""
        part = self._part(token, "value")
        if part.kind == "parts":
            raise MimeError("MIME part isn't a leaf")
        if part.canonical:
            return part.text()
        if part.kind == "string":
            return _decoded(part.encoding, part.body)
        if part.body and part.encoding and part.encoding not in _ENCODINGS:
            raise MimeError(f'Can\'t handle content encoding "{part.encoding}"')
        return "".join(_decoded(part.encoding, piece) for piece in _pieces(part.body))

    # Writing a message

    def message(self, token: str) -> str:
        """Return a part as a message, lines ended with LF."""
        out: list[str] = []
        self._write(token, out)
        return "".join(out)

    def _write(self, token: str, out: list[str]) -> None:
        part = self._part(token, "header")
        for name, value in _all_fields(part):
            out += name, ": ", value, "\n"
        if part.kind != "parts":
            out += "\n", _encoded(part)
        elif part.content.startswith("message/"):
            out.append("\n")
            for child in (part.parts or ())[:1]:
                self._write(child, out)
        else:
            boundary = dict(part.params).get("boundary") or part.boundary
            for child in part.parts or ():
                out += "\n--", boundary, "\n"
                self._write(child, out)
            out += "\n--", boundary, "--\n"


class _Options:
    """The options of ``mime::initialize``, put into a part. Raises MimeError at the first that is wrong."""

    def __init__(self, part: Part, folder: str, words: Sequence[str]) -> None:
        self.part = part
        self.folder = folder
        self.canonical = False
        self.string = ""
        self.headers = False
        self.sources: set[str] = set()
        self._params: dict[str, str] = {}
        rest = iter(words)
        for option in rest:
            value = next(rest, None)
            if value is None:
                raise MimeError(f"missing argument to {option}")
            elements = [next(rest) for _ in range(int(next(rest)))]
            self._take(option, value, elements)
        part.params = tuple((name, self._params[name]) for name in array_order(self._params))
        if len(self.sources) != 1 and "string" not in self.sources:
            raise MimeError("specify exactly one of -file, -parts, or -string")
        part.kind = next(kind for kind in ("string", "parts", "file") if kind in self.sources)
        if part.kind == "string":
            part.body = self.string

    def _take(self, option: str, value: str, elements: list[str]) -> None:
        part = self.part
        match option:
            case "-canonical":
                self.canonical = True
                part.content = value.lower()
            case "-param":
                self._take_param(value, elements)
            case "-encoding":
                if value.lower() not in _ENCODINGS:
                    raise MimeError(f"unknown value for -encoding {part.encoding}")
                part.encoding = value.lower()
            case "-header":
                self._take_header(value, elements)
            case "-file":
                part.shown_path = value
                part.path = os.path.join(self.folder, os.path.expanduser(value))
                self.sources.add("file")
            case "-parts":
                part.parts = elements
                self.sources.add("parts")
            case "-string":
                self.string = value
                self.sources.add("string")
            case _:
                raise MimeError(f"unknown option {option}")

    def _take_param(self, value: str, elements: list[str]) -> None:
        if len(elements) != 2:
            raise MimeError(f"-param expects a key and a value, not {value}")
        if elements[0].lower() in self._params:
            raise MimeError(f"the {elements[0]} parameter may be specified at most once")
        self._params[elements[0].lower()] = elements[1]

    def _take_header(self, value: str, elements: list[str]) -> None:
        if len(elements) != 2:
            raise MimeError(f"-header expects a key and a value, not {value}")
        match elements[0].lower():
            case "content-type":
                raise MimeError(f"use -canonical instead of -header {value}")
            case "content-transfer-encoding":
                raise MimeError(f"use -encoding instead of -header {value}")
            case "content-md5" | "mime-version":
                raise MimeError("don't go there...")
        self.headers = True
        self.part.add_field(*elements)

    def check_parsed(self) -> None:
        """A part that is read gives its properties itself. Raises MimeError."""
        for given, option in (
            (self._params, "-param"),
            (self.part.encoding, "-encoding"),
            (self.headers, "-header"),
            (self.part.parts is not None, "-parts"),
        ):
            if given:
                raise MimeError(f"{option} requires -canonical")


def _finish_canonical(part: Part, options: _Options, new_id: str) -> None:
    part.canonical = True
    if part.kind == "parts":
        if part.content.startswith(("text/", "image/", "audio/", "video/")):
            raise MimeError(f"-canonical {part.content} and -parts do not mix")
        if part.encoding:
            raise MimeError("-encoding and -parts do not mix")
    if "content-id" not in part.fields:
        part.add_field("Content-ID", new_id)
    part.boundary = mime_words.new_boundary()


# What is read: lines of a string, or a stretch of a file. tcllib reads the two in ways of their own.


class _LineSource:
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

    def inner(self, part: Part) -> "_LineSource":
        """Return the message that is this part's body."""
        return _LineSource(_decoded(part.encoding, part.body).split("\n"))

    def pieces(self, boundary: str, content: str) -> Iterator[tuple["_LineSource", bool]]:
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
                    yield _LineSource(collected), False
                elif line == end:
                    yield _LineSource(seen), True
                if line == end:
                    return
                collected = []
            elif collected is not None:
                collected.append(line)


class _FileSource:
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

    def inner(self, part: Part) -> "_FileSource":
        """Return the message that is this part's body."""
        return _FileSource(self._whole, self._position, part.count)

    def pieces(self, boundary: str, content: str) -> Iterator[tuple["_FileSource", bool]]:
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
                yield _FileSource(self._whole, begin, max(0, length)), forced or start is None
            if line == end:
                return
            start = self._position = position


_Source: TypeAlias = _LineSource | _FileSource


def _unfolded(source: _Source) -> Iterator[str]:
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


def _take_field(part: Part, line: str) -> None:
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


def _all_fields(part: Part) -> Iterator[Pair]:
    yield "MIME-Version", part.version
    for name, values in part.fields.values():
        for value in values:
            yield name, value
    encoding = _transfer_encoding(part)
    if encoding:
        yield "Content-Transfer-Encoding", encoding
    yield "Content-Type", _content_type(part)


def _content_type(part: Part) -> str:
    params = part.params
    if part.content.startswith("multipart/") and not dict(params).get("boundary"):
        part.boundary = part.boundary or mime_words.new_boundary()
        params = (*params, ("boundary", part.boundary))
    return part.content + "".join(f';\n              {name}="{value}"' for name, value in params)


def _transfer_encoding(part: Part) -> str:
    encoding = part.encoding or _fitting_encoding(part)
    if encoding and encoding not in _ENCODINGS:
        raise MimeError(f'Can\'t handle content encoding "{encoding}"')
    return encoding


def _fitting_encoding(part: Part) -> str:
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


def _encoded(part: Part) -> str:
    text = part.text()
    if not part.canonical:
        return text
    encode = _ENCODERS.get(part.encoding or _fitting_encoding(part))
    if encode is None:
        return text
    size = _CHUNK if part.kind == "file" else len(text) or 1
    return "".join(encode(text[start : start + size]) for start in range(0, len(text), size))


_ENCODERS: Mapping[str, Callable[[str], str]] = {
    "base64": mime_words.encode_base64,
    "quoted-printable": mime_words.encode_quoted_printable,
}


def _decoded(encoding: str, text: str) -> str:
    match encoding:
        case "base64":
            return mime_words.decode_base64(text)
        case "quoted-printable":
            return mime_words.decode_quoted_printable(text)
    return text


def _pieces(text: str) -> Iterator[str]:
    """Cut a text where tcllib does when it decodes what it reads from a file: broken encodings show it."""
    start = 0
    while start < len(text):
        end = start + _BLOCK
        line_end = text.rfind("\n", start, end)
        if line_end > start:
            end = line_end + 1
        yield text[start:end]
        start = end


def _file_size(path: str, shown: str) -> int:
    try:
        return os.path.getsize(path)
    except OSError as error:
        raise MimeError(f'could not read "{shown}": {(error.strerror or str(error)).lower()}') from None


def _read_file(path: str, shown: str) -> str:
    try:
        with open(path, "rb") as file:
            return file.read().decode("latin-1")
    except OSError as error:
        raise MimeError(f'couldn\'t open "{shown}": {(error.strerror or str(error)).lower()}') from None


# Addresses


def parse_address(hostname: str, text: str) -> list[list[str]]:
    """Return each address of a list as names and values, as ``mime::parseaddress`` does."""
    return [_described(box, hostname) for box in parse_mailboxes(text)]


def _described(box: Mailbox, hostname: str) -> list[str]:
    address = box.address(hostname)
    phrase = box.phrase
    if phrase:
        phrase = phrase.strip('"')
        if any(special in phrase for special in _SPECIALS):
            phrase = f'"{phrase}"'
    return [
        "address", address, "comment", box.comment, "domain", box.domain, "error", box.error,
        "friendly", _friendly(box, phrase).strip('"'), "group", box.group, "local", box.local,
        "memberP", "" if box.member is None else str(box.member), "phrase", phrase,
        "proper", f"{phrase} <{address}>" if box.phrase else address, "route", box.route,
    ]  # fmt: skip


def _friendly(box: Mailbox, phrase: str) -> str:
    """Return what to call the owner of a mailbox: its phrase, else its comment, else what stands before the at-sign."""
    if phrase:
        return phrase
    note = box.comment
    if note.startswith("("):
        note = note[1:].lstrip(TCL_TRIM)
    note = note.removesuffix(")")
    if note or not box.local:
        return note
    local = box.local.strip('"')
    if not local.startswith("/"):
        return local
    # RFC 2156: an X.400 address, /G=Anna/S=Example/.
    given, surname = _x400(local, "G"), _x400(local, "S")
    return _x400(local, "PN") or (f"{given} {surname}" if given and surname else surname) or local


def _x400(local: str, key: str) -> str:
    start = local.upper().find(f"/{key}=")
    if start < 0:
        return ""
    value = local[start + len(key) + 2 :]
    end = value.find("/")
    return (value[:end] if end > 0 else value).strip('"')


# Tcl's ways with lists and arrays


def _flat(pairs: Iterable[Pair]) -> list[str]:
    return [word for pair in pairs for word in pair]


def _listed(value: object) -> list[str]:
    """Return a value as the list that Tcl would see in it."""
    return value.split() if isinstance(value, str) else list(value)  # type: ignore[call-overload]


def array_order(names: Iterable[str]) -> list[str]:
    """Return names in the order in which ``array get`` lists them, had an array got them in the given one.

    Tcl's hash table: 4 buckets, four times as many whenever there are three times as many names; new names go first.
    """
    buckets: list[list[str]] = [[] for _ in range(4)]
    for count, name in enumerate(names, 1):
        buckets[_hash(name) % len(buckets)].insert(0, name)
        if count >= 3 * len(buckets):
            before, buckets = buckets, [[] for _ in range(4 * len(buckets))]
            for moved in (name for bucket in before for name in bucket):
                buckets[_hash(moved) % len(buckets)].insert(0, moved)
    return [name for bucket in buckets for name in bucket]


def _hash(name: str) -> int:
    value = 0
    for octet in name.encode("utf-8", "surrogatepass"):
        value = (value * 9 + octet) & 0xFFFFFFFF
    return value
