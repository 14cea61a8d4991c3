"""The names of the stock package, over one default server: Python's own, or the one of an installed interpreter."""

from _thread import allocate_lock  # the module threading would be loaded by every import of the package
from types import ModuleType
from typing import TYPE_CHECKING, Any

from pysmtpd.callbacks import ConfigurationError

if TYPE_CHECKING:
    import socket

    from pysmtpd.installed import InstalledServer, ListeningChannel
    from pysmtpd.server import Server

_server: "Server | InstalledServer | None" = None
_making = allocate_lock()


def _default() -> "Server | InstalledServer":
    global _server
    if _server is None:
        from pysmtpd.server import Server

        with _making:
            if _server is None:  # still: threads may come here at the same time
                _server = Server.default()
    return _server


def install(interp: Any, callbacks: str | ModuleType | None = None) -> None:
    """Put the package ``smtpd`` into a Tcl interpreter; its server is the one this module's functions mean from now on.

    Arguments:
        interp: what ``tkinter.Tcl()`` or ``tkinter.Tk()`` returned.
        callbacks: a module, or its name, whose functions named like callback options stand in for whatever the script
            configures; by default the one that the environment variable ``PYSMTPD_CALLBACKS`` names, if it does.

    Raises ConfigurationError for a module that cannot be used, RuntimeError when another smtpd is loaded there already.
    """
    from pysmtpd.installed import InstalledServer

    global _server
    _server = InstalledServer(interp, callbacks)


def configure(*words: Any, **options: Any) -> dict[str, Any] | None:
    """Set options, as keywords (``deliver=f``) or Tcl style (``"-deliver", f``); without any, return them all.

    Callbacks: ``deliver(sender, recipients, data)`` gets the reverse-path and the forward-paths in angle brackets and the
    message as a list of lines, trace header first; ``deliverMIME(message)`` an ``email.message.EmailMessage``;
    ``validate_host(ip)``, ``validate_sender(address)`` and ``validate_recipient(address)`` bare addresses. Returning
    accepts, an exception refuses, :exc:`Refused` with a reply of its own. None takes a callback away.

    Raises ConfigurationError (a TypeError and a ValueError) naming the option, its value and what is allowed.

    Source: ``::smtpd::configure``.
    """
    server = _default()
    if not words and not options:
        return {name: server.cget(name) for name in server.option_names()}
    server.configure({**_pairs(words), **options})
    return None


def _pairs(words: tuple[Any, ...]) -> dict[str, Any]:
    if len(words) % 2:
        raise ConfigurationError(f"option {words[-1]!r} has no value")
    for word in words[::2]:
        if not (isinstance(word, str) and word.startswith("-")):
            raise ConfigurationError(f"{word!r} is no option: must be a name with a dash before it")
    return {word[1:]: value for word, value in zip(words[::2], words[1::2], strict=True)}


def cget(option: str) -> Any:
    """Return the value of an option, named with or without its dash. Raises ConfigurationError. Source: ``::smtpd::cget``."""
    return _default().cget(option)


def start(myaddr: str = "", port: int = 25) -> "socket.socket | ListeningChannel":
    """Start the server.

    Arguments:
        myaddr: address or host name to listen on; empty for all interfaces. The greeting shows it as given.
        port: port number; 0 for a free one.

    Returns the listening socket: ``.getsockname()`` says where it listens.

    Raises RuntimeError when it is running already, OSError when the address or the port cannot be had.
    Source: ``::smtpd::start``.
    """
    from pysmtpd.options import check_port

    check_port(port)
    return _default().start(myaddr, port)


def stop() -> None:
    """Stop listening; live sessions go on. Does nothing when the server is not running. Source: ``::smtpd::stop``."""
    _default().stop()


class Stopped:
    """Whether the default server was stopped: false until it is, and again from the next start. Source: ``::smtpd::stopped``."""

    def __bool__(self) -> bool:
        return _default().stopped()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until the server is stopped, ``timeout`` seconds at most; tell whether it was.

        Where the server lives in a Tcl interpreter, this runs that interpreter's event loop.
        """
        return _default().wait_stopped(timeout)

    def __repr__(self) -> str:
        return f"<stopped: {bool(self)}>"


stopped = Stopped()
