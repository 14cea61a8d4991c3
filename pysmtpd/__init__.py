"""An SMTP server engine for testing mail clients, shared by Python and Tcl: the public names, and nothing else.

The names of tcllib's smtpd work here as they do in Tcl: :func:`start`, :func:`stop`, :func:`configure`, :func:`cget` and
:data:`stopped`. :func:`install` puts the package into an interpreter that tkinter made.
"""

from typing import TYPE_CHECKING, Any

from pysmtpd.api import cget, configure, install, start, stop, stopped
from pysmtpd.callbacks import ConfigurationError, Refused, RefusedRecipients
from pysmtpd.version import __version__

if TYPE_CHECKING:
    from pysmtpd import aio, certificates
    from pysmtpd.inbox import NotReceived
    from pysmtpd.message import Message
    from pysmtpd.server import Server

__all__ = [
    "ConfigurationError",
    "Message",
    "NotReceived",
    "Refused",
    "RefusedRecipients",
    "Server",
    "__version__",
    "aio",
    "certificates",
    "cget",
    "configure",
    "install",
    "start",
    "stop",
    "stopped",
]

_HOMES = {"Message": "message", "NotReceived": "inbox", "Server": "server"}


def __getattr__(name: str) -> Any:
    """Import what is not needed at start when it is (PEP 562)."""
    from importlib import import_module

    if name in ("aio", "certificates"):
        return import_module(f"{__name__}.{name}")
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
