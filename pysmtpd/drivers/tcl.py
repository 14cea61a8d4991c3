"""What the two drivers for Tcl share: sessions by number, settings, and events made flat actions.

Tcl owns the sockets and the event loop. It says what happened by calling a method of :class:`TclEngine`; what it has to do
comes back as a flat list ``action argument action argument ...``:

==========  =====================================================================================================
action      argument
==========  =====================================================================================================
``write``   reply bytes to send
``hold``    reply bytes to send with the next ones; or when the callback that is now asked runs the event loop
``log``     level and text
``ask``     the question, what changed in the session's state since the last one, the address or the message, which is left
            out where it is large, to be had from :attr:`Live.pieces`; always the last action: the script's callback runs, and
            its outcome goes to :meth:`TclEngine.accept` or ``refuse``
``python``  nothing; always the last action: a Python callback is due, to be run by :meth:`TclEngine.resolve` once the
            replies before it are out
``tls``     what changed in the session's state: from now on the session is under TLS
``state``   what changed in the session's state: a command that the script asked for has been handled
``wait``    nothing: a question is open, read nothing from the client before it is answered
``drain``   nothing: read nothing from the client before it has read its replies
``close``   nothing: close the channel
==========  =====================================================================================================
"""

import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import chain
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from pysmtpd import clock
from pysmtpd.callbacks import (
    CALLBACK_OPTIONS,
    Callback,
    Refused,
    callbacks_in,
    find_callback,
    put_question,
    text_of,
)
from pysmtpd.core import (
    TCLLIB_1_5,
    Accept,
    CheckHost,
    CheckRecipient,
    CheckSender,
    CheckUser,
    Close,
    Command,
    Config,
    Deliver,
    Event,
    Log,
    Question,
    Refuse,
    RefuseSome,
    Session,
    StartTls,
    TlsReport,
    Verdict,
)
from pysmtpd.core.config import STOCK_BANNER
from pysmtpd.core.data import Content
from pysmtpd.drivers import TURN
from pysmtpd.drivers.tcl_values import list_elements, tcl_value
from pysmtpd.options import OWN_OPTIONS, read
from pysmtpd.tls_options import TLS_OPTIONS, TlsOptions

if TYPE_CHECKING:
    from pysmtpd.drivers.tcl_by_hand import Hand
    from pysmtpd.drivers.tcl_inbox import TclInbox
    from pysmtpd.drivers.tcl_mime import Mime

#: What a link calls a session by.
Key: TypeAlias = int | str
#: Actions and arguments in turn.
Actions: TypeAlias = Sequence[Any]
#: What nearly every command and every verdict comes to is replies to write, and nothing else: those, or actions.
Outcome: TypeAlias = bytes | Actions

#: What goes before the lines that :meth:`Live.hear` is told of.
ACCEPTED: Final = "\1"
ACCEPTED_WITH_MORE: Final = "\2"
_MARKS: Final = (ACCEPTED, ACCEPTED_WITH_MORE)

_YES: Final = Accept()
_NO_QUESTIONS = frozenset((Log, Close, StartTls))
_TLS_FLAGS = ("usetls", "request", "require")
#: A message of more octets than this goes to Tcl in pieces: one string of it would be copied from place to place.
LARGE_MESSAGE: Final = 262_144
#: A message of fewer octets may wait for the client's next words before the engine hears that it was accepted, and lets it go.
SMALL_MESSAGE: Final = 65_536
#: Octets in such a piece, at least.
PIECE: Final = 131_072
#: The items of a session's state that scripts read, by their names in the stock package.
_STATE = ("domain", "from", "to", "options", "id", "access")
#: The ones that only a session with our options has: who the client is behind a proxy and by AUTH, parameters of MAIL and RCPT.
_OWN_STATE = ("client_addr", "client_port", "user", "parameters", "recipient_parameters")

#: An errorCode that chooses the reply to a message: the code itself, perhaps behind the word SMTP. An enhanced status code
#: (RFC 3463) behind it stands before the text.
_DELIVERY_CODE = re.compile(r"(?:SMTP )?([245]\d\d)( [245]\.\d{1,3}\.\d{1,3})?\Z")
#: An errorCode that chooses the reply elsewhere. A bare number stays what it is in the stock package: no matter.
_CODE = re.compile(r"SMTP ([45]\d\d)()\Z")


