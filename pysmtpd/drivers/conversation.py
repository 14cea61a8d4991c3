"""What a driver for Python does with one session: the loop that :mod:`pysmtpd.core` writes down. No bytes are moved here.

The drivers ``selector`` and ``aio`` have subclasses of :class:`Conversation`. Such a one tells what the client sent
(:meth:`~Conversation.take`, :meth:`~Conversation.take_end`), and does what only it can: write, finish, abort, and wait for a
callback that has not answered yet.
"""

from collections.abc import Callable
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, TypeAlias, assert_never

from pysmtpd.callbacks import call_back, describe, refusal
from pysmtpd.core import (
    Accept,
    CheckHost,
    CheckRecipient,
    CheckSender,
    CheckUser,
    Close,
    Command,
    Deliver,
    Log,
    Pause,
    Question,
    Refuse,
    RefuseSome,
    Session,
    StartTls,
    TlsReport,
    Verdict,
)
from pysmtpd.drivers import TURN
from pysmtpd.options import Options

if TYPE_CHECKING:
    from concurrent.futures import Future

#: How much is received at once, in octets.
READ_SIZE: Final = 262_144

#: How many clients the system lets wait to be accepted.
BACKLOG: Final = 4096

#: Seconds between the end of a session and that of its connection, at most. In between the client may read its last replies;
#: what it still sends is thrown away, since a connection closed over unread octets is reset, and the replies lost with it.
LINGER: Final = 5.0

#: Seconds between two looks at who has been idle for too long, at most.
SWEEP: Final = 1.0

Keep: TypeAlias = Callable[[Deliver, Session], Verdict]

#: The verdict of a callback that has returned.
YES: Final = Accept()


def verdict_of(future: Any) -> Verdict:
    """Return the verdict that a finished future holds: an exception refuses."""
    try:
        future.result()
    except BaseException as error:
        return refusal(error)
    return YES


def _after(seconds: float) -> "Future[None]":
    """Return a future that is done after so many seconds."""
    import threading
    from concurrent.futures import Future

    future: Future[None] = Future()

    def pass_on() -> None:
        if not future.done():
            future.set_result(None)

    timer = threading.Timer(seconds, pass_on)
    future.add_done_callback(lambda _: timer.cancel())  # where the session ends before
    timer.daemon = True
    timer.start()
    return future


def _kept_for_some(keep: Keep, question: Deliver, session: Session, verdict: RefuseSome) -> Verdict:
    """Keep a message for those recipients that are not refused, where each of them has a reply of its own: under LMTP."""
    others = [index for index, path in enumerate(question.recipients) if path not in verdict.refusals]
    if not others or not session.config.lmtp:
        return verdict
    paths = tuple(question.recipients[index] for index in others)
    each = question.envelope.recipient_parameters
    envelope = question.envelope._replace(recipient_parameters=tuple(each[index] for index in others) if each else ())
    kept = keep(question._replace(recipients=paths, envelope=envelope), session)
    if isinstance(kept, Refuse):
        return RefuseSome({**dict.fromkeys(paths, kept), **verdict.refusals})
    return verdict


class Service:
    """What the conversations of one server share.

    Arguments:
        options: the server's settings and callbacks.
        log: what takes a line for the log.
    """

    def __init__(self, options: Options, log: Callable[[Log], None]) -> None:
        self.options = options
        self.log = log
        #: The open connections, the oldest first, as keys: a set takes twice as much.
        self.live: dict[Conversation, None] = {}

    def sweep(self, now: float) -> float:
        """End what has been idle for too long; return the seconds until the next time."""
        idle = self.options.config.limits.idle
        for conversation in list(self.live):
            if conversation.closing:
                if now - conversation.heard > LINGER:
                    conversation.abort()
            elif idle and now - conversation.heard > idle:
                conversation.time_out(now)
        return min(SWEEP, idle / 4) if idle else SWEEP

    def say_goodbye(self) -> None:
        """End all sessions, since the server goes away, and say so to each client that can take a reply (RFC 5321, 3.8)."""
        for conversation in list(self.live):
            conversation.say_goodbye()

    def abort(self) -> None:
        """Break all connections off."""
        for conversation in list(self.live):
            conversation.abort()

    def warn(self, text: str) -> None:
        """Log what went wrong on the way to a session."""
        if self.options.config.logs("error"):
            self.log(Log("error", text))


