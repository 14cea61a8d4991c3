"""What stands behind our Tcl package ``mime``, for a Tcl without tcllib: MIME parts by token, as tcllib's ``mime`` 1.7 has them.

The results are tcllib's on the same input, its mistakes of substance included where scripts see them; docs/without-tcllib.md
lists the few that are mended. Bodies are text here, one character per octet. What is Tcl's own business, character sets and
dates, is done in ``tcl/mime.tcl``.
"""

import os
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from pysmtpd.core.address import Mailbox, parse_mailboxes
from pysmtpd.core.grammar import TCL_TRIM
from pysmtpd.drivers import mime_words
from pysmtpd.drivers.mime_part import (
    ENCODINGS,
    Pair,
    Part,
    all_fields,
    content_type,
    decoded,
    encoded,
    file_size,
    pieces,
    read_file,
    take_field,
    transfer_encoding,
)
from pysmtpd.drivers.mime_source import FileSource, LineSource, Source, unfolded
from pysmtpd.drivers.mime_words import MimeError
from pysmtpd.drivers.tcl_values import array_order

#: How deep parts may be nested.
MAX_DEPTH: Final = 400

#: Header fields that are properties of a part.
_OWN_FIELDS: Final = ("content-md5", "content-type", "content-transfer-encoding", "mime-version")
_SPECIALS: Final = ';,<>:.()@"[]\\'


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
            whole = read_file(part.path, part.shown_path)
            self._read(token, part, FileSource(whole, 0, len(whole)), 0)
        else:
            self._read(token, part, LineSource(options.string.split("\n")), 0)

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

    def _read(self, token: str, part: Part, source: "Source", depth: int) -> None:
        if depth > MAX_DEPTH:
            raise MimeError(f"parts are nested more than {MAX_DEPTH} deep")
        part.kind = source.kind
        for line in unfolded(source):
            take_field(part, line)
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

    def _read_multipart(self, token: str, part: Part, source: "Source", depth: int) -> None:
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
            return file_size(part.path, part.shown_path)
        if part.canonical:
            return len(part.body)
        size = part.count
        return (size * 3 + 2) // 4 if part.encoding == "base64" else size

    def getheader(self, token: str, key: str = "") -> object:
        """Return the values of a header field, the names of all fields (``-names``), or all fields with their values."""
        part = self._part(token, "header")
        if key == "":
            return _flat(all_fields(part))
        if key == "-names":
            return [name for name, _ in part.fields.values()]
        match key.lower():
            case "content-transfer-encoding":
                return transfer_encoding(part)
            case "content-type":
                return [content_type(part)]
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
            return decoded(part.encoding, part.body)
        if part.body and part.encoding and part.encoding not in ENCODINGS:
            raise MimeError(f'Can\'t handle content encoding "{part.encoding}"')
        return "".join(decoded(part.encoding, piece) for piece in pieces(part.body))

    # Writing a message

    def message(self, token: str) -> str:
        """Return a part as a message, lines ended with LF."""
        out: list[str] = []
        self._write(token, out)
        return "".join(out)

    def _write(self, token: str, out: list[str]) -> None:
        part = self._part(token, "header")
        for name, value in all_fields(part):
            out += name, ": ", value, "\n"
        if part.kind != "parts":
            out += "\n", encoded(part)
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
                if value.lower() not in ENCODINGS:
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


# Tcl's ways with lists


def _flat(pairs: Iterable[Pair]) -> list[str]:
    return [word for pair in pairs for word in pair]


def _listed(value: object) -> list[str]:
    """Return a value as the list that Tcl would see in it."""
    return value.split() if isinstance(value, str) else list(value)  # type: ignore[call-overload]
