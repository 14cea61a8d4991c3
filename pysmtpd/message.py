"""A message as a Python test sees it: the envelope, the exact bytes received, and a parsed view made when asked for."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import cached_property
from os import PathLike
from time import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from email.message import EmailMessage, MIMEPart

    from pysmtpd.core.data import Content
    from pysmtpd.core.events import Deliver
    from pysmtpd.core.tls import TlsFacts

#: What the email package raises on odd MIME: unknown charsets, broken encodings, headers without a value, parts too deep; and
#: what it only warns of, where a test has warnings raised.
_ODD = (LookupError, ValueError, TypeError, AttributeError, RecursionError, Warning)


class Message:
    """One message that was accepted.

    Arguments:
        sender: the reverse-path without its brackets; empty for the null reverse-path.
        recipients: the forward-paths without their brackets, in the order of the client's RCPT commands.
        content: the message as the client sent it, dots unstuffed; nothing is added.
        peer: the client's IP address and port.
        helo: the name the client gave to HELO or EHLO.
        id: the id that the reply to the client named.
        time: when it came, aware of its zone.
        parameters: those of MAIL, names in upper case; one without a value has the empty string.
        recipient_parameters: those of each RCPT, in the order of the recipients.
        protocol: as the ``with`` of a trace field names it: ``SMTP``, ``ESMTP``, ``ESMTPS``, ``ESMTPA``, ... (RFC 3848).
        tls: version, cipher, bits and the client's certificate, under TLS; else None.
        user: the name the client logged in with; None where it did not.
    """

    _event: "Deliver"  # what the session asked, until somebody wants to know more
    _came: float

    def __init__(
        self,
        sender: str,
        recipients: Sequence[str],
        content: "bytes | Content",
        peer: tuple[str, int],
        helo: str,
        id: str,
        time: datetime,
        *,
        parameters: Mapping[str, str] | None = None,
        recipient_parameters: Sequence[Mapping[str, str]] = (),
        protocol: str = "SMTP",
        tls: "TlsFacts | None" = None,
        user: str | None = None,
    ) -> None:
        self.sender = sender
        self.recipients: tuple[str, ...] = recipients if isinstance(recipients, tuple) else tuple(recipients)
        self._content = content
        self.peer = peer
        self.helo = helo
        self.id = id
        self.time = time
        self._parameters = parameters
        self._recipient_parameters = recipient_parameters
        self.protocol = protocol
        self.tls = tls
        self.user = user

    @classmethod
    def of(cls, event: "Deliver") -> "Message":
        """Return the message that a session asks about, come now."""
        message = cls.__new__(cls)
        message._event, message._came = event, time()
        return message

    if not TYPE_CHECKING:  # for a type checker, there are those attributes that there are

        def __getattr__(self, name: str) -> object:
            """Take the attributes from the event when one is asked for the first time: a test looks at few of its messages."""
            event = self.__dict__.get("_event")
            if event is not None:
                self._take(event)
            return object.__getattribute__(self, name)

    def _take(self, event: "Deliver") -> None:
        envelope = event.envelope
        set_since = {name: value for name, value in self.__dict__.items() if name != "_event"}
        Message.__init__(
            self,
            event.sender[1:-1],
            [path[1:-1] for path in event.recipients],
            event.content,
            (envelope.client, envelope.port),
            envelope.helo,
            event.id,
            datetime.fromtimestamp(self._came, UTC),
            parameters=envelope.parameters,
            recipient_parameters=envelope.recipient_parameters,
            protocol=envelope.protocol,
            tls=envelope.tls,
            user=envelope.user,
        )
        self.__dict__.update(set_since)
        self.__dict__.pop("_event", None)  # last: another thread may be here, too

    @property
    def content(self) -> bytes:
        """The message, octet for octet as it was sent, without the trace header."""
        content = self._content
        if not isinstance(content, bytes):
            self._content = content = content.body
        return content

    @property
    def parameters(self) -> dict[str, str]:
        """The parameters of MAIL: ``SIZE``, ``BODY``, ``RET``, ..."""
        return dict(self._parameters or {})

    @property
    def recipient_parameters(self) -> tuple[dict[str, str], ...]:
        """The parameters of each RCPT, in the order of the recipients: ``NOTIFY``, ``ORCPT``, ..."""
        return tuple(map(dict, self._recipient_parameters)) or tuple({} for _ in self.recipients)

    @property
    def raw(self) -> bytes:
        """The same as :attr:`content`."""
        return self.content

    @cached_property
    def email(self) -> "EmailMessage":
        """The message parsed: an ``email.message.EmailMessage`` with the policy ``default``. Never raises."""
        from pysmtpd.parsing import parse_message

        return parse_message(self.content)

    @property
    def subject(self) -> str:
        """The Subject field, decoded; empty where there is none."""
        return self.header("Subject")

    def header(self, name: str) -> str:
        """Return the first header field of a name, decoded, whatever its case; empty where there is none."""
        return str(self.email.get(name, ""))

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
        """The parts that are attachments: ``.get_filename()``, ``.get_content_type()``, ``.get_content()``."""
        try:
            return list(self.email.iter_attachments()) if self.email.is_multipart() else []
        except _ODD:
            return []

    @property
    def links(self) -> list[str]:
        """The URLs in the plain text, then those in the HTML, in order, each once.

        In HTML: what ``a``, ``area``, ``form`` and ``img`` point to, and URLs written out in the text.
        """
        from pysmtpd.links import links_in_html, links_in_text

        return list(dict.fromkeys([*links_in_text(self.text), *links_in_html(self.html)]))

    def save(self, path: str | PathLike[str]) -> None:
        """Write the bytes received to a file. Raises OSError."""
        with open(path, "wb") as file:
            file.write(self.content)

    def _body(self, kind: str) -> str:
        try:
            part = self.email.get_body((kind,))
        except _ODD:
            return ""
        if part is None:
            return ""
        try:
            text = part.get_content()
        except _ODD:
            text = _without_charset(part)
        return str(text).replace("\r\n", "\n")

    def __getstate__(self) -> dict[str, Any]:
        """Leave the parsed view out of pickles and copies: it is made again."""
        parameters = self.parameters  # first: with it, all is there
        state = {name: value for name, value in self.__dict__.items() if name not in ("email", "_came")}
        return {**state, "_parameters": parameters, "_recipient_parameters": self.recipient_parameters}

    def __repr__(self) -> str:
        recipients = ", ".join(map(repr, self.recipients[:5])) + (", ..." if len(self.recipients) > 5 else "")
        subject = self.subject
        shown = subject if len(subject) <= 80 else subject[:77] + "..."
        return f"<Message {self.id} from {self.sender!r} to {recipients}: {shown!r}, {len(self.content)} bytes>"


def _without_charset(part: "MIMEPart") -> str:
    """Return the text of a part whose charset or encoding is unknown or broken: UTF-8 if it is, else one character per octet."""
    try:
        payload = part.get_payload(decode=True)
    except _ODD:
        payload = part.get_payload()
    if isinstance(payload, bytes):
        try:
            return payload.decode()
        except UnicodeDecodeError:
            return payload.decode("latin-1")
    return payload if isinstance(payload, str) else ""
