"""What becomes of a message that `pysmtpd serve` takes: counted, stored, printed."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Final

from pysmtpd.callbacks import Refused

if TYPE_CHECKING:
    from pysmtpd.message import Message
    from pysmtpd.printing import Printer
    from pysmtpd.stores import Store
    from pysmtpd.workers import Quota

# Why a catcher wants to end. Exit codes as well: those of a worker that tells its parent.
ENOUGH: Final = 98  #: as many messages as were wanted have come
OUTPUT_LOST: Final = 99  #: standard output takes no more


class Catcher:
    """What takes the messages of a server: counts them, stores them, prints them.

    Arguments:
        store: where they are to stay, if anywhere.
        printer: what prints them, if anything.
        wanted: how many are wanted; None for any number.
        turn: a lock that all processes share who print and count.
        end: told once when the last one that is wanted is there, or when standard output is gone.
    """

    def __init__(
        self,
        store: "Store | None",
        printer: "Printer | None",
        wanted: int | None,
        turn: AbstractContextManager[None],
        end: Callable[[int], None],
    ) -> None:
        self._store = store
        self._printer = printer
        self._turn = turn
        self._end = end
        self._quota = _quota(wanted, turn)

    def add(self, message: "Message", trace: str) -> None:
        """Take a message. Raises Refused when no more are wanted, and what the store raises."""
        if self._quota is not None and not self._quota.take():
            raise Refused(421, "Service not available, closing transmission channel")
        try:
            if self._store is not None:
                self._store.add(message, trace)
        except BaseException:
            if self._quota is not None:
                self._quota.give_back()
            raise
        self._print(message)
        if self._quota is not None and self._quota.used_up:
            self._end(ENOUGH)

    def _print(self, message: "Message") -> None:
        """Print a message. It is stored by now: whatever happens here, its client is told yes."""
        if self._printer is None:
            return
        octets = self._printer.render(message)
        try:
            with self._turn:
                self._printer.write(octets)
        except (OSError, ValueError):  # a handler may have closed it
            self._printer = None
            self._end(OUTPUT_LOST)


def _quota(wanted: int | None, turn: AbstractContextManager[None]) -> "Quota | None":
    if wanted is None:
        return None
    from pysmtpd.workers import Quota

    return Quota(wanted, turn)
