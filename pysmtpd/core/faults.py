"""Faults on demand: what a server does wrong on purpose, for a client to be tested with. No clock, no chance: they come as told.

A session looks for faults where it is recorded (:mod:`pysmtpd.core.record`), and only while there are any.
"""

from collections.abc import Callable, Iterator
from functools import partial
from re import Pattern
from typing import Final, TypeAlias

from pysmtpd.core import grammar
from pysmtpd.core.events import Pause
from pysmtpd.core.session import BEFORE_COMMANDS, Session

#: What an address is asked to be: itself, or a pattern that is found in it.
Asked: TypeAlias = str | Pattern[str]

#: The address in a path, behind its route (RFC 5321, 4.1.2). In a quoted local part, a bracket is one like any other.
_PATH: Final = grammar.Pattern(r'<(?:@[^<>:]*:)?((?:"(?:[^"\\]|\\.)*"|[^">])*)>')

#: Stages that are no verbs.
CONNECT: Final = "CONNECT"
MESSAGE: Final = "MESSAGE"
#: Where no recipient is known yet.
_BEFORE_RECIPIENTS: Final = (CONNECT, "HELO", "EHLO", "LHLO", "STARTTLS", "AUTH", "MAIL")
_BEFORE_SENDER: Final = _BEFORE_RECIPIENTS[:-1]


def same_address(asked: Asked, address: str) -> bool:
    """Compare addresses: the local part exactly, the domain in any case (RFC 5321, 2.4)."""
    if isinstance(asked, Pattern):
        return asked.search(address) is not None
    return _folded(asked) == _folded(address)


def _folded(address: str) -> str:
    local, at, domain = address.rpartition("@")
    return local + at + (domain.lower() if at else domain)


class Fault:
    """One thing that goes wrong. As a context manager, it goes wrong inside.

    Arguments:
        at: a verb: in place of the reply to it; ``CONNECT``: of the greeting; ``MESSAGE``: of the reply to the end of the data.
            By default ``RCPT`` where ``to`` is given, ``MAIL`` where ``sender`` is, else ``MESSAGE``.
        to: only for this recipient: at ``RCPT`` the one that is named, later any of them.
        sender: only for this sender.
        reply: what is said; empty to close the connection without a word. None to go on as usual, after ``seconds``.
        seconds: how long the client waits first.
        times: how often it goes wrong before all is well; None for always.

    Raises ValueError naming the argument, its value and what is allowed.
    """

    def __init__(
        self,
        at: str | None,
        to: Asked | None,
        sender: Asked | None,
        reply: bytes | None,
        seconds: float = 0.0,
        times: int | None = None,
    ) -> None:
        self.at = (at or ("RCPT" if to is not None else "MAIL" if sender is not None else MESSAGE)).upper()
        if not (self.at.isascii() and self.at.isalnum()):
            raise ValueError(f"at is {at!r}: must be a verb, CONNECT or MESSAGE")
        for name, value, before in (("to", to, _BEFORE_RECIPIENTS), ("sender", sender, _BEFORE_SENDER)):
            if value is not None and self.at in before:
                raise ValueError(f"{name} is {value!r}, and not known at {self.at}")
        if not (times is None or (type(times) is int and times > 0)):
            raise ValueError(f"times is {times!r}: must be a number from 1 up, or None for always")
        if not (isinstance(seconds, int | float) and 0 <= seconds < float("inf")):
            raise ValueError(f"seconds is {seconds!r}: must be a number of seconds")
        self.to = to
        self.sender = sender
        self.reply = reply
        self.seconds = float(seconds)
        self.times = times
        self.struck = 0  #: how often it has gone wrong so far
        self._among: Faults | None = None

    def end(self) -> None:
        """Have all go well again."""
        if self._among is not None:
            self._among.remove(self)

    def __enter__(self) -> "Fault":
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def __repr__(self) -> str:
        return f"<fault at {self.at}, struck {self.struck} times>"

    def fits(self, session: Session, at: str, line: str) -> bool:
        """Tell whether it is to go wrong here and now."""
        if at != self.at or (self.times is not None and self.struck >= self.times):
            return False
        if self.sender is not None:
            sender = address_in(line) if at == "MAIL" else session.sender[1:-1]
            if not same_address(self.sender, sender):
                return False
        if self.to is None:
            return True
        recipients = [address_in(line)] if at == "RCPT" else [path[1:-1] for path in session.recipients]
        return any(same_address(self.to, recipient) for recipient in recipients)


