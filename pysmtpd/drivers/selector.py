"""The driver for a server that owns its thread: non-blocking sockets and the system's own selector, nothing in between.

It starts faster than an event loop for everybody's needs, and carries more. One thread, one :class:`Loop`, one
:class:`~pysmtpd.drivers.conversation.Service`. The loop belongs to its thread; what other threads may call says so.
"""

import atexit
import errno
import os
import select
import selectors
import socket
import threading
import weakref
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from time import monotonic
from typing import Any, Final, Protocol

from pysmtpd.callbacks import describe
from pysmtpd.core import Refuse, Verdict
from pysmtpd.drivers.conversation import READ_SIZE, SWEEP, YES, Conversation, Service, verdict_of

#: What a socket is watched for; the numbers are epoll's.
READ: Final = 1
WRITE: Final = 4

#: How many clients are let in before those that are in have their turn.
_ACCEPTS: Final = 16

#: What accept fails with when the process or the system has nothing left to give.
_EXHAUSTED: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})

#: Seconds for which it is not said again that there is nothing left.
_SILENCE: Final = 60.0

#: Seconds that the end of the program waits for callbacks that still run.
_PATIENCE: Final = 1.0


class Poller(Protocol):
    """What the loop needs of ``select.epoll``, and gets from :class:`SelectorPoller` where there is none."""

    def register(self, descriptor: int, events: int) -> None:
        """Watch a descriptor from now on."""

    def modify(self, descriptor: int, events: int) -> None:
        """Watch it for something else."""

    def unregister(self, descriptor: int) -> None:
        """Watch it no longer."""

    def poll(self, timeout: float | None) -> list[tuple[int, int]]:
        """Wait, and return who is ready for what."""

    def close(self) -> None:
        """Let go of what the system holds for it."""


class SelectorPoller:
    """Any selector of the standard library behind the interface of ``select.epoll``."""

    def __init__(self, selector: selectors.BaseSelector) -> None:
        self._selector = selector

    def register(self, descriptor: int, events: int) -> None:
        """Watch a descriptor from now on; for nothing at all, too."""
        if events:
            wanted = (selectors.EVENT_READ if events & READ else 0) | (selectors.EVENT_WRITE if events & WRITE else 0)
            self._selector.register(descriptor, wanted)

    def modify(self, descriptor: int, events: int) -> None:
        """Watch it for something else."""
        self.unregister(descriptor)
        self.register(descriptor, events)

    def unregister(self, descriptor: int) -> None:
        """Watch it no longer."""
        with suppress(KeyError):
            self._selector.unregister(descriptor)

    def poll(self, timeout: float | None) -> list[tuple[int, int]]:
        """Wait, and return who is ready for what. A descriptor closed meanwhile by another thread makes it return at once."""
        try:
            ready = self._selector.select(timeout)
        except OSError:
            return []
        return [
            (key.fd, (READ if events & selectors.EVENT_READ else 0) | (WRITE if events & selectors.EVENT_WRITE else 0))
            for key, events in ready
        ]

    def close(self) -> None:
        """Let go of what the system holds for it."""
        self._selector.close()


