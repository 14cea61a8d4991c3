"""What a server is set to: options, extensions, limits, and the clock and ids it is given.

One :class:`Config` is shared by all sessions of a server and read when needed, so a change takes effect in live sessions, as
it does in the stock package.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from pysmtpd.core.envelope import PlainEnvelope, ReadPath
from pysmtpd.core.profile import QUIRKS, RFC5321, Profile, profile_named
from pysmtpd.core.replies import STANDARD, STOCK, LastReply, Replies, wire, without_status_codes
from pysmtpd.core.sequence import rules_under
from pysmtpd.core.settings import EXTENSIONS, MECHANISMS, SETTINGS, Extension

if TYPE_CHECKING:
    from pysmtpd.core.faults import Faults
    from pysmtpd.core.session import Session
    from pysmtpd.core.tls import Context

#: Levels of the log, least important first: those of tcllib's logger.
LOG_LEVELS = ("debug", "info", "notice", "warn", "error", "critical", "alert", "emergency")

#: What EHLO lists under ``tcllib-1.5``, in the stock package's order.
STOCK_EXTENSIONS = {"SIZE": "0", "8BITMIME": ""}

#: What a command line may be long at most, in octets: positions behind it are still such that Python can count them.
LONGEST_LINE = 1 << 31

STOCK_BANNER = "tcllib smtpd 1.5"
STOCK_SOFTWARE = "tcllib smtpd ({version})"
BANNER = "pysmtpd"

STOCK_COMMANDS = frozenset({"EHLO", "HELO", "MAIL", "RCPT", "DATA", "RSET", "NOOP", "QUIT", "HELP"})

#: What a client that pipelines sends at once.
_TRANSACTION = frozenset({"RSET", "MAIL", "RCPT", "DATA"})

#: The questions that no command of those puts.
_NOT_IN_ENVELOPES = frozenset({"host", "deliver", "tls"})

#: Verbs that our dialect recognizes (502) where it does not have them (500 for all others): RFC 5321, 4.2.4.
_RECOGNIZED = frozenset({"AUTH", "BDAT", "ETRN", "EXPN", "SAML", "SEND", "SOML", "STARTTLS", "TURN", "VRFY"})

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

#: What HELP says in our dialect besides, of commands that the stock package says nothing of.
OWN_HELP: dict[str, tuple[str, ...]] = {
    "EHLO": ("EHLO <hostname>", "   Introduce yourself, and learn what this server can do."),
    "LHLO": ("LHLO <hostname>", "   Introduce yourself, and learn what this server can do."),
    "RCPT": ("RCPT TO:<recipient> [ <parameters> ]", "   Name one recipient of the message."),
    "BDAT": ("BDAT <size> [ LAST ]", "   Send a part of the message, of so many octets, behind this line."),
    "AUTH": ("AUTH <mechanism> [ <response> ]", "   Say who you are, and prove it."),
    "STARTTLS": ("STARTTLS", "   Go on under TLS."),
    "VRFY": ("VRFY <address>", "   Ask whether an address would be accepted."),
    "EXPN": ("EXPN <list>", "   Ask who is on a mailing list. There are none here."),
    "HELP": ("HELP [ <command> ]", "   Show this text."),
}


class Limits:
    """How much one client may make the server hold. RFC 5321, 4.5.3.1, names minimums; the defaults are generous."""

    __slots__ = ("command_line", "errors", "idle", "message", "recipients")

    command_line: int  #: octets in a command line, without its CRLF; more is 500
    message: int  #: octets in a message; more is 552
    recipients: int  #: recipients in one mail transaction; more is 452
    errors: int  #: commands refused in one session; with the last of them comes a 421. 0: no limit
    idle: float  #: seconds that a client may be silent, for the driver to measure; then it gets a 421. 0: no limit


class Config:
    """The settings of one server.

    Arguments:
        timestamp: the clock: returns the time as RFC 5322, 3.3, writes it.
        new_id: returns an id for a message, unlike any before.
        hostname: stands in the ``by`` line of the trace header, and behind an address that has no domain.
        profile: a profile from :mod:`pysmtpd.core.profile`.
    """

    __slots__ = (
        "_base",
        "_chosen",
        "_extensions",
        "_plain_sequence",
        "_script_commands",
        "_script_extensions",
        "ask",
        "banner",
        "commands",
        "extension_lines",
        "faults",
        "greeting",
        "hello",
        "help",
        "hostname",
        "last_envelope",
        "last_paths",
        "limits",
        "lmtp",
        "log_level",
        "log_threshold",
        "mechanisms",
        "new_id",
        "new_nonce",
        "observe",
        "offered",
        "profile",
        "proxy",
        "replies",
        "rules",
        "script_logs_delivery",
        "scripted",
        "server_address",
        "software",
        "stock_version",
        "timestamp",
        "tls",
        "tls_implicit",
        "tls_offered",
        "tls_required",
        "users",
        "whole_envelopes",
    )

    def __init__(
        self, timestamp: Callable[[], str], new_id: Callable[[], str], hostname: str, profile: Profile = RFC5321
    ) -> None:
        self.timestamp = timestamp
        self.new_id = new_id
        self.new_nonce: Callable[[], str] = lambda: f"{new_id()}{new_id()}"  #: returns what nobody can guess, for AUTH
        self.hostname = hostname
        self.server_address = hostname  #: what the greeting, the answer to HELO and the goodbye show
        # What was read last, without parameters: clients of a test are alike, and send what they sent before.
        self.last_envelope: PlainEnvelope | None = None
        self.last_paths: dict[str, tuple[str, ReadPath | None]] = {"MAIL": ("", None), "RCPT": ("", None)}
        self.greeting = LastReply()
        self.hello = LastReply()
        self.limits = Limits()
        self.help = dict(STOCK_HELP)  #: topic -> lines
        #: The questions somebody listens for, out of ``host sender recipient deliver``; the others are answered with yes.
        self.ask: frozenset[str] = frozenset()
        #: What goes wrong on purpose; looked at in sessions that are recorded.
        self.faults: Faults | None = None
        #: What is told of each session at its start; None where nobody cares.
        self.observe: Callable[[Session], object] | None = None
        self.scripted: frozenset[str] = frozenset()  #: verbs that a script handles, ours or its own
        self.stock_version = "1.5"  #: what the stock package's trace header says it is; in force from the next choose on
        self.script_logs_delivery = False  #: a script that has the messages logs by itself what goes wrong with one
        self.tls: Context | None = None  #: the server's certificate and key; without it STARTTLS is answered 454
        self.tls_implicit = False  #: every session begins with the handshake
        self.tls_required = False  #: no mail in the clear
        self.tls_offered = False  #: EHLO lists STARTTLS
        self._base = profile
        self._chosen: Mapping[str, Any] = {}
        self._script_commands = STOCK_COMMANDS
        self._script_extensions: Mapping[str, str] = STOCK_EXTENSIONS
        self._plain_sequence = False
        self.log_to("warn")
        self._settle()

    def use_profile(self, profile: Profile) -> None:
        """Take a profile, and with it what it says of banner, extensions and replies; what was chosen by name stays."""
        self._base = profile
        self._settle()

    def choose(self, values: Mapping[str, Any]) -> None:
        """Set what differs from the defaults, in place of what was chosen before.

        Arguments:
            values: by name: ``profile`` (a name), quirks, ``banner``, and those of :mod:`pysmtpd.core.settings`.

        Raises ValueError for a profile that does not exist.
        """
        if "profile" in values:
            self._base = profile_named(values["profile"])
        self._chosen = dict(values)
        self._settle()

    def value(self, name: str) -> Any:
        """Return the value in force of what :meth:`choose` takes."""
        if name == "profile":
            return self.profile.name
        if name == "banner":
            return self.banner
        if name in QUIRKS:
            return getattr(self.profile, name)
        default = SETTINGS[name]
        return self._chosen.get(name, default.stock if self.profile.stock_replies else default.ours)

    def _settle(self) -> None:
        """Work out everything that depends on the profile and on what was chosen."""
        quirks = {name: value for name, value in self._chosen.items() if name in QUIRKS}
        self.profile = self._base.with_quirks(**quirks)
        stock = self.profile.stock_replies
        self.replies: Replies = STOCK if stock else STANDARD if self.value("enhancedstatuscodes") else without_status_codes()
        self.banner = self._chosen.get("banner", STOCK_BANNER if stock else BANNER)
        self.software = STOCK_SOFTWARE.format(version=self.stock_version) if stock else BANNER
        self.lmtp: bool = self.value("lmtp")
        self.proxy: bool = self.value("proxy")
        limits = self.limits
        limits.message = self.value("size_limit")
        limits.command_line = min(self.value("line_limit"), LONGEST_LINE)
        limits.recipients = self.value("recipient_limit")
        limits.errors = self.value("error_limit")
        limits.idle = self.value("idle_timeout")
        self._settle_offers()

    def listen_for(self, kinds: frozenset[str]) -> None:
        """Say which questions somebody listens for: :attr:`ask`. AUTH is offered where there is somebody to log in."""
        self.ask = kinds
        self._settle_offers()

    def _settle_offers(self) -> None:
        self.users: Mapping[str, str] = self.value("auth_users")
        #: The mechanisms of AUTH that can be used, in order.
        self.mechanisms: tuple[str, ...] = ()
        if self.users or "user" in self.ask:
            self.mechanisms = tuple(name for name in self.value("auth_mechanisms") if self.users or not MECHANISMS[name])
        self._list_extensions()
        self.hand_over(self._script_commands, self.scripted)

    def hand_over(self, commands: frozenset[str], scripted: frozenset[str]) -> None:
        """Take what a script says of the verbs.

        Arguments:
            commands: those it knows, beside those our extensions bring.
            scripted: those among them, and no others, that it handles itself: each command is a question,
                :class:`~pysmtpd.core.events.Command`. One that nobody handles is not implemented.
        """
        self._script_commands = commands
        self.scripted = scripted
        ours = {verb for name in self.offered for verb in EXTENSIONS[name].verbs}
        if self.tls_offered or "STARTTLS" in commands:
            ours.add("STARTTLS")
        if self.lmtp:  # RFC 2033, 4.1
            commands = commands - {"EHLO", "HELO"} | {"LHLO"}
        self.commands = commands | ours | (frozenset() if self.profile.stock_replies else _RECOGNIZED)
        handled = (STOCK_COMMANDS | {"LHLO"} | ours) - scripted
        rules = rules_under(self.is_on, tls_required=self.tls_required)
        self.rules = {verb: rules[verb] for verb in rules if verb in handled}
        # Whether nothing but MAIL and RCPT must go before DATA, and a script handles none of them.
        self._plain_sequence = self.rules.keys() >= _TRANSACTION <= self.commands and not (
            self.tls_required or self.value("auth_required")
        )
        self._settle_steps()

    def _settle_steps(self) -> None:
        #: Whether nobody is to hear of each command of a mail transaction up to DATA: they may be taken in one step then.
        self.whole_envelopes = self._plain_sequence and self.log_threshold > 0 and self.ask <= _NOT_IN_ENVELOPES

    def help_on(self, topic: str) -> tuple[str, ...] | None:
        """Return what HELP says on a topic, ``""`` being the overview; None where it knows nothing of it.

        The overview of our dialect names the commands there are, unless a script has written one of its own.
        """
        lines = self.help.get(topic)
        if self.profile.stock_replies:
            return lines
        if not topic and lines == STOCK_HELP[""]:
            ours = self.rules.keys() | self.scripted
            known = (verb for verb in rules_under(self.is_on) if verb in self.commands and verb in ours)
            return "Commands:", f"   {' '.join(known)}", 'For more information use "HELP <command>".'
        return OWN_HELP.get(topic) if lines is None and topic in self.rules else lines

    def is_on(self, name: str) -> bool:
        """Tell whether a quirk or a setting is on."""
        return bool(self.value(name))

    def use_tls(
        self, context: "Context | None", *, implicit: bool = False, required: bool = False, offered: bool = False
    ) -> None:
        """Serve with this certificate; None for none. The other settings for TLS are the other arguments."""
        self.tls = context
        self.tls_implicit = implicit
        self.tls_required = required
        self.tls_offered = offered
        self._settle_offers()

    @property
    def extensions(self) -> Mapping[str, str]:
        """What EHLO lists: keyword -> parameters, in order."""
        return self._extensions

    def extend(self, extensions: Mapping[str, str]) -> None:
        """Take what a script lists as extensions, keyword -> parameters: in our dialect, more of them."""
        self._script_extensions = dict(extensions)
        self._list_extensions()

    def _list_extensions(self) -> None:
        #: The settings whose extensions are offered, be it only in clear text or only encrypted.
        self.offered = frozenset(
            name
            for name, extension in EXTENSIONS.items()
            if self._offers(name, extension, secure=False) or self._offers(name, extension, secure=True)
        )
        self._extensions = self._offered(secure=False)
        self.extension_lines = self._lines(self._extensions), self._lines(self._offered(secure=True))

    def _offered(self, *, secure: bool) -> dict[str, str]:
        stock = self.profile.stock_replies
        offered = dict(self._script_extensions) if stock else {}
        for name, extension in EXTENSIONS.items():
            if self._offers(name, extension, secure=secure):
                offered[extension.keyword] = self._parameters(name)
            elif name in self._chosen:
                offered.pop(extension.keyword, None)
        if not stock:
            script = self._script_extensions.items()
            offered.update({keyword: value for keyword, value in script if STOCK_EXTENSIONS.get(keyword) != value})
        if self.tls_offered:
            offered = {"STARTTLS": "", **offered} if stock else {**offered, "STARTTLS": ""}
        if secure:
            offered.pop("STARTTLS", None)  # RFC 3207, 4.2
        return offered

    def _offers(self, name: str, extension: Extension, *, secure: bool) -> bool:
        return bool(
            self.value(name)
            and (not extension.needs or self.value(extension.needs))
            and (extension.secure if secure else extension.clear)
            and (name != "auth" or self._offers_auth(secure=secure))
        )

    def _offers_auth(self, *, secure: bool) -> bool:
        return bool(self.mechanisms) and (secure or not self.value("auth_require_tls"))

    def _parameters(self, name: str) -> str:
        if name == "auth":
            return " ".join(self.mechanisms)
        return str(self.limits.message) if name == "size" else ""

    def _lines(self, extensions: Mapping[str, str]) -> bytes:
        lines = [f"250-{keyword} {parameters}".rstrip() for keyword, parameters in extensions.items()]
        if self.profile.stock_replies:
            lines.append(self.replies.ehlo_end)
        elif lines:
            lines[-1] = lines[-1].replace("-", " ", 1)
        return b"".join(map(wire, lines))

    def log_to(self, level: str) -> None:
        """Set the least important level that is logged; ``none`` for nothing. Raises ValueError naming the levels."""
        if level not in LOG_LEVELS and level != "none":
            raise ValueError(f"unknown log level {level!r}: must be one of {', '.join(LOG_LEVELS)} or none")
        self.log_level = level
        self.log_threshold = LOG_LEVELS.index(level) if level in LOG_LEVELS else len(LOG_LEVELS)
        self._settle_steps()

    def logs(self, level: str) -> bool:
        """Tell whether a line of this level is wanted."""
        return LOG_LEVELS.index(level) >= self.log_threshold

    def unavailable(self) -> bytes:
        """Return the reply with which a driver turns a client away: 421."""
        return wire(self.replies.unavailable.format(server=self.server_address))
