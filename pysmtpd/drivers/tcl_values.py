"""Python values as Tcl sees them: the string representation of lists, and of what a Python function returns."""

import re
from typing import Any

#: Words that need no quoting as elements of a Tcl list.
_PLAIN = re.compile(r"[^\s{}\[\]$\";\\#\x00\x85\xa0][^\s{}\[\]$\";\\\x00\x85\xa0]*\Z")
_ESCAPES = {"\t": "\\t", "\n": "\\n", "\v": "\\v", "\f": "\\f", "\r": "\\r"}
_SPECIAL = re.compile(r'[\s{}\[\]$";\\#\x85\xa0]')


def list_element(text: str) -> str:
    """Return ``text`` quoted as one element of a Tcl list (see list(n), SetFromAny: backslashes always do)."""
    if _PLAIN.match(text):
        return text
    if not text:
        return "{}"
    return _SPECIAL.sub(lambda match: _ESCAPES.get(match[0], "\\" + match[0]), text)


def tcl_value(value: Any) -> str:
    """Return the string a Tcl script gets for a Python value.

    None is the empty string, a truth value 1 or 0, bytes one character per octet; sequences are lists, mappings are
    dictionaries, anything else what ``str`` makes of it.
    """
    match value:
        case str():
            return value
        case None:
            return ""
        case bool():
            return "1" if value else "0"
        case bytes() | bytearray():
            return bytes(value).decode("latin-1")
        case list() | tuple():
            return " ".join(list_element(tcl_value(item)) for item in value)
        case dict():
            return tcl_value([part for pair in value.items() for part in pair])
        case _:
            return str(value)