class Faults:
    """The faults of one server, the oldest first. May be changed from any thread."""

    def __init__(self) -> None:
        self.active: tuple[Fault, ...] = ()  #: looked at by every session: empty, nearly always

    def add(self, fault: Fault) -> None:
        """Have something go wrong from now on."""
        fault._among = self
        self.active = (*self.active, fault)

    def remove(self, fault: Fault) -> None:
        """Have it go wrong no longer."""
        self.active = tuple(each for each in self.active if each is not fault)

    def clear(self) -> None:
        """Have all go well."""
        self.active = ()

    def __iter__(self) -> Iterator[Fault]:
        return iter(self.active)

    def __bool__(self) -> bool:
        return bool(self.active)

    def strike(self, session: Session, at: str, line: str) -> Fault | None:
        """Return the fault that strikes here and now, and count it; None when all goes well."""
        for fault in self.active:
            if fault.fits(session, at, line):
                fault.struck += 1
                return fault
        return None


def address_in(line: str) -> str:
    """Return the address in the path of a MAIL or RCPT command, without its route, as text; nothing where there is none."""
    start = line.find("<")
    match = _PATH.match(line, start) if start >= 0 else None
    address = match[1] if match else ""
    try:
        return address.encode("latin-1").decode("utf-8")
    except UnicodeDecodeError:
        return address


class FaultySession(Session):
    """A session in which things may go wrong."""

    __slots__ = ()

    def _strike(self, at: str, line: str = "") -> Fault | None:
        faults = self.config.faults
        return faults.strike(self, at, line) if faults is not None and faults.active else None

    def _host_accepted(self) -> None:
        fault = self._strike(CONNECT)
        if fault is None:
            super()._host_accepted()
        else:
            self._suffer(fault, partial(self._greet, self.out.pop()), self._turn_away)

    def _greet(self, greeting: bytes) -> None:
        self.out.append(greeting)
        super()._host_accepted()

    def _turn_away(self, reply: bytes) -> None:
        self.out.append(reply)
        self._denied = True

    def _faulty_command(self, line: str) -> None:
        """Handle a command, or do it wrong."""
        verb = line.partition(" ")[0].upper()
        fault = self._strike(verb, line) if self._in_turn(verb) else None
        if fault is None:
            super()._command(line)
        else:
            refuse = partial(self._refuse_chunk, line) if verb == "BDAT" else self.fail
            self._suffer(fault, partial(super()._command, line), refuse)

    def _refuse_chunk(self, line: str, reply: bytes) -> None:
        """Refuse a chunk, and read it first: its octets are no commands (RFC 3030, 2). A 421 is the end anyway."""
        from pysmtpd.core.chunks import bdat

        if reply.startswith(b"421"):
            self.fail(reply)
        else:
            bdat(self, line, reply)

    def _in_turn(self, verb: str) -> bool:
        """Tell whether a command of this verb can be expected: no fault hides what the client does wrong itself."""
        if verb == "BDAT":  # which is read in any order: the table has no rules for it
            from pysmtpd.core.chunks import refusal_of

            return not refusal_of(self, 0)
        rules = self.config.rules.get(verb, ())
        expected = self.prelude in BEFORE_COMMANDS and not self._denied
        return expected and all(bool(self.seen & rule.bit) is rule.wanted for rule in rules)

    def message_received(self, content: list[bytes], newline: bytes) -> None:
        """A whole message is there: ask whether it is welcome, or do it wrong."""
        faults = self.config.faults
        fault = faults.strike(self, MESSAGE, "") if faults is not None and faults.active else None
        if fault is None:
            Session.message_received(self, content, newline)  # super() would take as long as the rest of this
        else:
            self._suffer(fault, partial(super().message_received, content, newline), self.fail_message)

    def _suffer(self, fault: Fault, go_on: Callable[[], None], refuse: Callable[[bytes], None]) -> None:
        """Have a fault strike: now, or when the client has waited."""
        act = partial(self._act, fault.reply, go_on, refuse)
        if fault.seconds:
            self.ask(Pause(fault.seconds), b"", act, lambda _: act())
        else:
            act()

    def _act(self, reply: bytes | None, go_on: Callable[[], None], refuse: Callable[[bytes], None]) -> None:
        if reply is None:
            go_on()
        elif reply:
            refuse(reply)
            if reply.startswith(b"421") and not self._closed:  # RFC 5321, 3.8: whoever says so closes the connection
                self.close("fault")
        else:
            self.close("fault")
