"""The server behind the module's own ``start`` and ``stop``: an asyncio driver in a thread of its own, first form."""

import socket
import sys
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pysmtpd import clock
from pysmtpd.callbacks import ConfigurationError
from pysmtpd.core import Config, Log
from pysmtpd.options import Options

if TYPE_CHECKING:
    from pysmtpd.drivers.aio import Loop


class Server:
    """One server: its options, its listening socket, and the thread its sessions live in.

    Callbacks run in that thread, one at a time.
    """

    def __init__(self) -> None:
        self.options = Options(Config(clock.timestamp, clock.new_id, socket.gethostname()))
        self.has_stopped = threading.Event()
        self._listener: socket.socket | None = None
        self._loop: Loop | None = None

    def configure(self, values: Mapping[str, Any]) -> None:
        """Set options. Raises ConfigurationError naming the option, its value and what is allowed."""
        self.options.set(values)

    def cget(self, option: str) -> Any:
        """Return the value of an option, ``socket`` (while listening) included. Raises ConfigurationError."""
        if option.lstrip("-") == "socket" and self._listener is not None:
            return self._listener
        return self.options.get(option)

    def option_names(self) -> tuple[str, ...]:
        """Return the names of all options."""
        return self.options.names()

    def start(self, myaddr: str, port: int) -> socket.socket:
        """Listen, and serve from now on.

        Arguments:
            myaddr: address or host name to listen on; empty for all interfaces, IPv4 and IPv6; ``0`` for all of IPv4.
            port: port number; 0 for a free one.

        Raises RuntimeError when listening already, OSError when the address or the port cannot be had.
        """
        from pysmtpd.drivers.aio import Loop

        if self._listener is not None:
            raise RuntimeError(f"smtpd service already running on {self._listener.getsockname()}")
        listener = _listen(myaddr, port)
        if myaddr:
            self.options.set({"serveraddr": myaddr})
        if self._loop is None:
            self._loop = Loop(self.options, _print_log)
        self._loop.serve(listener)
        self._listener = listener
        self.has_stopped.clear()
        self._log("notice", f"smtpd service started on {listener.getsockname()}")
        return listener

    def stop(self) -> None:
        """Stop listening; live sessions go on. Does nothing when not listening."""
        listener, self._listener = self._listener, None
        if listener is not None and self._loop is not None:
            self._loop.release(listener)
            self._log("notice", "smtpd service stopped")
            self.has_stopped.set()

    def stopped(self) -> bool:
        """Tell whether the server was stopped, and not started since."""
        return self.has_stopped.is_set()

    def wait_stopped(self, timeout: float | None) -> bool:
        """Wait until the server is stopped, for ``timeout`` seconds or without end; tell whether it was."""
        return self.has_stopped.wait(timeout)

    def _log(self, level: str, text: str) -> None:
        if self.options.config.logs(level):
            _print_log(Log(level, text))


def _listen(address: str, port: int) -> socket.socket:
    if type(port) is not int or not 0 <= port <= 65535:
        raise ConfigurationError(f"port is {port!r}: must be a number from 0 to 65535")
    backlog = 1024
    try:
        if address == "" and socket.has_dualstack_ipv6():
            return socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=backlog)
        if address in ("", "0"):
            return socket.create_server(("0.0.0.0", port), backlog=backlog)  # noqa: S104 # what the caller asked for
        family = socket.getaddrinfo(address, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((address, port), family=family, backlog=backlog)
    except OSError as error:
        where = f"{address or 'all interfaces'}, port {port}"
        raise type(error)(error.errno, f"cannot listen on {where}: {error.strerror or error}") from error


def _print_log(event: Log) -> None:
    print(f"[{clock.time_of_day()} smtpd {event.level}] {event.text}", file=sys.stderr, flush=True)
