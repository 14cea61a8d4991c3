"""What a server has received, and waiting for it: safe from any thread."""

import threading
import time
from collections.abc import Callable

from pysmtpd.message import Message


class NotReceived(AssertionError):  # noqa: N818 # a failed assertion of a test, and reads as one
    """No message, or not enough of them, came in time; or one came that should not have. Says what did come."""


class Inbox:
    """The messages of one server, in the order in which they were accepted."""

    def __init__(self) -> None:
        self._messages: list[Message] = []
        self._changed = threading.Condition()

    def add(self, message: Message) -> None:
        """Take a message in, and wake those who wait."""
        with self._changed:
            self._messages.append(message)
            self._changed.notify_all()

    def messages(self) -> list[Message]:
        """Return all messages, in a list of the caller's own."""
        with self._changed:
            return list(self._messages)

    def clear(self) -> None:
        """Forget all messages."""
        with self._changed:
            self._messages.clear()

    def wait_for(self, wanted: "Wanted", count: int, timeout: float) -> list[Message]:
        """Wait until ``count`` messages are there that fit; return those that do. Raises NotReceived."""
        deadline = time.monotonic() + timeout
        with self._changed:
            while len(found := [message for message in self._messages if wanted.fits(message)]) < count:
                left = deadline - time.monotonic()
                if left <= 0:
                    raise NotReceived(self._report(f"{len(found)} of {count} in {timeout:g} s", wanted))
                self._changed.wait(left)
            return found

    def expect_none(self, wanted: "Wanted", timeout: float) -> None:
        """Wait ``timeout`` seconds for a message that fits, and raise NotReceived when there is one."""
        try:
            found = self.wait_for(wanted, 1, timeout)
        except NotReceived:
            return
        raise NotReceived(f"expected no message with {wanted}, got {found[0]!r}")

    def _report(self, outcome: str, wanted: "Wanted") -> str:
        seen = [f"  {message!r}: {wanted.reason(message) or 'fits'}" for message in self._messages]
        return "\n".join([f"expected a message with {wanted}: {outcome}", "received:", *(seen or ["  nothing"])])


class Wanted:
    """What a message is asked to be like. None asks nothing.

    Arguments:
        to: one of the forward-paths, without brackets.
        sender: the reverse-path, without brackets.
        subject: a part of the subject.
        matching: a function of the message that tells.
    """

    def __init__(
        self,
        to: str | None = None,
        sender: str | None = None,
        subject: str | None = None,
        matching: Callable[[Message], object] | None = None,
    ) -> None:
        self._to = to
        self._sender = sender
        self._subject = subject
        self._matching = matching

    def reason(self, message: Message) -> str:
        """Return what does not fit about a message; nothing when it does."""
        if self._to is not None and self._to not in message.recipients:
            return "another recipient"
        if self._sender is not None and self._sender != message.sender:
            return "another sender"
        if self._subject is not None and self._subject not in message.subject:
            return "another subject"
        if self._matching is not None and not self._matching(message):
            return "does not match"
        return ""

    def fits(self, message: Message) -> bool:
        """Tell whether a message is as asked."""
        return not self.reason(message)

    def __str__(self) -> str:
        asked = {"to": self._to, "sender": self._sender, "subject": self._subject, "matching": self._matching}
        return ", ".join(f"{name}={value!r}" for name, value in asked.items() if value is not None) or "anything at all"
