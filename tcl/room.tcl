# Room: how many more clients can be let in. Descriptors are what runs out, and the script has some of its own.
#
# Tcl 8.6 waits with select(), which cannot hold the 1024th: it ends the process. And where the system gives out no more, a
# connection that cannot be accepted keeps the event loop busy for as long as it waits.

namespace eval ::pysmtpd {
    variable room 0          ;# clients that may come in before descriptors are counted again
    variable recount 64      ;# at most so many: the script may have opened files meanwhile
    variable linger 2000     ;# milliseconds a connection stays after its session, at most, while its client still sends
    variable lingering       ;# channel -> the timer that closes it
    array set lingering {}
}

# ::pysmtpd::HasRoom --
#
#   Tell whether one more client can be let in.
#
proc ::pysmtpd::HasRoom {} {
    variable room
    variable recount
    if {[incr room -1] < 0} {
        set room [expr {min($recount, [Free]) - 1}]
    }
    return [expr {$room >= 0}]
}

# ::pysmtpd::Free --
#
#   Count the descriptors that clients may have; a sixteenth of all is left for files, pipes, and the script.
#
proc ::pysmtpd::Free {} {
    set all [expr {[package vsatisfies [package provide Tcl] 9-] ? 100000 : 1024}]
    if {![catch {open /proc/self/limits} file]} {
        foreach line [split [read $file] \n] {
            if {[string match "Max open files *" $line] && [string is integer -strict [lindex $line 3]]} {
                set all [expr {min($all, [lindex $line 3])}]
            }
        }
        close $file
    }
    if {[catch {llength [glob -directory /proc/self/fd *]} used]} {
        set used [llength [chan names]]
    }
    return [expr {$all - $all / 16 - $used}]
}

# ::pysmtpd::Linger --
#
#   Close a connection when its client has, or soon. What it still sends is read and forgotten: closing over unread bytes
#   would reset the connection, and take the last reply along.
#
proc ::pysmtpd::Linger {channel} {
    variable linger
    variable lingering
    catch {close $channel write}
    chan event $channel readable [list ::pysmtpd::Discard $channel]
    # tclint-disable-next-line command-args
    set lingering($channel) [after $linger [list ::pysmtpd::Part $channel]]
}

# ::pysmtpd::Discard --
#
#   Read and forget, to the end.
#
proc ::pysmtpd::Discard {channel} {
    if {[catch {read $channel 65536}] || [eof $channel]} {
        Part $channel
    }
}

# ::pysmtpd::Part --
#
#   Close such a connection. Its name may belong to another one the moment after: the timer must not fire then.
#
proc ::pysmtpd::Part {channel} {
    variable lingering
    after cancel $lingering($channel)
    unset lingering($channel)
    catch {close $channel}
}
