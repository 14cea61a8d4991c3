"""What a session tells its driver, and what the driver answers: named tuples, one idea each.

They would be frozen dataclasses, were it not for the ten milliseconds that module adds to the start of every program.
"""

from collections.abc import Mapping
from typing import NamedTuple, TypeAlias

from pysmtpd.core.data import Content
from pysmtpd.core.envelope import Envelope


class CheckHost(NamedTuple):
    """Question: may this client connect? Put before the greeting."""

    address: str  #: the client's IP address, as the driver gave it

    @property
    def kind(self) -> str:
        """What the question goes by in ``Config.ask``."""
        return "host"


class CheckSender(NamedTuple):
    """Question: is this reverse-path welcome? Put by MAIL."""

    address: str  #: the bare address, without angle brackets; empty for the null reverse-path

    @property
    def kind(self) -> str:
        """What the question goes by in ``Config.ask``."""
        return "sender"


class CheckRecipient(NamedTuple):
    """Question: is this forward-path welcome? Put by RCPT, save for the postmaster."""

    address: str  #: the bare address, without angle brackets

    @property
    def kind(self) -> str:
        """What the question goes by in ``Config.ask``."""
        return "recipient"


class CheckUser(NamedTuple):
    """Question: is this the secret of that user? Put by AUTH where the server has no list that tells."""

    username: str
    secret: str  #: the password, or the bearer token
    mechanism: str  #: in upper case

    @property
    def kind(self) -> str:
        """What the question goes by in ``Config.ask``."""
        return "user"

    def __repr__(self) -> str:
        return f"CheckUser({self.username!r}, {self.mechanism!r})"


class Deliver(NamedTuple):
    """Question: will you take this message? Put at the end of DATA."""

    sender: str  #: the reverse-path in its angle brackets
    recipients: tuple[str, ...]  #: the forward-paths in their angle brackets
    content: Content  #: the trace header and the message
    id: str  #: the name the message has in the trace header and in the reply
    envelope: Envelope  #: who sent it, how, and with what parameters

    @property
    def kind(self) -> str:
        """What the question goes by in ``Config.ask``."""
        return "deliver"


class Command(NamedTuple):
    """Question: handle this command. Put for a verb that a script has taken over; the script sends the reply itself."""

    verb: str  #: in upper case
    line: str  #: the command line as it came, without its line end

    @property
    def kind(self) -> str:
        """What a driver calls the question; ``Config.scripted`` says for which verbs it is put."""
        return "command"


class StartTls(NamedTuple):
    """Question: may the client begin TLS? Put by STARTTLS, whoever listens; with a yes, the session goes on under TLS."""

    @property
    def kind(self) -> str:
        """What a driver calls the question."""
        return "starttls"


class TlsReport(NamedTuple):
    """Question: what of this step of a handshake, or end of a connection? Put as Tcl's tls package tells its ``-command``.

    Only the answer to ``verify`` matters: a no ends the session.
    """

    option: str  #: ``verify``, ``error`` or ``info``
    channel: str  #: the session's name
    #: verify: depth, certificate, whether it is good, what is wrong with it; error: a text; info: major, minor, text.
    details: tuple[int | str | dict[str, str], ...]

    @property
    def kind(self) -> str:
        """What the question goes by in ``Config.ask``."""
        return "tls"


class Pause(NamedTuple):
    """Question: has the client waited long enough? Put where a fault on demand says so; answered with yes, after a while."""

    seconds: float

    @property
    def kind(self) -> str:
        """What a driver calls the question."""
        return "pause"


class Log(NamedTuple):
    """Something worth a line in the log. Carries no control characters."""

    level: str  #: one of ``LOG_LEVELS`` in :mod:`pysmtpd.core.config`
    text: str


class Close(NamedTuple):
    """The session is over: flush, then close the connection."""

    reason: str
    """One of ``quit``, ``end of input``, ``not SMTP``, ``no PROXY header``, ``too many errors``, ``idle``, ``shutdown``,
    ``fault`` and ``TLS failure``."""


class Accept:
    """Verdict: yes."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "Accept()"


class Refuse(NamedTuple):
    """Verdict: no."""

    text: str = ""  #: what the callback said; may hold anything, the reply will be well-formed
    code: int | None = None  #: a reply code from 400 to 599 chosen by the callback, or the question's own when ``None``


class RefuseSome(NamedTuple):
    """Verdict on a message: no for some of its recipients, yes for the others. What LMTP is for; SMTP has one reply for all."""

    refusals: Mapping[str, Refuse]  #: by the forward-path in its angle brackets; at least one


Question: TypeAlias = CheckHost | CheckSender | CheckRecipient | CheckUser | Deliver | Command | StartTls | TlsReport | Pause
Event: TypeAlias = Question | Log | Close
Verdict: TypeAlias = Accept | Refuse | RefuseSome
