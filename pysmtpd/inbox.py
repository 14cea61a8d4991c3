"""What a server has received, and waiting for it: from any thread, and from any event loop."""

import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from re import Pattern
from typing import Final

from pysmtpd.core import Deliver, Session
from pysmtpd.core.faults import Asked, same_address
from pysmtpd.core.record import Record, record
from pysmtpd.message import Message

#: How many messages a failure lists.
_LISTED: Final = 20
#: How many sessions are remembered, the last ones.
MAX_SESSIONS: Final = 50


class NotReceived(AssertionError):  # noqa: N818 # a failed assertion of a test, and reads as one
    """No message, or not enough of them, came in time; or one came that should not have. Says what did come."""


class Inbox:
    """The messages of one server, in the order in which they were accepted, and the sessions they came in."""

    def __init__(self) -> None:
        self._messages: list[Message] = []
        self._cleared = 0
        self._lock = threading.Lock()
        self._listeners: list[Callable[[], object]] = []
        self._records: deque[Record] = deque(maxlen=MAX_SESSIONS)

    def add(self, message: Message) -> None:
        """Take a message in, and wake those who wait."""
        self._messages.append(message)
        if self._listeners:  # who listens from now on will look, and see the message
            with self._lock:
                for listener in self._listeners:
                    listener()

    def messages(self) -> list[Message]:
        """Return all messages, in a list of the caller's own."""
        return self._messages.copy()

    def observe(self, session: Session, keep: Callable[[Deliver], None] | None = None) -> None:
        """Have a session recorded that begins. ``keep``: as of :func:`pysmtpd.core.record.record`."""
        self._records.append(record(session, keep))

    def sessions(self) -> list[Record]:
        """Return what was said in the last sessions, oldest first."""
        return list(self._records.copy())

    def transcript(self) -> str:
        """Return what was said in the last sessions, a heading before each."""
        return "\n".join(f"session {n} ({each.client}:{each.port}):\n{each}" for n, each in enumerate(self.sessions(), 1))

    def clear(self) -> None:
        """Forget all messages and sessions."""
        with self._lock:
            self._messages.clear()
            self._records.clear()
            self._cleared += 1

    def wait_for(self, wanted: "Wanted", count: int, timeout: float) -> list[Message]:
        """Wait until ``count`` messages are there that fit; return those that do. Raises NotReceived."""
        news = threading.Event()
        search = _Search(self, wanted, count)
        deadline = time.monotonic() + timeout
        with self._told(news.set):
            while not search.look():
                left = deadline - time.monotonic()
                # The wait tells the time, too: a test may have stopped the clock.
                if not (left > 0 and news.wait(min(left, threading.TIMEOUT_MAX))) and not search.look():
                    raise NotReceived(self.missing(wanted, search.outcome(timeout)))
                news.clear()
        return search.found

    @contextmanager
    def _told(self, listener: Callable[[], object]) -> Iterator[None]:
        """Have a function called with each message that comes, meanwhile; by whatever thread takes it in."""
        with self._lock:
            self._listeners.append(listener)
        try:
            yield
        finally:
            with self._lock:
                self._listeners.remove(listener)

    async def wait_for_async(self, wanted: "Wanted", count: int, timeout: float) -> list[Message]:
        """As :meth:`wait_for`, in an asyncio event loop, which goes on meanwhile."""
        import asyncio

        loop = asyncio.get_running_loop()
        news = asyncio.Event()
        search = _Search(self, wanted, count)
        deadline = time.monotonic() + timeout

        def listener() -> None:
            with suppress(RuntimeError):  # the event loop has been closed, and nobody waits any more
                loop.call_soon_threadsafe(news.set)

        with self._told(listener):
            while not search.look():
                left = deadline - time.monotonic()
                if not (left > 0 and await _in_time(news.wait(), left)) and not search.look():
                    raise NotReceived(self.missing(wanted, search.outcome(timeout)))
                news.clear()
        return search.found

    def expect_none(self, wanted: "Wanted", timeout: float) -> None:
        """Wait ``timeout`` seconds for a message that fits, and raise NotReceived when there is one."""
        try:
            found = self.wait_for(wanted, 1, timeout)
        except NotReceived:
            return
        raise NotReceived(self.unwelcome(wanted, found))

    async def expect_none_async(self, wanted: "Wanted", timeout: float) -> None:
        """As :meth:`expect_none`, in an asyncio event loop, which goes on meanwhile."""
        try:
            found = await self.wait_for_async(wanted, 1, timeout)
        except NotReceived:
            return
        raise NotReceived(self.unwelcome(wanted, found))

    def news_since(self, cleared: int, count: int) -> tuple[int, list[Message]]:
        """Return how often the inbox was cleared, and the messages behind the first ``count``; all, if cleared since."""
        with self._lock:
            return self._cleared, self._messages[count if cleared == self._cleared else 0 :]

    def missing(self, wanted: "Wanted", outcome: str) -> str:
        """Say what was asked for, and what came instead, the nearest first."""
        reasons = [(wanted.reasons(message), message) for message in self.messages()]
        reasons.sort(key=lambda each: len(each[0]))
        lines = [f"expected messages with {wanted}: {outcome}", "received:"]
        lines += [f"  {message!r}: {'; '.join(why) or 'fits'}" for why, message in reasons[:_LISTED]]
        if len(reasons) > _LISTED:
            lines.append(f"  ... and {len(reasons) - _LISTED} more")
        return self._with_transcript(lines if reasons else [*lines, "  nothing"])

    def unwelcome(self, wanted: "Wanted", found: list[Message]) -> str:
        """Say what came that should not have."""
        return self._with_transcript([f"expected no message with {wanted}, got {', '.join(map(repr, found[:1]))}"])

    def _with_transcript(self, lines: list[str]) -> str:
        return "\n".join([*lines, self.transcript()] if self._records else lines)


