"""Connections over non-blocking sockets, and what waits for them: the system's own poller, nothing in between.

The drivers ``selector`` and ``aio`` differ in who waits for the poller: a thread of the server's own, or somebody's event loop.
Both have a subclass of :class:`Sockets`. All of it belongs to one thread, but for what says that it may be called from any.
"""

import errno
import os
import select
import selectors
import socket
import weakref
from collections.abc import Callable
from contextlib import suppress
from time import monotonic
from typing import Any, Final, Protocol

from pysmtpd.callbacks import describe, is_future
from pysmtpd.core import Refuse, Verdict
from pysmtpd.drivers.conversation import READ_SIZE, YES, Conversation, Service, verdict_of

#: What a socket is watched for; the numbers are epoll's.
READ: Final = 1
WRITE: Final = 4
#: What epoll says besides of a connection that the client has broken off.
_BROKEN: Final = 8

#: Says that more is to follow at once: behind the last reply that is the end of our side, which then needs no segment of its own.
_MORE: Final = getattr(socket, "MSG_MORE", 0)
#: Has what came acknowledged now, and not with the next reply; 0 where the system cannot be told so.
_QUICK_ACK: Final = getattr(socket, "TCP_QUICKACK", 0)

#: What accept fails with when the process or the system has nothing left to give.
_EXHAUSTED: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})

#: Seconds for which it is not said again that there is nothing left.
_SILENCE: Final = 60.0


#: What a client may take that goes on at once: a loop so long, which is some microseconds. On a single processor none can.
_MOMENT: Final = range(600 if (os.cpu_count() or 1) > 1 else 0)
#: How often one is served in a row before the others have their turn.
TURNS: Final = 8
#: How many turns go by, where it was in vain, until it is tried again, at most.
_MOST_RESTS: Final = 255


class Poller(Protocol):
    """What is needed of ``select.epoll``, and had from :class:`SelectorPoller` where there is none."""

    def register(self, descriptor: int, events: int) -> None:
        """Watch a descriptor from now on."""

    def modify(self, descriptor: int, events: int) -> None:
        """Watch it for something else."""

    def unregister(self, descriptor: int) -> None:
        """Watch it no longer."""

    def poll(self, timeout: float | None) -> list[tuple[int, int]]:
        """Wait, and return who is ready for what."""

    def fileno(self) -> int:
        """Return a descriptor that is readable when somebody is ready. Raises NotImplementedError where there is none."""

    def close(self) -> None:
        """Let go of what the system holds for it."""


class Handler(Protocol):
    """Who is told when a descriptor is ready."""

    def ready(self, events: int) -> None:
        """There is something to read, or room to write, or it is broken."""


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

    def fileno(self) -> int:
        """Return a descriptor that is readable when somebody is ready. Raises NotImplementedError where there is none."""
        if not hasattr(self._selector, "fileno"):
            raise NotImplementedError
        return int(self._selector.fileno())

    def close(self) -> None:
        """Let go of what the system holds for it."""
        self._selector.close()


