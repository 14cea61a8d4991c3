"""Parsing a received message with the standard library's email package: an answer in seconds, and no exception, whatever came.

That package reads a header field again each time it is asked for, in a time that grows with the square of its length, and it
calls itself once per level of parts and of comments. So the fields are read as far as a limit, and what nests deeper than
Python goes is left unread.
"""

from email.headerregistry import HeaderRegistry
from email.message import EmailMessage
from email.parser import BytesParser
from email.policy import default
from typing import Any, Final

#: How many characters of a header field are read. RFC 5322, 2.1.1, has 998 in a line; a field may be folded.
MAX_FIELD: Final = 65_536
#: The same for Content-Type and its like, which are read many times over.
MAX_CONTENT_FIELD: Final = 8_192


class _Fields(HeaderRegistry):
    """What makes objects of header fields, within limits."""

    def __call__(self, name: str, value: str) -> Any:
        limit = MAX_CONTENT_FIELD if name[:8].lower() == "content-" else MAX_FIELD
        try:
            return super().__call__(name, value[:limit])
        except Exception:  # the parsers behind it raise IndexError and its like on odd input, RecursionError on nested comments
            return super().__call__(name, "")


def parse_message(text: bytes) -> EmailMessage:
    """Return a message as an ``email.message.EmailMessage`` (policy ``default``). Never raises.

    Parts nested too deep for Python leave a message with its header alone, and the rest as its payload.
    """
    parser = BytesParser(EmailMessage, policy=default.clone(header_factory=_Fields()))
    try:
        return parser.parsebytes(text)
    except Exception:  # RecursionError, mostly
        return parser.parsebytes(text, headersonly=True)