async def _in_time(coming: Awaitable[object], seconds: float) -> bool:
    """Await something, for so many seconds at most; tell whether it came."""
    import asyncio

    try:
        await asyncio.wait_for(coming, seconds)
    except TimeoutError:
        return False
    return True


class _Search:
    """A search that looks at each message once."""

    def __init__(self, inbox: Inbox, wanted: "Wanted", count: int) -> None:
        if type(count) is not int or count < 1:
            raise ValueError(f"count is {count!r}: must be a number from 1 up")
        self.wanted = wanted
        self.found: list[Message] = []
        self._inbox = inbox
        self._count = count
        self._seen = 0
        self._cleared = 0

    def look(self) -> bool:
        """Look at what has come since the last look; tell whether there is enough. No lock is held meanwhile."""
        cleared, news = self._inbox.news_since(self._cleared, self._seen)
        if cleared != self._cleared:
            self._cleared, self._seen, self.found = cleared, 0, []
        self._seen += len(news)
        self.found += [message for message in news if not self.wanted.reasons(message)]
        return len(self.found) >= self._count

    def outcome(self, timeout: float) -> str:
        """Return in words what was found."""
        return f"got {len(self.found)} of {self._count} in {timeout:g} s"


class Wanted:
    """What a message is asked to be like. None asks nothing.

    Arguments:
        to: one of the forward-paths, without brackets; the domain in any case.
        sender: the reverse-path, without brackets; the domain in any case.
        subject: a part of the subject.
        matching: a function of the message that tells. An exception of its own means no, and a failure shows it.

    A compiled pattern in place of a text is searched for.
    """

    def __init__(
        self,
        to: Asked | None = None,
        sender: Asked | None = None,
        subject: Asked | None = None,
        matching: Callable[[Message], object] | None = None,
    ) -> None:
        for name, value in (("to", to), ("sender", sender), ("subject", subject)):
            if not (value is None or isinstance(value, str | Pattern)):
                raise TypeError(f"{name} is {value!r}: must be a string, a compiled pattern or None")
        if not (matching is None or callable(matching)):
            raise TypeError(f"matching is {matching!r}: must be a function of a message")
        self._to = to
        self._sender = sender
        self._subject = subject
        self._matching = matching

    def reasons(self, message: Message) -> list[str]:
        """Return what does not fit about a message; nothing when it does."""
        found = []
        if self._to is not None and not any(same_address(self._to, recipient) for recipient in message.recipients):
            found.append("another recipient")
        if self._sender is not None and not same_address(self._sender, message.sender):
            found.append("another sender")
        if self._subject is not None and not _is_in(self._subject, message.subject):
            found.append("another subject")
        if self._matching is not None and not found:
            found += _mismatch(self._matching, message)
        return found

    def __str__(self) -> str:
        asked = {"to": self._to, "sender": self._sender, "subject": self._subject, "matching": self._matching}
        return ", ".join(f"{name}={_shown(value)}" for name, value in asked.items() if value is not None) or "anything at all"


def _mismatch(matching: Callable[[Message], object], message: Message) -> list[str]:
    try:
        return [] if matching(message) else ["does not match"]
    except Exception as error:
        return [f"does not match: {type(error).__name__}: {error}"]


def _is_in(asked: Asked, text: str) -> bool:
    return asked.search(text) is not None if isinstance(asked, Pattern) else asked in text


def _shown(value: object) -> str:
    if isinstance(value, Pattern):
        return repr(value.pattern)
    return getattr(value, "__name__", None) or repr(value) if callable(value) else repr(value)