class Connection(Conversation):
    """One connection."""

    __slots__ = ("_at_end", "_events", "_receive", "_send", "_socket", "_sockets", "_unsent", "descriptor")

    def __init__(self, sockets: "Sockets", connected: socket.SocketType, peer: Any) -> None:
        super().__init__(sockets.service)
        self._sockets = sockets
        self._socket = connected
        self.descriptor = connected.fileno()  #: the socket's; -1 once it is closed
        self._receive = connected.recv_into
        self._send = connected.send
        self._unsent: bytes | memoryview = b""  # a view, so that a client who takes it in small bites costs no copies
        self._at_end = False  # the client has ended its side
        self._events = READ
        sockets.watch(self.descriptor, self)
        self.begin(peer, sockets.now)

    def ready(self, events: int) -> None:
        """The socket has something to read, or room to write, or is broken."""
        if not events & READ or (self.closing and events & _BROKEN):
            if events & WRITE:
                self._write_on()
            else:
                self.abort()
            return
        sockets = self._sockets
        try:
            size = self._receive(sockets.buffer)
        except BlockingIOError:
            return
        except OSError:
            self.abort()
            return
        if self.closing:
            if not size:
                self.abort()
        elif size:
            self.heard = sockets.now
            data = bytes(sockets.buffer[:size])
            if self.session.secure and self.session.tls is None:
                self._shake(data)
            else:
                self.take(data)
        else:
            self._at_end = True
            self.take_end()
            self._watch()

    def _shake(self, data: bytes) -> None:
        """Go on with a TLS handshake. Right behind its end comes the first command, and one write is enough for both.

        A client without TCP_NODELAY is held back by its own system until ours acknowledges the end of the handshake.
        """
        session = self.session
        session.receive(data)
        more = b""
        if session.tls is not None and session.wants_input and _QUICK_ACK:
            buffer = self._sockets.buffer
            try:
                self._socket.setsockopt(socket.IPPROTO_TCP, _QUICK_ACK, 1)
                more = bytes(buffer[: self._receive(buffer)])
            except OSError:  # nothing there yet, or no TCP; if the connection is broken, that is found out in its turn
                pass
        if more:
            self.take(more)
        else:
            self.go_on()

    @property
    def is_heard(self) -> bool:
        """Whether what the client sends is read as soon as it comes."""
        return self._events == READ

    def write(self, data: bytes) -> None:
        """Send replies; what does not go at once goes later, and nothing more is read until it has."""
        if self._unsent:
            self._unsent = memoryview(b"".join((self._unsent, data)))
            return
        try:
            sent = self._send(data, _MORE) if self.closing else self._send(data)
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
        self.heard = self._sockets.now
        self._unsent = self._unsent[sent:] or b""  # an empty view would keep all of it
        if not self._unsent:
            if self.closing:
                self.finish()
            else:
                self._watch()

    def finish(self) -> None:
        """Close the connection once everything written has gone out, and the client, having seen it, ends its side."""
        if self._unsent or self.descriptor < 0:
            return
        if self._at_end:
            self.abort()
            return
        self.heard = self._sockets.now
        try:
            self._socket.shutdown(socket.SHUT_WR)
        except OSError:
            self.abort()
        else:
            self._watch()

    def abort(self) -> None:
        """Break the connection off, now."""
        if self.descriptor >= 0:
            self._sockets.forget(self.descriptor)
            self.let_go()
            self.session.drop()

    def let_go(self) -> None:
        """Close the socket, and no more: in the child of a fork the connection goes on elsewhere."""
        self.closing = True
        self.service.live.pop(self, None)
        self.descriptor = -1
        self._socket.close()

    def _watch(self) -> None:
        """Watch the socket for what makes sense now: while there is something to send, nothing is read."""
        if self.descriptor < 0:
            return
        reads = self.closing or self.session.wants_input
        events = WRITE if self._unsent else READ if reads else 0
        if events != self._events:
            self._events = events
            self._sockets.poller.modify(self.descriptor, events)

    def put_off(self) -> None:
        """Ask in the next turn of the loop."""
        self._watch()
        self._sockets.call(self._take_turn)

    def _take_turn(self) -> None:
        if self.session.question is None or self.descriptor < 0:
            return
        try:
            self.go_on(self.session.question)
        except Exception as error:
            self._sockets.failed(self, error)
            return
        self.has_waited()
        self._watch()

    def wait_for(self, result: Any) -> Verdict | None:
        """Take anything for a yes, save for a ``concurrent.futures.Future``: how it ends is the answer."""
        if hasattr(result, "__await__"):
            if hasattr(result, "close"):
                result.close()
            return Refuse("the callback returned something to await, and nothing here can")
        if not is_future(result):
            return YES
        self._watch()
        result.add_done_callback(lambda future: self._sockets.call(lambda: self._resume(future)))
        return None

    def _resume(self, future: Any) -> None:
        self.answered(verdict_of(future))
        self._watch()


