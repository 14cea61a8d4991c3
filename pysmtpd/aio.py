"""The server for programs that have an asyncio event loop: the twin of :class:`pysmtpd.Server` inside it."""

import asyncio
import functools
import socket
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Self

from pysmtpd.base import BaseServer
from pysmtpd.drivers.aio import Hub
from pysmtpd.inbox import Wanted

if TYPE_CHECKING:
    from pysmtpd.core.faults import Asked
    from pysmtpd.message import Message


def in_thread(function: Callable[..., object]) -> Callable[..., Awaitable[object]]:
    """Make a callback of one that blocks: it runs in a thread of the event loop's pool, and only its own client waits for it.

        pysmtpd.aio.Server(deliver=pysmtpd.aio.in_thread(store))

    Arguments:
        function: a plain function. It may run in several threads at the same time, for several clients.
    """

    @functools.wraps(function)
    async def run(*arguments: object) -> object:
        return await asyncio.to_thread(function, *arguments)

    return run


class Server(BaseServer):
    """One server in the running event loop, and the messages it has received. As many as one likes, each for itself.

        async with pysmtpd.aio.Server() as server:
            await send_my_mail(server.host, server.port)
            [message] = await server.wait_for(to="anna@example.org")

    Callbacks are plain functions or coroutine functions; a plain one may also return something to await. They run in the event
    loop: one that blocks stops the whole loop, see :func:`in_thread`. Only its own client waits for one that awaits.

    Everything is to be called in the event loop's thread. Arguments as of :class:`pysmtpd.Server`.

    Raises ConfigurationError for options that are wrong.
    """

    _awaits = True

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._hub: Hub | None = None

    async def start(self, myaddr: str | None = None, port: int | None = None) -> socket.socket:
        """Listen, and serve from now on.

        Arguments:
            myaddr: address or host name to listen on; empty for all interfaces, IPv4 and IPv6; ``0`` for all of IPv4; an
                absolute path for a UNIX socket.
            port: port number; 0 for a free one. Both are by default what the server was made with.

        Raises RuntimeError when listening already, OSError when the address or the port cannot be had.
        """
        if self._loop_has_ended():
            await self.close()
        listener = self._open_listener(myaddr, port)
        try:
            if self._hub is None:
                self._service = self._new_service()  # an old one's clients may be about to be told goodbye
                self._hub = Hub(self._service, asyncio.get_running_loop())
            self._hub.serve(listener)
        except BaseException:
            self._give_up(listener)
            raise
        self._has_started(listener)
        return listener

    def _loop_has_ended(self) -> bool:
        """Tell whether nobody serves where it was started: in an event loop closed by now, or in the parent of this process."""
        return self._hub is not None and self._hub.has_ended

    def _listening(self) -> bool:
        return super()._listening() and not self._loop_has_ended()

    def stop(self) -> None:
        """Stop listening; live sessions go on. Does nothing when not listening. A callback may call it, too."""
        listener = self._take_listener()
        if listener is not None and self._hub is not None:
            self._hub.release(listener)
            self.has_stopped.set()

    async def close(self) -> None:
        """Stop, and end live sessions, telling their clients (421). Callbacks that are being awaited are cancelled.

        The messages stay. Returns when all is gone; in a callback that is awaited, it ends that callback, too.
        """
        self.stop()
        hub, self._hub = self._hub, None
        if hub is not None:
            await hub.close()

    async def serve_forever(self) -> None:
        """Serve until cancelled, or until the server is closed from elsewhere; listen first, if need be. Closes at the end."""
        if not self._listening():
            await self.start()
        assert self._hub is not None  # noqa: S101 # it listens
        try:
            await self._hub.ended()
        finally:
            await self.close()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    # What it has received

    async def wait_for(
        self,
        to: "Asked | None" = None,
        subject: "Asked | None" = None,
        *,
        sender: "Asked | None" = None,
        matching: "Callable[[Message], object] | None" = None,
        count: int = 1,
        timeout: float = 5.0,
    ) -> "list[Message]":
        """Wait for messages and return them; those that are there already count. Arguments as of :class:`pysmtpd.Server`'s.

        Raises NotReceived (an AssertionError) that lists what came instead.
        """
        return await self.inbox.wait_for_async(Wanted(to, sender, subject, matching), count, timeout)

    async def expect_none(
        self,
        to: "Asked | None" = None,
        subject: "Asked | None" = None,
        *,
        sender: "Asked | None" = None,
        matching: "Callable[[Message], object] | None" = None,
        timeout: float = 0.2,
    ) -> None:
        """Wait ``timeout`` seconds and raise NotReceived when such a message came. Arguments as of :meth:`wait_for`."""
        await self.inbox.expect_none_async(Wanted(to, sender, subject, matching), timeout)
