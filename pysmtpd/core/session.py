"""One SMTP session: the state machine.

What may come when stands in the table of :mod:`pysmtpd.core.sequence`, which verb is handled where in the one at the end of
this file. A handler parses its command, puts a question where somebody listens, and adds its reply to the output; the loop in
:meth:`Session.next_event` goes on while there are whole lines and no question is open.
"""

from collections import deque
from collections.abc import Callable
from functools import partial
from re import Match
from typing import TYPE_CHECKING, Final, NamedTuple

from pysmtpd.core import grammar
from pysmtpd.core.address import parse_path, split_path
from pysmtpd.core.config import LOG_LEVELS, Config
from pysmtpd.core.data import AnyNewlineBody, Body, Content, CrlfBody
from pysmtpd.core.events import (
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
    StartTls,
    Verdict,
)
from pysmtpd.core.lines import LineBuffer
from pysmtpd.core.replies import free_reply, one_line, wire
from pysmtpd.core.sequence import ENCRYPTED, GREETED, RECIPIENT, SENDER, Rule, rules_under
from pysmtpd.core.trace import trace_header

if TYPE_CHECKING:
    from pysmtpd.core.record import Record
    from pysmtpd.core.tls import Context, Stage, TlsFacts

_VERB_ENDS: Final = ("", " ")

#: The questions that no command between MAIL and DATA puts.
_AROUND: Final = frozenset(("host", "deliver"))
_TRANSACTION: Final = frozenset(("RSET", "MAIL", "RCPT", "DATA"))
#: An envelope in one segment has at least so many octets.
_SHORTEST_ENVELOPE: Final = 40

NOTICE: Final = LOG_LEVELS.index("notice")

