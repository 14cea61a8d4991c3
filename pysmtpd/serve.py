"""`pysmtpd serve`: the mail catcher for a workstation, from its start to its exit code.

The main thread waits for the end: a signal, or as many messages as were asked for. The server's thread does the rest: each
message that the handler welcomes goes into the store, then to standard output, then its client is told 250.
"""

import argparse
import errno
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from typing import TYPE_CHECKING, Final

from pysmtpd.callbacks import ConfigurationError
from pysmtpd.catcher import ENOUGH, OUTPUT_LOST, Catcher
from pysmtpd.core.replies import harmless
from pysmtpd.serve_options import Address, apply_class, format_address, server_options

if TYPE_CHECKING:
    import socket
    from queue import SimpleQueue

    from pysmtpd.printing import Printer
    from pysmtpd.server import Server
    from pysmtpd.stores import Store

#: Seconds that clients have to say QUIT when the end does not come from a signal.
GRACE: Final = 2.0

#: Names of what is open already: nothing to be put there whole, nor to be taken away.
_DESCRIPTORS: Final = ("/dev/fd/", "/dev/std", "/proc/")

_FAILURE: Final = 1
_SIGNALS: Final = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))


def run(options: argparse.Namespace) -> int:
    """Serve as the command line says, and return the exit code.

    Raises SystemExit (code 2) for options that are wrong.
    """
    ends: SimpleQueue[int] = _queue()
    for number in _SIGNALS:
        signal.signal(number, lambda received, _: ends.put(received))
    try:
        apply_class(options)
        end = _listen_and_serve(options, ends)
    except (ConfigurationError, argparse.ArgumentTypeError) as error:
        options.fail(" ".join(str(error).split()))
    except OSError as error:
        _warn(_explained(error))
        return _FAILURE
    if end == OUTPUT_LOST:
        _leave_output_alone()
        _warn("standard output is closed")
        return _FAILURE
    return _exit_code(end, options.once)


def _exit_code(end: int, once: int | None) -> int:
    """Return 0 where the server did what it was to do: serve until it is told to end, or until N messages have come."""
    if end in _SIGNALS:
        return 0 if once is None else 128 + end
    return 0 if end == ENOUGH else end


def _listen_and_serve(options: argparse.Namespace, ends: "SimpleQueue[int]") -> int:
    """Serve until there is a reason to end, and return it. Raises ConfigurationError and OSError."""
    from pysmtpd.server import Server

    catcher = _catcher(options, ends)
    values = server_options(options)
    with _listening(options.listen) as listener:
        server = Server(sock=listener, store=catcher, keep=False, **values)
        with _port_file(options.port_file, listener):
            if options.workers > 1:
                return _serve_with_workers(options, server, listener, ends)
            server.start()
            _say_where(options, listener)
            return _wait(server, ends)


def _catcher(options: argparse.Namespace, ends: "SimpleQueue[int]") -> Catcher:
    turn: AbstractContextManager[None] = nullcontext()
    if options.workers > 1:
        if not hasattr(os, "fork"):
            raise ConfigurationError(f"--workers {options.workers}: must be 1 on this system, which has no fork")
        from pysmtpd.workers import Turn

        turn = Turn()
    return Catcher(_store(options), _printer(options), options.once, turn, ends.put)


@contextmanager
def _listening(address: Address) -> "Iterator[socket.socket]":
    """Have a listening socket, and nothing left of it afterwards."""
    from pysmtpd import listening

    with listening.listen(address.host, address.port) as listener:
        name = listener.getsockname()
        try:
            yield listener
        finally:
            listening.remove_path(name)


def _store(options: argparse.Namespace) -> "Store | None":
    if not (options.maildir or options.mbox or options.jsonl):
        return None
    from pysmtpd import stores

    if options.maildir:
        return stores.Maildir(options.maildir)
    return stores.Mbox(options.mbox) if options.mbox else stores.JsonLines(options.jsonl)


