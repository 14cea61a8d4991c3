"""Parsing a received message with the standard library's email package: an answer in seconds, and no exception, whatever came.

That package reads a header field again each time it is asked for, in a time that grows with the square of its length, and it
calls itself once per level of parts and of comments. So the fields are read as far as limits go, each once, and what nests deeper
than Python goes is left unread.
"""

import re
from email.headerregistry import HeaderRegistry, UnstructuredHeader
from email.message import EmailMessage
from email.parser import BytesParser
from email.policy import default
from typing import Any, Final

#: How many characters of a header field are read. RFC 5322, 2.1.1, has 998 in a line; a field may be folded.
MAX_FIELD: Final = 65_536
#: The same for a field that is more than text: addresses, a date, Content-Type and its like. Lists of addresses in their usual
#: form cost less, and may be longer.
MAX_STRUCTURED_FIELD: Final = 8_192
MAX_ADDRESSES: Final = 16_384
#: The same for all such fields of a message together, each different one counted once; those of parts only where they are long.
MAX_STRUCTURED: Final = 32_768
_SHORT: Final = 512

_WORD: Final = r"[\w'=?-]{1,80}(?:\.[\w'=?-]{1,80}){0,3}\.?"
_NAME: Final = rf"""(?:"[^"\\@.]{{0,80}}"|{_WORD}(?: {_WORD}){{0,4}})"""
_ADDRESS: Final = r"[\w.!#$%&'*+/=?^`{|}~-]{1,64}@[\w.-]{1,255}"
#: Addresses with or without names, RFC 5322, 3.4, in their ordinary form.
_ORDINARY_ADDRESSES: Final = re.compile(rf"(?:\s*(?:{_ADDRESS}|{_NAME}\s*<{_ADDRESS}>)\s*(?:,|\Z))+")


class _Fields(HeaderRegistry):
    """What makes objects of header fields, within limits. One for each message."""

    def __init__(self) -> None:
        super().__init__()
        self._left = MAX_STRUCTURED
        self._read: dict[tuple[str, str], Any] = {}

    def __call__(self, name: str, value: str) -> Any:
        found = self._read.get((name, value))
        if found is None:
            found = self._read[name, value] = self._field(name, value)
        return found

    def _field(self, name: str, value: str) -> Any:
        lower = name.lower()
        of_part = lower.startswith("content-")
        text = value[: MAX_STRUCTURED_FIELD if of_part else MAX_FIELD]
        if not issubclass(self.registry.get(lower, UnstructuredHeader), UnstructuredHeader) and not (
            of_part and len(text) <= _SHORT
        ):
            text = text[: min(self._left, _readable(text))]
            self._left -= len(text)
        try:
            return super().__call__(name, text)
        except Exception:  # the parsers behind it raise IndexError and its like on odd input, RecursionError on nested comments
            return super().__call__(name, "")


def _readable(text: str) -> int:
    """Return how much of a field that is more than text can be read in no time."""
    if len(text) <= MAX_STRUCTURED_FIELD:
        return len(text)
    addresses = _ORDINARY_ADDRESSES.match(text, 0, MAX_ADDRESSES)
    return max(MAX_STRUCTURED_FIELD, addresses.end() if addresses else 0)


def parse_message(text: bytes) -> EmailMessage:
    """Return a message as an ``email.message.EmailMessage`` (policy ``default``). Never raises.

    Parts nested too deep for Python leave a message with its header alone, and the rest as its payload.
    """
    parser = BytesParser(EmailMessage, policy=default.clone(header_factory=_Fields()))
    try:
        return parser.parsebytes(text)
    except Exception:  # RecursionError, mostly
        return parser.parsebytes(text, headersonly=True)
