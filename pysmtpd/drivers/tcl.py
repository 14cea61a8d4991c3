"""What the two drivers for Tcl share: sessions by number, settings, and events made flat actions.

Tcl owns the sockets and the event loop. It says what happened by calling a method of :class:`TclEngine`; what it has to do
comes back as a flat list ``action argument action argument ...``:

==========  =====================================================================================================
action      argument
==========  =====================================================================================================
``write``   reply bytes to send
``hold``    reply bytes to send with the next ones; or when the callback that is now asked runs the event loop
``log``     level and text
``ask``     the question, what changed in the session's state since the last one, and the question's own values; always
            the last action: the script's callback runs, and its outcome goes to :meth:`TclEngine.answer`
``python``  nothing; always the last action: a Python callback is due, to be run by :meth:`TclEngine.resolve` once the
            replies before it are out
``close``   nothing: close the channel
==========  =====================================================================================================
"""

import os
import re
from collections.abc import Iterable, Iterator
from typing import Any, TypeAlias

from pysmtpd import clock
from pysmtpd.callbacks import (
    CALLBACK_OPTIONS,
    Callback,
    Refused,
    callbacks_in,
    find_callback,
    put_question,
    question_kind,
)
from pysmtpd.core import TCLLIB_1_5, Accept, Close, Config, Deliver, Log, Question, Refuse, Session, Verdict
from pysmtpd.drivers.tcl_values import tcl_value

Action: TypeAlias = tuple[str, Any]

#: What Tcl takes a session's state to be before it was told anything.
_UNTOLD = (("domain", ""), ("from", ""), ("to", ()), ("options", ""), ("id", ""))

#: An errorCode that chooses the reply to a message: the code itself, or the last of two words, the first being SMTP.
_DELIVERY_CODE = re.compile(r"(?:SMTP )?([245]\d\d)\Z")
#: An errorCode that chooses the reply elsewhere. A bare number stays what it is in the stock package: no matter.
_CODE = re.compile(r"SMTP ([45]\d\d)\Z")


