"""The options of a server as Python gives them: names checked, values checked, put into a core ``Config``."""

from collections.abc import Callable, Mapping
from typing import Any

from pysmtpd.callbacks import CALLBACK_OPTIONS, Callback, ConfigurationError, check_callback, put_question
from pysmtpd.core import Accept, Config, Deliver, Session
from pysmtpd.core.events import Question, Verdict
from pysmtpd.core.profile import QUIRKS, profile_named
from pysmtpd.tls_options import TLS_OPTIONS, TlsOptions


class Options:
    """A server's options by their names in the stock package, and the callbacks among them.

    Beside those: ``profile``, each quirk by its name, and for TLS what :mod:`pysmtpd.tls_options` lists. Options of
    :class:`Config` are changed in place, so that live sessions see them.

    Arguments:
        config: the settings to keep in step.
        keep: what takes each message that the callbacks welcome, before its client is told; it may refuse still.
    """

    def __init__(self, config: Config, keep: Callable[[Deliver, Session], Verdict] | None = None) -> None:
        self.config = config
        self.keep = keep
        self._always = frozenset({"deliver"} if keep else ())
        config.ask = self._always
        self.callbacks: dict[str, Callback] = {}
        self.serveraddr = ""
        self.tls = TlsOptions()

    def answer(self, question: Question, session: Session) -> Verdict:
        """Put a question to the callback that answers it; a message that is welcome is kept. Never raises."""
        verdict = put_question(self.callbacks, question)
        if self.keep is not None and isinstance(question, Deliver) and isinstance(verdict, Accept):
            return self.keep(question, session)
        return verdict

    def names(self) -> tuple[str, ...]:
        """Return the names of all options."""
        return (*CALLBACK_OPTIONS, *_PLAIN_OPTIONS, *TLS_OPTIONS, *QUIRKS)

    def get(self, name: str) -> Any:
        """Return an option's value; None for a callback that is not set. Raises ConfigurationError naming the options."""
        name = self._known(name)
        if name in CALLBACK_OPTIONS:
            return self.callbacks.get(name)
        if name in TLS_OPTIONS:
            return self.tls.get(name)
        if name in QUIRKS:
            return getattr(self.config.profile, name)
        return _GETTERS[name](self)

    def set(self, values: Mapping[str, Any]) -> None:
        """Set options: all of them, or none where one is refused. Raises ConfigurationError."""
        checked = {self._known(name): value for name, value in values.items()}
        about_tls = {name: checked.pop(name) for name in tuple(checked) if name in TLS_OPTIONS}
        for name, value in checked.items():
            _check(name, value)
        tls = self.tls.changed(about_tls) if about_tls else self.tls
        # The profile first: it brings a banner of its own, and the quirks it is to have may be named beside it.
        for name in sorted(checked, key=lambda name: name != "profile"):
            self._set(name, checked[name])
        self.tls = tls
        tls.put_into(self.config)

    def _known(self, name: str) -> str:
        bare = name.lstrip("-")
        if bare not in self.names():
            raise ConfigurationError(f'unknown option "{name}": must be one of {", ".join(self.names())}')
        return bare

    def _set(self, name: str, value: Any) -> None:
        config = self.config
        if name in CALLBACK_OPTIONS:
            self._set_callback(name, value)
        elif name in QUIRKS:
            self._use_profile(config.profile.with_quirks(**{name: value}))
        elif name == "profile":
            self._use_profile(profile_named(value))
        elif name == "banner":
            config.banner = value
        elif name == "loglevel":
            config.log_to(value)
        else:
            self.serveraddr = value
            config.server_address = value or config.hostname

    def _use_profile(self, profile: Any) -> None:
        banner = self.config.banner
        dialect = self.config.replies
        self.config.use_profile(profile)
        if self.config.replies is dialect:
            self.config.banner = banner

    def _set_callback(self, name: str, value: Callback | str | None) -> None:
        if value is None or isinstance(value, str):  # the empty string, as Tcl has it
            self.callbacks.pop(name, None)
        else:
            self.callbacks[name] = value
        self.config.ask = self._always.union(CALLBACK_OPTIONS[option] for option in self.callbacks)


def _check(name: str, value: Any) -> None:
    if name in CALLBACK_OPTIONS:
        if value is not None and value != "":
            check_callback(name, value)
    elif name in QUIRKS:
        if not isinstance(value, bool):
            raise ConfigurationError(f"{name} is {value!r}: must be True or False")
    elif not isinstance(value, str):
        raise ConfigurationError(f"{name} is {value!r}: must be a string")
    elif name == "profile":
        _named(name, profile_named, value)
    elif any(character in value for character in "\r\n\0"):
        raise ConfigurationError(f"{name} is {value!r}: must be a single line")
    elif name == "loglevel":
        _named(name, Config(str, str, "").log_to, value)


def check_port(port: object) -> None:
    """Raise ConfigurationError unless ``port`` is a port number."""
    if type(port) is not int or not 0 <= port <= 65535:
        raise ConfigurationError(f"port is {port!r}: must be a number from 0 to 65535")


def _named(name: str, check: Callable[[str], object], value: str) -> None:
    try:
        check(value)
    except ValueError as error:
        raise ConfigurationError(f"{name}: {error}") from None


_GETTERS: Mapping[str, Callable[[Options], str]] = {
    "profile": lambda options: options.config.profile.name,
    "banner": lambda options: options.config.banner,
    "loglevel": lambda options: options.config.log_level,
    "serveraddr": lambda options: options.serveraddr,
}
_PLAIN_OPTIONS = tuple(_GETTERS)
