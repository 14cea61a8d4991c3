"""What the two servers for Python have in common: options, where they listen, and what they do with a message."""

import socket
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Self

from pysmtpd import clock, listening
from pysmtpd.callbacks import check_callback
from pysmtpd.core import Accept, Config, Deliver, Log, Session, Verdict
from pysmtpd.core.faults import Asked, Fault, Faults
from pysmtpd.core.replies import free_reply, one_line
from pysmtpd.drivers.conversation import YES, Service
from pysmtpd.inbox import Inbox
from pysmtpd.message import Message
from pysmtpd.options import Options

if TYPE_CHECKING:
    import ssl

    from pysmtpd.core.record import Record
    from pysmtpd.stores import Store


class BaseServer:
    """One server: its options, where it listens, and the messages it has received.

    Arguments:
        host: address or host name to listen on; empty for all interfaces; an absolute path for a UNIX socket.
        port: port number; 0 for a free one.
        sock: a socket of yours to listen on instead; bound, and closed when the server stops. Its file, if it is a UNIX socket,
            stays.
        store: where each message is put before its client is told 250: one of :mod:`pysmtpd.stores`, or your own. A message
            that it does not take is refused with 452 (no room) or 451.
        keep: whether :attr:`messages` has them as well, and :attr:`sessions` what was said.
        options: as those of :func:`pysmtpd.configure`: callbacks, ``banner``, ``profile``, ...

    Raises ConfigurationError for options that are wrong.
    """

    _awaits = False  # whether callbacks may be coroutine functions

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        sock: socket.socket | None = None,
        store: "Store | None" = None,
        keep: bool = True,
        **options: Any,
    ) -> None:
        self._host = host
        self._port = port
        self._given = sock
        self._adopted = False  # the socket it listens on is the caller's, and so is the file of a UNIX socket
        if store is not None:
            check_callback("store.add", getattr(store, "add", None))
        self._store = store
        self._keeps = keep
        self._configuring = threading.RLock()  # and not Lock: a signal handler may come in between
        self.inbox = Inbox()
        self.options = Options(
            Config(clock.timestamp, clock.new_id, socket.gethostname()),
            self._take if keep or store is not None else None,
            awaits=self._awaits,
        )
        self.has_stopped = threading.Event()
        self._listener: socket.socket | None = None
        self._service = self._new_service()
        self.faults = Faults()  #: what goes wrong on purpose
        if keep:
            self.options.config.observe = self.inbox.observe
            self.options.config.faults = self.faults
        self.configure(options)

    @classmethod
    def default(cls) -> Self:
        """Return a server as the module's own ``start`` uses one: on port 25, and keeping no messages."""
        return cls("", 25, keep=False)

    def _new_service(self) -> Service:
        return Service(self.options, print_log)

    def configure(self, values: Mapping[str, Any]) -> None:
        """Set options. Raises ConfigurationError naming the option, its value and what is allowed."""
        with self._configuring:
            self.options.set(values)

    def cget(self, option: str) -> Any:
        """Return the value of an option, ``socket`` (while listening) included. Raises ConfigurationError."""
        if option.lstrip("-") == "socket" and self._listening():
            return self._listener
        return self.options.get(option)

    def option_names(self) -> tuple[str, ...]:
        """Return the names of all options."""
        return self.options.names()

    # Where it is

    @property
    def host(self) -> str:
        """The address, as a client on this machine can use it, or the path. Raises RuntimeError when not listening."""
        return listening.host_of(self._name())

    @property
    def hostname(self) -> str:
        """The same as :attr:`host`."""
        return self.host

    @property
    def port(self) -> int:
        """The port it listens on; 0 for a UNIX socket. Raises RuntimeError when not listening."""
        name = self._name()
        return int(name[1]) if isinstance(name, tuple) else 0

    @property
    def addr(self) -> tuple[str, int]:
        """Host and port, as ``socket.create_connection`` takes them."""
        return self.host, self.port

    @property
    def url(self) -> str:
        """``smtp://HOST:PORT``; ``smtps:`` under implicit TLS; or ``unix:PATH``."""
        return listening.url_of(self._name(), "smtps" if self.options.get("tls") == "implicit" else "smtp")

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

    def _name(self) -> Any:
        listener = self._listener
        with suppress(OSError):  # closed this very moment, by another thread
            if listener is not None and self._listening():
                return listener.getsockname()
        raise RuntimeError("the server is not listening: call start, or use it in a with statement")

    def _listening(self) -> bool:
        """Tell whether it listens. In the child of a fork it does not: there the socket is closed."""
        return self._listener is not None and self._listener.fileno() >= 0

    def _open_listener(self, myaddr: str | None, port: int | None) -> socket.socket:
        if self._listening():
            raise RuntimeError(f"smtpd service already running on {self._name()}")
        if myaddr is None and port is None and self._given is not None:
            listener, self._given = listening.adopt(self._given), None
            self._adopted = True
            return listener
        self._adopted = False
        myaddr = self._host if myaddr is None else myaddr
        listener = listening.listen(myaddr, self._port if port is None else port)
        if myaddr and not listening.is_path(myaddr):
            with self._configuring:
                self.options.listens_on(myaddr)
        return listener

    def _give_up(self, listener: socket.socket) -> None:
        """Nobody can serve on the listening socket: close it; one of the caller's stays, for another attempt."""
        if self._adopted:
            self._given = listener
        else:
            listening.remove_path(listener.getsockname())
            listener.close()

    def _has_started(self, listener: socket.socket) -> None:
        self._listener = listener
        self.has_stopped.clear()
        self._log("notice", f"smtpd service started on {listener.getsockname()}")

    def _take_listener(self) -> socket.socket | None:
        """Return the listening socket that is to be closed, and note that it is; None when there is none."""
        listener, self._listener = self._listener, None
        if listener is None or listener.fileno() < 0:
            return None
        if not self._adopted:
            listening.remove_path(listener.getsockname())
        self._log("notice", "smtpd service stopped")
        return listener

    def stopped(self) -> bool:
        """Tell whether the server was stopped, and not started since."""
        return self.has_stopped.is_set()

    def wait_stopped(self, timeout: float | None) -> bool:
        """Wait until the server is stopped, for ``timeout`` seconds or without end; tell whether it was."""
        return self.has_stopped.wait(timeout)

    @property
    def connections(self) -> int:
        """How many clients are connected."""
        return len(self._service.live)

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
    def inboxes(self) -> "dict[str, list[Message]]":
        """The messages so far by recipient, as the client spelled it; one to several is in each of theirs."""
        inboxes: dict[str, list[Message]] = {}
        for message in self.messages:
            for recipient in dict.fromkeys(message.recipients):
                inboxes.setdefault(recipient, []).append(message)
        return inboxes

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

    # What goes wrong on purpose

    def refuse(
        self,
        at: str | None = None,
        *,
        to: Asked | None = None,
        sender: Asked | None = None,
        code: int = 550,
        text: str = "",
        after: float = 0.0,
        times: int | None = None,
    ) -> Fault:
        """Refuse from now on, for a client to be tested with.

        Arguments:
            at: in place of which reply: that to a verb (``"EHLO"``, ``"DATA"``, ...), ``"CONNECT"`` for the greeting,
                ``"MESSAGE"`` for the reply to the end of the data. By default ``"RCPT"`` where ``to`` is given, ``"MAIL"`` where
                ``sender`` is, else ``"MESSAGE"``.
            to: only for this recipient; a compiled pattern is searched in it.
            sender: only for this sender.
            code: the reply code, 400 to 599; after 421 the connection is closed.
            text: the text of the reply.
            after: seconds the client waits for it.
            times: how often, before all goes well; None for always.

        Returns a fault: ``.struck`` says how often it was met, ``.end()`` ends it, and so does the end of a ``with`` statement.
        Raises ValueError naming the argument, its value and what is allowed. A command that is wrong anyway gets its usual reply.
        """
        if not (type(code) is int and 400 <= code <= 599):
            raise ValueError(f"code is {code!r}: must be a number from 400 to 599")
        reply = free_reply(str(code), text or f"{code // 100}.0.0 Refused on demand")
        return self._add(Fault(at, to, sender, reply, after, times))

    def drop(
        self,
        at: str | None = None,
        *,
        to: Asked | None = None,
        sender: Asked | None = None,
        after: float = 0.0,
        times: int | None = None,
    ) -> Fault:
        """Close connections in place of a reply, from now on. Arguments as of :meth:`refuse`."""
        return self._add(Fault(at, to, sender, b"", after, times))

    def delay(
        self,
        seconds: float,
        at: str | None = None,
        *,
        to: Asked | None = None,
        sender: Asked | None = None,
        times: int | None = None,
    ) -> Fault:
        """Have clients wait for a reply, from now on; other clients do not. Arguments as of :meth:`refuse`."""
        return self._add(Fault(at, to, sender, None, seconds, times))

    def _add(self, fault: Fault) -> Fault:
        if not self._keeps:
            raise RuntimeError("this server has keep=False: sessions that nobody records have no faults")
        self.faults.add(fault)
        return fault

    def _take(self, event: Deliver, session: Session) -> Verdict:
        """Take a message that is welcome: into the store, then among the messages."""
        message = Message.of(event)
        if self._store is not None:
            from pysmtpd import stores

            verdict = stores.put(
                self._store, message, event.content.trace, self.options.config.replies, lambda text: self._log("error", text)
            )
            if not isinstance(verdict, Accept):
                return verdict
        if self._keeps:
            self.inbox.add(message)
        return YES

    def _log(self, level: str, text: str) -> None:
        if self.options.config.logs(level):
            print_log(Log(level, text))


def print_log(event: Log) -> None:
    """Write a line of the log to stderr; where that is gone, to nobody."""
    if sys.stderr is None:  # print would take standard output for it
        return
    with suppress(OSError, ValueError):
        print(f"[{clock.time_of_day()} smtpd {event.level}] {one_line(event.text)}", file=sys.stderr, flush=True)
