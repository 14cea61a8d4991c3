"""The server for Python: in a thread of its own, to be used from any other."""

import socket
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Self

from pysmtpd.base import BaseServer
from pysmtpd.drivers.selector import Loop
from pysmtpd.inbox import Wanted

if TYPE_CHECKING:
    from pysmtpd.core.faults import Asked
    from pysmtpd.message import Message


class Server(BaseServer):
    """One server: its options, its listening socket, the thread its sessions live in, and the messages it has received.

    As many as one likes, each for itself; a context manager, listening inside; to be used from any thread.

        with pysmtpd.Server() as server:
            send_my_mail(server.host, server.port)
            message = server.wait_for(to="anna@example.org")[0]

    Callbacks run in the server's own thread, one at a time: while one runs, all clients of this server wait. One that takes
    long may return a ``concurrent.futures.Future`` (``deliver=lambda *mail: pool.submit(store, *mail)``): only its own client
    waits for that, and its exception refuses as that of a callback does.

    Arguments:
        host: address or host name to listen on; empty for all interfaces; an absolute path for a UNIX socket.
        port: port number; 0 for a free one.
        sock: a socket of yours to listen on instead; bound, and closed when the server stops.
        store: where each message is put before its client is told 250: one of :mod:`pysmtpd.stores`, or your own. A message
            that it does not take is refused with 452 (no room) or 451.
        keep: whether :attr:`messages` has them as well, and :attr:`sessions` what was said.
        options: as those of :func:`pysmtpd.configure`: callbacks, ``banner``, ``profile``, ...

    Raises ConfigurationError for options that are wrong.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self._loop: Loop | None = None
        self._lock = threading.Lock()  # for who starts and who stops: never held while anything is waited for
        super().__init__(*arguments, **options)

    def start(self, myaddr: str | None = None, port: int | None = None) -> socket.socket:
        """Listen, and serve from now on.

        Arguments:
            myaddr: address or host name to listen on; empty for all interfaces, IPv4 and IPv6; ``0`` for all of IPv4; an
                absolute path for a UNIX socket.
            port: port number; 0 for a free one. Both are by default what the server was made with.

        Raises RuntimeError when listening already, OSError when the address or the port cannot be had.
        """
        with self._lock:
            listener = self._open_listener(myaddr, port)
            try:
                if self._loop is None or not self._loop.running:
                    self._service = self._new_service()  # an old loop may be about to end what it served
                    self._loop = Loop(self._service)
                self._loop.serve(listener)
            except BaseException:
                self._give_up(listener)
                raise
            self._has_started(listener)
        return listener

    def stop(self) -> None:
        """Stop listening; live sessions go on. Does nothing when not listening. A callback may call it, too."""
        with self._lock:
            listener = self._take_listener()
            if listener is not None and self._loop is not None:
                self._loop.release(listener)
        if listener is not None:
            self.has_stopped.set()

    def close(self) -> None:
        """Stop, end live sessions, telling their clients (421), and let go of the thread. The messages stay.

        Waits for a callback that runs. Called in a callback, it comes into force when the callback has ended and its client has
        been answered.
        """
        self.stop()
        with self._lock:
            loop, self._loop = self._loop, None
        if loop is not None:
            loop.close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def wait_for(
        self,
        to: "Asked | None" = None,
        subject: "Asked | None" = None,
        *,
        sender: "Asked | None" = None,
        matching: "Callable[[Message], object] | None" = None,
        count: int = 1,
        timeout: float = 5.0,
    ) -> "list[Message]":
        """Wait for messages and return them; those that are there already count.

        Arguments:
            to: one of the forward-paths, without brackets, or a compiled pattern that is found in one.
            subject: a part of the subject, or a compiled pattern that is found in it.
            sender: the reverse-path, without brackets, or a compiled pattern that is found in it.
            matching: a function of the message that tells whether it is wanted.
            count: how many must fit.
            timeout: seconds to wait at most.

        Raises NotReceived (an AssertionError) that lists what came instead.
        """
        return self.inbox.wait_for(Wanted(to, sender, subject, matching), count, timeout)

    def expect_none(
        self,
        to: "Asked | None" = None,
        subject: "Asked | None" = None,
        *,
        sender: "Asked | None" = None,
        matching: "Callable[[Message], object] | None" = None,
        timeout: float = 0.2,
    ) -> None:
        """Wait ``timeout`` seconds and raise NotReceived when such a message came. Arguments as of :meth:`wait_for`."""
        self.inbox.expect_none(Wanted(to, sender, subject, matching), timeout)
