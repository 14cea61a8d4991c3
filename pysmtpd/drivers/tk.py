"""The in-process driver: the engine inside the Python that tkinter's Tcl runs in.

The engine is a handful of Tcl commands, ``::pysmtpd::engine::*``, called by ``tcl/link-tk.tcl``. None of them ever raises
into Tcl (tkinter would lose the message): what goes wrong comes back as the action ``broken``, or ``lost`` where the client's
connection broke.
"""

import functools
import sys
from collections.abc import Callable
from itertools import islice
from tkinter import TclError
from typing import Any

from pysmtpd.callbacks import ConfigurationError, text_of
from pysmtpd.drivers.tcl import Actions, TclEngine
from pysmtpd.drivers.tcl_values import tcl_value
from pysmtpd.location import tcl_path

#: How much one readable event reads at most, so that one busy client does not keep the others waiting.
READ_SIZE = 262_144
#: Octets of replies a client may leave unread before nothing more is read from it.
MAX_UNREAD = 262_144

_WAIT: Actions = ("wait", "")
_DRAIN: Actions = ("drain", "")


class TkLink:
    """The engine's commands in one Tcl interpreter.

    Arguments:
        interpreter: what ``tkinter.Tcl()`` or ``tkinter.Tk()`` returned.
        engine: the engine to offer.
    """

    def __init__(self, interpreter: Any, engine: TclEngine) -> None:
        self.interpreter = interpreter
        self.engine = engine
        self._tk = interpreter.tk
        self._call = interpreter.tk.call
        self._sessions = engine.sessions
        engine.text_of = text_for_tcl
        self._write = self._write_now

    def install(self) -> None:
        """Create the commands and load the Tcl side: the package is provided, whatever else is on ``auto_path``."""
        self._tk.eval("namespace eval ::pysmtpd::engine {}")
        self._tk.call("set", "::pysmtpd::python", sys.executable)  # for child interpreters
        for name, command in self._commands().items():
            self._tk.createcommand(f"::pysmtpd::engine::{name}", command)
        # The index first: who forgets the package, and requires it again, is to have ours.
        self._tk.call("apply", "dir {source [file join $dir pkgIndex.tcl]}", str(tcl_path()))
        self._tk.call("source", str(tcl_path() / "smtpd.tcl"))

    def _commands(self) -> dict[str, Callable[..., object]]:
        engine = self.engine
        return {
            "configure": self._configure,
            "open": _guarded(lambda key, client, port, name: engine.open(key, client, int(port), name)),
            "adopt": lambda key, client, port, name: engine.adopt(key, client, int(port), name),
            "receive": self._receive,
            "take": _guarded(self._take),
            "piece": self._piece,
            "say": _guarded(engine.say),
            "overhear": engine.overhear,
            "accept": self._accept,
            "refuse": _guarded(lambda key, code, *result: engine.refuse(key, int(code), *result)),
            "resolve": _guarded(engine.resolve),
            "command": _guarded(engine.command),
            "expire": _guarded(engine.expire),
            "forget": engine.forget,
            "option": engine.option,
            "state": engine.state,
            "assign": lambda key, name, *values: engine.assign(key, name, list(values)),
            "call": lambda name, *arguments: engine.call(name, list(arguments)),
            "unavailable": engine.config.unavailable,
        }

    def _configure(self, *settings: str) -> str:
        """Take the settings; return what is wrong with them, or nothing."""
        try:
            self.engine.configure(zip(settings[::2], settings[1::2], strict=True))
        except (ConfigurationError, ValueError) as error:
            return tcl_value(str(error))
        self._write = _hand_over if self.engine.script_puts else self._write_now
        return ""

    def _take(self, key: str, data: str) -> Actions:
        """Take what Tcl has read by itself."""
        outcome = self.engine.receive(key, data.encode("latin-1"))
        return ("write", outcome) if type(outcome) is bytes else outcome

    def _receive(self, key: str, channel: str) -> Actions:
        """Read what has come, and write the replies when that is all there is to do: the way of nearly every command."""
        call = self._call
        try:
            live = self._sessions.get(key)
            if live is None:
                return "lost", "no session"
            if live.session.question is not None:
                return _WAIT
            if live.unread > MAX_UNREAD:
                live.unread = self._tk.getint(call("chan", "pending", "output", channel))
                if live.unread > MAX_UNREAD:
                    return _DRAIN
            data = call("read", channel, READ_SIZE)
            if not data:
                return self.engine.end(key) if self._tk.getboolean(call("eof", channel)) else ()
            outcome = self.engine.receive(key, data if type(data) is bytes else data.encode("latin-1"))
            return self._write(channel, outcome) if type(outcome) is bytes else outcome
        except TclError as error:  # the connection is gone
            return "lost", str(error)
        except BaseException as error:
            return _broken(error)

    def _piece(self, key: str) -> tuple[str | bytes, ...]:
        """Return the next lines of a large message, in a list of one; or nothing."""
        live = self._sessions.get(key)
        return tuple(text_for_tcl(piece) for piece in islice(live.pieces, 1)) if live is not None else ()

    def _accept(self, key: str, channel: str) -> Actions:
        """A script's callback says yes, and nearly always there are just replies to write; Tcl does it if no channel is named."""
        try:
            outcome = self.engine.accept(key)
            if type(outcome) is bytes:
                return self._write(channel, outcome) if channel else ("write", outcome)
            return outcome
        except TclError as error:
            return "lost", str(error)
        except BaseException as error:
            return _broken(error)

    def _write_now(self, channel: str, output: bytes) -> Actions:
        if output:
            self._call("puts", "-nonewline", channel, output)
        return ()


def text_for_tcl(octets: bytes) -> str | bytes:
    """Return the text of a message as Tcl can split it fastest: as a string, unless NUL is in it, which [split] would stop at."""
    return octets if b"\0" in octets else octets.decode("latin-1")


def _hand_over(channel: str, output: bytes) -> Actions:
    """Have the script's own ``::smtpd::Puts`` write replies."""
    return "write", output


def _broken(error: BaseException) -> Actions:
    return "broken", tcl_value(f"{type(error).__name__}: {text_of(error)}")


def _guarded(command: Callable[..., Actions]) -> Callable[..., Actions]:
    """Make a command return any exception as the action ``broken``."""

    @functools.wraps(command)
    def guarded(*arguments: str) -> Actions:
        try:
            return command(*arguments)
        except BaseException as error:
            return _broken(error)

    return guarded
