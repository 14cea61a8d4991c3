"""Where a server listens: the sockets, and how its address reads."""

import errno
import os
import socket
import stat
from contextlib import suppress
from typing import Any

from pysmtpd.callbacks import ConfigurationError
from pysmtpd.drivers.conversation import BACKLOG
from pysmtpd.options import check_port


def is_path(address: str) -> bool:
    """Tell whether an address is that of a UNIX socket: an absolute path, as ``smtplib.LMTP`` has it."""
    return address.startswith("/")


def listen(address: str, port: int) -> socket.socket:
    """Return a listening socket.

    Arguments:
        address: address or host name; empty for all interfaces, IPv4 and IPv6; ``0`` for all of IPv4; an absolute path for a
            UNIX socket, which replaces one that nobody listens on any more.
        port: port number; 0 for a free one.

    Raises ConfigurationError for a port that is none, or an address that is no string; OSError naming address and port when they
    cannot be had.
    """
    check_port(port)
    if not isinstance(address, str):
        raise ConfigurationError(f"host is {address!r}: must be a string, with an address, a name or a path")
    try:
        if is_path(address):
            return _listen_on_path(address)
        return _tcp_listener(address, port)
    except OSError as error:
        raise type(error)(error.errno, f"cannot listen on {_where(address, port)}: {error.strerror or error}") from error
    except ValueError as error:  # UnicodeError is one: no name of a host, nor of a file, looks like that
        raise OSError(errno.EINVAL, f"cannot listen on {_where(address, port)}: {error}") from error


def _where(address: str, port: int) -> str:
    return address if is_path(address) else f"{address or 'all interfaces'}, port {port}"


def _tcp_listener(address: str, port: int) -> socket.socket:
    if address == "" and socket.has_dualstack_ipv6():
        listener = socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=BACKLOG)
    elif address in ("", "0"):
        listener = socket.create_server(("0.0.0.0", port), backlog=BACKLOG)  # noqa: S104 # what the caller asked for
    else:
        name = address.encode() if address.isascii() else address  # from a string, it would load the codec for names beyond ASCII
        family = socket.getaddrinfo(name, port, type=socket.SOCK_STREAM)[0][0]
        listener = socket.create_server((address, port), family=family, backlog=BACKLOG)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # connections inherit it, on most systems
    return listener


def _listen_on_path(path: str) -> socket.socket:
    if not hasattr(socket, "AF_UNIX"):
        raise OSError(errno.EAFNOSUPPORT, "this system has no UNIX sockets")
    _remove_if_abandoned(path)
    listener = socket.socket(socket.AF_UNIX)
    try:
        listener.bind(path)
        listener.listen(BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener


def _remove_if_abandoned(path: str) -> None:
    """Remove a UNIX socket left behind by a program that has ended."""
    with suppress(FileNotFoundError):
        if stat.S_ISSOCK(os.stat(path).st_mode):
            with socket.socket(socket.AF_UNIX) as probe:
                try:
                    probe.connect(path)
                except ConnectionRefusedError:
                    os.unlink(path)


def adopt(given: object) -> socket.socket:
    """Return a socket that the caller has made, listening. Raises ConfigurationError when it cannot be served on."""
    if not isinstance(given, socket.socket) or given.type != socket.SOCK_STREAM or given.fileno() < 0 or not _is_bound(given):
        raise ConfigurationError(f"sock is {given!r}: must be an open stream socket that is bound")
    given.listen(BACKLOG)
    return given


def _is_bound(given: socket.socket) -> bool:
    """Tell whether a socket has an address. Without one it would listen on all interfaces, where nobody looks for it."""
    name = given.getsockname()
    return bool(name[1] if isinstance(name, tuple) else name)


def remove_path(name: Any) -> None:
    """Remove the file of a UNIX socket, given the name of its listener; do nothing for other sockets."""
    if isinstance(name, str) and is_path(name):
        with suppress(OSError):
            os.unlink(name)


def host_of(name: Any) -> str:
    """Return the address, or the path, that a listener's name stands for, as a client on this machine can use it."""
    if not isinstance(name, tuple):
        return str(name)
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(name[0], str(name[0]))  # noqa: S104 # compared, not bound


def url_of(name: Any, scheme: str = "smtp") -> str:
    """Return the name of a listener as a URL: ``smtp://HOST:PORT``, or ``unix:PATH``."""
    host = host_of(name)
    if not isinstance(name, tuple):
        return f"unix:{host}"
    return f"{scheme}://[{host}]:{name[1]}" if ":" in host else f"{scheme}://{host}:{name[1]}"
