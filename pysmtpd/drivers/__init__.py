"""The drivers: whoever moves the bytes between a connection and the core, and callbacks' answers back.

``selector`` serves Python users in a thread of its own, ``aio`` in their own event loop; the two share ``sockets`` and
``conversation``. ``tk`` serves the Tcl interpreter that tkinter embeds, ``pipe`` a stock tclsh that runs the engine as a child
process; the two for Tcl share ``tcl``. The loop each of them runs is written down in :mod:`pysmtpd.core`.
"""

from typing import Final

#: Seconds after which a session whose client has sent ahead lets others in between two questions, and sends its replies so far.
TURN: Final = 0.02
