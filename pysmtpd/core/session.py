"""One SMTP session: the state machine.

What may come when stands in the table of :mod:`pysmtpd.core.sequence`, which verb is handled where in the one at the end of
this file. A handler parses its command, puts a question where somebody listens, and adds its reply to the output; the loop in
:meth:`Session.next_event` goes on while there are whole lines and no question is open.
"""

from collections.abc import Callable, Mapping
from functools import partial
from re import Match
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from pysmtpd.core import grammar
from pysmtpd.core.address import parse_path, split_path
from pysmtpd.core.config import LOG_LEVELS, Config
from pysmtpd.core.data import AnyNewlineBody, Body, Content, CrlfBody
from pysmtpd.core.envelope import NO_PARAMETERS, Envelope, PlainEnvelope, ReadPath, protocol_name
from pysmtpd.core.events import (
    Accept,
    CheckHost,
    CheckRecipient,
    CheckSender,
    Close,
    Command,
    Deliver,
    Event,
    Log,
    Question,
    Refuse,
    RefuseSome,
    StartTls,
    Verdict,
)
from pysmtpd.core.lines import LineBuffer
from pysmtpd.core.replies import free_reply, one_line, shown_path, wire, without_secret
from pysmtpd.core.sequence import AUTHENTICATED, ENCRYPTED, GREETED, LASTING, RECIPIENT, SENDER, Rule, rules_under
from pysmtpd.core.trace import trace_header

if TYPE_CHECKING:
    from pysmtpd.core.chunks import Chunks
    from pysmtpd.core.record import Record
    from pysmtpd.core.tls import Context, Stage, TlsFacts

_VERB_ENDS: Final = ("", " ")

#: What is handled though the host was refused: a chunk must be read to be refused (RFC 3030, 2).
_TAKEN_WHEN_DENIED: Final = ("QUIT", "BDAT")

#: Fewer octets than these are not worth a look at whether they can be taken in one step.
_SHORTEST_ENVELOPE: Final = 40
#: What leads commands that may be taken in one step.
_LEADING: Final = (b"RSET", b"MAIL", b"RCPT")
#: An envelope of more octets is not kept for when it comes again.
_LARGEST_KEPT: Final = 4_096
#: More recipients than are ever named before a session is looked at again whose standing was taken.
_MANY_RECIPIENTS: Final = 100

NOTICE: Final = LOG_LEVELS.index("notice")


class Taker(Protocol):
    """Takes bytes that are neither command lines nor a body, as a :class:`Body` takes its own."""

    @property
    def name(self) -> str:
        """What it takes, for a record of the session."""

    def feed(self, data: bytes, start: int) -> int:
        """Take ``data[start:]``; return the index just behind the end, or -1 when it has not come yet."""

    def received(self, session: "Session") -> None:
        """The end has come."""


#: Makes a named tuple in one call where its class takes two.
_new: Final = tuple.__new__


class _OpenQuestion(NamedTuple):
    """A question, and what follows its answer."""

    question: Question
    acceptance: bytes
    accepted: Callable[[], None]
    refused: Callable[[Refuse], None]
    outer: "_OpenQuestion | None" = None  #: the question in whose course this one came up


