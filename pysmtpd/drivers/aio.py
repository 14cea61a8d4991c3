"""The asyncio driver: the sockets of a server in the user's own event loop.

The event loop has one descriptor to wait for, the poller's; when that is ready, all sockets that are have their turn at once, by
the code that a server with a thread of its own uses. So asyncio has nothing to do per connection, and nothing is awaited per
command. A task is made only for a callback that returned something to await; until that is done the session waits, and nothing
more is read from its client.
"""

import asyncio
import selectors
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress
from time import monotonic
from typing import Any

from pysmtpd.callbacks import is_future, refusal
from pysmtpd.core import Verdict
from pysmtpd.drivers.conversation import SWEEP, YES, Service
from pysmtpd.drivers.sockets import TURNS, Connection, SelectorPoller, Sockets, Waker, new_poller


class AwaitingConnection(Connection):
    """One connection, whose callbacks may return something to await."""

    __slots__ = ("_waiting",)

    _sockets: "Hub"
    _waiting: Any  # a task, or a future of a thread: what is left to wait for, if it is anything

    def __init__(self, sockets: Sockets, connected: Any, peer: Any) -> None:
        self._waiting = None  # before the session begins: there may be a callback for that
        super().__init__(sockets, connected, peer)

    def let_go(self) -> None:
        """Close the socket; nobody waits for a callback any more."""
        super().let_go()
        if self._waiting is not None:
            with suppress(RuntimeError):  # the event loop has been closed, and nothing is left of what ran there
                self._waiting.cancel()

    def wait_for(self, result: object) -> Verdict | None:
        """Wait for what can be awaited, and for a ``concurrent.futures.Future``; take anything else for a yes."""
        if not isinstance(result, Awaitable):
            self._waiting = result if is_future(result) else None
            return super().wait_for(result)
        self._waiting = self._sockets.loop.create_task(_outcome(result))
        self._waiting.add_done_callback(self._awaited)
        self._watch()
        return None

    def _resume(self, future: Any) -> None:
        self._waiting = None
        super()._resume(future)

    def _awaited(self, task: "asyncio.Future[Verdict]") -> None:
        self._waiting = None
        if not task.cancelled():
            self.answered(task.result())
            self._watch()
        elif self.descriptor >= 0:  # by somebody else: the client still waits
            self.answered(refusal(asyncio.CancelledError()))
            self._watch()


async def _outcome(result: Awaitable[object]) -> Verdict:
    """Await what a callback has returned; whatever it raises refuses, SystemExit and KeyboardInterrupt included."""
    try:
        await result
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        return refusal(error)
    except BaseException as error:
        return refusal(error)
    return YES


class Hub(Sockets):
    """The sockets of one server in an event loop.

    Arguments:
        service: options, log and live connections.
        loop: the event loop, to be used from its own thread only.
    """

    connection = AwaitingConnection

    def __init__(self, service: Service, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(service, new_poller())
        self.loop = loop
        self._timer: asyncio.TimerHandle | None = None
        self._turns = TURNS  # that are left to a client that is alone, before the poller is asked for others
        self._ended: asyncio.Future[None] = loop.create_future()
        try:
            loop.add_reader(self.poller.fileno(), self._ready)
        except NotImplementedError:
            self.poller.close()
            self.poller = Scout(selectors.DefaultSelector(), loop, self.handle)

    def call(self, function: Callable[[], None]) -> None:
        """Have something done in the event loop, as long as there is one. May be called from any thread."""
        with suppress(RuntimeError):  # it has been closed
            self.loop.call_soon_threadsafe(function)

    def handle(self, events: list[tuple[int, int]]) -> None:
        """Do what the poller says is due. From now on, look who is idle, while there is anybody."""
        super().handle(events)
        if self._timer is None and (self.service.live or self.paused):
            self._timer = self.loop.call_later(SWEEP, self._sweep)

    async def close(self) -> None:
        """End: listeners and live sessions. Callbacks that are being awaited are cancelled."""
        if self._ended.done():
            return
        with suppress(RuntimeError):  # the event loop has been closed, and who waited there is gone
            self._ended.set_result(None)
        if self._timer is not None:
            self._timer.cancel()
        with suppress(NotImplementedError):
            self.loop.remove_reader(self.poller.fileno())
        self.end()
        await asyncio.sleep(0)  # who has been cancelled hears of it

    def leave_to_parent(self) -> None:
        """End in the child of a fork. The event loop is not told: what it waits with is the parent's, too."""
        super().leave_to_parent()
        with suppress(RuntimeError):
            self._ended.set_result(None)

    @property
    def has_ended(self) -> bool:
        """Whether nobody is served any more: it was closed, or its event loop was, or it is the parent's."""
        return self._ended.done() or self.loop.is_closed()

    async def ended(self) -> None:
        """Wait until the hub has been closed."""
        await asyncio.shield(self._ended)

    def _ready(self) -> None:
        """Somebody is ready, and a client that is alone is nearly always who; others must get in beside one that never stops."""
        if self._turns and self.serve_lone():
            self._turns -= 1
        else:
            self._turns = TURNS
            self.handle(self.poller.poll(0))
        self.meet_again()

    def _sweep(self) -> None:
        self._timer = None
        pause = self.service.sweep(monotonic())
        self.resume_accepting()
        if self.service.live or self.paused:
            self._timer = self.loop.call_later(pause, self._sweep)


class Scout(SelectorPoller):
    """A poller with a thread that waits, for event loops that cannot wait for its descriptor: the one of Windows is such.

    Arguments:
        selector: what waits.
        loop: the event loop.
        handle: called there with who is ready for what; meanwhile the thread does nothing.
    """

    def __init__(
        self, selector: selectors.BaseSelector, loop: asyncio.AbstractEventLoop, handle: Callable[[list[tuple[int, int]]], None]
    ) -> None:
        super().__init__(selector)
        self._loop = loop
        self._handle = handle
        self._handled = threading.Event()
        self._ending = False
        self._waker = Waker(lambda: None)
        super().register(self._waker.descriptor, 1)
        threading.Thread(target=self._run, name="pysmtpd", daemon=True).start()

    def register(self, descriptor: int, events: int) -> None:
        """Watch a descriptor from now on."""
        super().register(descriptor, events)
        self._waker.wake()

    def unregister(self, descriptor: int) -> None:
        """Watch it no longer."""
        super().unregister(descriptor)
        self._waker.wake()

    def fileno(self) -> int:
        """Raise NotImplementedError: its thread is who waits."""
        raise NotImplementedError

    def close(self) -> None:
        """End the thread, which lets go of everything."""
        self._ending = True
        self._handled.set()
        self._waker.wake()

    def _run(self) -> None:
        while not self._ending:
            ready = dict(self.poll(None))
            if ready.pop(self._waker.descriptor, 0):
                self._waker.ready(0)
            if not ready:
                continue
            self._handled.clear()
            try:
                self._loop.call_soon_threadsafe(self._hand_over, list(ready.items()))
            except RuntimeError:  # the event loop has been closed
                break
            if not self._ending:
                self._handled.wait()
        super().close()
        self._waker.close()

    def _hand_over(self, ready: list[tuple[int, int]]) -> None:
        try:
            if not self._ending:
                self._handle(ready)
        finally:
            self._handled.set()