class TclEngine:
    """One server's settings and its live sessions.

    Arguments:
        overrides: Python callbacks, by option name, that stand in for whatever the script configures.
    """

    def __init__(self, overrides: dict[str, Callback] | None = None) -> None:
        self.config = Config(clock.timestamp, clock.new_id, "localhost", TCLLIB_1_5)
        self.sessions: dict[int, Session] = {}
        self._questions: dict[int, Question] = {}
        self._told: dict[int, tuple[object, ...]] = {}
        self._overrides = overrides or {}
        self._configured: dict[str, Callback] = {}
        self._scripted: set[str] = set()
        self._python: dict[str, Callback] = {}
        self._asked_in_python: set[str] = set()
        self._handles: dict[str, Callback] = {}
        self._choose_callbacks()

    # Settings

    def use_overrides(self, callbacks: dict[str, Callback]) -> None:
        """Put these Python callbacks, by option name, in place of the script's."""
        self._overrides = callbacks
        self._choose_callbacks()

    def handle_for(self, function: Callback) -> str:
        """Return the name under which Tcl can name a Python function that has none it could be found by."""
        name = f"python:{len(self._handles)}"
        self._handles[name] = function
        return name

    def function_named(self, name: str) -> Callback:
        """Return the function of a handle, or of ``MODULE:FUNCTION``. Raises ConfigurationError."""
        return self._handles.get(name) or find_callback(name)

    def configure(self, settings: Iterable[tuple[str, str]]) -> None:
        """Take all settings anew.

        Arguments:
            settings: pairs of a name and a value. ``extension`` is followed by its ``parameters``, ``help`` by each ``line``,
                ``callback`` (an option's name) by each ``word`` of its command prefix.

        Raises ConfigurationError for a Python callback that cannot be found.
        """
        config = self.config
        commands: list[str] = []
        extensions: dict[str, str] = {}
        texts: dict[str, list[str]] = {}
        prefixes: dict[str, list[str]] = {}
        current = ""
        for name, value in settings:
            match name:
                case "hostname":
                    config.hostname = value
                case "server_address":
                    config.server_address = value
                case "banner":
                    config.banner = value
                case "log_level":
                    config.log_to(value)
                case "command":
                    commands.append(value)
                case "extension":
                    current = value
                case "parameters":
                    extensions[current] = value
                case "help":
                    texts[value] = []
                    current = value
                case "line":
                    texts[current].append(value)
                case "callback":
                    prefixes[value] = []
                    current = value
                case "word":
                    prefixes[current].append(value)
        config.commands = frozenset(commands)
        config.extensions = extensions
        config.help = {topic: tuple(lines) for topic, lines in texts.items()}
        self._configured = {
            option: self._bound(words[1:]) for option, words in prefixes.items() if _calls_python(words) and words[1:]
        }
        self._scripted = {option for option, words in prefixes.items() if words and option not in self._configured}
        self._choose_callbacks()

    def _bound(self, words: list[str]) -> Callback:
        function, *arguments = self.function_named(words[0]), *words[1:]
        if not arguments:
            return function
        return lambda *more: function(*arguments, *more)

    def _choose_callbacks(self) -> None:
        """Settle who answers which question: Python's overrides, else what the script configured, in either language.

        Of the two delivery options the later one in ``CALLBACK_OPTIONS``, deliverMIME, wins, as in the stock package.
        """
        winners = {
            kind: option for option, kind in CALLBACK_OPTIONS.items() if option in self._configured or option in self._scripted
        }
        winners.update({CALLBACK_OPTIONS[option]: option for option in self._overrides})
        available = {**self._configured, **self._overrides}
        self._python = {option: available[option] for option in winners.values() if option in available}
        self._asked_in_python = {CALLBACK_OPTIONS[option] for option in self._python}
        self.config.ask = frozenset(winners)

    # What happened to a session

    def open(self, number: int, client: str, port: int, name: str) -> list[Action]:
        """A client has connected."""
        session = self.sessions[number] = Session(self.config, client, port, name)
        session.start()
        return list(self._actions(number, session))

    def receive(self, number: int, data: bytes) -> list[Action]:
        """Bytes have come."""
        session = self.sessions.get(number)
        if session is None:
            return []
        session.receive(data)
        return list(self._actions(number, session))

    def end(self, number: int) -> list[Action]:
        """The client has ended its side."""
        session = self.sessions.get(number)
        if session is None:
            return []
        session.receive_eof()
        return list(self._actions(number, session))

    def forget(self, number: int) -> None:
        """The channel is gone."""
        self.sessions.pop(number, None)
        self._questions.pop(number, None)
        self._told.pop(number, None)

    def acceptance(self, number: int) -> tuple[bytes, bool]:
        """Return the reply to a yes, for a link that sends it itself, and whether commands wait whose replies can go along."""
        session = self.sessions[number]
        return session.acceptance, session.has_input

    def accept(self, number: int) -> list[Action]:
        """A script's callback has returned, and the client has its reply."""
        return self._go_on(number, Accept(), replied=True)

    def answer(self, number: int, code: int = 0, text: str = "", error_code: str = "") -> list[Action]:
        """A script's callback has ended, with a Tcl return code, a result and an errorCode."""
        question = self._questions.get(number)
        if question is None:
            return []
        if code == 0:
            return self._go_on(number, Accept())
        pattern = _DELIVERY_CODE if isinstance(question, Deliver) else _CODE
        chosen = pattern.match(error_code)
        return self._go_on(number, Refuse(text, int(chosen[1]) if chosen else None))

    def resolve(self, number: int) -> list[Action]:
        """Run the Python callback that is due."""
        question = self._questions.get(number)
        if question is None:
            return []
        return self._go_on(number, put_question(self._python, question))

    def assign(self, number: int, name: str, value: list[str]) -> None:
        """A script has set an item of the session's state: ``domain``, ``from``, ``to``, ``options`` or ``id``."""
        session = self.sessions.get(number)
        if session is not None:
            session.assign(name, value)

    def call(self, name: str, arguments: list[str]) -> tuple[str, ...]:
        """Call a Python function for a script.

        Returns ``("ok", value)``, or ``("error", message, errorCode)``: an exception never gets out.
        """
        try:
            return "ok", tcl_value(self.function_named(name)(*arguments))
        except Refused as refusal:
            return "error", refusal.text, f"SMTP {refusal.code}"
        except BaseException as error:
            return "error", str(error) or type(error).__name__, f"PYTHON {type(error).__name__}"

    # From events to actions

    def _go_on(self, number: int, verdict: Verdict, *, replied: bool = False) -> list[Action]:
        session = self.sessions.get(number)
        if session is None or self._questions.pop(number, None) is None:
            return []
        session.answer(verdict, replied=replied)
        return list(self._actions(number, session))

    def _actions(self, number: int, session: Session) -> Iterator[Action]:
        while True:
            event = session.next_event()
            output = session.take_output()
            if output:
                # Before a question, replies wait a little for those after it: two small writes in a row would have the
                # second one wait for the client's delayed acknowledgement of the first (Nagle), 40 ms.
                asks = event is not None and not isinstance(event, Log | Close)
                yield "hold" if asks else "write", output
            if event is None:
                return
            match event:
                case Log(level, text):
                    yield "log", (level, text)
                case Close():
                    self.forget(number)
                    yield "close", ""
                    return
                case question:
                    self._questions[number] = question
                    kind = question_kind(question)
                    if kind in self._asked_in_python:
                        yield "python", ""
                    else:
                        yield "ask", (kind, self._changes(number, session), *_values(question))
                    return

    def _changes(self, number: int, session: Session) -> tuple[object, ...]:
        """Return what changed in a session since Tcl was last told, as a flat tuple of names and values."""
        now = (
            ("domain", session.domain),
            ("from", session.sender),
            ("to", tuple(session.recipients)),
            ("options", session.options),
            ("id", session.id),
        )
        before = self._told.get(number, _UNTOLD)
        self._told[number] = now
        return tuple(part for pair in now if pair not in before for part in pair)


def _calls_python(words: list[str]) -> bool:
    return bool(words) and words[0].removeprefix("::") == "pysmtpd::call"


def _values(question: Question) -> tuple[object, ...]:
    """Return what a question tells the script's callback beyond the session's state."""
    if isinstance(question, Deliver):
        return (question.content.text(),)
    return (question.address,)


def overrides_from_environment() -> dict[str, Callback]:
    """Return the callbacks of the module that ``PYSMTPD_CALLBACKS`` names; none when it names none. Raises ConfigurationError."""
    module = os.environ.get("PYSMTPD_CALLBACKS", "")
    return callbacks_in(module) if module else {}
