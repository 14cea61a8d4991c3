"""A received message as a person reads it: envelope, the fields that matter, the text, and what else is in it.

What comes from a client never reaches a terminal as it is, since a terminal obeys it: control characters, and those that turn
the direction of writing, are shown by their numbers.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, TextIO

from pysmtpd.core.replies import harmless

if TYPE_CHECKING:
    from email.message import EmailMessage

    from pysmtpd.message import Message

#: The header fields that are shown, in this order.
FIELDS: Final = ("Date", "From", "Sender", "Reply-To", "To", "Cc", "Bcc", "Subject")

#: How many characters of a text are shown.
LONGEST_TEXT: Final = 50_000

_BOLD: Final = "1"
_DIM: Final = "2"
_CYAN: Final = "36"


def wants_colour(stream: TextIO, environment: Mapping[str, str]) -> bool:
    """Tell whether a stream is a terminal whose user wants colours: https://no-color.org."""
    return not environment.get("NO_COLOR") and environment.get("TERM") != "dumb" and stream.isatty()


class Printer:
    """Writes messages to a stream.

    Arguments:
        stream: where to.
        colour: whether to use the colours of a terminal.
        raw: whether to write the octets of a message as they are, and nothing else.
    """

    def __init__(self, stream: TextIO, *, colour: bool = False, raw: bool = False) -> None:
        self._stream = stream
        self._colour = colour
        self._raw = raw

    def render(self, message: "Message") -> bytes:
        """Return what is to be written for a message."""
        return message.content if self._raw else self._readable(message).encode(self._stream.encoding, "backslashreplace")

    def write(self, octets: bytes) -> None:
        """Write what :meth:`render` returned, at once. Raises OSError when the stream does not take it."""
        self._stream.flush()
        self._stream.buffer.write(octets)
        self._stream.flush()

    def _readable(self, message: "Message") -> str:
        try:
            content = self._content(message)
        except Exception:  # a message that the package email cannot cope with is shown as it is
            content = _cut(message.content.decode("utf-8", "backslashreplace"))
        return f"{self._envelope(message)}\n{content.rstrip()}\n\n"

    def _envelope(self, message: "Message") -> str:
        sender, *recipients = (harmless(path).replace("\n", "\\x0a") for path in (message.sender, *message.recipients))
        size = f"{len(message.content):,} octets" if len(message.content) != 1 else "1 octet"
        where = f"{harmless(message.helo)} [{message.peer[0]}]"
        path = self._in(_BOLD, f"<{sender}> -> {', '.join(f'<{recipient}>' for recipient in recipients)}")
        return f"{message.time.astimezone():%H:%M:%S} {path} {self._in(_DIM, f'({message.id}, {size}, from {where})')}"

    def _content(self, message: "Message") -> str:
        mail = message.email
        fields = [f"{self._in(_CYAN, name + ':')} {value}\n" for name in FIELDS for value in _values(mail, name)]
        text, html = message.text, message.html
        parts = [_cut(text or html)]
        if text and html:
            parts.append(self._in(_DIM, f"[also as HTML, {len(html):,} characters]"))
        parts.extend(self._in(_DIM, f"[attachment: {_described(part)}]") for part in message.attachments)
        return "".join(fields) + "\n" + "\n".join(part.rstrip("\n") for part in parts if part)

    def _in(self, colour: str, text: str) -> str:
        return f"\x1b[{colour}m{text}\x1b[0m" if self._colour else text


def _values(mail: "EmailMessage", name: str) -> list[str]:
    return [harmless(" ".join(str(value).split())) for value in mail.get_all(name, [])]


def _cut(text: str) -> str:
    if len(text) <= LONGEST_TEXT:
        return harmless(text)
    return f"{harmless(text[:LONGEST_TEXT])}\n[... {len(text) - LONGEST_TEXT:,} more characters]"


def _described(part: "EmailMessage") -> str:
    payload = part.get_payload(decode=True)
    size = f", {len(payload):,} octets" if isinstance(payload, bytes) else ""
    name = harmless(" ".join((part.get_filename() or "no name").split()))
    return f"{name}, {harmless(part.get_content_type())}{size}"
