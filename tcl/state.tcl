# The arrays ::smtpd::state_<channel>: what a script sees of a live session, and what it changes there.
#
# They hold what the engine last said, which is all there is to know while a callback runs. At any other time, whoever looks
# has the engine asked first; until then nobody is told anything. What a script writes there, by itself or with ::smtpd::state,
# the engine hears of at once; where a callback runs, when that has returned, or has the engine handle a command.

namespace eval ::pysmtpd {
    variable written         ;# number -> the items that a callback has written so far
    variable watched         ;# number -> of a session whose array a script watches: whether a message is being received
    variable items {access domain from to options indata data id}
    array set written {}
    array set watched {}
}

# ::pysmtpd::Observe, Ignore --
#
#   Have the engine asked whenever a script looks at the state of a session, and told when it writes there; or neither.
#
proc ::pysmtpd::Observe {number channel} {
    trace add variable ::smtpd::state_$channel {array read write unset} [list ::pysmtpd::Touched $number]
}
proc ::pysmtpd::Ignore {number channel} {
    trace remove variable ::smtpd::state_$channel {array read write unset} [list ::pysmtpd::Touched $number]
}

# ::pysmtpd::Touched --
#
#   A script looks at the state of a session, or writes there. Called by traces; in a callback, by one for writing alone.
#
proc ::pysmtpd::Touched {number array item operation} {
    variable channels
    variable busy
    variable written
    if {![info exists channels($number)]} {
        return
    }
    if {$operation in {read array}} {
        Tell $channels($number) [link::state $number]
    } elseif {[info exists busy($number)]} {
        lappend written($number) $item
    } else {
        # Of the array unset, the traces are gone; otherwise they would ask the engine about what it is told here.
        Ignore $number $channels($number)
        Assign $number $item
        Observe $number $channels($number)
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

# ::pysmtpd::Learn --
#
#   Note what the engine says of a session's state, at any time.
#
proc ::pysmtpd::Learn {number changes} {
    variable channels
    variable busy
    variable written
    if {![info exists busy($number)]} {
        Ignore $number $channels($number)
        Tell $channels($number) $changes
        Observe $number $channels($number)
        return
    }
    set before [expr {[info exists written($number)] ? $written($number) : {}}]
    Tell $channels($number) $changes
    set written($number) $before
}

# ::pysmtpd::FindWatch --
#
#   A script that knows of a connection by its accept may have traces on the array. What shows an item of it on the screen cannot
#   be found: under Tk, there may be something, whoever has looked at the connection's name.
#
proc ::pysmtpd::FindWatch {number channel} {
    variable ours
    variable watched
    variable items
    if {[info exists watched($number)]} {
        return
    }
    set traces [expr {[info commands ::winfo] ne ""}]
    if {![info exists ours(accept)]} {
        set state ::smtpd::state_$channel
        incr traces [expr {[llength [trace info variable $state]] - 1}]
        foreach item $items {
            incr traces [llength [trace info variable ${state}($item)]]
        }
    }
    if {$traces > 0} {
        set watched($number) 0
    }
}

# ::pysmtpd::Show --
#
#   Write what has changed in a session's state, for those who watch it.
#
proc ::pysmtpd::Show {number} {
    variable channels
    variable watched
    set channel $channels($number)
    upvar #0 ::smtpd::state_$channel State
    set changes [link::state $number]
    set watched($number) [expr {[dict exists $changes indata] && [dict get $changes indata]}]
    Ignore $number $channel
    foreach {name value} $changes {
        if {![info exists State($name)] || $State($name) ne $value} {
            set State($name) $value
        }
    }
    Observe $number $channel
}

# ::pysmtpd::Commit --
#
#   Tell the engine what a callback has written so far.
#
proc ::pysmtpd::Commit {number} {
    variable written
    if {[info exists written($number)]} {
        set items [lsort -unique $written($number)]
        unset written($number)
        foreach item $items {
            Assign $number $item
        }
    }
}

# ::pysmtpd::Assign --
#
#   Tell the engine that a script has written an item of a session's state, or has unset it.
#
# Arguments:
#   item     its name; none when the whole array was unset
#
proc ::pysmtpd::Assign {number item} {
    variable channels
    upvar #0 ::smtpd::state_$channels($number) State
    set value {}
    if {[info exists State($item)]} {
        set value $State($item)
    }
    switch -- $item {
        domain - from - options - id - access - client_addr {
            link::assign $number $item [list $value]
        }
        to {
            if {![string is list $value]} {
                set value [list $value]
            }
            link::assign $number to $value
        }
        indata {
            # What the message begins with goes along, for one that begins here.
            link::assign $number indata [list [string is true -strict $value] {*}[Lines $number]]
        }
        data {
            link::assign $number data [Lines $number]
        }
        {} {
            foreach item {domain from to options indata} {
                Assign $number $item
            }
        }
    }
}

# ::pysmtpd::Lines --
#
#   Return the lines of a message that a script has written.
#
proc ::pysmtpd::Lines {number} {
    variable channels
    upvar #0 ::smtpd::state_$channels($number) State
    if {[info exists State(data)] && [string is list $State(data)]} {
        return $State(data)
    }
}