class _Listener:
    """A listening socket."""

    def __init__(self, sockets: "Sockets", listener: socket.socket) -> None:
        self._sockets = sockets
        # What is behind socket.accept. That has each connection find out anew what is known here, by way of enumerations, and
        # make an object that waits for others to let go of it: more than what the system needs to let a client in.
        self._accept = listener._accept  # type: ignore[attr-defined] # not a public name: there since Python 3.2
        self._family, self._type, self._protocol = int(listener.family), int(listener.type), listener.proto
        self.descriptor = listener.fileno()
        self._sets_no_delay: bool | None = None  # whether each connection has to be told: most systems pass it on

    def ready(self, _events: int) -> None:
        """Clients wait to be let in: one is, before those that are in have their turn, and other processes theirs.

        To ask whether there is another one costs as much as to let one in, and nearly always there is none.
        """
        try:
            descriptor, peer = self._accept()
        except OSError as error:  # nobody there, or gone again, or the listener is: closed just now by another thread
            if error.errno in _EXHAUSTED:
                self._sockets.pause_accepting(self, error)
            return
        connected = socket.SocketType(self._family, self._type, self._protocol, descriptor)
        try:
            self._prepare(connected)
            self._sockets.connection(self._sockets, connected, peer)
        except OSError:  # gone already
            connected.close()

    def _prepare(self, connected: socket.SocketType) -> None:
        connected.setblocking(False)
        if self._sets_no_delay is None:
            with_tcp = connected.family in (socket.AF_INET, socket.AF_INET6)
            self._sets_no_delay = with_tcp and not connected.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        if self._sets_no_delay:
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


class Waker:
    """How other threads get the attention of the one that waits.

    Arguments:
        woken: called in that thread then.
    """

    def __init__(self, woken: Callable[[], None]) -> None:
        self._woken = woken
        self._receiver, self._sender = socket.socketpair()
        self._receiver.setblocking(False)
        self._sender.setblocking(False)
        self.descriptor = self._receiver.fileno()

    def wake(self) -> None:
        """Get it. May be called from any thread."""
        with suppress(OSError):  # awake already, or gone
            self._sender.send(b"!")

    def ready(self, _events: int) -> None:
        """Somebody has asked for it."""
        with suppress(OSError):
            self._receiver.recv(4096)
        self._woken()

    def close(self) -> None:
        """Let go of the sockets."""
        self._receiver.close()
        self._sender.close()


