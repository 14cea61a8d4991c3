# Index of the package smtpd, with the engine in a Python child process; and of mime and logger, where there is no tcllib.
#
# Another smtpd that is registered, before or after, of whatever version, gives way: whoever has this folder on auto_path wants
# ours, and an unversioned [package require] would otherwise take the highest. Indexes are read in an order that nobody can rely
# on, and read again, so that a trace on [package ifneeded] has to see to it.
if {![package vsatisfies [package provide Tcl] 8.6-]} {return}
if {[package provide smtpd] eq "" && ![info exists ::pysmtpd::loading]} {
    namespace eval ::pysmtpd {}
    if {[info exists ::pysmtpd::keeper]} {
        trace remove execution package leave $::pysmtpd::keeper
    }
    proc ::pysmtpd::Keep {script command args} {
        if {[llength $command] == 5 && [string match ifn* [lindex $command 1]] && [lindex $command 2] eq "smtpd"} {
            if {[package provide smtpd] eq "" && ![info exists ::pysmtpd::loading]} {
                package forget smtpd
            }
            # tclint-disable-next-line command-args
            package ifneeded smtpd 1.5 $script
        }
    }
    set ::pysmtpd::keeper [list ::pysmtpd::Keep [list source [file join $dir smtpd.tcl]]]
    ::pysmtpd::Keep [lindex $::pysmtpd::keeper 1] {package ifneeded smtpd 1.5 {}}
    trace add execution package leave $::pysmtpd::keeper
}
apply {{dir} {
    # Ours are unstable versions: tcllib's are taken before them whenever there are any, whatever their version.
    foreach {name version} {logger 0.9.4.1a0 mime 1.7.0.1a0} {
        if {[package versions $name] eq ""} {
            # tclint-disable-next-line command-args
            package ifneeded $name $version [list source [file join $dir $name.tcl]]
        }
    }
}} $dir
