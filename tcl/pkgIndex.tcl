# Index of the package smtpd, with the engine in a Python child process.
#
# Our folder stands ahead of tcllib's on auto_path, so it is read after it, and every time it is. Another smtpd that was
# registered meanwhile, of whatever version, gives way: an unversioned [package require] would otherwise take the highest.
if {![package vsatisfies [package provide Tcl] 8.6-]} {return}
if {[catch {package present smtpd}]} {package forget smtpd}
# tclint-disable-next-line command-args
package ifneeded smtpd 1.5 [list source [file join $dir smtpd.tcl]]
