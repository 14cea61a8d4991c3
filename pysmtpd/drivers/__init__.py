"""The drivers: whoever moves the bytes between a connection and the core, and callbacks' answers back.

``aio`` serves Python users, ``tk`` the Tcl interpreter that tkinter embeds, ``pipe`` a stock tclsh that runs the engine as a
child process; the two for Tcl share ``tcl``. The loop each of them runs is written down in :mod:`pysmtpd.core`.
"""