class Session:
    """The server's side of one connection, without the connection.

    See :mod:`pysmtpd.core` for the loop a driver runs.

    Arguments:
        config: the server's settings, read live.
        client: the client's IP address, as text.
        port: the client's port.
        name: what the log calls the connection (the channel's name, in Tcl); empty for the client's address and port.
    """

    __slots__ = (
        "_buffer",
        "_closed",
        "_denied",
        "_eof",
        "_late_lf",
        "_name",
        "_open",
        "_plain",
        "_stage",
        "_trace",
        "asking",
        "body",
        "chunks",
        "client",
        "confidential",
        "config",
        "domain",
        "errors",
        "events",
        "extended",
        "id",
        "options",
        "out",
        "parameters",
        "port",
        "prelude",
        "recipient_parameters",
        "recipients",
        "record",
        "secure",
        "seen",
        "sender",
        "tls",
        "user",
    )

    def __init__(self, config: Config, client: str, port: int, name: str) -> None:
        self.config = config
        self.client = client
        self.port = port
        self._name = name
        self.domain = ""  #: the name given to HELO or EHLO
        self.sender = ""  #: the reverse-path in its brackets
        self.recipients: list[str] = []  #: the forward-paths in their brackets
        self.options = ""  #: what followed the reverse-path
        self.id = ""  #: the id of the message being received, or received last
        self.seen = 0  #: GREETED, SENDER, RECIPIENT, ENCRYPTED, AUTHENTICATED, CHUNKED
        self.extended = False  #: whether the client said EHLO
        self.secure = False  #: whether the connection is encrypted
        self.tls: TlsFacts | None = None  #: how the connection is encrypted; None where it is not
        self.user: str | None = None  #: the name the client logged in with
        self.parameters: Mapping[str, str] = NO_PARAMETERS  #: those of MAIL
        #: Those of RCPT, by the recipient's place in the list; None where none had any.
        self.recipient_parameters: dict[int, Mapping[str, str]] | None = None
        self.errors = 0  #: commands refused so far
        self._buffer = LineBuffer()
        self.body: Body | Taker | None = None  #: what takes the bytes that are no commands
        self.chunks: Chunks | None = None  #: what has come by BDAT of the message being received
        self._trace = ""
        self.out: list[bytes] = []  #: replies to come: what take_output is going to return
        self._stage: Stage | None = None
        self.events: list[Event] = []  #: what next_event is going to return: empty, most of the time; a deque takes 700 octets
        self._open: _OpenQuestion | None = None
        self._denied = False
        self._closed = False
        self._eof = False
        self._late_lf = False  # the LF that belongs to the end of a body may come yet
        #: What looks at the next command line first, and returns the one to go on with; None where it has dealt with it.
        self.prelude: Callable[[Session, str], str | None] | None = Session._first_line
        self.confidential = False  #: whether the next line is a secret, not to be shown to anybody
        #: Of the path that somebody is asked about: with its brackets, what follows it, and the command line that names it.
        self.asking = ("", "", "")
        self._plain: Envelope | None = None  # that of a message without parameters, while nothing in it changes
        self.record: Record  # only of a session that is recorded

    @property
    def name(self) -> str:
        """What the log calls the connection."""
        return self._name or f"{self.client}:{self.port}"

    # The driver's side

    def start(self) -> None:
        """Begin: ask about the host, then greet. Called once, before anything is received."""
        config = self.config
        if config.observe is not None:
            config.observe(self)
        if config.proxy:
            from pysmtpd.core.proxy import ProxyHeader

            self.body = ProxyHeader()
        else:
            self.begin()

    def begin(self) -> None:
        """Ask about the host, then greet: the client is known."""
        config = self.config
        if config.tls is not None and config.tls_implicit:
            self._encrypt(config.tls)
        text = config.replies.greeting.replace(" ESMTP ", " LMTP ") if config.lmtp else config.replies.greeting
        values = {"server": config.server_address, "banner": config.banner, "timestamp": config.timestamp()}
        greeting = config.greeting.with_values(text, values)
        if "host" in config.ask:
            self.ask(CheckHost(self.client), greeting, self._host_accepted, self._host_refused)
        else:
            self.out.append(greeting)
            self._host_accepted()

    def receive(self, data: bytes) -> None:
        """Take bytes from the client, and handle them as far as the next event. They wait while a question is open."""
        if self._closed:
            return
        buffer = self._buffer
        idle = self._open is None and not self.events
        if idle and buffer.empty:
            self._run(data)
            return
        buffer.feed(data, self.config.limits.command_line)
        if idle and buffer.ready:
            self._run(buffer.take())

    def receive_eof(self) -> None:
        """Take the end of the client's side. A command or a message that it cuts off is not executed."""
        self._eof = True

    def time_out(self) -> None:
        """End the session: the client has been silent for longer than ``config.limits.idle`` seconds, as the driver says.

        Does nothing while a question is open, since then it is the client that waits.
        """
        if self._open is None and not self._closed:
            self.out.append(self.config.replies.idle)
            self.close("idle")

    def shut_down(self) -> None:
        """End the session: the server goes away (RFC 5321, 3.8). An open question is dropped."""
        if not self._closed:
            self._open = None
            self.out.append(self.config.unavailable())
            self.close("shutdown")

    def drop(self) -> None:
        """Let go of the session: the connection is gone, and with it whatever still waits for an answer that needs it."""

    @property
    def wants_input(self) -> bool:
        """Whether reading on makes sense now: false while a question is open and after the end."""
        return self._open is None and not self._closed and not self._eof

    @property
    def has_input(self) -> bool:
        """Whether bytes wait to be handled: there will be more replies as soon as the open question is answered, likely."""
        return self._buffer.size > 0

    @property
    def input_size(self) -> int:
        """How many bytes wait to be handled."""
        return self._buffer.size

    @property
    def input(self) -> bytes:
        """The bytes that wait to be handled."""
        return self._buffer.peek()

    @property
    def standing(self) -> tuple[object, ...] | None:
        """All that the reply to a command line depends on now, besides the line and the settings.

        Sessions of equal standing, under the same settings, reply to a line alike, and are of equal standing afterwards.
        ``None`` where it takes more than this to tell: in the middle of something, after an error, where the session is
        recorded or encrypted, and where it is not far from its limits.
        """
        return self._standing(self.seen) if self._open is None and self._buffer.empty else None

    @property
    def standing_once_delivered(self) -> tuple[object, ...] | None:
        """What :attr:`standing` is going to be when Accept answers the question for a message, what has come behind that aside.

        ``None`` where no such question is open.
        """
        if self._open is None or type(self._open.question) is not Deliver:
            return None
        return self._standing(self.seen if self.config.profile.recipients_accumulate else self.seen & LASTING)

    def _standing(self, seen: int) -> tuple[object, ...] | None:
        if (
            type(self) is not Session
            or self.body is not None
            or self.prelude not in BEFORE_COMMANDS
            or self._late_lf
            or self.events
            or self.errors
            or self._closed
            or self._eof
            or self._denied
            or self.parameters is not NO_PARAMETERS
            or self.recipient_parameters
            or self.chunks is not None
            or len(self.recipients) + _MANY_RECIPIENTS > self.config.limits.recipients
        ):
            return None
        return seen, self.extended, self.user, self.client, self.prelude is None

    def next_event(self) -> Event | None:
        """Go on as far as possible; return the next event, or ``None`` when there is nothing more to do now."""
        events = self.events
        if not events:
            if self._open is not None or self._closed:
                return None
            if self._buffer.ready:
                self._run(self._buffer.take())
            if not events and self._eof:
                self._client_left()
            if not events:
                return None
        return events.pop(0)

    @property
    def question(self) -> Question | None:
        """The open question."""
        return self._open.question if self._open is not None else None

    @property
    def questions(self) -> int:
        """How many questions are open: one, or more where they came up in the course of one another (:meth:`command`)."""
        count, question = 0, self._open
        while question is not None:
            count, question = count + 1, question.outer
        return count

    @property
    def acceptance(self) -> bytes:
        """The reply that Accept would give to the open question; empty when none is open.

        A driver whose answers have a long way to go may send it itself, and say so to :meth:`answer`.
        """
        return self._open.acceptance if self._open is not None else b""

    def answer(self, verdict: Verdict, *, replied: bool = False) -> None:
        """Answer the open question.

        Arguments:
            verdict: yes or no.
            replied: whether the driver has sent :attr:`acceptance` to the client already.

        Raises RuntimeError when no question is open.
        """
        question = self._open
        if question is None:
            raise RuntimeError("no question is open in this session")
        self._open = None
        match verdict:
            case Accept():
                if not replied:
                    self.out.append(question.acceptance)
                question.accepted()
            case Refuse():
                question.refused(verdict)
            case RefuseSome():
                self._some_refused(question, verdict.refusals)
        if question.outer is not None and not self._closed:
            self._open = question.outer

    def command(self, verb: str, line: str) -> None:
        """Handle a command as this class does it, though a script has taken the verb over: the script itself asks for it.

        May be called while a question is open, which then stays open; one that comes up meanwhile goes before it.

        Arguments:
            verb: the verb, in upper case; one without a handler here is not implemented.
            line: the command line.
        """
        if self._closed:
            return
        outer, self._open = self._open, None
        rules = rules_under(self.config.is_on).get(verb)
        if rules is None:
            self.fail(wire(self.config.replies.not_implemented.format(verb=verb)))
        elif self._in_sequence(verb, rules):
            _HANDLERS[verb](self, line)
        if self._open is None:
            self._open = outer if not self._closed else None
        else:
            self._open = self._open._replace(outer=outer)

    @property
    def access(self) -> str:
        """``denied`` when the host was refused: nothing but QUIT is carried out then; else ``allowed``."""
        return "denied" if self._denied else "allowed"

    @property
    def has_message(self) -> bool:
        """Whether a message has begun since the transaction was reset last; it may be over."""
        return bool(self._trace)

    def lines_so_far(self) -> list[str] | None:
        """Return the lines of the message that is being received, trace header first; ``None`` when none is."""
        if not isinstance(self.body, Body):
            return None
        lines = self.body.lines_as_sent(ended=False)
        return [*self._trace.split("\n"), *(line[1:] if line.startswith("..") else line for line in lines)]

    def assign(self, name: str, values: list[str]) -> None:
        """Set an item of the session's state by its name in the stock package: what scripts do with ``::smtpd::state``.

        Arguments:
            name: ``domain``, ``from``, ``to``, ``options``, ``id``, ``access``, ``client_addr``, ``indata`` (1 while a message is
                being received) or ``data`` (its lines so far, or the last one's); other names are the script's own affair.
            values: the value; for ``to`` one element per forward-path, for ``data`` one per line, else one in all. Behind that of
                ``indata`` come the lines that a message begins with.
        """
        value = values[0] if values else ""
        match name:
            case "domain":
                self.domain = value
                self._plain = None
                self._note(GREETED, bool(value))
            case "from":
                self.sender = value
                self._note(SENDER, bool(value))
            case "to":
                self.recipients = list(values)
                self._note(RECIPIENT, bool(values))
            case "options":
                self.options = value
            case "id":
                self.id = one_line(value)  # it is going to be part of a reply
                if self._open is not None and isinstance(self._open.question, Deliver) and not self.config.lmtp:
                    self._open = self._open._replace(acceptance=self._delivered(self.id))
            case "access":
                self._denied = value == "denied"
            case "client_addr":
                self.client = value
                self._plain = None
            case "indata" if (value == "1") is not isinstance(self.body, Body):
                self._trace = "\n".join(values[1:])
                self.body = self._new_body() if value == "1" else None
            case "data" if self.chunks is None:
                self._trace = "\n".join(values)
                if isinstance(self.body, Body):
                    self.body = self._new_body()

    def _note(self, bit: int, seen: bool) -> None:
        self.seen = self.seen | bit if seen else self.seen & ~bit

    def say(self, data: bytes) -> None:
        """Send bytes of a script's own: under TLS it cannot write to the connection itself."""
        self.out.append(data)

    def overhear(self, data: bytes) -> bytes:
        """Return what a client has said in bytes that a script has read by itself."""
        return data

    def take_output(self) -> bytes:
        """Return the reply bytes since the last call."""
        out = self.out
        if not out:
            return b""
        if len(out) == 1:
            return out.pop()
        output = b"".join(out)
        out.clear()
        return output

    # The loop

    def _run(self, data: bytes) -> None:
        """Handle command lines and bodies until there is an event, or nothing left to handle; keep what is left."""
        limit = self.config.limits.command_line
        events = self.events
        size = len(data)
        start = 0
        if self._late_lf:
            self._late_lf = not size
            start = int(data.startswith(b"\n"))
        while start < size and not events:
            body = self.body
            if body is not None:
                end = body.feed(data, start)
                if end < 0:
                    return
                if data.startswith(b"\r", end - 1) and isinstance(body, Body):  # what is none ends where it says
                    self._late_lf = end == size
                    end += data.startswith(b"\n", end)
                start = end
                self._received(body)
                continue
            if size - start > _SHORTEST_ENVELOPE and (end := self._envelope(data, start)):
                start = end
                continue
            end = data.find(b"\r\n", start)
            if end < 0:
                self._no_line_end(data[start:], limit)
                return
            if end - start > limit:
                self._too_long(data[start : start + grammar.HTTP_METHOD_LENGTH])
            else:
                self._command(data[start:end].decode("latin-1"))
            start = end + 2
        if start < size and not self._closed:
            self._buffer.give_back(data[start:], ready=True)

    def _envelope(self, data: bytes, start: int) -> int:
        """Take RSET, MAIL, RCPT and DATA in one step, as far as they come in one piece and nobody is to hear of each.

        Returns the index behind them; 0, with nothing done, when they have to be taken one by one.
        """
        config = self.config
        if not config.whole_envelopes or self.prelude is not None or self._denied:
            return 0
        envelope = config.last_envelope
        if envelope is None or not data.startswith(envelope.octets, start):
            verb = data[start : start + 4]
            if verb not in _LEADING or data.find(b"\r\n", start, -len("\r\n")) < 0:  # another command, or one alone
                return 0
            if verb == b"RCPT":
                return self._more_recipients(data, start)
            envelope = self._read_envelope(data, start)
        if envelope is None or not self._may_begin(envelope):
            return 0
        octets, reset, sender, paths, whole = envelope
        replies = config.replies
        out = self.out
        if reset:
            self.reset()
            out.append(replies.reset_ok)
        self.sender = sender
        self.options = ""
        self.parameters = NO_PARAMETERS
        self.recipients += paths
        self.seen |= SENDER | RECIPIENT
        if whole:
            out.append(replies.mail_ok + replies.rcpt_ok * len(paths) + replies.send_data)
            self.begin_message()
            self.body = self._new_body()
        else:
            out.append(replies.mail_ok + replies.rcpt_ok * len(paths))
        return start + len(octets)

    def _read_envelope(self, data: bytes, start: int) -> PlainEnvelope | None:
        """Read such commands from MAIL on, or RSET; None where there are none."""
        config = self.config
        match = grammar.ENVELOPE.match(data, start, start + config.limits.command_line)  # so no line in it is too long
        if match is None:
            return None
        reset, sender, recipients, last = match.groups()
        paths = tuple(recipients.decode("ascii").split("\r\nRCPT TO:"))
        envelope = PlainEnvelope(match[0], bool(reset), sender.decode("ascii"), paths, bool(last))
        if envelope.whole and len(envelope.octets) <= _LARGEST_KEPT:
            config.last_envelope = envelope
        return envelope

    def _may_begin(self, envelope: PlainEnvelope) -> bool:
        """Tell whether such a mail transaction may begin here, with nothing in it that is out of the ordinary."""
        seen, profile, limits = self.seen, self.config.profile, self.config.limits
        return (
            (seen & GREETED > 0 or profile.mail_before_hello)
            and (envelope.reset or not seen & SENDER or profile.transaction_any_order)
            and len(envelope.recipients) + len(self.recipients) <= limits.recipients
            and len(envelope.octets) <= limits.command_line  # it may have been read under another limit
        )

    def _more_recipients(self, data: bytes, start: int) -> int:
        """As :meth:`_envelope`, for RCPT alone: behind what was cut off, or as many of a long envelope as there is room for."""
        config = self.config
        limits = config.limits
        room = limits.recipients - len(self.recipients)
        if room <= 0 or not (self.seen & SENDER or config.profile.transaction_any_order):
            return 0
        match = grammar.RECIPIENTS.match(data, start, start + limits.command_line + len("\r\n"))
        if match is None:
            return 0
        end = match.end()
        paths = match[1].decode("ascii").split("\r\nRCPT TO:", room)
        if len(paths) > room:
            end -= len(f"RCPT TO:{paths.pop()}\r\n")
        self.recipients += paths
        self.seen |= RECIPIENT
        self.out.append(config.replies.rcpt_ok * len(paths))
        return end

    def _no_line_end(self, line: bytes, limit: int) -> None:
        """Keep the beginning of a line; refuse it when it is too long already."""
        if len(line) > limit + 1:  # the CR of its end may be there
            self._too_long(line)
            self._buffer.drop_line(line)
        else:
            self._buffer.give_back(line, ready=False)

    def _too_long(self, line: bytes) -> None:
        """Refuse a line over the limit; what it begins with is enough to tell another protocol's request."""
        if self.prelude is Session._first_line and grammar.HTTP_METHOD.match(line):
            self._not_smtp()
            return
        if self.confidential:  # it was a response: the exchange is over (RFC 4954, 4)
            self.confidential = False
            self.prelude = None
        self.fail(self.config.replies.line_too_long)

    def _command(self, line: str) -> None:
        """Handle one command line."""
        config = self.config
        if self.prelude is not None:
            look, self.prelude = self.prelude, None
            found = look(self, line)
            if found is None:
                return
            line = found
        if config.log_threshold == 0:
            self.debug(f"received: {without_secret(line)}")
        # Nearly every verb has four letters, and a space or nothing behind it.
        verb = line[:4].upper() if line[4:5] in _VERB_ENDS else grammar.VERB.match(line)[0].upper()  # type: ignore[index] # matches ""
        rules = config.rules.get(verb)
        if rules is None:  # a space may stand among the four
            verb = grammar.VERB.match(verb)[0]  # type: ignore[index] # matches ""
            rules = config.rules.get(verb)
        if verb not in config.commands:
            self.fail(config.replies.unknown_command)
        elif rules is None:
            self._scripted_command(verb, line)
        elif self._denied and verb not in _TAKEN_WHEN_DENIED:
            self.fail(config.replies.bad_sequence)
        elif not rules or self._in_sequence(verb, rules):
            _HANDLERS[verb](self, line)

    def _scripted_command(self, verb: str, line: str) -> None:
        """Handle a verb that is not ours, or not any more."""
        config = self.config
        if verb not in config.scripted:
            self.fail(wire(config.replies.not_implemented.format(verb=verb)))
        elif self._denied and verb != "QUIT":
            self.fail(config.replies.bad_sequence)
        else:
            self.ask(Command(verb, line), b"", _nothing, partial(self._command_failed, verb))

    def _command_failed(self, verb: str, refusal: Refuse) -> None:
        """The script has no such command after all, or it failed, and said so in a text."""
        if refusal.text:
            self.fail(self.config.replies.local_error)
        else:
            self.fail(wire(self.config.replies.not_implemented.format(verb=verb)))

    def _first_line(self, line: str) -> str | None:
        """Look at a session's first line: it may be a request of another protocol."""
        if not grammar.HTTP_REQUEST.match(line):
            return line
        self._not_smtp()
        return None

    def _not_smtp(self) -> None:
        self.out.append(self.config.replies.not_smtp)
        self.close("not SMTP")

    def _in_sequence(self, verb: str, rules: tuple[Rule, ...]) -> bool:
        for rule in rules:
            if (self.seen & rule.bit > 0) is not rule.wanted:
                self.fail(getattr(self.config.replies, rule.reply))
                if rule.log:
                    self.debug(rule.log.format(verb=verb))
                return False
        return True

    def _client_left(self) -> None:
        if isinstance(self.body, Body) and self.config.log_threshold == 0:
            self._log_body(self.body, ended=False)
        cut_off = self._buffer.take()
        if self._late_lf:
            cut_off = cut_off.removeprefix(b"\n")
        if not cut_off:
            self.log("warn" if self.config.profile.stock_replies else "info", "client has closed the channel")
        self.close("end of input")

    def close(self, reason: str) -> None:
        """End the session: nothing that the client sent is handled any more. ``reason`` is that of :class:`Close`."""
        self._closed = True
        self.body = None
        self._buffer = LineBuffer()
        self.events.append(Close(reason))

    # Replies, questions and log lines

    def reply(self, text: str, **values: str) -> None:
        """Reply with a text that has placeholders."""
        self.out.append(wire(text.format(**values)))

    def fail(self, reply: bytes) -> None:
        """Reply with an error; with one too many of them, the session is over."""
        self.out.append(reply)
        self.errors += 1
        if self.errors == self.config.limits.errors:
            self.out.append(self.config.replies.too_many_errors)
            self.close("too many errors")

    def log(self, level: str, text: str) -> None:
        """Write to the log, if it is wanted there."""
        if self.config.logs(level):
            self._log(level, text)

    def debug(self, text: str) -> None:
        """Write to the log at level debug."""
        if self.config.log_threshold == 0:
            self._log("debug", text)

    def _log(self, level: str, text: str) -> None:
        """Write to the log: before the end, when that has come."""
        entry = Log(level, one_line(text))
        if self._closed:
            self.events.insert(-1, entry)
        else:
            self.events.append(entry)

    def ask(self, question: Question, acceptance: bytes, accepted: Callable[[], None], refused: Callable[[Refuse], None]) -> None:
        """Put a question; go on with one of the two functions. ``acceptance`` is the reply when the answer is yes."""
        self._open = _new(_OpenQuestion, (question, acceptance, accepted, refused, None))
        self.events.append(question)

    def _refused(self, verdict: Refuse, code: int, text: str) -> None:
        """Reply as :meth:`_refusal` has it."""
        self.fail(self._refusal(verdict, code, text))

    def _refusal(self, verdict: Refuse, code: int, text: str) -> bytes:
        """Return the callback's own code and text, or ours: ``code`` and ``text`` (which may name ``{text}``)."""
        if verdict.code is None:
            return free_reply(str(code), text.replace("{text}", verdict.text))
        return free_reply(str(verdict.code), verdict.text)

    def syntax_error(self, line: str, verb: str) -> None:
        """Refuse a command that is not well-formed."""
        self.fail(self.config.replies.syntax_error)
        self.debug(f'{verb} received "{line}"')

    # Connecting and greeting

    def _host_accepted(self) -> None:
        if self.config.log_threshold <= NOTICE:
            self.log("notice", f"connect from {self.client}:{self.port} on {self.name}")

    def _host_refused(self, refusal: Refuse) -> None:
        self.log("notice", f"access denied for {self.client}:{self.port}: {refusal.text}")
        self._denied = True
        self._refused(refusal, 550, self.config.replies.host_refused)

    def _hello(self, line: str, verb: str) -> bool:
        """Take the client's name from a HELO or EHLO line; False, and the reply sent, when it gives none."""
        match = grammar.HELLO.match(line)
        if match is None or len(match[1]) > grammar.MAX_HELLO_NAME:
            self.syntax_error(line, verb)
            return False
        if not self.config.profile.hello_once:
            self.reset()
        self.domain = match[1]
        self.extended = line[:1] not in "Hh"
        self._plain = None
        self.seen |= GREETED
        return True

    def _hello_values(self) -> dict[str, str]:
        return {"server": self.config.server_address, "domain": self.domain, "client": self.client}

    def _helo(self, line: str) -> None:
        """HELO: RFC 5321, 4.1.1.1."""
        if self._hello(line, "HELO"):
            self.reply(self.config.replies.hello, **self._hello_values())
            self.debug(f"HELO on {self.name} from {self.domain}")

    def _ehlo(self, line: str) -> None:
        """EHLO: RFC 5321, 4.1.1.1."""
        config = self.config
        if not self._hello(line, "LHLO" if config.lmtp else "EHLO"):
            return
        extensions = config.extension_lines[self.secure]
        text = config.replies.ehlo if extensions else config.replies.hello
        self.out.append(config.hello.with_values(text, self._hello_values(), extensions))
        if config.log_threshold == 0:
            self.debug(f"EHLO on {self.name} from {self.domain}")

    # Encryption: the rest of it stands in pysmtpd.core.tls

    def _starttls(self, line: str) -> None:
        """STARTTLS: RFC 3207, 4."""
        config = self.config
        if config.log_threshold == 0:
            self.debug(f"{line} on {self.name}")
        if len(line if config.profile.stock_replies else line.rstrip(" \t")) > len("STARTTLS"):
            self.fail(config.replies.no_parameters)
        elif config.tls is None:
            self.fail(config.replies.tls_unavailable)
        else:
            self.ask(StartTls(), config.replies.start_tls, partial(self._encrypt, config.tls), self._tls_refused)

    def _tls_refused(self, refusal: Refuse) -> None:
        self._refused(refusal, 454, self.config.replies.tls_refused)

    def _encrypt(self, context: "Context") -> None:
        """Go on under TLS, and know nothing of what was said so far (RFC 3207, 4.2).

        What waits here was sent before the handshake, by anybody: it is dropped.
        """
        context.encrypt(self, self.take_output())
        self._buffer = LineBuffer()
        self.prelude = Session._first_line
        self.reset()
        self.domain = ""
        self.user = self._plain = None
        self.seen = ENCRYPTED
        self.secure = True

    # The mail transaction

    def reset(self) -> None:
        """Forget the mail transaction."""
        self.sender = ""
        self.recipients = []
        self.options = ""
        self.parameters = NO_PARAMETERS
        self.recipient_parameters = None
        self.chunks = None
        self._trace = ""
        self.seen &= LASTING

    def _mail(self, line: str) -> None:
        """MAIL: RFC 5321, 4.1.1.2."""
        config = self.config
        last, found = config.last_paths["MAIL"]
        if line != last:
            plain = grammar.PLAIN_MAIL.match(line)
            found = self._plain_path(plain, "MAIL") if plain else self._path(line, "MAIL", grammar.STOCK_MAIL, grammar.MAIL)
        if found is None:
            return
        path, address, _, options, parameters = found
        if "sender" in config.ask:
            self.asking = path, options, line
            accepted = partial(self._sender_accepted, path, address, options, parameters)
            self.ask(CheckSender(address), config.replies.mail_ok, accepted, partial(self._sender_refused, address))
        else:
            self._sender_accepted(path, address, options, parameters)
            self.out.append(config.replies.mail_ok)

    def _sender_accepted(self, path: str, address: str, options: str, parameters: Mapping[str, str]) -> None:
        if self.config.log_threshold == 0:
            self.debug(f"MAIL FROM: {address}")
        self.sender = path
        self.options = options
        self.parameters = parameters
        self.seen |= SENDER

    def _sender_refused(self, address: str, refusal: Refuse) -> None:
        self.log("info", f"MAIL denied user {address}")
        self.mailbox_refused(refusal)

    def _rcpt(self, line: str) -> None:
        """RCPT: RFC 5321, 4.1.1.3. The postmaster is always welcome (4.5.1)."""
        config = self.config
        last, found = config.last_paths["RCPT"]
        if line != last:
            plain = grammar.PLAIN_RCPT.match(line)
            found = self._plain_path(plain, "RCPT") if plain else self._path(line, "RCPT", grammar.STOCK_RCPT, grammar.RCPT)
        if found is None:
            return
        if len(self.recipients) >= config.limits.recipients:
            self.fail(config.replies.too_many_recipients)
            return
        path, address, local, options, parameters = found
        postmaster = local.lower() == "postmaster"
        if postmaster:
            self.log("notice", "RCPT to postmaster")
        if "recipient" in config.ask and not postmaster:
            self.asking = path, options, line
            accepted = partial(self._recipient_accepted, path, address, parameters)
            self.ask(CheckRecipient(address), config.replies.rcpt_ok, accepted, partial(self._recipient_refused, address))
        else:
            self._recipient_accepted(path, address, parameters)
            self.out.append(config.replies.rcpt_ok)

    def _recipient_accepted(self, path: str, address: str, parameters: Mapping[str, str]) -> None:
        if self.config.log_threshold == 0:
            self.debug(f"RCPT TO: {address}")
        if parameters:
            if self.recipient_parameters is None:
                self.recipient_parameters = {}
            self.recipient_parameters[len(self.recipients)] = parameters
        self.recipients.append(path)
        self.seen |= RECIPIENT

    def _recipient_refused(self, address: str, refusal: Refuse) -> None:
        self.log("info", f"RCPT denied mailbox {address}")
        self.mailbox_refused(refusal)

    def mailbox_refused(self, verdict: Refuse) -> None:
        """Refuse a mailbox, with the callback's own reply if it has one."""
        self.refuse(verdict, self.config.replies.mailbox_refused)

    def refuse(self, verdict: Refuse, reply: bytes) -> None:
        """Refuse, with the callback's own reply if it has one."""
        self.fail(reply if verdict.code is None else free_reply(str(verdict.code), verdict.text))

    def _plain_path(self, match: Match[str], verb: str) -> ReadPath | None:
        """As :meth:`_path`, for a path that both readings take alike."""
        path, address, local, options = match.groups("")
        if options:
            parameters = self._parameters(verb, options)
            return (path, address, local, options, parameters) if parameters is not None else None
        found = path, address, local, options, NO_PARAMETERS
        self.config.last_paths[verb] = match.string, found
        return found

    def _path(self, line: str, verb: str, loose: grammar.Pattern, strict: grammar.Pattern) -> ReadPath | None:
        """Read a path and what follows it; None, replied, on an error."""
        if self.config.profile.loose_paths:
            return self._loose_path(line, verb, loose)
        match = strict.match(line)
        if match is None:
            self.syntax_error(line, verb)
            return None
        address, options = match[1] or "", match[2].strip(" ")
        parameters = self._parameters(verb, options)
        if parameters is None:
            return None
        if not address.isascii():
            international = self._international(address, parameters if verb == "MAIL" else self.parameters)
            if international is None:
                return None
            address = international
        return f"<{address}>", address, address.rpartition("@")[0] or address, options, parameters

    def _international(self, address: str, parameters: Mapping[str, str]) -> str | None:
        """Return an address with octets above 127 as text (RFC 6531, 3.3); None, replied, where it must not have any."""
        if "SMTPUTF8" in parameters:
            try:
                text = address.encode("latin-1").decode("utf-8")
            except UnicodeDecodeError:
                text = ""
            if not text or grammar.C1_CONTROLS.search(text):
                self.fail(self.config.replies.syntax_error)
                return None
            return text
        self.fail(self.config.replies.not_ascii)
        return None

    def _loose_path(self, line: str, verb: str, pattern: grammar.Pattern) -> ReadPath | None:
        match = pattern.match(line)
        if match is None or grammar.CONTROLS.search(line):
            self.syntax_error(line, verb)
            return None
        path, options = split_path(match[1])
        parameters = self._parameters(verb, options)
        if parameters is None:
            return None
        in_force = parameters if verb == "MAIL" else self.parameters
        if "SMTPUTF8" in in_force and not path.isascii():
            international = self._international(path, in_force)
            if international is None:
                return None
            path = international
        box = parse_path(path)
        if box.error and not (path == "<>" and verb == "MAIL"):
            self.debug(f"{verb} failed {box.error}")
            self.fail(self.config.replies.syntax_error)
            return None
        return path, box.address(self.config.hostname), box.local, options, parameters

    def _parameters(self, verb: str, options: str) -> Mapping[str, str] | None:
        """Return the parameters that follow a path; None, replied, where something is wrong with them."""
        config = self.config
        if not options or not (config.offered or not config.profile.loose_paths):
            return NO_PARAMETERS
        from pysmtpd.core.parameters import parse

        parameters, problem = parse(config, verb, options)
        if problem:
            self.fail(getattr(config.replies, problem))
            return None
        return parameters

    def _data(self, _line: str) -> None:
        """DATA: RFC 5321, 4.1.1.4."""
        config = self.config
        if config.log_threshold == 0:
            self.debug("DATA")
        if self.parameters.get("BODY", "").upper() == "BINARYMIME":  # RFC 3030, 3
            self.fail(config.replies.bad_sequence)
            return
        self.begin_message()
        self.body = self._new_body()
        self.out.append(config.replies.send_data)

    def _new_body(self) -> Body:
        config = self.config
        return (AnyNewlineBody if config.profile.bare_newline_ends_data else CrlfBody)(config.limits.message)

    def begin_message(self) -> None:
        """A message is going to be sent: give it an id. Its trace header is made now, as the stock package does."""
        config = self.config
        sender = self.sender
        if "SMTPUTF8" in self.parameters:  # the header is octets: one character for each
            sender = sender.encode("utf-8").decode("latin-1")
        self.id = config.new_id()
        self._trace = trace_header(config, sender, self.domain, self.client, self.id, self.tls, self.envelope.protocol)

    def _received(self, body: "Body | Taker") -> None:
        """What was to be sent has come whole."""
        self.body = None
        if not isinstance(body, Body):
            body.received(self)
            return
        if body.oversize:
            self.fail_message(self.config.replies.too_large)
            return
        if self.config.log_threshold == 0:
            self._log_body(body, ended=True)
        self.message_received(body.take(), body.newline)

    def message_received(self, content: list[bytes], newline: bytes) -> None:
        """A whole message is there: ask whether it is welcome."""
        config = self.config
        delivered = self._delivered(self.id) if not config.lmtp else self._delivered_to_each()
        if "deliver" in config.ask:
            received = _new(Content, (self._trace, content, newline))
            question = _new(Deliver, (self.sender, tuple(self.recipients), received, self.id, self.envelope))
            self.ask(question, delivered, self.end_transaction, self._delivery_refused)
        else:
            self.out.append(delivered)
            self.end_transaction()

    def _delivered(self, message_id: str) -> bytes:
        return self.config.replies.delivered % message_id.encode("ascii", "replace")

    def fail_message(self, reply: bytes) -> None:
        """Refuse the message that was being sent: under LMTP for each recipient (RFC 2033, 4.2). It is one error all the same."""
        self.fail(reply * len(self.recipients) if self.config.lmtp else reply)
        self.end_transaction()

    @property
    def envelope(self) -> Envelope:
        """The circumstances of the message that is being received."""
        plain = self._plain
        if plain is None:
            protocol = self._protocol(utf8=False)
            plain = self._plain = Envelope(self.client, self.port, self.domain, protocol, self.user, self.tls)
        if self.parameters is NO_PARAMETERS and self.recipient_parameters is None:
            return plain
        protocol = self._protocol(utf8="SMTPUTF8" in self.parameters)
        of_recipients = self.recipient_parameters
        of_each = tuple(of_recipients.get(index, NO_PARAMETERS) for index in range(len(self.recipients))) if of_recipients else ()
        return plain._replace(protocol=protocol, parameters=self.parameters, recipient_parameters=of_each)

    def _protocol(self, *, utf8: bool) -> str:
        return protocol_name(extended=self.extended, lmtp=self.config.lmtp, utf8=utf8, secure=self.secure, user=self.user)

    def _log_body(self, body: Body, *, ended: bool) -> None:
        for line in body.lines_as_sent(ended=ended):
            self.debug(f"received: {line}")
        if ended:
            self.debug("received: .")

    def _delivered_to_each(self) -> bytes:
        """Return the replies of LMTP, one for each recipient (RFC 2033, 4.2)."""
        text = self.config.replies.delivered_to
        return b"".join(wire(text.format(id=self.id, recipient=shown_path(recipient))) for recipient in self.recipients)

    def _delivery_refused(self, refusal: Refuse) -> None:
        if not self.config.script_logs_delivery:
            self.debug(f"error in deliver: {refusal.text}")
        self.fail_message(self._refusal(refusal, 554, self.config.replies.delivery_refused))

    def _some_refused(self, question: _OpenQuestion, refusals: Mapping[str, Refuse]) -> None:
        """Some recipients of a message are refused. Where there is one reply for all, it is the first one's."""
        if not (self.config.lmtp and isinstance(question.question, Deliver)):
            question.refused(next(iter(refusals.values())))
            return
        accepted = question.acceptance.splitlines(keepends=True)
        text = self.config.replies.delivery_refused
        refused = {path: self._refusal(refusal, 554, text) for path, refusal in refusals.items()}
        replies = (refused.get(path, reply) for path, reply in zip(self.recipients, accepted, strict=True))
        self.fail(b"".join(replies))
        self.end_transaction()

    def end_transaction(self) -> None:
        """A message has been delivered, or given up."""
        if not self.config.profile.recipients_accumulate:
            self.reset()

    # The other commands

    def _bdat(self, line: str) -> None:
        """BDAT: RFC 3030, 2."""
        from pysmtpd.core.chunks import bdat

        bdat(self, line)

    def _auth(self, line: str) -> None:
        """AUTH: RFC 4954, 4."""
        from pysmtpd.core.auth import auth

        auth(self, line)

    def authenticated(self, username: str) -> None:
        """The client is who it says."""
        self.user = username
        self.seen |= AUTHENTICATED
        self._plain = None

    def _vrfy(self, line: str) -> None:
        """VRFY: RFC 5321, 4.1.1.6."""
        from pysmtpd.core.verify import vrfy

        vrfy(self, line)

    def _expn(self, line: str) -> None:
        """EXPN: RFC 5321, 4.1.1.7. There are no mailing lists here."""
        if line[len("EXPN") :].strip(" \t"):
            self.out.append(self.config.replies.cannot_expand)
        else:
            self.syntax_error(line, "EXPN")

    def _rset(self, _line: str) -> None:
        """RSET: RFC 5321, 4.1.1.5."""
        if self.config.log_threshold == 0:
            self.debug(f"RSET on {self.name}")
        self.reset()
        self.out.append(self.config.replies.reset_ok)

    def _noop(self, _line: str) -> None:
        """NOOP: RFC 5321, 4.1.1.9."""
        self.debug("NOOP: ")
        self.out.append(self.config.replies.noop_ok)

    def _help(self, line: str) -> None:
        """HELP: RFC 5321, 4.1.1.8."""
        replies = self.config.replies
        match = grammar.STOCK_HELP.match(line if self.config.profile.stock_replies else line.upper())
        topic = (match[1] or "") if match else ""
        lines = self.config.help_on(topic)
        if lines is None:
            unknown = replies.help_unknown.format(topic=topic)
            self.fail(free_reply(unknown[:3], unknown[4:]))
            return
        for text in lines:
            self.reply(replies.help_line, line=text)
        self.out.append(replies.help_end)

    def _quit(self, _line: str) -> None:
        """QUIT: RFC 5321, 4.1.1.10."""
        if self.config.log_threshold == 0:
            self.debug(f"QUIT on {self.name}")
        self.reply(self.config.replies.goodbye, server=self.config.server_address)
        self.close("quit")


#: What may look at a line first that is a command all the same.
BEFORE_COMMANDS: Final = (None, Session._first_line)


def _nothing() -> None:
    """A script has done all there was to do."""


_HANDLERS: Final[dict[str, Callable[[Session, str], None]]] = {
    "HELO": Session._helo,
    "EHLO": Session._ehlo,
    "LHLO": Session._ehlo,
    "MAIL": Session._mail,
    "RCPT": Session._rcpt,
    "DATA": Session._data,
    "RSET": Session._rset,
    "NOOP": Session._noop,
    "HELP": Session._help,
    "QUIT": Session._quit,
    "STARTTLS": Session._starttls,
    "BDAT": Session._bdat,
    "AUTH": Session._auth,
    "VRFY": Session._vrfy,
    "EXPN": Session._expn,
}
