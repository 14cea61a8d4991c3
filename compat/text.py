r"""Bytes and strings as printable ASCII, and back: the escapes that transcripts use (`\xNN \uNNNN \t \r \n \\`)."""

import re

_NAMED = {"\\": "\\\\", "\t": "\\t", "\r": "\\r", "\n": "\\n"}
_ESCAPE = re.compile(r"\\(?:x([0-9A-Fa-f]{2})|u([0-9A-Fa-f]{4})|(.))", re.DOTALL)
_PLAIN = {"t": "\t", "r": "\r", "n": "\n", "\\": "\\"}


def _one(character: str) -> str:
    if character in _NAMED:
        return _NAMED[character]
    if " " <= character <= "~":
        return character
    return f"\\x{ord(character):02x}" if ord(character) < 0x100 else f"\\u{ord(character):04x}"


def escape(text: str) -> str:
    """Printable ASCII; a space at the end is escaped too, because editors remove it."""
    shown = "".join(map(_one, text))
    return shown[:-1] + "\\x20" if shown.endswith(" ") else shown


def unescape(text: str) -> str:
    """The inverse of `escape`; an unknown escape is an error, not a guess."""

    def replace(match: re.Match[str]) -> str:
        code = match[1] or match[2]
        if code:
            return chr(int(code, 16))
        if match[3] not in _PLAIN:
            raise ValueError(f"unknown escape {match[0]!r}")
        return _PLAIN[match[3]]

    return _ESCAPE.sub(replace, text)
