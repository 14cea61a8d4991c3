"""What a session tells its driver, and what the driver answers: frozen dataclasses, one idea each."""

from dataclasses import dataclass
from typing import TypeAlias

from pysmtpd.core.data import Content


@dataclass(frozen=True, slots=True)
class CheckHost:
    """Question: may this client connect? Put before the greeting."""

    address: str  #: the client's IP address, as the driver gave it


@dataclass(frozen=True, slots=True)
class CheckSender:
    """Question: is this reverse-path welcome? Put by MAIL."""

    address: str  #: the bare address, without angle brackets; empty for the null reverse-path


@dataclass(frozen=True, slots=True)
class CheckRecipient:
    """Question: is this forward-path welcome? Put by RCPT, save for the postmaster."""

    address: str  #: the bare address, without angle brackets


@dataclass(frozen=True, slots=True)
class Deliver:
    """Question: will you take this message? Put at the end of DATA."""

    sender: str  #: the reverse-path in its angle brackets
    recipients: tuple[str, ...]  #: the forward-paths in their angle brackets
    content: Content  #: the trace header and the message
    id: str  #: the name the message has in the trace header and in the reply


@dataclass(frozen=True, slots=True)
class Log:
    """Something worth a line in the log. Carries no control characters."""

    level: str  #: one of ``LOG_LEVELS`` in :mod:`pysmtpd.core.config`
    text: str


@dataclass(frozen=True, slots=True)
class Close:
    """The session is over: flush, then close the connection."""


@dataclass(frozen=True, slots=True)
class Accept:
    """Verdict: yes."""


@dataclass(frozen=True, slots=True)
class Refuse:
    """Verdict: no."""

    text: str = ""  #: what the callback said; may hold anything, the reply will be well-formed
    code: int | None = None  #: a reply code from 400 to 599 chosen by the callback, or the question's own when ``None``


Question: TypeAlias = CheckHost | CheckSender | CheckRecipient | Deliver
Event: TypeAlias = Question | Log | Close
Verdict: TypeAlias = Accept | Refuse
