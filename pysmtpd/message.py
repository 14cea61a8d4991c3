"""A message as a Python test sees it: the envelope, the exact bytes received, and a parsed view made when asked for."""

from functools import cached_property
from os import PathLike
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime
    from email.message import EmailMessage

    from pysmtpd.core.tls import TlsFacts


class Message:
    """One message that was accepted.

    Arguments:
        sender: the reverse-path without its brackets; empty for the null reverse-path.
        recipients: the forward-paths without their brackets.
        content: the message as the client sent it, dots unstuffed; nothing is added.
        peer: the client's IP address and port.
        helo: the name the client gave to HELO or EHLO.
        id: the id that the reply to the client named.
        time: when it came.
        tls: version, cipher, bits and the client's certificate, under TLS.
    """

    def __init__(
        self,
        sender: str,
        recipients: tuple[str, ...],
        content: bytes,
        peer: tuple[str, int],
        helo: str,
        id: str,
        time: "datetime",
        tls: "TlsFacts | None" = None,
    ) -> None:
        self.sender = sender
        self.recipients = recipients
        self.content = content
        self.peer = peer
        self.helo = helo
        self.id = id
        self.time = time
        self.tls = tls

    @cached_property
    def email(self) -> "EmailMessage":
        """The message parsed: an ``email.message.EmailMessage`` with the policy ``default``."""
        from pysmtpd.callbacks import parse_message

        return parse_message(self.content)

    @property
    def subject(self) -> str:
        """The Subject field, decoded; empty where there is none."""
        return str(self.email.get("Subject", ""))

    @property
    def text(self) -> str:
        """The plain text body, decoded, with LF line ends; empty where there is none."""
        return self._body("plain")

    @property
    def html(self) -> str:
        """The HTML body, decoded, with LF line ends; empty where there is none."""
        return self._body("html")

    @property
    def attachments(self) -> "list[EmailMessage]":
        """The parts that are attachments."""
        return list(self.email.iter_attachments()) if self.email.is_multipart() else []

    def save(self, path: str | PathLike[str]) -> None:
        """Write the bytes received to a file. Raises OSError."""
        with open(path, "wb") as file:
            file.write(self.content)

    def _body(self, kind: str) -> str:
        part = self.email.get_body((kind,))
        if part is None:
            return ""
        try:
            text = part.get_content()
        except (LookupError, ValueError):  # an unknown charset, or a transfer encoding that is broken
            payload = part.get_payload(decode=True)
            text = payload.decode("latin-1") if isinstance(payload, bytes) else ""
        return str(text).replace("\r\n", "\n")

    def __repr__(self) -> str:
        return f"<Message {self.id} from {self.sender!r} to {', '.join(map(repr, self.recipients))}: {self.subject!r}>"
