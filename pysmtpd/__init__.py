"""An SMTP server engine for testing mail clients, shared by Python and Tcl: the public names, and nothing else.

The names of tcllib's smtpd work here as they do in Tcl: :func:`start`, :func:`stop`, :func:`configure`, :func:`cget` and
:data:`stopped`. :func:`install` puts the package into an interpreter that tkinter made.
"""

from pysmtpd.api import cget, configure, install, start, stop, stopped
from pysmtpd.callbacks import ConfigurationError, Refused
from pysmtpd.version import __version__

__all__ = [
    "ConfigurationError",
    "Refused",
    "__version__",
    "cget",
    "configure",
    "install",
    "start",
    "stop",
    "stopped",
]
