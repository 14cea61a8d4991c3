# The link to the engine where it runs in the same process: the commands ::pysmtpd::engine::*, made by Python.

namespace eval ::pysmtpd::link {
    variable folder [file dirname [file normalize [info script]]]
    variable turn 20         ;# milliseconds after which a client that has sent ahead lets others in, between two questions
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
        ::pysmtpd::CatchUpAll
        # Before they are collected: a -password is a callback, which may be Python's and so come back here, and may fail.
        set ::pysmtpd::changed 0
        if {[catch {::pysmtpd::Settings} settings problem]} {
            set ::pysmtpd::changed 1
            return -options $problem $settings
        }
        array unset ::pysmtpd::known
        ::pysmtpd::DoubtAll
        set problem [::pysmtpd::engine::configure {*}$settings]
        if {$problem ne ""} {
            set ::pysmtpd::changed 1
            return -code error -errorcode {PYSMTPD CONFIGURE} $problem
        }
        ::pysmtpd::SetIdle [lindex [::pysmtpd::engine::option idle_timeout] 1]
    }
}

# ::pysmtpd::link::opened, adopted --
#
#   A client has connected; or had connected before, and has been greeted.
#
proc ::pysmtpd::link::opened {number address port channel} {
    Drive $number $channel [::pysmtpd::engine::open $number $address $port $channel]
}
proc ::pysmtpd::link::adopted {number address port channel} {
    ::pysmtpd::engine::adopt $number $address $port $channel
}

# ::pysmtpd::link::readable --
#
#   There is something to read. Python reads the channel itself: bytes cross exactly, and once.
#
proc ::pysmtpd::link::readable {number channel} {
    if {$::pysmtpd::changed && [catch {ready} message]} {
        ::pysmtpd::Lose $number $message
        return
    }
    variable turn
    variable ::pysmtpd::untold
    set ::pysmtpd::standing($number) 0
    if {[info exists untold($number)]} {
        set told $untold($number)
        unset untold($number)
        Drive $number $channel [::pysmtpd::engine::receive $number $channel $told] $turn
    } else {
        Drive $number $channel [::pysmtpd::engine::receive $number $channel] $turn
    }
}

# ::pysmtpd::link::pass, take --
#
#   These bytes have been read from a client, if any; or line by line: see replaced.tcl.
#
proc ::pysmtpd::link::pass {number channel data} {
    variable turn
    variable ::pysmtpd::standing
    variable ::pysmtpd::untold
    if {![string length $data]} {
        Disturb $number
        if {[eof $channel]} {
            Drive $number $channel [::pysmtpd::engine::end $number]
        }
        return
    }
    set told {}
    if {[info exists untold($number)]} {
        set told $untold($number)
        unset untold($number)
    }
    set before $standing($number)
    set standing($number) 0
    Drive $number $channel [::pysmtpd::engine::take $number $data $before $told] $turn
}
proc ::pysmtpd::link::take {number channel data} {
    if {[catch {ready} message]} {
        ::pysmtpd::Lose $number $message
    } else {
        pass $number $channel $data
    }
}

# ::pysmtpd::link::Drive --
#
#   Do what the engine says, until it has nothing more to say: a reply, nearly always, or a message to ask about; else actions.
#   Python has returned before a callback runs. When the script says yes to a message, and does nothing else that could make a
#   difference, the client has its reply here and now, and with it those to what has come behind the message; the engine hears of
#   it later.
#
# Arguments:
#   outcome  what the engine says
#   turn     milliseconds after which others have their turn before there is another question; 0 when all is to be done here
#
proc ::pysmtpd::link::Drive {number channel outcome {turn 0}} {
    variable ::pysmtpd::standing
    set began {}
    while {[llength $outcome]} {
        switch -- [lindex $outcome 0] {
            reply {
                if {!$::pysmtpd::changed} {
                    set standing($number) [lindex $outcome 1]
                }
                if {[info exists ::pysmtpd::lent($number)]} {
                    ::pysmtpd::Write $number [lindex $outcome 2]
                } elseif {[catch {puts -nonewline $channel [lindex $outcome 2]} message]} {
                    ::pysmtpd::Lose $number $message
                }
                return
            }
            message {
                lassign $outcome - changes text acceptance next told
                set verdict [::pysmtpd::AskAboutMessage $number $channel $changes $text]
                if {$told eq {} || [llength $verdict] || ![info exists standing($number)] || $standing($number) != -1} {
                    set outcome [Conclude $number $verdict]
                } else {
                    set standing($number) $next
                    set ::pysmtpd::untold($number) $told
                    if {[catch {puts -nonewline $channel $acceptance} message]} {
                        # Perhaps it was the callback that has closed the connection.
                        ::pysmtpd::Lose $number $message
                    }
                    return
                }
            }
            default {
                set outcome [Act $number $outcome]
            }
        }
        if {$turn} {
            set now [::tcl::clock::milliseconds]
            if {$began eq ""} {
                set began $now
            } elseif {$now - $began > $turn && [lindex $outcome end-1] in {ask python}} {
                PutOff $number $channel $outcome
                return
            }
        }
    }
}