class Connection(Conversation):
    """One connection."""

    __slots__ = ("_at_end", "_descriptor", "_events", "_loop", "_receive", "_send", "_socket", "_unsent")

    def __init__(self, loop: "Loop", connected: socket.socket, peer: Any) -> None:
        super().__init__(loop.service)
        self._loop = loop
        self._socket = connected
        self._descriptor = connected.fileno()
        self._receive = connected.recv_into
        self._send = connected.send
        self._unsent: bytes | memoryview = b""  # a view, so that a client who takes it in small bites costs no copies
        self._at_end = False  # the client has ended its side
        self._events = READ
        loop.watch(self._descriptor, self)
        self.begin(peer, loop.now)

    def ready(self, events: int) -> None:
        """The socket has something to read, or room to write, or is broken."""
        if not events & READ:
            if events & WRITE:
                self._write_on()
            else:
                self.abort()
            return
        loop = self._loop
        try:
            size = self._receive(loop.buffer)
        except BlockingIOError:
            return
        except OSError:
            self.abort()
            return
        if self.closing:
            if not size:
                self.abort()
        elif size:
            self.heard = loop.now
            self.take(bytes(loop.buffer[:size]))
        else:
            self._at_end = True
            self.take_end()
            self._watch()

    def write(self, data: bytes) -> None:
        """Send replies; what does not go at once goes later, and nothing more is read until it has."""
        if self._unsent:
            self._unsent = memoryview(b"".join((self._unsent, data)))
            return
        try:
            sent = self._send(data)
        except BlockingIOError:
            sent = 0
        except OSError:
            self.abort()
            return
        if sent < len(data):
            self._unsent = memoryview(data)[sent:]
            self._watch()

    def _write_on(self) -> None:
        try:
            sent = self._send(self._unsent)
        except BlockingIOError:
            return
        except OSError:
            self.abort()
            return
        self.heard = self._loop.now
        self._unsent = self._unsent[sent:] or b""  # an empty view would keep all of it
        if not self._unsent:
            if self.closing:
                self.finish()
            else:
                self._watch()

    def finish(self) -> None:
        """Close the connection once everything written has gone out, and the client, having seen it, ends its side."""
        if self._unsent:
            return
        if self._at_end:
            self.abort()
            return
        self.heard = self._loop.now
        try:
            self._socket.shutdown(socket.SHUT_WR)
        except OSError:
            self.abort()
        else:
            self._watch()

    def abort(self) -> None:
        """Break the connection off, now."""
        if self._descriptor >= 0:
            self._loop.forget(self._descriptor)
            self.let_go()
            self.session.drop()

    def let_go(self) -> None:
        """Close the socket, and no more: in the child of a fork the connection goes on elsewhere."""
        self.closing = True
        self.service.live.pop(self, None)
        self._descriptor = -1
        self._socket.close()

    def _watch(self) -> None:
        """Watch the socket for what makes sense now: while there is something to send, nothing is read."""
        if self._descriptor < 0:
            return
        reads = self.closing or self.session.wants_input
        events = WRITE if self._unsent else READ if reads else 0
        if events != self._events:
            self._events = events
            self._loop.poller.modify(self._descriptor, events)

    def wait_for(self, result: object) -> Verdict | None:
        """Take anything for a yes, save for a ``concurrent.futures.Future``: how it ends is the answer."""
        if hasattr(result, "__await__"):
            if hasattr(result, "close"):
                result.close()
            return Refuse("the callback returned something to await, and nothing here can")
        if not hasattr(result, "add_done_callback"):
            return YES
        self._watch()
        result.add_done_callback(lambda future: self._loop.call(lambda: self._resume(future)))
        return None

    def _resume(self, future: Any) -> None:
        self.answered(verdict_of(future))
        self._watch()


class _Listener:
    """A listening socket."""

    def __init__(self, loop: "Loop", listener: socket.socket, shared: bool) -> None:
        self._loop = loop
        self._listener = listener
        self._accepts = 1 if shared else _ACCEPTS  # the other processes are to have some, too
        self.descriptor = listener.fileno()
        self._sets_no_delay: bool | None = None  # whether each connection has to be told: most systems pass it on

    def ready(self, _events: int) -> None:
        """Clients wait to be let in."""
        for _ in range(self._accepts):
            try:
                connected, peer = self._listener.accept()
            except OSError as error:  # nobody there, or gone again, or the listener is: closed just now by another thread
                if error.errno in _EXHAUSTED:
                    self._loop.pause_accepting(self, error)
                return
            try:
                self._prepare(connected)
                Connection(self._loop, connected, peer)
            except OSError:  # gone already
                connected.close()

    def _prepare(self, connected: socket.socket) -> None:
        connected.setblocking(False)
        if self._sets_no_delay is None:
            with_tcp = connected.family in (socket.AF_INET, socket.AF_INET6)
            self._sets_no_delay = with_tcp and not connected.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        if self._sets_no_delay:
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


class _Waker:
    """How other threads get the loop's attention."""

    def __init__(self, loop: "Loop") -> None:
        self._loop = loop
        self._receiver, self._sender = socket.socketpair()
        self._receiver.setblocking(False)
        self._sender.setblocking(False)
        self.descriptor = self._receiver.fileno()

    def wake(self) -> None:
        """Have the loop look for what it was given to do. May be called from any thread."""
        with suppress(OSError):  # awake already, or gone
            self._sender.send(b"!")

    def ready(self, _events: int) -> None:
        """Something was given to the loop."""
        with suppress(OSError):
            self._receiver.recv(4096)
        self._loop.do_calls()

    def close(self) -> None:
        """Let go of the sockets."""
        self._receiver.close()
        self._sender.close()