class Sockets:
    """A server's sockets, and the poller that waits for them.

    Arguments:
        service: what its connections share.
        poller: what waits; by default the best there is.
    """

    #: What a connection is made with.
    connection: type[Connection] = Connection

    def __init__(self, service: Service, poller: Poller | None = None) -> None:
        self.service = service
        self.poller = poller if poller is not None else new_poller()
        self.buffer = memoryview(bytearray(READ_SIZE))  #: where bytes are received: emptied before the next socket is read
        self._in_vain = 0  # how long it was in vain to wait for a client to go on, more or less
        self._rests = 0  # how often not to
        self.now = monotonic()  #: when the poller returned last
        self.paused: list[_Listener] = []  #: those who let nobody in for now
        self._complained = -_SILENCE  # when it was last said that there is nothing left to let clients in with
        self._handlers: dict[int, Handler] = {}
        self._listeners: dict[socket.socket, _Listener] = {}
        in_use.add(self)

    def serve(self, listener: socket.socket) -> None:
        """Accept connections on a listening socket from now on. For any thread."""
        listener.setblocking(False)
        handler = self._listeners[listener] = _Listener(self, listener)
        self.watch(handler.descriptor, handler)

    def release(self, listener: socket.socket) -> None:
        """Close a listening socket; connections stay. May be called from any thread, and waits for nobody."""
        handler = self._listeners.pop(listener, None)
        if handler is not None:
            descriptor = handler.descriptor
            if self._handlers.get(descriptor) is handler:  # else closed by its user, and the number is another's now
                with suppress(OSError):  # closed by its user
                    self.forget(descriptor)
            listener.close()

    def call(self, function: Callable[[], None]) -> None:
        """Have something done in the thread of the sockets. May be called from any thread."""
        raise NotImplementedError

    def watch(self, descriptor: int, handler: Handler) -> None:
        """Have a handler told when there is something to read."""
        self._handlers[descriptor] = handler
        self.poller.register(descriptor, READ)

    def forget(self, descriptor: int) -> None:
        """Watch a descriptor no longer; it is about to be closed, and clients who wait for one can be let in."""
        del self._handlers[descriptor]
        self.poller.unregister(descriptor)
        if self.paused:
            self.resume_accepting()

    def pause_accepting(self, listener: _Listener, error: OSError) -> None:
        """Let no more clients in for now: there is nothing to hold them with."""
        if self.now - self._complained > _SILENCE:
            self._complained = self.now
            self.service.warn(f"cannot accept connections, will try again: {error.strerror}")
        self.paused.append(listener)
        self.poller.modify(listener.descriptor, 0)

    def resume_accepting(self) -> None:
        """Try again to let clients in."""
        paused, self.paused = self.paused, []
        for listener in paused:
            if self._handlers.get(listener.descriptor) is listener:
                self.poller.modify(listener.descriptor, READ)

    def meet_again(self) -> None:
        """Serve a client that is alone for as long as it goes on at once, some times in a row.

        To fall asleep, and to be woken, can take longer than to serve it. So it has a moment, some microseconds, in which nothing
        is called, the system neither. Where that was in vain it is tried more and more seldom.
        """
        if len(self.service.live) != 1:
            return
        if self._rests:
            self._rests -= 1
            return
        for _ in range(TURNS):
            for _ in _MOMENT:
                pass
            if not self.serve_lone():
                self._in_vain = self._rests = min(2 * self._in_vain + 1, _MOST_RESTS)
                return
            self._in_vain >>= 1

    def serve_lone(self) -> bool:
        """Serve a client that is alone, without asking the poller, and tell whether it has said something."""
        live = self.service.live
        if len(live) != 1:
            return False
        (only,) = live
        if not (isinstance(only, Connection) and only.is_heard):
            return False
        self.handle([(only.descriptor, READ)])
        return only.heard == self.now

    def handle(self, events: list[tuple[int, int]]) -> None:
        """Do what the poller says is due."""
        self.now = monotonic()
        handlers = self._handlers
        for descriptor, mask in events:
            handler = handlers.get(descriptor)
            if handler is not None:  # else closed, in this very round or by another thread
                try:
                    handler.ready(mask)
                except Exception as error:
                    self.failed(handler, error)

    def failed(self, handler: Handler, error: Exception) -> None:
        """Something of ours, or what keeps the messages, has failed. It costs one client its connection."""
        if isinstance(handler, Connection):
            handler.abort()
        with suppress(Exception):
            self.service.warn(f"connection broken off: {describe(error)}")

    def end(self) -> None:
        """Close the listening sockets, tell the clients goodbye, and let go of everything."""
        for listener in list(self._listeners):
            self.release(listener)
        self.service.say_goodbye()
        self.service.abort()
        self.let_go()

    def let_go(self) -> None:
        """Close what the system holds for waiting."""
        in_use.discard(self)
        self._handlers.clear()
        self.poller.close()

    def leave_to_parent(self) -> None:
        """Close what the child of a fork has of all this, without a trace in the parent, whose it remains."""
        for listener in list(self._listeners):
            listener.close()
        for connection in list(self.service.live):
            if isinstance(connection, Connection):
                connection.let_go()
        self.let_go()


#: Those that have not been closed.
in_use: "weakref.WeakSet[Sockets]" = weakref.WeakSet()


def _leave_all_to_parent() -> None:
    for sockets in list(in_use):
        sockets.leave_to_parent()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_leave_all_to_parent)


def new_poller() -> Poller:
    """Return the best that the system has."""
    return select.epoll() if hasattr(select, "epoll") else SelectorPoller(selectors.DefaultSelector())
