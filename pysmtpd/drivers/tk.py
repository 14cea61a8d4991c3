"""The in-process driver: the engine inside the Python that tkinter's Tcl runs in.

The engine is a handful of Tcl commands, ``::pysmtpd::engine::*``, called by ``tcl/link-tk.tcl``. None of them ever raises
into Tcl (tkinter would lose the message): what goes wrong comes back as the action ``broken``, or ``lost`` where the client's
connection broke.

Two things come back in place of actions, since there is nothing else to do then, nearly always:

- ``reply``, the session's standing (see :mod:`pysmtpd.drivers.known_replies`), and the reply to write;
- ``message``, what changed in the session's state, the message, the reply to a yes, the standing then, and what the engine is to
  hear of it later (see :meth:`pysmtpd.drivers.tcl.Live.hear`), empty where it has to hear at once.
"""

import functools
import sys
from collections.abc import Callable
from itertools import islice
from tkinter import TclError
from typing import Any

from pysmtpd.callbacks import ConfigurationError, text_of
from pysmtpd.core.data import Content
from pysmtpd.drivers.known_replies import KnownReplies
from pysmtpd.drivers.tcl import ACCEPTED, ACCEPTED_WITH_MORE, Actions, Live, Outcome, TclEngine
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
        self._known = KnownReplies()
        engine.text_of = text_for_tcl

    def install(self) -> None:
        """Create the commands and load the Tcl side: the package is provided, whatever else is on ``auto_path``."""
        self._tk.eval("namespace eval ::pysmtpd::engine {}")
        self._tk.call("set", "::pysmtpd::python", sys.executable)  # for child interpreters
        for name, command in self._commands().items():
            self._tk.createcommand(f"::pysmtpd::engine::{name}", command)
        # tcllib's packages go before ours, which are not to be found before Tcl has looked everywhere.
        self._tk.eval("catch {package require logger}")
        # Who gives a child interpreter this one's auto_path gives it our package. In tclsh the index has been read when a script
        # begins: it may take away what that needs.
        self._tk.call("lappend", "::auto_path", str(tcl_path()))
        self._tk.eval("catch auto_load_index")
        # The index before the package: who forgets it, and requires it again, is to have ours.
        self._tk.call("apply", "dir {source [file join $dir pkgIndex.tcl]}", str(tcl_path()))
        self._tk.call("source", str(tcl_path() / "smtpd.tcl"))

    def _commands(self) -> dict[str, Callable[..., object]]:
        engine = self.engine
        return {
            "configure": self._configure,
            "open": _guarded(self._open),
            "adopt": lambda key, client, port, name: engine.adopt(key, client, int(port), name),
            "receive": self._receive,
            "take": _guarded(self._take),
            "piece": self._piece,
            "say": _guarded(engine.say),
            "overhear": engine.overhear,
            "hear": _guarded(engine.hear),
            "accept": _guarded(self._accept),
            "refuse": _guarded(lambda key, code, *result: engine.refuse(key, int(code), *result)),
            "resolve": _guarded(engine.resolve),
            "command": _guarded(engine.command),
            "end": _guarded(engine.end),
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
        self._known.forget()
        return ""

    def _open(self, key: str, client: str, port: str, name: str) -> Actions:
        """A client has connected."""
        outcome = self.engine.open(key, client, int(port), name)
        live = self._sessions.get(key)
        return self._come_to(live, outcome) if live is not None else outcome

    def _receive(self, key: str, channel: str, told: str = "") -> Actions:
        """Read what has come, and take it: the way of every message. Before that, hear of what the client has its replies to."""
        call = self._call
        try:
            live = self._sessions.get(key)
            if live is None:
                return "lost", "no session"
            if told:
                live.hear(told)
            elif live.session.question is not None:
                return _WAIT
            if live.unread > MAX_UNREAD:
                live.unread = self._tk.getint(call("chan", "pending", "output", channel))
                if live.unread > MAX_UNREAD:
                    return _DRAIN
            data = call("read", channel, READ_SIZE)
            if not data:
                return self.engine.end(key) if self._tk.getboolean(call("eof", channel)) else ()
            return self._come(key, live, data if type(data) is bytes else data.encode("latin-1"))
        except TclError as error:  # the connection is gone
            return "lost", str(error)
        except BaseException as error:
            return _broken(error)

    def _piece(self, key: str) -> tuple[str | bytes, ...]:
        """Return the next lines of a large message, in a list of one; or nothing."""
        live = self._sessions.get(key)
        return tuple(text_for_tcl(piece) for piece in islice(live.pieces, 1)) if live is not None else ()

    def _come(self, key: str, live: Live, data: bytes) -> Actions:
        """Have a session take what has come; return what there is to do: ask about a message, nearly always."""
        live.session.receive(data)
        content = self.engine.message(live)
        if content is not None:
            return self._ask(live, content)
        return self._come_to(live, self.engine.outcome(key, live))

    def _ask(self, live: Live, content: Content) -> Actions:
        """Return the question for a message, and what the script's side does by itself when the answer is yes."""
        text = message_text(content)
        standing, more, behind = self._known.once_accepted(live)
        if not more:
            return "message", live.changes(), text, live.session.acceptance, standing, ACCEPTED
        if behind:
            return "message", live.changes(), text, live.session.acceptance + behind, 0, ACCEPTED_WITH_MORE
        return "message", live.changes(), text, b"", 0, ""

    def _take(self, key: str, data: str, standing: str, told: str) -> Actions:
        """Take what Tcl has read by itself, in a session of this standing. Before that, hear of what was replied to."""
        live = self._sessions.get(key)
        if live is None:
            return ()
        if told:
            live.hear(told)
        received = data.encode("latin-1")
        outcome = self._come(key, live, received)
        if standing != "0" and outcome:
            exchange = self._known.learn(int(standing), received, live, outcome[2] if outcome[0] == "reply" else outcome)
            if exchange is not None:
                before, line, reply, after = exchange
                self._call("set", f"::pysmtpd::known({before},{line.decode('ascii')})", (reply, after))
        return outcome

    def _accept(self, key: str) -> Actions:
        """A script's callback says yes."""
        live = self._sessions.get(key)
        if live is None:
            return ()
        behind, live.behind = live.behind, None
        acceptance = live.session.acceptance
        outcome = self.engine.accept(key)
        if behind is not None and type(outcome) is bytes and not live.session.has_input:
            self._known.note_behind(*behind[:2], outcome[len(acceptance) :])
        return self._come_to(live, outcome)

    def _come_to(self, live: Live, outcome: Outcome) -> Actions:
        """Return what Tcl is to do: a reply, with the session's standing behind it; else actions."""
        if type(outcome) is not bytes:
            live.behind = None
            return outcome
        if not outcome:
            return ()
        return ("write", outcome) if self.engine.script_puts else ("reply", self._known.settle(live), outcome)


def message_text(content: Content) -> str | bytes:
    """Return a message as Tcl can split it fastest; one in one piece, as nearly all are, with no copy of it as octets."""
    trace, pieces, newline = content
    if len(pieces) == 1 and newline == b"\n" and trace.isascii():
        body = pieces[0].decode("latin-1")
        if trace and body and "\0" not in body:
            return trace + "\n" + body.removesuffix("\n")
    return text_for_tcl(content.text())


def text_for_tcl(octets: bytes) -> str | bytes:
    """Return the text of a message as Tcl can split it fastest: as a string, unless NUL is in it, which [split] would stop at."""
    return octets if b"\0" in octets else octets.decode("latin-1")


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
