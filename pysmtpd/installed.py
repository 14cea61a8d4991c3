"""The server of an interpreter that tkinter made: Python's view of the package that runs there."""

import time
from collections.abc import Mapping
from types import ModuleType
from typing import Any

from pysmtpd.callbacks import CALLBACK_OPTIONS, ConfigurationError, callbacks_in, check_callback
from pysmtpd.drivers.tcl import TclEngine, overrides_from_environment
from pysmtpd.drivers.tcl_values import tcl_value
from pysmtpd.drivers.tk import TkLink
from pysmtpd.options import OWN_OPTIONS, read

_CALL = "::pysmtpd::call"
_MAY_BE_FUNCTIONS = (*CALLBACK_OPTIONS, "command", "password")


class ListeningChannel:
    """The listening channel of a Tcl interpreter, with as much of a socket's interface as makes sense.

    Arguments:
        tk: the interpreter.
        name: the channel's name there.
    """

    def __init__(self, tk: Any, name: str) -> None:
        self._tk = tk
        self.name = name

    def getsockname(self) -> tuple[str, int]:
        """Return the IP address and the port listened on."""
        address, _, port, *_ = self._tk.splitlist(self._tk.call("fconfigure", self.name, "-sockname"))
        return str(address), int(port)

    def __str__(self) -> str:
        return self.name

    def __repr__(self) -> str:
        return f"<ListeningChannel {self.name}>"


class InstalledServer:
    """The server in one Tcl interpreter. To be used from the interpreter's own thread.

    Arguments:
        interpreter: what ``tkinter.Tcl()`` or ``tkinter.Tk()`` returned.
        callbacks: name of a module whose functions replace the script's callbacks, or the module itself; by default the one
            that ``PYSMTPD_CALLBACKS`` names, if it does.

    Raises ConfigurationError for a module that cannot be used, RuntimeError when another smtpd is loaded there already.
    """

    def __init__(self, interpreter: Any, callbacks: str | ModuleType | None = None) -> None:
        self._tk = interpreter.tk
        self._engine = TclEngine(callbacks_in(callbacks) if callbacks else overrides_from_environment())
        loaded = self._tk.call("package", "provide", "smtpd")
        if loaded:
            raise RuntimeError(f"smtpd {loaded} is loaded in this interpreter already; install() must come before it")
        TkLink(interpreter, self._engine).install()

    def configure(self, values: Mapping[str, Any]) -> None:
        """Set options, a callback to a Python function or to a Tcl command prefix. Raises ConfigurationError."""
        words: list[Any] = []
        for name, value in values.items():
            words += ["-" + name.lstrip("-"), self._tcl_value(name.lstrip("-"), value)]
        self._call("smtpd::configure", *words)

    def _tcl_value(self, name: str, value: Any) -> Any:
        if isinstance(value, Mapping):
            return tuple(word for pair in value.items() for word in pair)
        if name not in _MAY_BE_FUNCTIONS or isinstance(value, str | list | tuple):
            return value
        if value is None:
            return ""
        return (_CALL, self._engine.handle_for(check_callback(name, value)))

    def cget(self, option: str) -> Any:
        """Return the value of an option; a Python function where one was given. Raises ConfigurationError."""
        value = self._call("smtpd::cget", option)
        if option.lstrip("-") == "socket":
            return ListeningChannel(self._tk, str(value))
        if option.lstrip("-") in _MAY_BE_FUNCTIONS:
            words = self._tk.splitlist(value)
            if len(words) == 2 and words[0] == _CALL:
                return self._engine.function_named(words[1])
        name = option.lstrip("-")
        return read(name, tcl_value(value)) if name in OWN_OPTIONS else value

    def option_names(self) -> tuple[str, ...]:
        """Return the names of all options."""
        words = self._tk.splitlist(self._tk.call("smtpd::configure"))
        stock = [str(word)[1:] for word in words[::2] if str(word) != "-"]
        return tuple(dict.fromkeys((*stock, *OWN_OPTIONS)))

    def start(self, myaddr: str, port: int) -> ListeningChannel:
        """Listen. Raises OSError when the address or the port cannot be had, RuntimeError when listening already."""
        try:
            return ListeningChannel(self._tk, self._tk.call("smtpd::start", myaddr, port))
        except self._error() as error:
            kind = OSError if "open socket" in str(error) else RuntimeError
            raise kind(f"{error} (address {myaddr or 'any'!r}, port {port})") from None

    def stop(self) -> None:
        """Stop listening; live sessions go on."""
        self._tk.call("smtpd::stop")

    def stopped(self) -> bool:
        """Tell whether the server was stopped, and not started since."""
        return bool(self._tk.call("info", "exists", "::smtpd::stopped")) and self._tk.getboolean(
            self._tk.call("set", "::smtpd::stopped")
        )

    def wait_stopped(self, timeout: float | None) -> bool:
        """Run the interpreter's event loop until the server is stopped, for ``timeout`` seconds or without end."""
        deadline = None if timeout is None else time.monotonic() + timeout
        alarm = None if timeout is None else self._tk.call("after", int(timeout * 1000), "")
        while not self.stopped() and (deadline is None or time.monotonic() < deadline):
            self._tk.dooneevent(0)
        if alarm is not None:
            self._tk.call("after", "cancel", alarm)
        return self.stopped()

    def _call(self, *words: Any) -> Any:
        try:
            return self._tk.call(*words)
        except self._error() as error:
            raise ConfigurationError(str(error)) from None

    @staticmethod
    def _error() -> type[Exception]:
        from _tkinter import TclError

        return TclError