class TclEngine:
    """One server's settings and its live sessions.

    Arguments:
        overrides: Python callbacks, by option name, that stand in for whatever the script configures.
    """

    def __init__(self, overrides: dict[str, Callback] | None = None) -> None:
        self.config = Config(clock.timestamp, clock.new_id, "localhost", TCLLIB_1_5)
        self.sessions: dict[Key, Live] = {}
        self.asks_of_messages = False  #: a script's callback decides about messages, and replies are sent as they are
        self.script_puts = False  #: replies go through a ``Puts`` of the script's own
        self.text_of: Callable[[bytes], str | bytes] = bytes  #: makes of the octets of a message what Tcl is given
        self._overrides = overrides or {}
        self._configured: dict[str, Callback] = {}
        self._scripted: set[str] = set()
        self._python: dict[str, Callback] = {}
        self._asked_in_python: set[str] = set()
        self._handles: dict[str, Callback] = {"mime": self._mime, "inbox": self._inbox_command, "hand": self._by_hand}
        self._handles["acceptance"] = self._acceptance
        self._tls: tuple[object, ...] = ({}, {}, False)
        self._parts: Mime | None = None
        self._inbox: TclInbox | None = None
        self._hand: Hand | None = None
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
                ``callback`` (an option's name) by each ``word`` of its command prefix, ``option`` (one of ours) by its ``value``,
                ``tls`` (the name of an option for it) by its ``text``. ``keep`` has messages kept from now on; with ``puts`` all
                replies go through the script, and ``timestamp`` is the script's own idea of the time.

        Raises ConfigurationError for a Python callback that cannot be found, and for an option's value that cannot be used.
        """
        config = self.config
        config.timestamp = clock.timestamp
        self.script_puts = False
        commands: list[str] = []
        scripted: list[str] = []
        extensions: dict[str, str] = {}
        texts: dict[str, list[str]] = {}
        prefixes: dict[str, list[str]] = {}
        chosen: dict[str, Any] = {"profile": TCLLIB_1_5.name}
        tls: dict[str, str] = {}
        current = ""
        for name, value in settings:
            match name:
                case "hostname":
                    config.hostname = value
                case "server_address":
                    config.server_address = value
                case "banner":
                    if value != STOCK_BANNER:  # what a script that sets none has, in every profile
                        chosen["banner"] = value
                case "version":
                    config.stock_version = value
                case "log_level":
                    config.log_to(value)
                case "command":
                    commands.append(value)
                case "scripted":
                    scripted.append(value)
                case "puts":
                    self.script_puts = True
                case "timestamp":
                    config.timestamp = partial(str, value)
                case "keep":
                    self._keep()
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
                case "tls" | "option":
                    current = value
                case "text":
                    tls[current] = value
                case "value":
                    chosen[current] = read(current, value)
        own_tls = {name: chosen.pop(name) for name in TLS_OPTIONS if name in chosen}
        config.choose(chosen)
        config.hand_over(frozenset(commands), frozenset(scripted))
        config.extend(extensions)
        config.help = {topic: tuple(lines) for topic, lines in texts.items()}
        self._configured = {
            option: self._bound(words[1:]) for option, words in prefixes.items() if _calls_python(words) and words[1:]
        }
        self._scripted = {option for option, words in prefixes.items() if words and option not in self._configured}
        self._choose_callbacks()
        self._use_tls(tls, own_tls, told="command" in self._scripted)

    def _use_tls(self, stock: dict[str, str], own: dict[str, Any], *, told: bool) -> None:
        """Serve with these options of Tcl's tls package, and ours. Raises ConfigurationError naming the file that is wrong."""
        if (stock, own, told) == self._tls:
            return
        values: dict[str, Any] = {name: value == "1" if name in _TLS_FLAGS else value for name, value in stock.items()}
        values.setdefault("request", True)  # as the tls package does
        # As in the stock package, half a certificate is none: STARTTLS is then answered 454.
        if not own and not (stock.get("certfile") and stock.get("keyfile")):
            self.config.use_tls(None)
        else:
            # With -usetls, the script's own lists say whether STARTTLS is offered.
            options = TlsOptions(told=told, lenient=True).changed({**values, **own})
            options.put_into(self.config, offered=own.get("tls") == "starttls")
        self._tls = stock, own, told

    def option(self, name: str) -> tuple[str, ...]:
        """Return ``("ok", value)`` of an option of ours, or an error where there is none of the name."""
        if name == "validate_user":  # whose value is the script's affair
            return "ok", ""
        if name not in OWN_OPTIONS:
            return "error", f'unknown option "-{name}": must be one of -{", -".join(OWN_OPTIONS)}', "PYSMTPD OPTION"
        return "ok", tcl_value(TlsOptions().get(name) if name in TLS_OPTIONS else self.config.value(name))

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
        asked = frozenset(winners).union({"tls"} if "command" in self._scripted else ())
        if self._inbox is not None:
            if "deliver" not in asked:
                self._asked_in_python.add("deliver")  # and nobody there says no
            asked |= {"deliver"}
        self.config.listen_for(asked)
        self.asks_of_messages = "deliver" in asked and "deliver" not in self._asked_in_python and not self.script_puts
        self.config.script_logs_delivery = "deliver" not in self._asked_in_python

    def _keep(self) -> None:
        """Keep messages from now on."""
        if self._inbox is None:
            from pysmtpd.drivers.tcl_inbox import TclInbox

            self._inbox = TclInbox()
            self.config.observe = self._inbox.observe
            for live in self.sessions.values():
                self._inbox.join(live.session)

    def _inbox_command(self, *words: str) -> object:
        """Do what ``tcl/inbox.tcl`` asks for."""
        self._keep()
        assert self._inbox is not None  # noqa: S101 # it is there now
        return self._inbox.run(*words)

    def _by_hand(self, command: str, *words: str) -> object:
        """Do what ``tcl/by_hand.tcl`` asks for: a verb's ``call``; ``accept`` or ``refuse``, the answer to its question."""
        if self._hand is None:
            from pysmtpd.drivers.tcl_by_hand import Hand

            self._hand = Hand(self.config, self._verdict_of_python)
        if command == "call":
            return self._hand.call(*words)
        number, *outcome = words
        return self._hand.answer(number, _refusal(outcome[0], outcome[1], _CODE) if outcome else _YES)

    def _acceptance(self, key: str) -> bytes:
        """Return the reply to come in a session of the child's: a callback may have changed the id in it."""
        live = self.sessions.get(int(key))
        return live.session.acceptance if live is not None else b""

    def _verdict_of_python(self, question: Question) -> Verdict | None:
        return put_question(self._python, question) if question.kind in self._asked_in_python else None

    # What happened to a session

    def open(self, key: Key, client: str, port: int, name: str) -> Outcome:
        """A client has connected."""
        live = self.sessions[key] = Live(Session(self.config, client, port, name))
        live.session.start()
        return self.outcome(key, live)

    def adopt(self, key: Key, client: str, port: int, name: str) -> None:
        """A client whom the script has greeted is to be served from now on."""
        session = Session(self.config, client, port, name)
        if self.config.observe is not None:
            self.config.observe(session)
        self.sessions[key] = Live(session)

    def receive(self, key: Key, data: bytes) -> Outcome:
        """Bytes have come."""
        live = self.sessions.get(key)
        if live is None:
            return b""
        live.session.receive(data)
        return self.outcome(key, live)

    def outcome(self, key: Key, live: "Live") -> Outcome:
        """Return what has come of the bytes that a session has received."""
        session = live.session
        return self._outcome(key, live, session.next_event() if session.events else None)

    def message(self, live: "Live") -> Content | None:
        """Return the message that a script's callback is to be asked about, where that is all there is to do, and it is a small
        one; and take note that it is asked."""
        session = live.session
        events = session.events
        if events and not session.out and self.asks_of_messages and type(session) is Session:
            event = events[0]
            if type(event) is Deliver and event.content.size < SMALL_MESSAGE:
                events.clear()
                return event.content
        return None

    def hear(self, key: Key, told: str) -> Actions:
        """Hear of what the client has its replies to already: see :meth:`Live.hear`. There is nothing to do then."""
        live = self.sessions.get(key)
        if live is not None:
            live.hear(told)
        return ()

    def end(self, key: Key) -> Actions:
        """The client has ended its side."""
        live = self.sessions.get(key)
        if live is None:
            return ()
        live.session.receive_eof()
        return self._actions(key, live)

    def expire(self, key: Key) -> Actions:
        """The client has been silent for too long."""
        live = self.sessions.get(key)
        if live is None:
            return ()
        live.session.time_out()
        return self._actions(key, live)

    def forget(self, key: Key) -> None:
        """The channel is gone."""
        live = self.sessions.pop(key, None)
        if live is not None:
            live.session.drop()

    def accept(self, key: Key, *, replied: bool = False) -> Outcome:
        """A script's callback has returned; ``replied`` when the client has its reply, or Tcl holds it back."""
        live = self.sessions.get(key)
        if live is None or live.session.question is None:
            return b""
        session = live.session
        session.answer(_YES, replied=replied)
        return self._outcome(key, live, session.next_event())

    def refuse(self, key: Key, code: int, text: str = "", error_code: str = "") -> Actions:
        """A script's callback has ended otherwise: with a Tcl return code, a result and an errorCode."""
        live = self.sessions.get(key)
        delivers = live is not None and isinstance(live.session.question, Deliver)
        if delivers and error_code.startswith("SMTP RECIPIENTS "):
            refused = _refused_recipients(error_code)
            if refused:
                return self._go_on(key, RefuseSome(refused))
        return self._go_on(key, _refusal(text, error_code, _DELIVERY_CODE if delivers else _CODE))

    def say(self, key: Key, text: str) -> Actions:
        """A script has a line of its own for a client whose session is under TLS."""
        live = self.sessions.get(key)
        if live is None:
            return ()
        live.session.say(text.encode("latin-1"))
        return "write", live.session.take_output()

    def overhear(self, key: Key, data: str) -> bytes:
        """A script reads by itself from a client whose session is under TLS: return what was said there."""
        live = self.sessions.get(key)
        return live.session.overhear(data.encode("latin-1")) if live is not None else b""

    def resolve(self, key: Key) -> Actions:
        """Run the Python callback that is due; or ask the script, where it has configured one of its own since then."""
        live = self.sessions.get(key)
        question = live.session.question if live is not None else None
        if live is None or question is None:
            return ()
        if question.kind not in self._asked_in_python:
            return self._action(key, live, question)
        return self._go_on(key, put_question(self._python, question))

    def command(self, key: Key, verb: str, line: str) -> Actions:
        """A script wants a command handled as it would be, had it not taken the verb over."""
        live = self.sessions.get(key)
        if live is None:
            return ()
        live.behind = None
        live.session.command(verb, line)
        actions = self._actions(key, live)
        begun = live.message() if verb == "DATA" and live.session.body is not None else ()
        return (*actions, "state", begun) if begun else actions

    def questions(self, key: Key) -> int:
        """Return how many questions are open: more than before such a command where one came up in its course."""
        live = self.sessions.get(key)
        return live.session.questions if live is not None else 0

    def state(self, key: Key) -> tuple[object, ...]:
        """A script looks at a session's state: return what it is to be told, as a flat tuple of names and values."""
        live = self.sessions.get(key)
        return (*live.changes(), *live.message()) if live is not None else ()

    def assign(self, key: Key, name: str, value: list[str]) -> None:
        """A script has set an item of the session's state: one of those that :meth:`Session.assign` knows."""
        live = self.sessions.get(key)
        if live is not None:
            live.behind = None
            live.session.assign(name, value)
            live.note_assigned(name)

    def call(self, name: str, arguments: list[str]) -> tuple[str, ...]:
        """Call a Python function for a script.

        Returns ``("ok", value)``, or ``("error", message, errorCode)``: an exception never gets out.
        """
        try:
            return "ok", tcl_value(self.function_named(name)(*arguments))
        except Refused as refusal:
            return "error", tcl_value(refusal.text), f"SMTP {refusal.code}"
        except BaseException as error:
            return "error", tcl_value(text_of(error)), f"PYTHON {type(error).__name__}"

    def _mime(self, *words: str) -> object:
        """Do what our Tcl package ``mime`` asks for."""
        if self._parts is None:
            from pysmtpd.drivers.tcl_mime import Mime

            self._parts = Mime()
        return self._parts.run(*words)

    # From events to actions

    def _go_on(self, key: Key, verdict: Verdict) -> Actions:
        live = self.sessions.get(key)
        if live is None or live.session.question is None:
            return ()
        live.session.answer(verdict)
        return self._actions(key, live)

    def _outcome(self, key: Key, live: "Live", event: Event | None) -> Outcome:
        session = live.session
        if event is not None or live.holds or session.question is not None:
            return self._actions_from(key, live, event)
        output = session.take_output()
        live.unread += len(output)
        return output

    def _actions(self, key: Key, live: "Live") -> Actions:
        return self._actions_from(key, live, live.session.next_event())

    def _actions_from(self, key: Key, live: "Live", event: Event | None) -> Actions:
        """Return what there is to do, from a session's next event on."""
        session = live.session
        actions: list[Any] = []
        while event is not None:
            asks = type(event) not in _NO_QUESTIONS
            output = session.take_output()
            if output:
                # Before a question, replies wait a little for those after it: two small writes in a row would have the
                # second one wait for the client's delayed acknowledgement of the first (Nagle), 40 ms.
                actions += "hold" if asks and live.may_hold() else "write", output
                if not asks:
                    live.holds = 0.0
                live.unread += len(output)
            actions += self._action(key, live, event)
            if asks:
                return actions
            event = session.next_event()
        output = session.take_output()
        if output:
            actions += "write", output
            live.holds = 0.0
            live.unread += len(output)
        if session.question is not None and (changes := live.changes()):
            actions += "state", changes
        return actions

    def _action(self, key: Key, live: "Live", event: Event) -> tuple[str, Any]:
        match event:
            case Deliver(content=content) if "deliver" not in self._asked_in_python:
                if content.size > LARGE_MESSAGE:
                    live.pieces = content.lines_in_pieces(PIECE)
                    return "ask", ("deliver", live.changes())
                return "ask", ("deliver", live.changes(), self.text_of(content.text()))
            case Log(level, text):
                return "log", (level, text)
            case Close():
                self.forget(key)
                return "close", ""
            case StartTls():
                live.session.answer(_YES)
                return "tls", live.changes()
            case Deliver():
                return "python", ""
            case question:
                if question.kind in self._asked_in_python:
                    return "python", ""
                changes = live.changes()
                if type(question) is Command:
                    changes = *changes, *live.message()
                elif live.session.id and not live.session.has_message:
                    changes = *changes, "data", ()  # there was a message, and RSET behind it
                return "ask", (question.kind, changes, value_of(question, live.session))


class Live:
    """A live session, and what Tcl was told of its state last."""

    __slots__ = ("_told", "_told_of_ours", "behind", "full", "holds", "pieces", "session", "standing", "turn", "unread")

    def __init__(self, session: Session) -> None:
        self.session = session
        self.holds = 0.0  #: since when Tcl may hold replies back, to go out with the next ones; 0 where it does not
        self.full = False  #: nothing more is read from the client, so much waits for the answer to a question
        self.unread = 0  #: octets of replies sent since somebody looked whether the client reads them
        self.standing = 0  #: its standing by the table of known replies; 0 where that says nothing of it
        self.turn = 0  #: counts what has come for it, where there is such a table
        #: What came behind a message: its standing then, the bytes, the replies if known.
        self.behind: tuple[int, bytes, bytes] | None = None
        #: Of a large message that Tcl is asked about, its whole lines, as they are fetched.
        self.pieces: Iterator[bytes] = iter(())
        self._told: tuple[object, ...] = ("", "", (), "", "", "allowed")
        self._told_of_ours: tuple[object, ...] = (session.client, session.port, "", {}, ())

    def may_hold(self) -> bool:
        """Tell whether Tcl is to hold replies back before a question; not any more where it does so for long already."""
        now = monotonic()
        if self.holds and now - self.holds > TURN:
            self.holds = 0.0
            return False
        self.holds = self.holds or now
        return True

    def hear(self, told: str) -> None:
        """Hear of what the client has its replies to already.

        Arguments:
            told: lines that have come; before them ``ACCEPTED`` where the message was accepted that there is a question for,
                or ``ACCEPTED_WITH_MORE`` where the replies to what has come behind that were sent, too.
        """
        session = self.session
        mark = told[0]
        if mark in _MARKS:
            self.unread += len(session.acceptance)
            session.answer(_YES, replied=True)
            if mark == ACCEPTED_WITH_MORE:
                self.holds = 0.0
                session.next_event()
            told = told[1:]
        if told:
            session.receive(told.encode("latin-1"))
        out = session.out
        self.unread += sum(map(len, out))
        out.clear()

    def changes(self) -> tuple[object, ...]:
        """Return what changed in the session since the last call, as a flat tuple of names and values."""
        session = self.session
        now = (session.domain, session.sender, tuple(session.recipients), session.options, session.id, session.access)
        before, self._told = self._told, now
        changed: list[object] = []
        if now[:4] != before[:4] or now[5] != before[5]:
            for name, new, old in zip(_STATE, now, before, strict=True):
                if new != old:
                    changed += name, new
        elif now[4] != before[4]:  # between two messages of one client, nearly always just the id
            changed += "id", now[4]
        if session.config.offered or session.config.proxy:
            changed += self._changes_of_ours()
        return tuple(changed)

    def _changes_of_ours(self) -> list[object]:
        session = self.session
        each = session.envelope.recipient_parameters if session.recipient_parameters else ()
        now = (session.client, session.port, session.user or "", dict(session.parameters), each)
        before, self._told_of_ours = self._told_of_ours, now
        changed: list[object] = []
        for name, new, old in zip(_OWN_STATE, now, before, strict=True):
            if new != old:
                changed += name, tcl_value(new)
        return changed

    def note_assigned(self, name: str) -> None:
        """Tcl has an item of the state from the script: what it was told before is not there any more."""
        if name in _STATE:
            told = list(self._told)
            told[_STATE.index(name)] = None
            self._told = tuple(told)

    def message(self) -> tuple[object, ...]:
        """Return what Tcl is told of a message on its way, or reset; of one that came it was told already."""
        lines = self.session.lines_so_far()
        if lines is not None:
            return "indata", "1", "data", tuple(lines)
        return "indata", "0", *(() if self.session.has_message else ("data", ()))


def value_of(question: Question, session: Session) -> object:
    """Return what a script is told of a question."""
    match question:
        case Command(verb, line):
            return verb, line
        case CheckUser(username, secret):
            return username, secret
        case TlsReport(option, _, details):
            return option, *(tuple(chain(*detail.items())) if isinstance(detail, dict) else detail for detail in details)
        case CheckSender(address) | CheckRecipient(address):
            return address, *session.asking
        case CheckHost(address):
            return address
        case _:
            return ""


def _refusal(text: str, error_code: str, pattern: re.Pattern[str]) -> Refuse:
    chosen = pattern.match(error_code)
    if chosen is None:
        return Refuse(text)
    status = chosen[2]
    return Refuse(f"{status[1:]} {text}" if status else text, int(chosen[1]))


def _refused_recipients(error_code: str) -> dict[str, Refuse]:
    """Read the errorCode ``SMTP RECIPIENTS {address {code text} ...}``; what is not like that refuses nobody by itself."""
    try:
        words = list_elements(list_elements(error_code)[2])
        refusals = {}
        for address, refusal in zip(words[::2], words[1::2], strict=True):
            code, text = (*list_elements(refusal), "", "Refused")[:2]
            chosen = _DELIVERY_CODE.match(code)
            path = f"<{address.removeprefix('<').removesuffix('>')}>"
            refusals[path] = Refuse(text, int(chosen[1]) if chosen and code[0] in "45" else None)
    except (ValueError, IndexError):
        return {}
    return refusals


def _calls_python(words: list[str]) -> bool:
    return bool(words) and words[0].removeprefix("::") == "pysmtpd::call"


def overrides_from_environment() -> dict[str, Callback]:
    """Return the callbacks of the module that ``PYSMTPD_CALLBACKS`` names; none when it names none. Raises ConfigurationError."""
    module = os.environ.get("PYSMTPD_CALLBACKS", "")
    return callbacks_in(module) if module else {}
