# The arrays ::smtpd::state_<channel>: what a script sees of a live session, and what it changes there.
#
# What the engine says is kept aside, and put there when somebody looks: most scripts never do. While a callback runs, what it
# said last, with the question, is all there is to know; at any other time, whoever looks has the engine asked first. What a
# script writes there, by itself or with ::smtpd::state, the engine hears of at once; where a callback runs, when that has
# returned, or has the engine handle a command.

namespace eval ::pysmtpd {
    variable pending         ;# number -> what the engine has said, and nobody has looked at...
    variable latest          ;# number -> ...and of that, what it said last, with a message
    variable opened          ;# number -> 1 while a callback runs that has looked
    variable written         ;# number -> the items that a callback has written so far
    variable told            ;# number -> what the engine said last of the reverse-path, and of the forward-paths
    variable deliverable     ;# channel -> both and the lines of a message, while it is delivered and nobody has written there
    variable watched         ;# number -> of a session whose array a script watches: whether a message is being received
    variable items {access domain from to options indata data id}
    array set pending {}
    array set latest {}
    array set opened {}
    array set written {}
    array set told {}
    array set deliverable {}
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
#   A script looks at the state of a session, or writes there. Called by traces; in a callback that has looked before, by one for
#   writing alone.
#
proc ::pysmtpd::Touched {number array item operation} {
    variable channels
    variable busy
    if {![info exists channels($number)]} {
        return
    }
    set channel $channels($number)
    if {[info exists busy($number)]} {
        TouchedInCallback $number $channel $item $operation
        return
    }
    # Otherwise the traces would ask the engine about what it is told here. Of the array unset, they are gone.
    Ignore $number $channel
    if {$operation in {read array}} {
        Learn $number [link::state $number]
        Show $number
    } else {
        Show $number $item $operation
        Assign $number $item
    }
    if {[info exists channels($number)]} {
        Observe $number $channel
    }
}

# ::pysmtpd::TouchedInCallback --
#
#   A callback looks at the state of its session, or writes there.
#
proc ::pysmtpd::TouchedInCallback {number channel item operation} {
    variable opened
    variable written
    variable deliverable
    variable busy
    if {![info exists opened($number)]} {
        variable standing
        set standing($number) 0
        Ignore $number $channel
        if {$busy($number) eq "reply"} {
            # With no question behind it, the engine has not said yet what has changed.
            Learn $number [link::state $number]
        }
        Show $number $item $operation
        trace add variable ::smtpd::state_$channel {write unset} [list ::pysmtpd::Touched $number]
        set opened($number) 1
    }
    if {$operation in {write unset}} {
        unset -nocomplain deliverable($channel)
        lappend written($number) $item
    }
}

# ::pysmtpd::ShowInCallback --
#
#   A callback that has the name of its connection is about to look at the state, or to write there: with [lappend] and [append],
#   which Tcl 8.6 compiles so that nobody hears that they read.
#
proc ::pysmtpd::ShowInCallback {number channel} {
    variable busy
    variable opened
    if {[info exists busy($number)] && ![info exists opened($number)]} {
        TouchedInCallback $number $channel {} read
    }
}

# ::pysmtpd::Close --
#
#   A callback that has looked has returned: have the engine asked again.
#
proc ::pysmtpd::Close {number} {
    variable channels
    variable opened
    unset opened($number)
    trace remove variable ::smtpd::state_$channels($number) {write unset} [list ::pysmtpd::Touched $number]
    Observe $number $channels($number)
}

# ::pysmtpd::Show --
#
#   Put there what the engine has said, but for what a script has just written or unset itself. With no traces there.
#
proc ::pysmtpd::Show {number {item {}} {operation read}} {
    variable channels
    set changes [TakeSaid $number]
    if {![llength $changes] || ![info exists channels($number)]} {
        return
    }
    if {$operation in {write unset}} {
        set changes [expr {$item eq "" ? {} : [dict remove $changes $item]}]
    }
    set array ::smtpd::state_$channels($number) ;# by the name that the stock package writes it by: traces are told that
    foreach {name value} $changes {
        set ${array}($name) $value ;# [array set] would look first
    }
}

# ::pysmtpd::Learn --
#
#   Note what the engine says of a session's state, at any time.
#
proc ::pysmtpd::Learn {number changes} {
    variable channels
    variable pending
    variable opened
    variable told
    variable latest
    if {[info exists latest($number)]} {
        Gather $number
    }
    if {[info exists pending($number)]} {
        set pending($number) [dict merge $pending($number) $changes]
    } elseif {[llength $changes]} {
        set pending($number) $changes
    }
    foreach name {from to} place {0 1} {
        if {[dict exists $changes $name]} {
            lset told($number) $place [dict get $changes $name]
        }
    }
    if {[info exists opened($number)] && [info exists pending($number)]} {
        # Between two traces for writing: what is put there is none of the script's.
        set touched [list ::pysmtpd::Touched $number]
        trace remove variable ::smtpd::state_$channels($number) {write unset} $touched
        Show $number
        trace add variable ::smtpd::state_$channels($number) {write unset} $touched
    }
}

# ::pysmtpd::Gather --
#
#   Put what the engine said with a message to what it had said before.
#
proc ::pysmtpd::Gather {number} {
    variable pending
    variable latest
    if {[info exists latest($number)]} {
        foreach {name value} $latest($number) {
            dict set pending($number) $name $value
        }
        unset latest($number)
    }
}

# ::pysmtpd::TakeSaid --
#
#   Return what the engine has said and nobody has looked at, for somebody who looks now.
#
proc ::pysmtpd::TakeSaid {number} {
    variable pending
    Gather $number
    set said {}
    if {[info exists pending($number)]} {
        set said $pending($number)
        unset pending($number)
    }
    return $said
}

# ::pysmtpd::LearnMessage --
#
#   Note what the engine says with a message that is about to be delivered, and the lines of that.
#
proc ::pysmtpd::LearnMessage {number changes lines} {
    variable latest
    variable opened
    Learn $number $changes
    set latest($number) [list data $lines indata 0]
    if {[info exists opened($number)]} {
        Learn $number {}
    }
}

# ::pysmtpd::LinesOf --
#
#   Return the lines of a text; of an empty one, the one empty line that [split] would not make of it.
#
proc ::pysmtpd::LinesOf {text} {
    if {$text eq ""} {
        return [list {}]
    }
    return [split $text \n]
}

# ::pysmtpd::MessageOf --
#
#   Return reverse-path, forward-paths and lines of the message in a session; nothing where one of them is missing.
#
proc ::pysmtpd::MessageOf {channel} {
    upvar #0 ::smtpd::state_$channel State
    if {![HasMessage $channel]} {
        return {}
    }
    return [list $State(from) $State(to) $State(data)]
}

# ::pysmtpd::FindWatch --
#
#   A script that has looked at a connection's name may have traces on the array. What shows an item of it on the screen cannot be
#   found: under Tk, there may be something.
#
proc ::pysmtpd::FindWatch {number channel} {
    variable watched
    variable items
    if {[info exists watched($number)]} {
        return
    }
    set state ::smtpd::state_$channel
    set traces [expr {[llength [trace info variable $state]] - 1 + ([info commands ::winfo] ne "")}]
    foreach item $items {
        incr traces [llength [trace info variable ${state}($item)]]
    }
    if {$traces > 0} {
        set watched($number) 0
    }
}

# ::pysmtpd::ShowChanges --
#
#   Put there what has changed in a session's state, and nothing else, for those who watch it.
#
proc ::pysmtpd::ShowChanges {number} {
    variable channels
    variable watched
    set channel $channels($number)
    upvar #0 ::smtpd::state_$channel State
    Learn $number [link::state $number]
    set changes [TakeSaid $number]
    set watched($number) [expr {[dict exists $changes indata] && [dict get $changes indata]}]
    Ignore $number $channel
    foreach {name value} $changes {
        if {![info exists State($name)] || $State($name) ne $value} {
            set ::smtpd::state_${channel}($name) $value
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
#   Tell the engine that a script has written an item of a session's state, or has unset it. With its next question it says what
#   that item is.
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
