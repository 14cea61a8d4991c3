"""What a receiver may want to know of a message beside its paths and its content: who sent it, how, and with what parameters."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, NamedTuple, TypeAlias

#: The parameters of a command that has none.
NO_PARAMETERS: Final[Mapping[str, str]] = MappingProxyType({})


#: A path with its brackets, the address, its local part, what follows the path, and the parameters that is.
ReadPath: TypeAlias = tuple[str, str, str, str, Mapping[str, str]]


class PlainEnvelope(NamedTuple):
    """The commands of a pipelined envelope without parameters, read as far as they came in one piece."""

    octets: bytes  #: as they were sent
    reset: bool  #: whether RSET leads them
    sender: str  #: the reverse-path in its brackets
    recipients: tuple[str, ...]  #: the forward-paths in their brackets
    whole: bool  #: whether DATA ends them


class Envelope(NamedTuple):
    """The circumstances of one message."""

    client: str  #: the client's IP address
    port: int  #: the client's port
    helo: str  #: the name the client gave to HELO, EHLO or LHLO
    protocol: str  #: as ``with`` in a trace field names it: SMTP, ESMTP, ESMTPS, ESMTPA, LMTP, ... (RFC 3848, RFC 6531)
    user: str | None  #: the name the client logged in with; None where it did not
    tls: Any  #: how the connection is encrypted; None where it is not
    parameters: Mapping[str, str] = NO_PARAMETERS
    """Those of MAIL, as sent, names in upper case; one without a value has the empty string."""
    recipient_parameters: Sequence[Mapping[str, str]] = ()
    """Those of each RCPT, in the order of the recipients; nothing at all when no RCPT had any."""

    @property
    def body(self) -> str:
        """What the client declared the body to be: ``7BIT``, ``8BITMIME`` or ``BINARYMIME`` (RFC 6152, RFC 3030)."""
        return self.parameters.get("BODY", "7BIT").upper()

    @property
    def smtputf8(self) -> bool:
        """Whether the message was sent with SMTPUTF8 (RFC 6531)."""
        return "SMTPUTF8" in self.parameters


def protocol_name(*, extended: bool, lmtp: bool, utf8: bool, secure: bool, user: str | None) -> str:
    """Return the name of the protocol for the ``with`` of a trace field (RFC 3848; RFC 6531, 4.3)."""
    if not extended and not lmtp:
        return "SMTP"
    base = "LMTP" if lmtp else "SMTP" if utf8 else "ESMTP"
    return f"{'UTF8' if utf8 else ''}{base}{'S' if secure else ''}{'A' if user is not None else ''}"
