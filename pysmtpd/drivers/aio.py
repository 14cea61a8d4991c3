"""The asyncio driver: a protocol per connection, in the user's own event loop.

Nothing is awaited per command. A task is made only for a callback that returned something to await; until that is done the
session waits, and nothing more is read from its client.
"""

import asyncio
import concurrent.futures
import socket
from collections.abc import Awaitable
from typing import Any, cast

from pysmtpd.callbacks import refusal
from pysmtpd.core import Verdict
from pysmtpd.drivers.conversation import BACKLOG, READ_SIZE, SWEEP, YES, Conversation, Service


class Connection(Conversation, asyncio.BufferedProtocol):
    """One connection.

    Arguments:
        hub: what it shares with the others.
    """

    __slots__ = ("_at_end", "_hub", "_stuck", "_transport", "_waiting")

    def __init__(self, hub: "Hub") -> None:
        super().__init__(hub.service)
        self._hub = hub
        self._at_end = False  # the client has ended its side
        self._stuck = False  # the client does not read its replies
        self._waiting: asyncio.Future[Any] | None = None  # for a callback
        self._transport: asyncio.Transport

    # What asyncio tells

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client has connected: greet it."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's are no subclass of it
        self._hub.came()
        self.begin(transport.get_extra_info("peername"), self._hub.time())

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        self.closing = True
        self.service.live.pop(self, None)
        self.session.drop()
        self._hub.gone()

    def get_buffer(self, sizehint: int) -> memoryview:
        """Say where to put what comes."""
        return self._hub.buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Bytes have come."""
        if not self.closing:
            self.heard = self._hub.time()
            self.take(bytes(self._hub.buffer[:nbytes]))

    def eof_received(self) -> bool:
        """The client has ended its side; what it asked for is still answered, then the session closes the connection."""
        self._at_end = True
        if not self.closing:
            self.take_end()
        else:
            self._transport.close()
        return True

    def pause_writing(self) -> None:
        """The client does not read its replies: read no more of its commands until it does."""
        self._stuck = True
        self._watch()

    def resume_writing(self) -> None:
        """The client has read its replies."""
        self._stuck = False
        self.heard = self._hub.time()
        self._watch()

    # What the conversation needs

    def write(self, data: bytes) -> None:
        """Send replies; the transport keeps what does not go at once."""
        transport = self._transport
        transport.write(data)
        if transport.is_closing():
            self.closing = True

    def finish(self) -> None:
        """Close the connection once everything written has gone out, and the client, having seen it, ends its side."""
        self.heard = self._hub.time()
        if self._at_end or not self._transport.can_write_eof():
            self._transport.close()
            return
        try:
            self._transport.write_eof()
        except OSError:  # the client is gone
            self.abort()
        else:
            self._watch()

    def abort(self) -> None:
        """Break the connection off, now."""
        self.closing = True
        if self._waiting is not None:
            self._waiting.cancel()
        self._transport.abort()

    def _watch(self) -> None:
        """Read what comes while that makes sense: while there is something to send, nothing is read."""
        transport = self._transport
        if transport.is_closing() or self._at_end:
            return
        wanted = not self._stuck and (self.closing or self.session.wants_input)
        if wanted != transport.is_reading():
            if wanted:
                transport.resume_reading()
            else:
                transport.pause_reading()

    def wait_for(self, result: object) -> Verdict | None:
        """Wait for what can be awaited, and for a ``concurrent.futures.Future``; take anything else for a yes."""
        if isinstance(result, concurrent.futures.Future):
            result = asyncio.wrap_future(result, loop=self._hub.loop)
        if not isinstance(result, Awaitable):
            return YES
        self._waiting = self._hub.loop.create_task(_outcome(result))
        self._waiting.add_done_callback(self._resume)
        self._watch()
        return None

    def _resume(self, task: "asyncio.Future[Verdict]") -> None:
        self._waiting = None
        if not task.cancelled():
            self.answered(task.result())
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


class Hub:
    """What the connections of one server share in an event loop.

    Arguments:
        service: options, log and live connections.
        loop: the event loop, to be used from its own thread only.
    """

    def __init__(self, service: Service, loop: asyncio.AbstractEventLoop) -> None:
        self.service = service
        self.loop = loop
        self.time = loop.time
        self.buffer = memoryview(bytearray(READ_SIZE))  #: where bytes are received: emptied before the next socket is read
        self._servers: dict[socket.socket, asyncio.Server] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._empty: asyncio.Future[None] | None = None
        self._ended: asyncio.Future[None] = loop.create_future()

    async def serve(self, listener: socket.socket) -> None:
        """Accept connections on a listening socket from now on."""
        listener.setblocking(False)
        local = listener.family not in (socket.AF_INET, socket.AF_INET6)
        create = self.loop.create_unix_server if local else self.loop.create_server
        self._servers[listener] = await create(lambda: Connection(self), sock=listener, backlog=BACKLOG)

    def release(self, listener: socket.socket) -> None:
        """Close a listening socket; connections stay."""
        server = self._servers.pop(listener, None)
        if server is not None:
            server.close()

    async def close(self) -> None:
        """End: listeners and live sessions. Callbacks that are being awaited are cancelled."""
        for listener in list(self._servers):
            self.release(listener)
        try:
            self.service.say_goodbye()
            await asyncio.sleep(0)  # what was written goes out
            self.service.abort()
            if self.service.live:
                self._empty = self.loop.create_future()
                await self._empty
        finally:
            if not self._ended.done():
                self._ended.set_result(None)

    async def ended(self) -> None:
        """Wait until the hub has been closed."""
        await asyncio.shield(self._ended)

    def came(self) -> None:
        """A connection has come: from now on, look whether it is idle."""
        if self._timer is None:
            self._timer = self.loop.call_later(SWEEP, self._sweep)

    def gone(self) -> None:
        """A connection has gone."""
        if self.service.live:
            return
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._empty is not None and not self._empty.done():
            self._empty.set_result(None)

    def _sweep(self) -> None:
        self._timer = self.loop.call_later(self.service.sweep(self.time()), self._sweep)
