# The link to the engine where it runs in the same process: the commands ::pysmtpd::engine::*, made by Python.

namespace eval ::pysmtpd::link {
    variable folder [file dirname [file normalize [info script]]]
}

# ::pysmtpd::link::look --
#
#   See whether the engine is still there: it is, here.
#
proc ::pysmtpd::link::look {} {
}

# ::pysmtpd::link::ready --
#
#   Give the engine the settings when they have changed. Raises an error that says what is wrong with them.
#
proc ::pysmtpd::link::ready {} {
    if {$::pysmtpd::changed} {
        # Before they are collected: a -password is a callback, which may be Python's and so come back here, and may fail.
        set ::pysmtpd::changed 0
        if {[catch {::pysmtpd::Settings} settings problem]} {
            set ::pysmtpd::changed 1
            return -options $problem $settings
        }
        set problem [::pysmtpd::engine::configure {*}$settings]
        if {$problem ne ""} {
            set ::pysmtpd::changed 1
            return -code error -errorcode {PYSMTPD CONFIGURE} $problem
        }
        set ::pysmtpd::idle [lindex [::pysmtpd::engine::option idle_timeout] 1]
    }
}

# ::pysmtpd::link::opened, adopted --
#
#   A client has connected; or had connected before, and has been greeted.
#
proc ::pysmtpd::link::opened {number address port channel} {
    Drive $number [::pysmtpd::engine::open $number $address $port $channel]
}
proc ::pysmtpd::link::adopted {number address port channel} {
    ::pysmtpd::engine::adopt $number $address $port $channel
}

# ::pysmtpd::link::readable --
#
#   There is something to read. Python reads the channel itself: bytes cross exactly, and once. Replies with which nothing
#   else is to be done it has written, too, when it returns.
#
proc ::pysmtpd::link::readable {number channel} {
    if {$::pysmtpd::changed && [catch {ready} message]} {
        ::pysmtpd::Note error $message
        ::pysmtpd::Drop $number
        return
    }
    set actions [::pysmtpd::engine::receive $number $channel]
    if {[llength $actions]} {
        Drive $number $actions
    }
}

# ::pysmtpd::link::take --
#
#   A client has sent these bytes, which have been read line by line: see replaced.tcl.
#
proc ::pysmtpd::link::take {number channel data} {
    if {[catch {ready} message]} {
        ::pysmtpd::Note error $message
        ::pysmtpd::Drop $number
        return
    }
    Drive $number [::pysmtpd::engine::take $number $data]
}

# ::pysmtpd::link::Drive --
#
#   Do what the engine says, until it has nothing more to say. Python has returned before a callback runs.
#
proc ::pysmtpd::link::Drive {number actions} {
    while {[llength $actions]} {
        set next {}
        foreach {action argument} $actions {
            switch -- $action {
                write {
                    ::pysmtpd::Write $number $argument
                }
                ask {
                    set verdict [::pysmtpd::Ask $number $argument]
                    if {$::pysmtpd::changed && [catch {ready} message]} {
                        ::pysmtpd::Note error $message
                    }
                    if {[llength $verdict]} {
                        set next [::pysmtpd::engine::refuse $number {*}$verdict]
                    } elseif {[info exists ::pysmtpd::lent($number)]} {
                        # The engine's octets are not for such a channel, as it is.
                        set next [::pysmtpd::engine::accept $number {}]
                    } elseif {[info exists ::pysmtpd::channels($number)]} {
                        set next [::pysmtpd::engine::accept $number $::pysmtpd::channels($number)]
                    }
                }
                python {
                    set next [::pysmtpd::engine::resolve $number]
                }
                default {
                    ::pysmtpd::Perform $number $action $argument
                }
            }
        }
        set actions $next
    }
    # What was held back for a reply that never came, a report of TLS having none.
    if {[info exists ::pysmtpd::held($number)]} {
        ::pysmtpd::Write $number {}
    }
}

# ::pysmtpd::link::command --
#
#   A script wants a command handled by the engine, whatever it has put in its place. Done when this returns.
#
proc ::pysmtpd::link::command {number verb line} {
    Drive $number [::pysmtpd::engine::command $number $verb $line]
}

# ::pysmtpd::link::await, await_verb --
#
#   A script wants the engine to have done all there is to do for a session by now. It has.
#
proc ::pysmtpd::link::await {number} {
}
proc ::pysmtpd::link::await_verb {number} {
}

# ::pysmtpd::link::lines --
#
#   Return the lines of a large message: Python has them piece by piece.
#
proc ::pysmtpd::link::lines {number} {
    set lines {}
    while {[llength [set piece [::pysmtpd::engine::piece $number]]]} {
        lappend lines [::pysmtpd::LinesOf [lindex $piece 0]]
    }
    return [concat {*}$lines] ;# [lappend] of thousands of elements at once is slow
}

# ::pysmtpd::link::say --
#
#   A script has a line of its own for a client whose session is under TLS.
#
proc ::pysmtpd::link::say {number line} {
    Drive $number [::pysmtpd::engine::say $number $line]
}

# ::pysmtpd::link::overhear --
#
#   Return what was said in bytes of a session under TLS that a script has read by itself.
#
proc ::pysmtpd::link::overhear {number bytes} {
    return [::pysmtpd::engine::overhear $number $bytes]
}

# ::pysmtpd::link::expire --
#
#   A client has been silent for too long.
#
proc ::pysmtpd::link::expire {number} {
    Drive $number [::pysmtpd::engine::expire $number]
}

# ::pysmtpd::link::forget, state, assign, call, option, unavailable --
#
#   The channel is gone; a script looks at the state; a script set an item of it (to a list of values); call a Python
#   function; the value of an option of ours; the reply for a client that cannot be served.
#
proc ::pysmtpd::link::forget {number} {
    ::pysmtpd::engine::forget $number
}
proc ::pysmtpd::link::state {number} {
    return [::pysmtpd::engine::state $number]
}
proc ::pysmtpd::link::assign {number name values} {
    ::pysmtpd::engine::assign $number $name {*}$values
}
proc ::pysmtpd::link::call {function arguments} {
    return [::pysmtpd::engine::call $function {*}$arguments]
}
proc ::pysmtpd::link::option {name} {
    return [::pysmtpd::engine::option $name]
}
proc ::pysmtpd::link::unavailable {} {
    return [::pysmtpd::engine::unavailable]
}

# ::pysmtpd::link::Bear --
#
#   A child interpreter has been made: let it find this package, too. It gets a server and a Python of its own. Called by a trace.
#
proc ::pysmtpd::link::Bear {command code child operation} {
    variable folder
    if {$code == 0 && [lindex $command 1] eq "create" && ![interp issafe $child]} {
        # tclint-disable-next-line command-args
        interp eval $child [list set ::auto_path [linsert [interp eval $child {set ::auto_path}] 0 $folder]]
        # tclint-disable-next-line command-args
        interp eval $child [list namespace eval ::pysmtpd [list variable python $::pysmtpd::python]]
    }
}
trace add execution ::interp leave ::pysmtpd::link::Bear
