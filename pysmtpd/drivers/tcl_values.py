"""Python values as Tcl sees them: the string representation of lists, and of what a Python function returns."""

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from pysmtpd.core.grammar import Pattern

#: Words that need no quoting as elements of a Tcl list.
_PLAIN = re.compile(r"[^\s{}\[\]$\";\\#\x00\x85\xa0][^\s{}\[\]$\";\\\x00\x85\xa0]*\Z")
_ESCAPES = {"\t": "\\t", "\n": "\\n", "\v": "\\v", "\f": "\\f", "\r": "\\r"}
_SPECIAL = re.compile(r'[\s{}\[\]$";\\#\x85\xa0]')
#: What braces around an element would not keep as it is, or might not; and what may have to become an escape: braces, the
#: backslash, and all beyond U+00FF. Said by what is not among them, for a set of so many characters takes 7 ms to compile.
_UNFIT_FOR_BRACES = re.compile(r"[^\x00-\[\]-z|~-\xff]")


def list_element(text: str) -> str:
    """Return ``text`` quoted as one element of a Tcl list: in braces where these do, else with backslashes, which always do."""
    if text.isalnum() or _PLAIN.match(text):
        return text
    if "{" not in text and "}" not in text and "\\" not in text and (text.isascii() or not _UNFIT_FOR_BRACES.search(text)):
        return "{" + text + "}"
    return _SPECIAL.sub(lambda match: _ESCAPES.get(match[0], "\\" + match[0]), text)


#: Halves of characters that are no octets either (PEP 383): tkinter cannot give them to Tcl, and dies of some.
_HALVES = re.compile("[\ud800-\udc7f\udd00-\udfff]")


def tcl_value(value: Any) -> str:
    """Return the string a Tcl script gets for a Python value.

    None is the empty string, a truth value 1 or 0, bytes one character per octet; sequences are lists, mappings are
    dictionaries, anything else what ``str`` makes of it.
    """
    if type(value) is str:
        return value if value.isascii() else _HALVES.sub("\ufffd", value)
    match value:
        case None:
            return ""
        case bool():
            return "1" if value else "0"
        case bytes() | bytearray():
            return bytes(value).decode("latin-1")
        case list() | tuple():
            return " ".join(list_element(tcl_value(item)) for item in value)
        case Mapping():
            return tcl_value([part for pair in value.items() for part in pair])
        case _:
            return _HALVES.sub("\ufffd", str(value))  # an instance of a class derived from str, too


def list_octets(text: str) -> bytes:
    """Return a Tcl list as one octet for each character: what does not fit becomes an escape, undone when the list is read."""
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError:
        return re.sub("[^\\x00-\\xff]", _escaped, text).encode("latin-1")


def _escaped(match: "re.Match[str]") -> str:
    # Tcl 8.6 knows no more than 16 bits: what is above them is two, as its interpreter in tkinter has it, too.
    units = match[0].encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[index : index + 2].hex()}" for index in range(0, len(units), 2))


_BACKSLASHED: Final = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
_BACKSLASH: Final = r"\\(?:x([0-9A-Fa-f]{1,2})|u([0-9A-Fa-f]{1,4})|U([0-9A-Fa-f]{1,8})|([0-7]{1,3})|(.))"
_BLANK: Final = Pattern(r"[ \t\n\v\f\r]*")
_QUOTED: Final = Pattern(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)
_BARE: Final = Pattern(r"(?:[^ \t\n\v\f\r\\]|\\.)+", re.DOTALL)
_BRACE: Final = Pattern(r"\\.|[{}]", re.DOTALL)


def list_elements(text: str) -> list[str]:
    """Return the elements of a Tcl list. Raises ValueError saying what is wrong with it."""
    found = []
    position = _BLANK.match(text).end()  # type: ignore[union-attr] # matches empty
    while position < len(text):
        element, position = _element(text, position)
        found.append(element)
        end = _BLANK.match(text, position).end()  # type: ignore[union-attr]
        if end == position < len(text):
            raise ValueError("list element followed by something else than a blank")
        position = end
    return found


def _element(text: str, start: int) -> tuple[str, int]:
    if text[start] == "{":
        depth = 0
        for mark in _BRACE.finditer(text, start):
            depth += {"{": 1, "}": -1}.get(mark[0], 0)
            if depth == 0:
                return text[start + 1 : mark.start()], mark.end()
        raise ValueError("unmatched open brace in list")
    match = (_QUOTED if text[start] == '"' else _BARE).match(text, start)
    if match is None:
        raise ValueError("unmatched open quote in list")
    return re.sub(_BACKSLASH, _unescaped, match[1] if text[start] == '"' else match[0], flags=re.DOTALL), match.end()


def _unescaped(match: "re.Match[str]") -> str:
    for digits, base in zip(match.groups()[:4], (16, 16, 16, 8), strict=True):
        if digits:
            return chr(int(digits, base)) if int(digits, base) < 0x110000 else "\ufffd"
    return _BACKSLASHED.get(match[5], match[5])


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
