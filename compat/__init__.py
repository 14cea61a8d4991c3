"""The conformance suite: the same sessions played against the stock Tcl package and against pysmtpd, compared line by line.

`run` gives one `Result` for each transcript and target, for the command line and for a test to parametrize over.
"""

from compat.suite import Result, names, run
from compat.targets import TARGETS, WITHOUT_TCLLIB

__all__ = ["TARGETS", "WITHOUT_TCLLIB", "Result", "names", "run"]
