"""What a server is set to: options, extensions, limits, and the clock and ids it is given.

One :class:`Config` is shared by all sessions of a server and read when needed, so a change takes effect in live sessions, as
it does in the stock package.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from pysmtpd.core.profile import RFC5321, Profile
from pysmtpd.core.replies import STANDARD, STOCK, wire
from pysmtpd.core.sequence import rules_under

if TYPE_CHECKING:
    from pysmtpd.core.tls import Context

#: Levels of the log, least important first: those of tcllib's logger.
LOG_LEVELS = ("debug", "info", "notice", "warn", "error", "critical", "alert", "emergency")

#: What EHLO lists under ``tcllib-1.5``, in the stock package's order.
STOCK_EXTENSIONS = {"SIZE": "0", "8BITMIME": ""}

#: What EHLO lists otherwise: RFC 2920, RFC 6152, RFC 1870, RFC 2034. The value of SIZE is the limit.
EXTENSIONS = {"PIPELINING": "", "8BITMIME": "", "SIZE": "", "ENHANCEDSTATUSCODES": ""}

STOCK_BANNER = "tcllib smtpd 1.5"
STOCK_SOFTWARE = "tcllib smtpd (1.5)"
BANNER = "pysmtpd"

STOCK_COMMANDS = ("EHLO", "HELO", "MAIL", "RCPT", "DATA", "RSET", "NOOP", "QUIT", "HELP")

#: What HELP says, by topic, in the stock package's words.
STOCK_HELP: dict[str, tuple[str, ...]] = {
    "": ("Topics:", "   HELO MAIL DATA RSET NOOP QUIT", 'For more information use "HELP <topic>".'),
    "HELO": ("HELO <hostname>", "   Introduce yourself."),
    "MAIL": (
        "MAIL FROM: <sender> [ <parameters> ]",
        "   Specify the sender of the message.",
        "   If using ESMTP there may be additional parameters of the",
        "   form NAME=VALUE.",
    ),
    "DATA": ("DATA", "   Send your mail message.", "   End with a line containing a single dot."),
    "RSET": ("RSET", "   Reset the session."),
    "NOOP": ("NOOP", "   Command ignored by server."),
    "QUIT": ("QUIT", "   Exit SMTP session"),
}


class Limits:
    """How much one client may make the server hold. RFC 5321, 4.5.3.1, names minimums; these are generous."""

    __slots__ = ("command_line", "message", "recipients")

    def __init__(self) -> None:
        self.command_line = 131_072  #: octets in a command line, without its CRLF
        self.message = 268_435_456  #: octets in a message; more is 552
        self.recipients = 100_000  #: recipients in one mail transaction; more is 452


class Config:
    """The settings of one server.

    Arguments:
        timestamp: the clock: returns the time as RFC 5322, 3.3, writes it.
        new_id: returns an id for a message, unlike any before.
        hostname: stands in the ``by`` line of the trace header, and behind an address that has no domain.
        profile: a profile from :mod:`pysmtpd.core.profile`.
    """

    __slots__ = (
        "_extensions",
        "ask",
        "banner",
        "commands",
        "extension_lines",
        "extension_lines_encrypted",
        "help",
        "hostname",
        "limits",
        "log_level",
        "log_threshold",
        "new_id",
        "profile",
        "replies",
        "rules",
        "scripted",
        "server_address",
        "software",
        "timestamp",
        "tls",
        "tls_implicit",
        "tls_required",
    )

    def __init__(
        self, timestamp: Callable[[], str], new_id: Callable[[], str], hostname: str, profile: Profile = RFC5321
    ) -> None:
        self.timestamp = timestamp
        self.new_id = new_id
        self.hostname = hostname
        self.server_address = hostname  #: what the greeting, the answer to HELO and the goodbye show
        self.limits = Limits()
        self.help = dict(STOCK_HELP)  #: topic -> lines
        self.commands: frozenset[str] = frozenset(
            STOCK_COMMANDS
        )  #: the verbs that are known; one without a handler is not implemented
        #: The questions somebody listens for, out of ``host sender recipient deliver``; the others are answered with yes.
        self.ask: frozenset[str] = frozenset()
        self.scripted: frozenset[str] = frozenset()  #: verbs that a script handles, ours or its own
        self.tls: Context | None = None  #: the server's certificate and key; without it STARTTLS is answered 454
        self.tls_implicit = False  #: every session begins with the handshake
        self.tls_required = False  #: no mail in the clear
        self.log_to("warn")
        self.use_profile(profile)

    def use_profile(self, profile: Profile) -> None:
        """Take a profile, and with it what it says of banner, extensions and replies."""
        self.profile = profile
        self.hand_over(self.scripted)
        self.replies = STOCK if profile.stock_replies else STANDARD
        self.banner = STOCK_BANNER if profile.stock_replies else BANNER
        self.software = STOCK_SOFTWARE if profile.stock_replies else BANNER
        self.extensions = STOCK_EXTENSIONS if profile.stock_replies else {**EXTENSIONS, "SIZE": str(self.limits.message)}

    def hand_over(self, verbs: frozenset[str]) -> None:
        """Leave these verbs, and no others, to the script: each command is a question, :class:`~pysmtpd.core.events.Command`."""
        self.scripted = verbs
        rules = rules_under(self.profile, tls_required=self.tls_required)
        self.rules = {verb: rules[verb] for verb in rules if verb not in verbs}

    def use_tls(self, context: "Context | None", *, implicit: bool = False, required: bool = False) -> None:
        """Serve with this certificate; None for none. The three settings of the class are the three arguments.

        Whether STARTTLS is a command and listed by EHLO is for :attr:`commands` and :attr:`extensions` to say.
        """
        self.tls = context
        self.tls_implicit = implicit
        self.tls_required = required
        self.hand_over(self.scripted)

    @property
    def extensions(self) -> Mapping[str, str]:
        """What EHLO lists: keyword -> parameters, in order."""
        return self._extensions

    @extensions.setter
    def extensions(self, extensions: Mapping[str, str]) -> None:
        self._extensions = dict(extensions)
        lines = {keyword: wire(f"250-{keyword} {parameters}".rstrip()) for keyword, parameters in self._extensions.items()}
        self.extension_lines = b"".join(lines.values())
        lines.pop("STARTTLS", None)  # RFC 3207, 4.2
        self.extension_lines_encrypted = b"".join(lines.values())

    def log_to(self, level: str) -> None:
        """Set the least important level that is logged; ``none`` for nothing. Raises ValueError naming the levels."""
        if level not in LOG_LEVELS and level != "none":
            raise ValueError(f"unknown log level {level!r}: must be one of {', '.join(LOG_LEVELS)} or none")
        self.log_level = level
        self.log_threshold = LOG_LEVELS.index(level) if level in LOG_LEVELS else len(LOG_LEVELS)

    def logs(self, level: str) -> bool:
        """Tell whether a line of this level is wanted."""
        return LOG_LEVELS.index(level) >= self.log_threshold

    def unavailable(self) -> bytes:
        """Return the reply with which a driver turns a client away: 421."""
        return wire(self.replies.unavailable.format(server=self.server_address))
