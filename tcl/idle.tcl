# The idle time-out: a client that is silent for too long has its session ended. The engine says how long, and what is said then.
#
# One timer serves all sessions, and is set again only when it has gone off.

namespace eval ::pysmtpd {
    variable idle 0          ;# seconds; 0 for no limit
    variable heard           ;# number -> when the client was heard of last, in milliseconds
    variable alarm {}        ;# the timer
    array set heard {}
}

# ::pysmtpd::Listen --
#
#   Take what a client sends from now on, and see to it that its silence is noticed, if there is a limit to that.
#
proc ::pysmtpd::Listen {number channel} {
    variable idle
    variable heard
    variable alarm
    variable ours
    variable readers
    variable watched
    if {![info exists ours(service)] || [info exists watched($number)]} {
        set handler Serve
    } elseif {[llength $readers]} {
        set handler ReadLines
    } else {
        set handler Arrived
    }
    chan event $channel readable [list ::pysmtpd::$handler $number $channel]
    if {!$idle} {
        return
    }
    set heard($number) [::tcl::clock::milliseconds]
    if {$alarm eq ""} {
        SetAlarm [expr {int($idle * 1000)}]
    }
}

# ::pysmtpd::SetAlarm --
#
#   Look for silent clients in so many milliseconds.
#
proc ::pysmtpd::SetAlarm {milliseconds} {
    variable alarm
    # tclint-disable-next-line command-args
    set alarm [after $milliseconds ::pysmtpd::Sweep]
}

# ::pysmtpd::SetIdle --
#
#   Have another time-out, in live sessions, too: for them it begins now.
#
proc ::pysmtpd::SetIdle {seconds} {
    variable idle
    variable heard
    variable alarm
    variable channels
    if {$seconds == $idle} {
        return
    }
    set idle $seconds
    after cancel $alarm
    set alarm {}
    if {$idle && [array size channels]} {
        set now [::tcl::clock::milliseconds]
        foreach number [array names channels] {
            set heard($number) $now
        }
        SetAlarm [expr {int($idle * 1000)}]
    }
}

# ::pysmtpd::Sweep --
#
#   End the sessions whose clients have been silent for too long; come back when the next one may have been. A session whose
#   callback runs is not silent: there, the client waits.
#
proc ::pysmtpd::Sweep {} {
    variable idle
    variable heard
    variable busy
    variable alarm {}
    if {!$idle} {
        return
    }
    set now [::tcl::clock::milliseconds]
    set next [expr {int($idle * 1000)}]
    set before [expr {$now - $next}]
    set silent {}
    foreach {number last} [array get heard] {
        if {[info exists busy($number)]} {
            set heard($number) $now
        } elseif {$last <= $before} {
            lappend silent $number
            unset heard($number)
        } else {
            set next [expr {min($next, $last - $before)}]
        }
    }
    if {[array size heard]} {
        SetAlarm $next
    }
    foreach number $silent {
        link::expire $number
    }
}
