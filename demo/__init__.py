"""What `make run` shows: an old Tcl script, unchanged, receiving real mail in a stock tclsh and in tkinter."""