class Conversation:
    """One session, and what its driver has to know of it.

    Arguments:
        service: what it shares with the others.
    """

    __slots__ = ("closing", "heard", "service", "session")

    def __init__(self, service: Service) -> None:
        self.service = service
        self.heard = 0.0  #: when something came last, or when the session ended; by the driver's clock, in seconds
        self.closing = False  #: the session has ended: what comes is thrown away
        self.session: Session

    # What a driver tells

    def begin(self, peer: Any, now: float) -> None:
        """A client has connected: greet it.

        Arguments:
            peer: the client's address as its socket gives it; anything but a tuple where the socket is a file.
            now: the time by the driver's clock.
        """
        address, port = peer[:2] if isinstance(peer, tuple) else ("local", 0)
        address = address.removeprefix("::ffff:") if "." in address else address
        self.heard = now
        self.service.live[self] = None
        self.session = Session(self.service.options.config, address, port, "")
        self.session.start()
        self.go_on()

    def take(self, data: bytes) -> None:
        """The client has sent something. Not to be called any more when :attr:`closing`."""
        session = self.session
        session.receive(data)
        if session.events:
            self.go_on()
        elif output := session.take_output():
            self.write(output)

    def take_end(self) -> None:
        """The client has ended its side; what it asked for is still answered, then the session closes the connection."""
        self.session.receive_eof()
        self.go_on()

    def time_out(self, now: float) -> None:
        """The client has been idle for too long: say so and close, unless it is us for whom it waits."""
        if self.session.question is None:
            self.heard = now
            self.session.time_out()
            self.go_on()

    def say_goodbye(self) -> None:
        """The server goes away: say so."""
        if not self.closing:
            self.session.shut_down()
            self.go_on()

    def answered(self, verdict: Verdict) -> None:
        """A callback that was waited for has come to its end."""
        if self.session.question is not None:
            self._settle(self.session.question, verdict)
            if not self.closing:
                self.go_on()
                self.has_waited()

    def has_waited(self) -> None:
        """The client has waited for us: from now on it is we who wait for it."""
        self.heard = monotonic()

    # The loop

    def go_on(self, question: Question | None = None) -> None:
        """Go on with the session as far as possible: next event, resolve, answer; flush when nothing more can be done now.

        Replies are held while callbacks answer on the spot: so many commands, so many callbacks, one write. A client that has
        sent ahead lets others in now and then: before a callback, since what one has taken is to be answered in any case.

        Arguments:
            question: what was put off, to be asked now.
        """
        session = self.session
        began = 0.0
        event = question or session.next_event()
        while True:
            match event:
                case None:
                    self._flush()
                    return
                case (
                    Deliver()  # first: it is looked for in this order, and is what nearly always comes
                    | CheckSender()
                    | CheckRecipient()
                    | CheckHost()
                    | CheckUser()
                    | Command()
                    | StartTls()
                    | TlsReport()
                ):
                    if session.has_input:
                        now = monotonic()
                        if began and now - began > TURN:
                            self._flush()
                            self.put_off()
                            return
                        began = began or now
                    verdict = self._put(event) if self.service.options.callbacks else YES
                    if verdict is None:
                        self._flush()
                        return
                    self._settle(event, verdict)
                case Log():
                    self.service.log(event)
                case Close():
                    self.closing = True  # so that what is written now is known to be the last
                    self._flush()
                    self.finish()
                    return
                case Pause():
                    self._flush()
                    self.wait_for(_after(event.seconds))
                    return
                case _:
                    assert_never(event)
            event = session.next_event()

    def _flush(self) -> None:
        if output := self.session.take_output():
            self.write(output)

    def _put(self, question: Question) -> Verdict | None:
        """Call the callback that answers a question; return its verdict, or None when that is still to come.

        Never raises: whatever a callback raises, SystemExit and KeyboardInterrupt included, refuses.
        """
        try:
            result = call_back(self.service.options.callbacks, question)
            return YES if result is None else self.wait_for(result)
        except BaseException as error:
            return refusal(error)

    def _settle(self, question: Question, verdict: Verdict) -> None:
        """Answer the open question; a message that is welcome is kept before its client hears of it."""
        keep = self.service.options.keep
        if keep is not None and type(question) is Deliver and type(verdict) is not Refuse:
            try:
                if type(verdict) is RefuseSome:
                    verdict = _kept_for_some(keep, question, self.session, verdict)
                else:
                    verdict = keep(question, self.session)
            except Exception as error:
                self.service.warn(f"cannot keep message {question.id}: {describe(error)}")
                verdict = Refuse(self.service.options.config.replies.store_failed, 451)
        self.session.answer(verdict)

    # What a driver does

    def write(self, data: bytes) -> None:
        """Send replies; what does not go at once goes later, and nothing more is read until it has."""
        raise NotImplementedError

    def finish(self) -> None:
        """Close the connection once everything written has gone out."""
        raise NotImplementedError

    def abort(self) -> None:
        """Break the connection off, now."""
        raise NotImplementedError

    def put_off(self) -> None:
        """Read no more, and see to it that :meth:`go_on` is called with the open question once others have had their turn."""
        raise NotImplementedError

    def wait_for(self, result: object) -> Verdict | None:
        """Look at what a callback returned. Where it promises an answer, read no more, see to it that :meth:`answered` is
        called, and return None; anything else is a yes."""
        raise NotImplementedError
