# Index of the package smtpd, with the engine in a Python child process; and of mime and logger, where there is no tcllib.
#
# Our folder stands ahead of tcllib's on auto_path, so it is read after it, and every time it is. Another smtpd that was
# registered meanwhile, of whatever version, gives way: an unversioned [package require] would otherwise take the highest.
if {![package vsatisfies [package provide Tcl] 8.6-]} {return}
if {[catch {package present smtpd}]} {package forget smtpd}
# tclint-disable-next-line command-args
package ifneeded smtpd 1.5 [list source [file join $dir smtpd.tcl]]
# Ours are unstable versions: tcllib's are taken before them whenever there are any, whatever their version.
foreach {name version} {logger 0.9.4.1a0 mime 1.7.0.1a0} {
    if {[package versions $name] eq ""} {
        # tclint-disable-next-line command-args
        package ifneeded $name $version [list source [file join $dir $name.tcl]]
    }
}
unset name version