def _printer(options: argparse.Namespace) -> "Printer | None":
    if options.quiet or sys.stdout is None:
        return None
    from pysmtpd.printing import Printer, wants_colour

    return Printer(sys.stdout, colour=wants_colour(sys.stdout, os.environ), raw=options.raw)


def _explained(error: OSError) -> str:
    reason = f"{error.filename}: {error.strerror}" if error.filename else str(error.strerror or error)
    if error.errno == errno.EADDRINUSE:
        return f"{reason} (another server runs there; choose another port: -l HOST:PORT, or port 0 for a free one)"
    if error.errno == errno.EACCES and not error.filename:
        return f"{reason} (ports below 1024 are the administrator's; choose another one: -l HOST:PORT)"
    return reason


@contextmanager
def _port_file(path: str | None, listener: "socket.socket") -> Iterator[None]:
    """Have the port (or ``unix:PATH``) in a file as long as the server runs; who waits for it never sees a part of it."""
    if path is None:
        yield
        return
    name = listener.getsockname()
    port = os.fsencode(f"{name[1]}\n" if isinstance(name, tuple) else f"unix:{name}\n")
    if path.startswith(_DESCRIPTORS) or (os.path.exists(path) and not os.path.isfile(path)):  # a pipe: somebody reads there
        with open(path, "ab") as file:
            file.write(port)
        yield
        return
    draft = f"{path}.{os.getpid()}"
    with open(draft, "wb") as file:
        file.write(port)
    os.replace(draft, path)
    try:
        yield
    finally:
        with suppress(OSError):
            os.remove(path)


def _say_where(options: argparse.Namespace, listener: "socket.socket") -> None:
    stream = sys.stderr if options.raw else sys.stdout
    if not (options.quiet or stream is None):
        name = listener.getsockname()
        where = format_address(name) if isinstance(name, tuple) else f"unix:{harmless(name)}"
        where = where.encode(stream.encoding, "backslashreplace").decode(stream.encoding)
        print(f"pysmtpd serve: listening on {where}", file=stream, flush=True)


def _wait(server: "Server", ends: "SimpleQueue[int]") -> int:
    """Wait until there is a reason to end, end the server, and return the reason."""
    end = ends.get()
    server.stop()
    deadline = time.monotonic() + (GRACE if end in (ENOUGH, OUTPUT_LOST) else 0.0)
    while server.connections and time.monotonic() < deadline:
        time.sleep(0.005)
    server.close()
    return end


def _serve_with_workers(
    options: argparse.Namespace, server: "Server", listener: "socket.socket", ends: "SimpleQueue[int]"
) -> int:
    """Serve from more processes until there is a reason to end, and return it."""
    from pysmtpd.workers import Workers

    def work(lifeline: int) -> int:
        signal.signal(signal.SIGTERM, lambda received, _: ends.put(0))
        for number in _SIGNALS:
            if number != signal.SIGTERM:  # of the whole process group: the parent's affair
                signal.signal(number, signal.SIG_IGN)
        _watch(lifeline, ends)
        server.start()
        return _wait(server, ends)

    workers = Workers(work, _warn)
    received: list[int] = []

    def stop(number: int) -> None:
        received.append(number)
        workers.stop()

    for number in _SIGNALS:
        signal.signal(number, lambda number, _: stop(number))
    workers.start(options.workers)
    _say_where(options, listener)
    end = workers.wait()
    return received[0] if received else end


def _watch(lifeline: int, ends: "SimpleQueue[int]") -> None:
    """Have the end of the lifeline end this worker."""
    import threading

    def wait() -> None:
        os.read(lifeline, 1)
        ends.put(0)

    threading.Thread(target=wait, daemon=True).start()


def _leave_output_alone() -> None:
    """Keep Python from writing to a standard output that is gone, at its very end."""
    with suppress(ValueError):  # it is closed
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _queue() -> "SimpleQueue[int]":
    from queue import SimpleQueue

    return SimpleQueue()


def _warn(text: str) -> None:
    print(f"pysmtpd serve: {' '.join(text.split())}", file=sys.stderr, flush=True)
