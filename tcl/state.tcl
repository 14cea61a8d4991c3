# The arrays ::smtpd::state_<channel>: what a script sees of a live session, and what it changes there.
#
# They hold what the engine last said, which is all there is to know while a callback runs. At any other time, whoever looks
# has the engine asked first; until then nobody is told anything.

# ::pysmtpd::Observe, Ignore --
#
#   Have the engine asked whenever a script looks at the state of a session; or not, while a callback runs.
#
proc ::pysmtpd::Observe {number channel} {
    trace add variable ::smtpd::state_$channel {array read} [list ::pysmtpd::Refresh $number]
}
proc ::pysmtpd::Ignore {number channel} {
    trace remove variable ::smtpd::state_$channel {array read} [list ::pysmtpd::Refresh $number]
}

# ::pysmtpd::Refresh --
#
#   A script looks at the state of a session: bring it up to date. Called by traces.
#
proc ::pysmtpd::Refresh {number args} {
    variable channels
    if {[info exists channels($number)]} {
        Tell $channels($number) [link::state $number]
    }
}

# ::pysmtpd::Tell --
#
#   Note what the engine says of a session's state. Writing each item by itself asks nobody: [array set] looks first.
#
proc ::pysmtpd::Tell {channel changes} {
    upvar ::smtpd::state_$channel State
    foreach {name value} $changes {
        set State($name) $value
    }
}

# ::pysmtpd::Assign --
#
#   Tell the engine that a script has set an item of a session's state.
#
proc ::pysmtpd::Assign {channel name value} {
    variable numbers
    if {[info exists numbers($channel)] && $name in {domain from to options id access}} {
        if {$name ne "to"} {
            set value [list $value]
        }
        link::assign $numbers($channel) $name $value
    }
}

# ::pysmtpd::Items --
#
#   Return the items of a session's state that the engine goes by, as far as there are any.
#
proc ::pysmtpd::Items {channel} {
    upvar ::smtpd::state_$channel State
    set items {}
    foreach name {domain from to options id access} {
        if {[info exists State($name)]} {
            dict set items $name $State($name)
        }
    }
    return $items
}

# ::pysmtpd::AssignChanged --
#
#   Tell the engine what a script's own verb has written into the array, past ::smtpd::state.
#
# Arguments:
#   before   what Items returned before
#
proc ::pysmtpd::AssignChanged {channel before} {
    dict for {name value} [Items $channel] {
        if {![dict exists $before $name] || [dict get $before $name] ne $value} {
            Assign $channel $name $value
        }
    }
}