class Loop:
    """The thread, its selector and everything it watches.

    Arguments:
        service: what its connections share.
        poller: what waits for them; by default the best there is.
    """

    def __init__(self, service: Service, poller: Poller | None = None) -> None:
        self.service = service
        self.poller = poller if poller is not None else _new_poller()
        self.buffer = memoryview(bytearray(READ_SIZE))  #: where bytes are received: emptied before the next socket is read
        self.now = monotonic()  #: when the selector returned last
        self._complained = -_SILENCE  # when it was last said that there is nothing left to let clients in with
        self._handlers: dict[int, Connection | _Listener | _Waker] = {}
        self._listeners: dict[socket.socket, _Listener] = {}
        self._paused: list[_Listener] = []
        self._calls: deque[Callable[[], None]] = deque()
        self._ending = False
        self._waker = _Waker(self)
        self.watch(self._waker.descriptor, self._waker)
        self._thread = threading.Thread(target=self._run, name="pysmtpd", daemon=True)
        _loops.add(self)
        self._thread.start()

    # For any thread

    def serve(self, listener: socket.socket, *, shared: bool = False) -> None:
        """Accept connections on a listening socket, ``shared`` with other processes or not, from now on. For any thread."""
        listener.setblocking(False)
        handler = self._listeners[listener] = _Listener(self, listener, shared)
        self.watch(handler.descriptor, handler)
        self._waker.wake()

    def release(self, listener: socket.socket) -> None:
        """Close a listening socket; connections stay. May be called from any thread, and waits for nobody."""
        handler = self._listeners.pop(listener, None)
        if handler is not None:
            self.forget(handler.descriptor)
            listener.close()
            self._waker.wake()

    def call(self, function: Callable[[], None]) -> None:
        """Have something done in the loop. May be called from any thread."""
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

    def watch(self, descriptor: int, handler: "Connection | _Listener | _Waker") -> None:
        """Have a handler told when there is something to read."""
        self._handlers[descriptor] = handler
        self.poller.register(descriptor, READ)

    def forget(self, descriptor: int) -> None:
        """Watch a descriptor no longer; it is about to be closed, and clients who wait for one can be let in."""
        del self._handlers[descriptor]
        self.poller.unregister(descriptor)
        if self._paused:
            self._resume_accepting()

    def pause_accepting(self, listener: _Listener, error: OSError) -> None:
        """Let no more clients in for now: there is nothing to hold them with."""
        if self.now - self._complained > _SILENCE:
            self._complained = self.now
            self.service.warn(f"cannot accept connections, will try again: {error.strerror}")
        self._paused.append(listener)
        self.poller.modify(listener.descriptor, 0)

    def _resume_accepting(self) -> None:
        paused, self._paused = self._paused, []
        for listener in paused:
            if self._handlers.get(listener.descriptor) is listener:
                self.poller.modify(listener.descriptor, READ)

    def do_calls(self) -> None:
        """Do what other threads have given the loop to do."""
        while self._calls:
            self._calls.popleft()()

    def _run(self) -> None:
        try:
            self._serve()
        finally:
            self._clean_up()

    def _serve(self) -> None:
        poll, handlers, live = self.poller.poll, self._handlers, self.service.live
        pause = SWEEP
        due = self.now + pause
        while not self._ending:
            events = poll(pause if live or self._paused else None)
            now = self.now = monotonic()
            for descriptor, mask in events:
                handler = handlers.get(descriptor)
                if handler is not None:  # else closed, in this very round or by another thread
                    try:
                        handler.ready(mask)
                    except Exception as error:
                        self._failed(handler, error)
            if now >= due:
                pause = self.service.sweep(now)
                due = now + pause
                self._resume_accepting()

    def _failed(self, handler: "Connection | _Listener | _Waker", error: Exception) -> None:
        """Something of ours, or what keeps the messages, has failed. It costs one client its connection."""
        if isinstance(handler, Connection):
            handler.abort()
        with suppress(Exception):
            self.service.warn(f"connection broken off: {describe(error)}")

    def _clean_up(self) -> None:
        for listener in list(self._listeners):
            self.release(listener)
        self.service.say_goodbye()
        self.service.abort()
        self._let_go()

    def _let_go(self) -> None:
        self._ending = True
        _loops.discard(self)
        self._handlers.clear()
        self._waker.close()
        self.poller.close()

    def leave_to_parent(self) -> None:
        """Close what the child of a fork has of this loop, without a trace in the parent, whose it remains."""
        for listener in list(self._listeners):
            listener.close()
        for connection in list(self.service.live):
            if isinstance(connection, Connection):
                connection.let_go()
        self._let_go()


def _new_poller() -> Poller:
    return select.epoll() if hasattr(select, "epoll") else SelectorPoller(selectors.DefaultSelector())


#: The loops that run.
_loops: "weakref.WeakSet[Loop]" = weakref.WeakSet()


def _end_all() -> None:
    """End what still serves when the program ends, so that clients are told."""
    loops = list(_loops)
    deadline = monotonic() + _PATIENCE
    for loop in loops:
        loop.close(0)
    for loop in loops:
        loop.close(max(0.0, deadline - monotonic()))


def _leave_all_to_parent() -> None:
    for loop in list(_loops):
        loop.leave_to_parent()


atexit.register(_end_all)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_leave_all_to_parent)