# What is unusual about the next command line.
_NOTHING: Final = 0
_FIRST_LINE: Final = 1  # it may be a request of another protocol
_AFTER_BODY: Final = 2  # the LF of the CR that ended the body may lead it


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
        name: what the log calls the connection (the channel's name, in Tcl).
    """

    __slots__ = (
        "_body",
        "_buffer",
        "_closed",
        "_denied",
        "_eof",
        "_open",
        "_out",
        "_stage",
        "_trace",
        "_unusual",
        "client",
        "config",
        "domain",
        "errors",
        "events",
        "id",
        "name",
        "options",
        "port",
        "recipients",
        "record",
        "secure",
        "seen",
        "sender",
        "tls",
    )

    def __init__(self, config: Config, client: str, port: int, name: str) -> None:
        self.config = config
        self.client = client
        self.port = port
        self.name = name
        self.domain = ""  #: the name given to HELO or EHLO
        self.sender = ""  #: the reverse-path in its brackets
        self.recipients: list[str] = []  #: the forward-paths in their brackets
        self.options = ""  #: what followed the reverse-path
        self.id = ""  #: the id of the message being received, or received last
        self.seen = 0  #: GREETED, SENDER, RECIPIENT, ENCRYPTED
        self.tls: TlsFacts | None = None  #: what was agreed on, under TLS
        self.secure = False  #: whether the connection is encrypted
        self.errors = 0  #: commands refused so far
        self._buffer = LineBuffer()
        self._body: Body | None = None
        self._trace = ""
        self._out: list[bytes] = []
        self._stage: Stage | None = None
        self.events: deque[Event] = deque()  #: what next_event is going to return: empty, most of the time
        self._open: _OpenQuestion | None = None
        self._denied = False
        self._closed = False
        self._eof = False
        self._unusual = _FIRST_LINE
        self.record: Record  # only of a session that is recorded

    # The driver's side

    def start(self) -> None:
        """Begin: ask about the host, then greet. Called once, before anything is received."""
        config = self.config
        if config.observe is not None:
            config.observe(self)
        if config.tls is not None and config.tls_implicit:
            self._encrypt(config.tls)
        greeting = wire(
            config.replies.greeting.format(server=config.server_address, banner=config.banner, timestamp=config.timestamp())
        )
        if "host" in config.ask:
            self._ask(CheckHost(self.client), greeting, self._host_accepted, self._host_refused)
        else:
            self._out.append(greeting)
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
            self._out.append(self.config.replies.idle)
            self._close("idle")

    def shut_down(self) -> None:
        """End the session: the server goes away (RFC 5321, 3.8). An open question is dropped."""
        if not self._closed:
            self._open = None
            self._out.append(self.config.unavailable())
            self._close("shutdown")

    @property
    def wants_input(self) -> bool:
        """Whether reading on makes sense now: false while a question is open and after the end."""
        return self._open is None and not self._closed and not self._eof

    @property
    def has_input(self) -> bool:
        """Whether bytes wait to be handled: there will be more replies as soon as the open question is answered, likely."""
        return self._buffer.size > 0

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
        return events.popleft()

    @property
    def question(self) -> Question | None:
        """The open question."""
        return self._open.question if self._open is not None else None

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
        if isinstance(verdict, Refuse):
            question.refused(verdict)
        else:
            if not replied:
                self._out.append(question.acceptance)
            question.accepted()
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
        rules = rules_under(self.config.profile).get(verb)
        if rules is None:
            self._fail(wire(self.config.replies.not_implemented.format(verb=verb)))
        elif self._in_sequence(verb, rules):
            _HANDLERS[verb](self, line)
        if self._open is None:
            self._open = outer if not self._closed else None
        else:
            self._open = self._open._replace(outer=outer)

    def assign(self, name: str, values: list[str]) -> None:
        """Set an item of the session's state by its name in the stock package: what scripts do with ``::smtpd::state``.

        Arguments:
            name: ``domain``, ``from``, ``to``, ``options``, ``id`` or ``access``; other names are the script's own affair.
            values: the value; for ``to`` one element per forward-path, else one in all.
        """
        value = values[0] if values else ""
        match name:
            case "domain":
                self.domain = value
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
                self.id = value
            case "access":
                self._denied = value == "denied"

    def _note(self, bit: int, seen: bool) -> None:
        self.seen = self.seen | bit if seen else self.seen & ~bit

    def take_output(self) -> bytes:
        """Return the reply bytes since the last call."""
        out = self._out
        if not out:
            return b""
        output = out[0] if len(out) == 1 else b"".join(out)
        out.clear()
        return output

    # The loop

    def _run(self, data: bytes) -> None:
        """Handle command lines and bodies until there is an event, or nothing left to handle; keep what is left."""
        limit = self.config.limits.command_line
        events = self.events
        size = len(data)
        start = 0
        while not events:
            if self._body is not None:
                end = self._body.feed(data, start) if start < size else -1
                if end < 0:
                    return
                last = data[end - 1 : end]
                if last == b"\r" and data.startswith(b"\n", end):
                    last = b"\n"
                    end += 1
                start = end
                self._received(self._body, last)
                continue
            if size - start > _SHORTEST_ENVELOPE and (end := self._envelope(data, start)):
                start = end
                continue
            end = data.find(b"\r\n", start)
            if end < 0:
                if start < size:
                    self._no_line_end(data[start:], limit)
                return
            if end - start > limit:
                self._fail(self.config.replies.line_too_long)
            else:
                self._command(data[start:end].decode("latin-1"))
            start = end + 2
        if start < size and not self._closed:
            self._buffer.give_back(data[start:], ready=True)

    def _envelope(self, data: bytes, start: int) -> int:
        """Take RSET, MAIL, RCPT and DATA in one step where they come in one piece and nobody is to hear of each.

        Returns the index behind them; 0, with nothing done, when they have to be taken one by one.
        """
        config = self.config
        if self._unusual or self._denied or config.log_threshold == 0 or not config.ask <= _AROUND:
            return 0
        if not (config.rules.keys() >= _TRANSACTION <= config.commands):
            return 0
        match = grammar.ENVELOPE.match(data, start)
        if match is None:
            return 0
        reset, sender, recipients = match.groups()
        paths = recipients.decode("ascii").split("\r\nRCPT TO:")
        if not self._may_begin(reset, paths):
            return 0
        if reset:
            self._rset("")
        replies = config.replies
        self.sender = sender.decode("ascii")
        self.options = ""
        self.recipients += paths
        self.seen |= SENDER | RECIPIENT
        self._out.append(replies.mail_ok + replies.rcpt_ok * len(paths))
        self._data("")
        return match.end()

    def _may_begin(self, reset: bool, paths: list[str]) -> bool:
        """Tell whether a mail transaction to these recipients may begin here, with nothing in it that is out of the ordinary."""
        profile = self.config.profile
        if not (self.seen & GREETED or profile.mail_before_hello):
            return False
        if self.seen & SENDER and not (reset or profile.transaction_any_order):
            return False
        if len(paths) + len(self.recipients) > self.config.limits.recipients:
            return False
        return not any(path[:12].lower() == "<postmaster@" for path in paths)

    def _no_line_end(self, line: bytes, limit: int) -> None:
        """Keep the beginning of a line; refuse it when it is too long already."""
        if len(line) > limit + 1:  # the CR of its end may be there
            self._fail(self.config.replies.line_too_long)
            self._buffer.drop_line(line)
        else:
            self._buffer.give_back(line, ready=False)

    def _command(self, line: str) -> None:
        """Handle one command line."""
        config = self.config
        if self._unusual:
            line = self._prelude(line)
            if self._closed:
                return
        if config.log_threshold == 0:
            self._debug(f"received: {line}")
        # Nearly every verb has four letters, and a space or nothing behind it.
        verb = line[:4].upper() if line[4:5] in _VERB_ENDS else grammar.VERB.match(line)[0].upper()  # type: ignore[index] # matches ""
        rules = config.rules.get(verb)
        if verb not in config.commands:
            self._fail(config.replies.unknown_command)
        elif rules is None:
            self._scripted_command(verb, line)
        elif self._denied and verb != "QUIT":
            self._fail(config.replies.bad_sequence)
        elif not rules or self._in_sequence(verb, rules):
            _HANDLERS[verb](self, line)

    def _scripted_command(self, verb: str, line: str) -> None:
        """Handle a verb that is not ours, or not any more."""
        config = self.config
        if verb not in config.scripted:
            self._fail(wire(config.replies.not_implemented.format(verb=verb)))
        elif self._denied and verb != "QUIT":
            self._fail(config.replies.bad_sequence)
        else:
            self._ask(Command(verb, line), b"", _nothing, partial(self._command_failed, verb))

    def _command_failed(self, verb: str, refusal: Refuse) -> None:
        """The script has no such command after all, or it failed, and said so in a text."""
        if refusal.text:
            self._fail(self.config.replies.local_error)
        else:
            self._fail(wire(self.config.replies.not_implemented.format(verb=verb)))

    def _prelude(self, line: str) -> str:
        """Look at a session's first line, and at the first one after a body; return the line to go on with."""
        if self._unusual == _AFTER_BODY:
            line = line.removeprefix("\n")
        elif grammar.HTTP_REQUEST.match(line):
            self._out.append(self.config.replies.not_smtp)
            self._close("not SMTP")
        self._unusual = _NOTHING
        return line

    def _in_sequence(self, verb: str, rules: tuple[Rule, ...]) -> bool:
        for rule in rules:
            if bool(self.seen & rule.bit) is not rule.wanted:
                self._fail(getattr(self.config.replies, rule.reply))
                if rule.log:
                    self._debug(rule.log.format(verb=verb))
                return False
        return True

    def _client_left(self) -> None:
        cut_off = self._buffer.take()
        if self._unusual == _AFTER_BODY:
            cut_off = cut_off.removeprefix(b"\n")
        if not cut_off:
            self._log("warn", "client has closed the channel")
        self._close("end of input")

    def _close(self, reason: str) -> None:
        self._closed = True
        self._body = None
        self._buffer = LineBuffer()
        self.events.append(Close(reason))

    # Replies, questions and log lines

    def _reply(self, text: str, **values: str) -> None:
        self._out.append(wire(text.format(**values)))

    def _fail(self, reply: bytes) -> None:
        """Reply with an error; with one too many of them, the session is over."""
        self._out.append(reply)
        self.errors += 1
        if self.errors == self.config.limits.errors:
            self._out.append(self.config.replies.too_many_errors)
            self._close("too many errors")

    def _log(self, level: str, text: str) -> None:
        if self.config.logs(level):
            self.events.append(Log(level, one_line(text)))

    def _debug(self, text: str) -> None:
        if self.config.log_threshold == 0:
            self.events.append(Log("debug", one_line(text)))

    def _ask(
        self, question: Question, acceptance: bytes, accepted: Callable[[], None], refused: Callable[[Refuse], None]
    ) -> None:
        """Put a question; go on with one of the two functions. ``acceptance`` is the reply when the answer is yes."""
        self._open = _OpenQuestion(question, acceptance, accepted, refused)
        self.events.append(question)

    def _refused(self, verdict: Refuse, code: int, text: str) -> None:
        """Reply with the callback's own code and text, or with ours: ``code`` and ``text`` (which may name ``{text}``)."""
        if verdict.code is None:
            self._fail(free_reply(str(code), text.replace("{text}", verdict.text)))
        else:
            self._fail(free_reply(str(verdict.code), verdict.text))

    def _syntax_error(self, line: str, verb: str) -> None:
        self._debug(f'{verb} received "{line}"')
        self._fail(self.config.replies.syntax_error)

    # Connecting and greeting

    def _host_accepted(self) -> None:
        if self.config.log_threshold <= NOTICE:
            self._log("notice", f"connect from {self.client}:{self.port} on {self.name}")

    def _host_refused(self, refusal: Refuse) -> None:
        self._log("notice", f"access denied for {self.client}:{self.port}: {refusal.text}")
        self._denied = True
        self._refused(refusal, 550, self.config.replies.host_refused)

    def _hello(self, line: str) -> bool:
        """Take the client's name from a HELO or EHLO line; False, and the reply sent, when it gives none."""
        match = grammar.HELLO.match(line)
        if match is None or len(match[1]) > grammar.MAX_HELLO_NAME:
            self._syntax_error(line, line[:4].upper())
            return False
        if not self.config.profile.hello_once:
            self._reset()
        self.domain = match[1]
        self.seen |= GREETED
        return True

    def _hello_values(self) -> dict[str, str]:
        return {"server": self.config.server_address, "domain": self.domain, "client": self.client}

    def _helo(self, line: str) -> None:
        """HELO: RFC 5321, 4.1.1.1."""
        if self._hello(line):
            self._reply(self.config.replies.hello, **self._hello_values())
            self._debug(f"HELO on {self.name} from {self.domain}")

    def _ehlo(self, line: str) -> None:
        """EHLO: RFC 5321, 4.1.1.1."""
        if not self._hello(line):
            return
        config = self.config
        extensions = config.extension_lines[self.secure]
        self._reply(config.replies.ehlo if extensions else config.replies.hello, **self._hello_values())
        self._out.append(extensions)
        self._debug(f"EHLO on {self.name} from {self.domain}")

    # Encryption: the rest of it stands in pysmtpd.core.tls

    def _starttls(self, line: str) -> None:
        """STARTTLS: RFC 3207, 4."""
        config = self.config
        self._debug(f"{line} on {self.name}")
        if len(line) > len("STARTTLS"):
            self._out.append(config.replies.no_parameters)
        elif config.tls is None:
            self._out.append(config.replies.tls_unavailable)
        else:
            self._ask(StartTls(), config.replies.start_tls, partial(self._encrypt, config.tls), self._tls_refused)

    def _tls_refused(self, refusal: Refuse) -> None:
        self._refused(refusal, 454, self.config.replies.tls_refused)

    def _encrypt(self, context: "Context") -> None:
        """Go on under TLS, and know nothing of what was said so far (RFC 3207, 4.2).

        What waits here was sent before the handshake, by anybody: it is dropped.
        """
        from pysmtpd.core.tls import EncryptedSession, Stage

        self._stage = Stage(context, self.take_output())
        self._buffer = LineBuffer()
        self._unusual = _FIRST_LINE
        self._reset()
        self.domain = ""
        self.seen = ENCRYPTED
        self.secure = True
        self.__class__ = EncryptedSession

    # The mail transaction

    def _reset(self) -> None:
        self.sender = ""
        self.recipients = []
        self.options = ""
        self.seen &= GREETED | ENCRYPTED

    def _mail(self, line: str) -> None:
        """MAIL: RFC 5321, 4.1.1.2."""
        config = self.config
        plain = grammar.PLAIN_MAIL.match(line)
        found = self._plain_path(plain, "MAIL") if plain else self._path(line, "MAIL", grammar.STOCK_MAIL, grammar.MAIL)
        if found is None:
            return
        path, address, _, options = found
        if "sender" in config.ask:
            accepted = partial(self._sender_accepted, path, address, options)
            self._ask(CheckSender(address), config.replies.mail_ok, accepted, partial(self._sender_refused, address))
        else:
            self._out.append(config.replies.mail_ok)
            self._sender_accepted(path, address, options)

    def _sender_accepted(self, path: str, address: str, options: str) -> None:
        if self.config.log_threshold == 0:
            self._debug(f"MAIL FROM: {address}")
        self.sender = path
        self.options = options
        self.seen |= SENDER

    def _sender_refused(self, address: str, refusal: Refuse) -> None:
        self._log("info", f"MAIL denied user {address}")
        self._mailbox_refused(refusal)

    def _rcpt(self, line: str) -> None:
        """RCPT: RFC 5321, 4.1.1.3. The postmaster is always welcome (4.5.1)."""
        config = self.config
        plain = grammar.PLAIN_RCPT.match(line)
        found = self._plain_path(plain, "RCPT") if plain else self._path(line, "RCPT", grammar.STOCK_RCPT, grammar.RCPT)
        if found is None:
            return
        if len(self.recipients) >= config.limits.recipients:
            self._fail(config.replies.too_many_recipients)
            return
        path, address, local, _ = found
        postmaster = local.lower() == "postmaster"
        if postmaster:
            self._log("notice", "RCPT to postmaster")
        if "recipient" in config.ask and not postmaster:
            accepted = partial(self._recipient_accepted, path, address)
            self._ask(CheckRecipient(address), config.replies.rcpt_ok, accepted, partial(self._recipient_refused, address))
        else:
            self._out.append(config.replies.rcpt_ok)
            self._recipient_accepted(path, address)

    def _recipient_accepted(self, path: str, address: str) -> None:
        if self.config.log_threshold == 0:
            self._debug(f"RCPT TO: {address}")
        self.recipients.append(path)
        self.seen |= RECIPIENT

    def _recipient_refused(self, address: str, refusal: Refuse) -> None:
        self._log("info", f"RCPT denied mailbox {address}")
        self._mailbox_refused(refusal)

    def _mailbox_refused(self, verdict: Refuse) -> None:
        if verdict.code is None:
            self._fail(self.config.replies.mailbox_refused)
        else:
            self._fail(free_reply(str(verdict.code), verdict.text))

    def _plain_path(self, match: Match[str], verb: str) -> tuple[str, ...] | None:
        """As :meth:`_path`, for a path that both readings take alike."""
        found = match.groups("")
        if found[3] and not (self.config.profile.loose_paths or self._known_parameters(verb, found[3])):
            return None
        return found

    def _path(self, line: str, verb: str, loose: grammar.Pattern, strict: grammar.Pattern) -> tuple[str, ...] | None:
        """Return the path with its brackets, the address, its local part, what follows it; None, replied, on an error."""
        if self.config.profile.loose_paths:
            return self._loose_path(line, verb, loose)
        match = strict.match(line)
        if match is None:
            self._syntax_error(line, verb)
            return None
        address, parameters = match[1] or "", match[2].strip(" ")
        if not self._known_parameters(verb, parameters):
            return None
        return f"<{address}>", address, address.rpartition("@")[0] or address, parameters

    def _loose_path(self, line: str, verb: str, pattern: grammar.Pattern) -> tuple[str, ...] | None:
        match = pattern.match(line)
        if match is None or grammar.CONTROLS.search(line):
            self._syntax_error(line, verb)
            return None
        path, options = split_path(match[1])
        box = parse_path(path)
        if box.error and not (path == "<>" and verb == "MAIL"):
            self._debug(f"{verb} failed {box.error}")
            self._fail(self.config.replies.syntax_error)
            return None
        return path, box.address(self.config.hostname), box.local, options

    def _known_parameters(self, verb: str, parameters: str) -> bool:
        """Check MAIL's parameters: SIZE (RFC 1870) and BODY (RFC 6152). RCPT has none so far."""
        for parameter in parameters.split():
            name, _, value = parameter.upper().partition("=")
            if verb == "MAIL" and name == "SIZE" and value.isdigit():
                if len(value) > 20 or int(value) > self.config.limits.message:
                    self._fail(self.config.replies.too_large)
                    return False
            elif not (verb == "MAIL" and name == "BODY" and value in ("7BIT", "8BITMIME")):
                self._fail(self.config.replies.unknown_parameter)
                return False
        return True

    def _data(self, _line: str) -> None:
        """DATA: RFC 5321, 4.1.1.4. The trace header is made now, as the stock package does."""
        config = self.config
        if config.log_threshold == 0:
            self._debug("DATA")
        self.id = config.new_id()
        self._trace = trace_header(config, self.sender, self.domain, self.client, self.id, self.tls)
        body = AnyNewlineBody if config.profile.bare_newline_ends_data else CrlfBody
        self._body = body(config.limits.message)
        self._out.append(config.replies.send_data)

    def _received(self, body: Body, last: bytes) -> None:
        """A whole message is there, and ``last`` ended it: ask whether it is welcome."""
        config = self.config
        self._body = None
        if last == b"\r":  # the LF of this CR may still be to come
            self._unusual = _AFTER_BODY
        if body.oversize:
            self._fail(config.replies.too_large)
            self._end_transaction()
            return
        if config.log_threshold == 0:
            self._log_body(body)
        delivered = wire(config.replies.delivered.format(id=self.id))
        if "deliver" in config.ask:
            content = Content(self._trace, body.take(), body.newline)
            question = Deliver(self.sender, tuple(self.recipients), content, self.id)
            self._ask(question, delivered, self._end_transaction, self._delivery_refused)
        else:
            self._out.append(delivered)
            self._end_transaction()

    def _log_body(self, body: Body) -> None:
        for line in body.lines_as_sent():
            self._debug(f"received: {line}")
        self._debug("received: .")

    def _delivery_refused(self, refusal: Refuse) -> None:
        self._debug(f"error in deliver: {refusal.text}")
        self._refused(refusal, 554, self.config.replies.delivery_refused)
        self._end_transaction()

    def _end_transaction(self) -> None:
        if not self.config.profile.recipients_accumulate:
            self._reset()

    # The other commands

    def _rset(self, _line: str) -> None:
        """RSET: RFC 5321, 4.1.1.5."""
        if self.config.log_threshold == 0:
            self._debug(f"RSET on {self.name}")
        self._reset()
        self._out.append(self.config.replies.reset_ok)

    def _noop(self, _line: str) -> None:
        """NOOP: RFC 5321, 4.1.1.9."""
        self._debug("NOOP: ")
        self._out.append(self.config.replies.noop_ok)

    def _help(self, line: str) -> None:
        """HELP: RFC 5321, 4.1.1.8."""
        replies = self.config.replies
        match = grammar.STOCK_HELP.match(line if self.config.profile.stock_replies else line.upper())
        topic = (match[1] or "") if match else ""
        lines = self.config.help.get(topic)
        if lines is None:
            self._fail(wire(replies.help_unknown.format(topic=topic)))
            return
        for text in lines:
            self._out.append(wire(f"214-{text}"))
        self._out.append(replies.help_end)

    def _quit(self, _line: str) -> None:
        """QUIT: RFC 5321, 4.1.1.10."""
        self._debug(f"QUIT on {self.name}")
        self._reply(self.config.replies.goodbye, server=self.config.server_address)
        self._close("quit")


def _nothing() -> None:
    """A script has done all there was to do."""


_HANDLERS: Final[dict[str, Callable[[Session, str], None]]] = {
    "HELO": Session._helo,
    "EHLO": Session._ehlo,
    "MAIL": Session._mail,
    "RCPT": Session._rcpt,
    "DATA": Session._data,
    "RSET": Session._rset,
    "NOOP": Session._noop,
    "HELP": Session._help,
    "QUIT": Session._quit,
    "STARTTLS": Session._starttls,
}
