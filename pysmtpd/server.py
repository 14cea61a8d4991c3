"""The server for Python: an asyncio driver in a thread of its own, and the messages it has received."""

import socket
import sys
import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from pysmtpd import clock
from pysmtpd.core import Accept, Config, Deliver, Log, Session, Verdict
from pysmtpd.inbox import Inbox, Wanted
from pysmtpd.options import Options, check_port

if TYPE_CHECKING:
    import ssl

    from pysmtpd.core.record import Record
    from pysmtpd.drivers.aio import Loop
    from pysmtpd.message import Message
    from pysmtpd.stores import Store


class Server:
    """One server: its options, its listening socket, the thread its sessions live in, and the messages it has received.

    As many as one likes, each for itself; a context manager, listening inside; to be used from any thread. Callbacks run in
    the server's own thread, one at a time.

        with pysmtpd.Server() as server:
            send_my_mail(server.host, server.port)
            message = server.wait_for(to="anna@example.org")[0]

    Arguments:
        host: address or host name to listen on; empty for all interfaces.
        port: port number; 0 for a free one.
        store: where each message is put before its client is told 250: one of :mod:`pysmtpd.stores`, or your own. A message
            that it does not take is refused with 452 (no room) or 451.
        keep: whether :attr:`messages` has them as well, and :attr:`sessions` what was said.
        options: as those of :func:`pysmtpd.configure`: callbacks, ``banner``, ``profile``, ...

    Raises ConfigurationError for options that are wrong.
    """

    def __init__(
        self, host: str = "127.0.0.1", port: int = 0, *, store: "Store | None" = None, keep: bool = True, **options: Any
    ) -> None:
        self._store = store
        self._keeps = keep
        self._prepare(host, port, self._take)
        if keep:
            self.options.config.observe = self.inbox.observe
        self.configure(options)

    @classmethod
    def default(cls) -> "Server":
        """Return a server as the module's own ``start`` uses one: on port 25, and keeping no messages."""
        server = cls.__new__(cls)
        server._prepare("", 25, None)
        return server

    def _prepare(self, host: str, port: int, keep: Callable[[Deliver, Session], Verdict] | None) -> None:
        self._host = host
        self._port = port
        self.inbox = Inbox()
        self.options = Options(Config(clock.timestamp, clock.new_id, socket.gethostname()), keep)
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

    def start(self, myaddr: str | None = None, port: int | None = None) -> socket.socket:
        """Listen, and serve from now on.

        Arguments:
            myaddr: address or host name to listen on; empty for all interfaces, IPv4 and IPv6; ``0`` for all of IPv4.
            port: port number; 0 for a free one. Both are by default what the server was made with.

        Raises RuntimeError when listening already, OSError when the address or the port cannot be had.
        """
        from pysmtpd.drivers.aio import Loop

        if self._listener is not None:
            raise RuntimeError(f"smtpd service already running on {self._listener.getsockname()}")
        myaddr = self._host if myaddr is None else myaddr
        listener = _listen(myaddr, self._port if port is None else port)
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

    def close(self) -> None:
        """Stop, end live sessions, and let go of the thread. The messages stay."""
        self.stop()
        loop, self._loop = self._loop, None
        if loop is not None:
            loop.close()

    def __enter__(self) -> "Server":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # Where it is

    @property
    def host(self) -> str:
        """The address it listens on, as a client on this machine can use it. Raises RuntimeError when not listening."""
        address = str(self._name()[0])
        return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(address, address)  # noqa: S104 # compared, not bound

    @property
    def hostname(self) -> str:
        """The same as :attr:`host`."""
        return self.host

    @property
    def port(self) -> int:
        """The port it listens on. Raises RuntimeError when not listening."""
        return int(self._name()[1])

    @property
    def addr(self) -> tuple[str, int]:
        """Host and port, as ``socket.create_connection`` takes them."""
        return self.host, self.port

    @property
    def url(self) -> str:
        """``smtp://HOST:PORT``; ``smtps:`` under implicit TLS."""
        scheme = "smtps" if self.options.get("tls") == "implicit" else "smtp"
        return f"{scheme}://[{self.host}]:{self.port}" if ":" in self.host else f"{scheme}://{self.host}:{self.port}"

    def client_context(self, *, certificate: bool = False) -> "ssl.SSLContext":
        """Return a context for clients of this server: it trusts the test authority, and the server's ``certfile`` if it has one.

        Host names are checked, so a bad test certificate is refused for what is bad about it.

        Arguments:
            certificate: have the client show the test certificate for clients.
        """
        import ssl

        from pysmtpd.certificates import CA, CLIENT

        context = ssl.create_default_context(cafile=CA)
        if certfile := self.options.get("certfile"):
            context.load_verify_locations(certfile)
        if certificate:
            context.load_cert_chain(*CLIENT)
        return context

    def _name(self) -> tuple[Any, ...]:
        if self._listener is None:
            raise RuntimeError("the server is not listening: call start, or use it in a with statement")
        name: tuple[Any, ...] = self._listener.getsockname()
        return name

    # What it has received

    @property
    def messages(self) -> "list[Message]":
        """The messages accepted so far, oldest first."""
        return self.inbox.messages()

    @property
    def outbox(self) -> "list[Message]":
        """The same as :attr:`messages`: what the program under test has sent."""
        return self.messages

    @property
    def sessions(self) -> "list[Record]":
        """What was said in the last sessions, oldest first: ``str()`` of one is its transcript."""
        return self.inbox.sessions()

    @property
    def transcript(self) -> str:
        """What was said in the last sessions, as text: ``C:`` and ``S:`` before each line, a heading before each session."""
        return self.inbox.transcript()

    def clear(self) -> None:
        """Forget the messages and sessions so far."""
        self.inbox.clear()

    def wait_for(
        self,
        to: str | None = None,
        subject: str | None = None,
        *,
        sender: str | None = None,
        matching: "Callable[[Message], object] | None" = None,
        count: int = 1,
        timeout: float = 5.0,
    ) -> "list[Message]":
        """Wait for messages and return them; those that are there already count.

        Arguments:
            to: one of the forward-paths, without brackets.
            subject: a part of the subject.
            sender: the reverse-path, without brackets.
            matching: a function of the message that tells whether it is wanted.
            count: how many must fit.
            timeout: seconds to wait at most.

        Raises NotReceived (an AssertionError) that lists what came instead.
        """
        return self.inbox.wait_for(Wanted(to, sender, subject, matching), count, timeout)

    def expect_none(
        self,
        to: str | None = None,
        subject: str | None = None,
        *,
        sender: str | None = None,
        matching: "Callable[[Message], object] | None" = None,
        timeout: float = 0.2,
    ) -> None:
        """Wait ``timeout`` seconds and raise NotReceived when such a message came. Arguments as of :meth:`wait_for`."""
        self.inbox.expect_none(Wanted(to, sender, subject, matching), timeout)

    def _take(self, event: Deliver, session: Session) -> Verdict:
        """Take a message that is welcome: into the store, then among the messages."""
        from datetime import UTC, datetime

        from pysmtpd.message import Message

        recipients = tuple(path[1:-1] for path in event.recipients)
        peer = session.client, session.port
        now = datetime.now(UTC)
        message = Message(
            event.sender[1:-1], recipients, event.content.body, peer, session.domain, event.id, now, tls=session.tls
        )
        verdict: Verdict = Accept()
        if self._store is not None:
            from pysmtpd import stores

            verdict = stores.put(
                self._store, message, event.content.trace, self.options.config.replies, lambda text: self._log("error", text)
            )
        if self._keeps and isinstance(verdict, Accept):
            self.inbox.add(message)
        return verdict

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
    check_port(port)
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
