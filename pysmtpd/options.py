"""The options of a server, in one table: what each is called, what it may be, and how it is read from text.

Python's keywords, Tcl's ``smtpd::configure -name value`` and the command line all take what stands here. Names and values are
checked, and put into a core ``Config``; errors name the option, its value and what is allowed.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from pysmtpd.callbacks import CALLBACK_OPTIONS, Callback, ConfigurationError, check_callback
from pysmtpd.core import Config, Deliver, Session
from pysmtpd.core.config import LOG_LEVELS
from pysmtpd.core.events import Verdict
from pysmtpd.core.profile import PROFILES, QUIRKS
from pysmtpd.core.settings import EXTENSIONS, MECHANISMS
from pysmtpd.drivers.tcl_values import list_elements
from pysmtpd.tls_options import CERTIFICATES, MODES, TLS_OPTIONS, TlsOptions

_TRUE = ("1", "true", "yes", "on")
_FALSE = ("0", "false", "no", "off")


class Kind(NamedTuple):
    """What an option may be."""

    allowed: str  #: in words, for an error
    fits: Callable[[Any], bool]
    read: Callable[[str], Any] = str  #: makes a value of text; what it cannot read raises ValueError
    secret: bool = False  #: whether a value must not be shown


def _read_flag(text: str) -> bool:
    if text.lower() not in _TRUE + _FALSE:
        raise ValueError(text)
    return text.lower() in _TRUE


def _single_line(value: Any) -> bool:
    return isinstance(value, str) and not any(character in value for character in "\r\n\0")


def _at_least(least: int) -> Callable[[Any], bool]:
    return lambda value: type(value) is int and value >= least


def _read_number(text: str) -> int | float:
    return int(text) if text.isdigit() else float(text)


def _duration(value: Any) -> bool:
    return type(value) in (int, float) and 0 <= value < float("inf")


def _read_users(text: str) -> dict[str, str]:
    """Read a Tcl dictionary, which is also what one user and one secret look like on a command line."""
    words = list_elements(text)
    if len(words) % 2:
        raise ValueError("a user without a secret")
    return dict(zip(words[::2], words[1::2], strict=True))


def _users(value: Any) -> bool:
    if not isinstance(value, Mapping):
        return False
    return all(isinstance(text, str) and text and "\0" not in text for pair in value.items() for text in pair)


def _mechanisms(value: Any) -> bool:
    return isinstance(value, list | tuple) and bool(value) and all(isinstance(name, str) and name in MECHANISMS for name in value)


FLAG = Kind("True or False", lambda value: isinstance(value, bool), _read_flag)
LINE = Kind("a string of a single line", _single_line)
PROFILE = Kind(f"one of {', '.join(PROFILES)}", lambda value: isinstance(value, str) and value in PROFILES)
LEVEL = Kind(f"one of {', '.join(LOG_LEVELS)} or none", lambda value: isinstance(value, str) and value in (*LOG_LEVELS, "none"))
TLS_MODE = Kind(f"one of {', '.join(MODES)}", MODES.__contains__)
CERTIFICATE = Kind(f"one of {', '.join(CERTIFICATES)}", CERTIFICATES.__contains__)
COUNT = Kind("a number from 1 up", _at_least(1), int)
COUNT_OR_NONE = Kind("a number from 1 up, or 0 for no limit", _at_least(0), int)
SECONDS_OR_NONE = Kind("a number of seconds, or 0 for no limit", _duration, _read_number)
USERS = Kind("user names and their secrets", _users, _read_users, secret=True)
MECHANISM_NAMES = Kind(f"a list of {', '.join(MECHANISMS)}", _mechanisms, lambda text: tuple(list_elements(text.upper())))


class Option(NamedTuple):
    """An option that is no callback."""

    kind: Kind
    purpose: str  #: in one line, for a list of options


#: The options that a stock script knows by other ways: ``smtpd::configure`` and ``smtpd::start`` of Tcl have these to themselves.
_STOCK: Mapping[str, Option] = {
    "banner": Option(LINE, "text of the greeting"),
    "loglevel": Option(LEVEL, "least important level that is logged"),
    "serveraddr": Option(LINE, "what the server calls itself in replies; by default the address given, or the host's name"),
}

#: Ours, by name; Tcl scripts set them with ``smtpd::configure``.
OWN_OPTIONS: Mapping[str, Option] = {
    "profile": Option(PROFILE, "tcllib-1.5: as the stock Tcl package does; rfc5321: a modern ESMTP server"),
    "size_limit": Option(COUNT, "octets in a message; more is 552"),
    "line_limit": Option(COUNT, "octets in a command line; more is 500"),
    "recipient_limit": Option(COUNT, "recipients in one mail transaction; more is 452"),
    "error_limit": Option(COUNT_OR_NONE, "commands refused before a session is closed with 421"),
    "idle_timeout": Option(SECONDS_OR_NONE, "seconds a client may be silent before its session is closed with 421"),
    "lmtp": Option(FLAG, "speak LMTP (RFC 2033): LHLO, and one reply for each recipient"),
    "proxy": Option(FLAG, "expect a header of the PROXY protocol, version 1 or 2, before anything else"),
    "auth_users": Option(USERS, "who may log in: user names and their secrets"),
    "auth_mechanisms": Option(MECHANISM_NAMES, "the mechanisms of AUTH that are offered"),
    "auth_required": Option(FLAG, "take no mail before the client has logged in"),
    "auth_require_tls": Option(FLAG, "let nobody log in while the connection is in clear text"),
    "tls": Option(TLS_MODE, "starttls: offer STARTTLS (RFC 3207); implicit: TLS from the first octet (RFC 8314)"),
    "require_tls": Option(FLAG, "take no mail while the connection is in clear text"),
    "certificate": Option(CERTIFICATE, "the test certificate to serve with where there is none of one's own"),
    **{name: Option(FLAG, f"offer {keyword} (RFC {rfc})") for name, (keyword, rfc, *_) in EXTENSIONS.items()},
    **{name: Option(FLAG, f"quirk of the stock package: {name.replace('_', ' ')}") for name in QUIRKS},
}

OPTIONS: Mapping[str, Option] = {**_STOCK, **OWN_OPTIONS}


def check(name: str, value: Any, *, awaits: bool = False) -> None:
    """Raise ConfigurationError unless an option (by its name without a dash) may have this value.

    Arguments:
        awaits: whether a callback may be a coroutine function.
    """
    if name in CALLBACK_OPTIONS:
        if value is not None and value != "":
            check_callback(name, value, awaits=awaits)
    elif not OPTIONS[name].kind.fits(value):
        kind = OPTIONS[name].kind
        shown = f"a {type(value).__name__} of something else" if kind.secret else repr(value)
        raise ConfigurationError(f"{name} is {shown}: must be {kind.allowed}")


def read(name: str, text: str) -> Any:
    """Return the value of an option that a text stands for. Raises ConfigurationError."""
    kind = OPTIONS[name].kind
    try:
        value = kind.read(text)
    except ValueError:
        value = None
    if value is None or not kind.fits(value):
        allowed = "0 or 1" if kind is FLAG else kind.allowed
        shown = "something else" if kind.secret else f'"{text}"'
        raise ConfigurationError(f"{name} is {shown}: must be {allowed}")
    return value


class Options:
    """A server's options by name, and the callbacks among them. :class:`Config` is changed in place: live sessions see it.

    Arguments:
        config: the settings to keep in step.
        keep: what takes each message that the callbacks welcome, before its client is told; it may refuse still.
        awaits: whether a callback may be a coroutine function.
    """

    def __init__(
        self, config: Config, keep: Callable[[Deliver, Session], Verdict] | None = None, *, awaits: bool = False
    ) -> None:
        self.config = config
        self.keep = keep
        self._awaits = awaits
        self._always = frozenset({"deliver"} if keep else ())
        config.listen_for(self._always)
        self.callbacks: dict[str, Callback] = {}
        self.serveraddr = ""
        self._has_name = False  # whether serveraddr is what an option says
        self.tls = TlsOptions()
        self._chosen: dict[str, Any] = {}

    def names(self) -> tuple[str, ...]:
        """Return the names of all options."""
        return tuple(dict.fromkeys((*CALLBACK_OPTIONS, *OPTIONS, *TLS_OPTIONS)))

    def get(self, name: str) -> Any:
        """Return an option's value; None for a callback that is not set. Raises ConfigurationError naming the options."""
        name = self._known(name)
        if name in CALLBACK_OPTIONS:
            return self.callbacks.get(name)
        if name in TLS_OPTIONS:
            return self.tls.get(name)
        if name == "serveraddr":
            return self.serveraddr
        if name == "loglevel":
            return self.config.log_level
        return self.config.value(name)

    def set(self, values: Mapping[str, Any]) -> None:
        """Set options: all of them, or none where one is refused. Raises ConfigurationError."""
        checked = {self._known(name): value for name, value in values.items()}
        about_tls = {name: checked.pop(name) for name in tuple(checked) if name in TLS_OPTIONS}
        for name, value in checked.items():
            check(name, value, awaits=self._awaits)
        tls = self.tls.changed(about_tls) if about_tls else self.tls
        chosen = {}
        for name, value in checked.items():
            if name in CALLBACK_OPTIONS:
                self._listen(name, value)
            elif name == "loglevel":
                self.config.log_to(value)
            elif name == "serveraddr":
                self._has_name = bool(value)
                self._call_itself(value)
            else:
                chosen[name] = value
        if chosen:
            self._chosen.update(chosen)
            self.config.choose(self._chosen)
        if about_tls:
            self.tls = tls
            tls.put_into(self.config)
            self._listen("command", tls.get("command"))

    def listens_on(self, address: str) -> None:
        """Have the server called as the address that it listens on, unless an option says otherwise."""
        if not self._has_name:
            self._call_itself(address)

    def _call_itself(self, name: str) -> None:
        self.serveraddr = name
        self.config.server_address = name or self.config.hostname

    def _known(self, name: str) -> str:
        bare = name.lstrip("-")
        if bare not in self.names():
            raise ConfigurationError(f'unknown option "{name}": must be one of {", ".join(self.names())}')
        return bare

    def _listen(self, name: str, value: Callback | str | None) -> None:
        # Another dictionary each time: a session in another thread may be looking into the one before.
        callbacks = {option: function for option, function in self.callbacks.items() if option != name}
        if value is not None and not isinstance(value, str):  # the empty string, as Tcl has it
            callbacks[name] = value
        self.callbacks = callbacks
        self.config.listen_for(self._always.union(CALLBACK_OPTIONS.get(option, "tls") for option in self.callbacks))


def check_port(port: object) -> None:
    """Raise ConfigurationError unless ``port`` is a port number."""
    if type(port) is not int or not 0 <= port <= 65535:
        raise ConfigurationError(f"port is {port!r}: must be a number from 0 to 65535")