# ::pysmtpd::link::PutOff, GoOn --
#
#   Go on with a question when others have had their turn. Until then nothing is read from the client. Not by a timer: a script
#   may cancel them all; nor would that go with the connection, where a script closes it.
#
proc ::pysmtpd::link::PutOff {number channel outcome} {
    ::pysmtpd::Suspend $number $channel
    chan event $channel writable [list ::pysmtpd::link::GoOn $number $channel $outcome]
}
proc ::pysmtpd::link::GoOn {number channel outcome} {
    variable turn
    chan event $channel writable {}
    if {$::pysmtpd::changed && [catch {ready} message]} {
        ::pysmtpd::Note error $message
    }
    if {[info exists ::pysmtpd::channels($number)]} {
        ::pysmtpd::Resume $number
        Drive $number $channel $outcome $turn
    }
}

# ::pysmtpd::link::Act --
#
#   Do what is not the usual; return what the engine says then.
#
proc ::pysmtpd::link::Act {number actions} {
    set next {}
    foreach {action argument} $actions {
        switch -- $action {
            write {
                ::pysmtpd::Write $number $argument
            }
            ask {
                set next [Conclude $number [::pysmtpd::Ask $number $argument]]
            }
            python {
                set next [::pysmtpd::engine::resolve $number]
            }
            default {
                ::pysmtpd::Perform $number $action $argument
            }
        }
    }
    # What was held back for a reply that never came, a report of TLS having none.
    if {![llength $next] && [info exists ::pysmtpd::held($number)]} {
        ::pysmtpd::Write $number {}
    }
    return $next
}

# ::pysmtpd::link::Conclude --
#
#   Tell the engine what the script has answered; return what there is to do then.
#
proc ::pysmtpd::link::Conclude {number verdict} {
    if {$::pysmtpd::changed && [catch {ready} message]} {
        ::pysmtpd::Note error $message
    }
    if {[info exists ::pysmtpd::standing($number)]} {
        set ::pysmtpd::standing($number) 0
    }
    if {[llength $verdict]} {
        return [::pysmtpd::engine::refuse $number {*}$verdict]
    }
    if {[info exists ::pysmtpd::channels($number)]} {
        return [::pysmtpd::engine::accept $number]
    }
}

# ::pysmtpd::link::Disturb --
#
#   Something is about to happen to a session beside what its client says: see to it that the engine has heard of all that was
#   before, and that nothing is replied by what it said before.
#
proc ::pysmtpd::link::Disturb {number} {
    ::pysmtpd::CatchUp $number
    if {[info exists ::pysmtpd::standing($number)]} {
        set ::pysmtpd::standing($number) 0
    }
}

# ::pysmtpd::link::tell --
#
#   Let the engine hear of what the client has its replies to.
#
proc ::pysmtpd::link::tell {number told} {
    Drive $number $::pysmtpd::channels($number) [::pysmtpd::engine::hear $number $told]
}

# ::pysmtpd::link::command --
#
#   A script wants a command handled by the engine, whatever it has put in its place. Done when this returns.
#
proc ::pysmtpd::link::command {number verb line} {
    Disturb $number
    Drive $number $::pysmtpd::channels($number) [::pysmtpd::engine::command $number $verb $line]
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
    Disturb $number
    Drive $number $::pysmtpd::channels($number) [::pysmtpd::engine::say $number $line]
}

# ::pysmtpd::link::overhear --
#
#   Return what was said in bytes of a session under TLS that a script has read by itself.
#
proc ::pysmtpd::link::overhear {number bytes} {
    Disturb $number
    return [::pysmtpd::engine::overhear $number $bytes]
}

# ::pysmtpd::link::expire --
#
#   A client has been silent for too long.
#
proc ::pysmtpd::link::expire {number} {
    Disturb $number
    Drive $number $::pysmtpd::channels($number) [::pysmtpd::engine::expire $number]
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
    ::pysmtpd::CatchUp $number
    return [::pysmtpd::engine::state $number]
}
proc ::pysmtpd::link::assign {number name values} {
    Disturb $number
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
