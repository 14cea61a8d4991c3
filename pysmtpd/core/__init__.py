"""The SMTP engine: bytes in, events and reply bytes out.

Nothing in this package opens a socket, reads a clock, draws a random number or knows an event loop; a test holds it to
that. Whoever moves the bytes is a *driver* (``pysmtpd.drivers``), and every driver runs the same loop:

1. **feed**: hand what the client sent to :meth:`Session.receive` (or say :meth:`Session.receive_eof`);
2. **next event**: call :meth:`Session.next_event` until it returns ``None``;
3. **flush**: after the last event, and before anything that may take its time, send what :meth:`Session.take_output` returns,
   in one write;
4. **resolve**: a :class:`Log` is written, a :class:`Close` closes the connection after the flush, a question
   (:data:`Question`) is put to whoever listens;
5. **answer**: hand the verdict to :meth:`Session.answer`, and go on at step 2.

Where the connection is gone before the session has closed it, the driver says so: :meth:`Session.drop`.

While a question is open ``next_event`` returns ``None`` and bytes are only buffered, so a callback may take its time or run an
event loop of its own and replies still leave in the order of the commands. A driver stops reading while
:attr:`Session.wants_input` is false.

TLS is the session's own affair (:mod:`pysmtpd.core.tls`): what a driver carries are then records, in both directions, and
:class:`StartTls` is a question as the others are, answered with yes where nobody listens.
"""

from pysmtpd.core.config import Config, Limits
from pysmtpd.core.events import (
    Accept,
    CheckHost,
    CheckRecipient,
    CheckSender,
    CheckUser,
    Close,
    Command,
    Deliver,
    Event,
    Log,
    Pause,
    Question,
    Refuse,
    RefuseSome,
    StartTls,
    TlsReport,
    Verdict,
)
from pysmtpd.core.profile import PROFILES, RFC5321, TCLLIB_1_5, Profile
from pysmtpd.core.session import Session

__all__ = [
    "PROFILES",
    "RFC5321",
    "TCLLIB_1_5",
    "Accept",
    "CheckHost",
    "CheckRecipient",
    "CheckSender",
    "CheckUser",
    "Close",
    "Command",
    "Config",
    "Deliver",
    "Event",
    "Limits",
    "Log",
    "Pause",
    "Profile",
    "Question",
    "Refuse",
    "RefuseSome",
    "Session",
    "StartTls",
    "TlsReport",
    "Verdict",
]
