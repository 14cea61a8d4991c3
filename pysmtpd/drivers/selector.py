"""The driver for a server that owns its thread, which waits for the server's sockets and does nothing else.

It starts faster than an event loop for everybody's needs, and carries more. One thread, one :class:`Loop`, one
:class:`~pysmtpd.drivers.conversation.Service`. The loop belongs to its thread; what other threads may call says so.
"""

import atexit
import socket
import threading
from collections import deque
from collections.abc import Callable
from time import monotonic
from typing import Final

from pysmtpd.drivers.conversation import SWEEP, Service
from pysmtpd.drivers.sockets import Poller, Sockets, Waker, in_use

#: Seconds that the end of the program waits for callbacks that still run.
_PATIENCE: Final = 1.0


class Loop(Sockets):
    """The thread, and everything it watches.

    Arguments:
        service: what its connections share.
        poller: what waits for them; by default the best there is.
    """

    def __init__(self, service: Service, poller: Poller | None = None) -> None:
        super().__init__(service, poller)
        self._calls: deque[Callable[[], None]] = deque()
        self._ending = False
        self._waker = Waker(self._do_calls)
        self.watch(self._waker.descriptor, self._waker)
        self._thread = threading.Thread(target=self._run, name="pysmtpd", daemon=True)
        try:
            self._thread.start()
        except RuntimeError:  # the system has no thread left
            self.let_go()
            raise

    # For any thread

    def serve(self, listener: socket.socket) -> None:
        """Accept connections on a listening socket from now on. For any thread."""
        super().serve(listener)
        self._waker.wake()

    def release(self, listener: socket.socket) -> None:
        """Close a listening socket; connections stay. May be called from any thread, and waits for nobody."""
        super().release(listener)
        self._waker.wake()

    def call(self, function: Callable[[], None]) -> None:
        """Have something done in the thread of the sockets. May be called from any thread."""
        self._calls.append(function)
        self._waker.wake()

    @property
    def running(self) -> bool:
        """Whether it serves, and will go on to."""
        return not self._ending

    def close(self, patience: float | None = None) -> None:
        """End: listeners, live sessions, the thread.

        May be called from any thread, and waits for the loop's: for a callback that runs, then, but no longer than ``patience``
        seconds. In a callback, which the loop's thread runs itself, the end comes when the callback has, and its reply is out.
        """
        self._ending = True
        self._waker.wake()
        if threading.current_thread() is not self._thread:
            self._thread.join(patience)

    # For its own thread

    def _do_calls(self) -> None:
        """Do what the loop has been given to do so far; what is given meanwhile has its turn after the sockets."""
        for _ in range(len(self._calls)):
            self._calls.popleft()()

    def _run(self) -> None:
        try:
            self._serve()
        finally:
            self.end()

    def _serve(self) -> None:
        poll, live = self.poller.poll, self.service.live
        pause = SWEEP
        due = self.now + pause
        while not self._ending:
            self.handle(poll(pause if live or self.paused else None))
            self.meet_again()
            if self.now >= due:
                pause = self.service.sweep(self.now)
                due = self.now + pause
                self.resume_accepting()

    def let_go(self) -> None:
        """Close what the system holds for waiting."""
        self._ending = True
        self._waker.close()
        super().let_go()


def _end_all() -> None:
    """End what still serves when the program ends, so that clients are told."""
    loops = [sockets for sockets in list(in_use) if isinstance(sockets, Loop)]
    deadline = monotonic() + _PATIENCE
    for loop in loops:
        loop.close(0)
    for loop in loops:
        loop.close(max(0.0, deadline - monotonic()))


atexit.register(_end_all)
