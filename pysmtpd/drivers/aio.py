"""The asyncio driver: a protocol per connection, and a thread that runs the loop for those who have none."""

import asyncio
import atexit
import socket
import threading
from collections.abc import Callable, Coroutine
from typing import assert_never

from pysmtpd.core import CheckHost, CheckRecipient, CheckSender, Close, Command, Deliver, Log, Session, StartTls
from pysmtpd.options import Options

#: How much is received at once, in octets.
READ_SIZE = 262_144


class Connection(asyncio.BufferedProtocol):
    """One connection, and its session.

    Arguments:
        options: the server's settings and callbacks.
        log: what takes a line for the log.
        live: the open connections, this one among them while it is one.
        buffer: where bytes are received; all connections of a loop share one, since it is emptied before the next is read.
            Without it every read would allocate, and give back, as much as could have come.
    """

    __slots__ = ("_buffer", "_live", "_log", "_options", "_session", "_transport")

    def __init__(self, options: Options, log: Callable[[Log], None], live: "set[Connection]", buffer: memoryview) -> None:
        self._live = live
        self._options = options
        self._log = log
        self._buffer = buffer
        self._transport: asyncio.Transport
        self._session: Session

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client has connected: greet it."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 # servers of streams make no other
        self._transport = transport
        self._live.add(self)
        address, port = transport.get_extra_info("peername")[:2]
        address = address.removeprefix("::ffff:") if "." in address else address
        self._session = Session(self._options.config, address, port, f"{address}:{port}")
        self._session.start()
        self._go_on()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        self._live.discard(self)

    def abort(self) -> None:
        """Break the connection off: the server goes away."""
        self._transport.abort()

    def get_buffer(self, sizehint: int) -> memoryview:
        """Say where to put what comes."""
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Bytes have come."""
        session = self._session
        session.receive(bytes(self._buffer[:nbytes]))
        if session.events:
            self._go_on()
        elif output := session.take_output():
            self._transport.write(output)

    def eof_received(self) -> bool:
        """The client has ended its side; what it asked for is still answered, then the session closes the connection."""
        self._session.receive_eof()
        self._go_on()
        return True

    def pause_writing(self) -> None:
        """The client does not read its replies: read no more of its commands until it does."""
        if not self._transport.is_closing():
            self._transport.pause_reading()

    def resume_writing(self) -> None:
        """The client has read its replies."""
        if not self._transport.is_closing():
            self._transport.resume_reading()

    def _go_on(self) -> None:
        """The driver's loop, as :mod:`pysmtpd.core` has it."""
        session = self._session
        while True:
            event = session.next_event()
            output = session.take_output()
            if output:
                self._transport.write(output)
            match event:
                case None:
                    return
                case Log():
                    self._log(event)
                case Close():
                    self._transport.close()
                    return
                case CheckHost() | CheckSender() | CheckRecipient() | Deliver() | Command() | StartTls():
                    session.answer(self._options.answer(event, session))
                case _:
                    assert_never(event)


class Loop:
    """An event loop in a daemon thread, and the sockets it serves."""

    def __init__(self, options: Options, log: Callable[[Log], None]) -> None:
        self._options = options
        self._log = log
        self._buffer = memoryview(bytearray(READ_SIZE))
        self._loop = asyncio.new_event_loop()
        self._servers: dict[socket.socket, asyncio.Server] = {}
        self._live: set[Connection] = set()
        self._thread = threading.Thread(target=self._loop.run_forever, name="pysmtpd", daemon=True)
        self._thread.start()
        atexit.register(self._end)

    def serve(self, listener: socket.socket) -> None:
        """Accept connections on a listening socket from now on."""
        self._do(self._serve(listener))

    async def _serve(self, listener: socket.socket) -> None:
        self._servers[listener] = await self._loop.create_server(
            lambda: Connection(self._options, self._log, self._live, self._buffer), sock=listener
        )

    def release(self, listener: socket.socket) -> None:
        """Stop accepting and close the listening socket; connections stay. May be called from a callback."""
        if threading.current_thread() is self._thread and listener in self._servers:
            self._servers.pop(listener).close()
        else:
            self._do(self._release(listener))

    async def _release(self, listener: socket.socket) -> None:
        self._servers.pop(listener).close()

    def _do(self, work: Coroutine[None, None, None]) -> None:
        """Do something in the loop: at once, or in a callback, which runs there itself, as soon as it is over."""
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        if threading.current_thread() is not self._thread:
            future.result()

    def close(self) -> None:
        """End: listeners, live sessions, the loop and its thread. Not to be called from a callback, which the thread runs."""
        if threading.current_thread() is self._thread:
            raise RuntimeError("a callback cannot close the server that runs it: call stop instead")
        atexit.unregister(self._end)
        self._do(self._abandon())
        self._end()

    async def _abandon(self) -> None:
        for listener in list(self._servers):
            self._servers.pop(listener).close()
        for connection in list(self._live):
            connection.abort()

    def _end(self) -> None:
        asyncio.run_coroutine_threadsafe(self._finish(), self._loop)
        self._thread.join(1.0)
        if not self._thread.is_alive():
            self._loop.close()

    async def _finish(self) -> None:
        """Stop the loop once everything begun in it is done: a callback may have started the server just now."""
        await asyncio.gather(*(asyncio.all_tasks() - {asyncio.current_task()}))
        self._loop.stop()
