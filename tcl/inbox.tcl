# Messages kept for the script, and waiting for them: what ::smtpd does not have, and Python's Server does. The engine keeps them,
# from the first command of these on; without one, it keeps nothing.

namespace eval ::pysmtpd {
    variable keeps           ;# whether messages are kept
    if {![info exists keeps]} {
        set keeps 0
    }
    variable ticks           ;# what each wait waits for, one after the other
    variable waits 0         ;# counts the waits
    array set ticks {}
}

# ::pysmtpd::keep --
#
#   Keep the messages that are accepted from now on, and what was said in sessions that begin from now on. All the commands
#   below do so by themselves; a script that starts with this one misses nothing.
#
proc ::pysmtpd::keep {} {
    variable keeps
    if {!$keeps} {
        set keeps 1
        Changed
    }
    link::ready
}

# ::pysmtpd::messages --
#
#   Return the messages kept, oldest first, as dictionaries: from, to (a list), subject, text, html, links, attachments (a list
#   of dictionaries: name, type, content), content (octets, as they came; under tcllib-1.5 lines end in LF), helo, client_addr,
#   client_port, protocol, user, id, time (seconds).
#
# Arguments:
#   args     -to ADDRESS, -from ADDRESS, -subject PART: only those
#
proc ::pysmtpd::messages {args} {
    keep
    return [Inbox find {*}[Asked [Wishes $args {}]]]
}

# ::pysmtpd::wait_for --
#
#   Wait for messages, in the event loop, and return all that fit, as dictionaries. Those that are there already count.
#
# Arguments:
#   args     -to ADDRESS, -from ADDRESS, -subject PART; -matching PREFIX: a command that is given a message and returns whether it
#            fits; -count N: how many there must be, 1 by default; -timeout MS: 5000 by default
#
# Results:
#   The messages. An error with errorCode {PYSMTPD NOT_RECEIVED} says what came instead.
#
proc ::pysmtpd::wait_for {args} {
    keep
    set wishes [Wishes $args {-matching {} -count 1 -timeout 5000}]
    set found [Wait $wishes]
    if {[llength $found] < [dict get $wishes -count]} {
        set outcome "got [llength $found] of [dict get $wishes -count] in [dict get $wishes -timeout] ms"
        return -code error -errorcode {PYSMTPD NOT_RECEIVED} [Inbox missing {*}[Asked $wishes] $outcome]
    }
    return $found
}

# ::pysmtpd::expect_none --
#
#   Wait, in the event loop, and raise an error when such a message comes. Arguments as of wait_for; -timeout is 200 by default.
#
proc ::pysmtpd::expect_none {args} {
    keep
    set wishes [Wishes $args {-matching {} -count 1 -timeout 200}]
    if {[llength [Wait $wishes]] >= [dict get $wishes -count]} {
        return -code error -errorcode {PYSMTPD RECEIVED} [Inbox unwelcome {*}[Asked $wishes]]
    }
}

# ::pysmtpd::transcript --
#
#   Return what was said in the last sessions, C: and S: before each line.
#
proc ::pysmtpd::transcript {} {
    keep
    return [Inbox transcript]
}

# ::pysmtpd::clear --
#
#   Forget the messages and sessions so far.
#
proc ::pysmtpd::clear {} {
    keep
    Inbox clear
    return
}

# ::pysmtpd::Wait --
#
#   Run the event loop until there are enough messages, or until the time is over; return those that fit.
#
proc ::pysmtpd::Wait {wishes} {
    variable ticks
    variable waits
    set wait [incr waits]
    set deadline [expr {[::tcl::clock::milliseconds] + [dict get $wishes -timeout]}]
    set seen -1
    while 1 {
        set came [Inbox came]
        if {$came != $seen} {
            set seen $came
            set found [Fitting $wishes]
            if {[llength $found] >= [dict get $wishes -count]} {
                break
            }
        }
        set left [expr {$deadline - [::tcl::clock::milliseconds]}]
        if {$left <= 0} {
            break
        }
        # tclint-disable-next-line command-args
        after [expr {min($left, 10)}] [list set ::pysmtpd::ticks($wait) 1]
        vwait ::pysmtpd::ticks($wait)
    }
    unset -nocomplain ticks($wait)
    return $found
}

# ::pysmtpd::Fitting --
#
#   Return the messages that fit.
#
proc ::pysmtpd::Fitting {wishes} {
    set found [Inbox find {*}[Asked $wishes]]
    set prefix [dict get $wishes -matching]
    if {$prefix eq ""} {
        return $found
    }
    set fitting {}
    foreach message $found {
        if {[{*}$prefix $message]} {
            lappend fitting $message
        }
    }
    return $fitting
}

# ::pysmtpd::Wishes --
#
#   Return options as a dictionary, with those that were not given. Raises an error that names what is wrong.
#
proc ::pysmtpd::Wishes {given defaults} {
    set known [list -to -from -subject {*}[dict keys $defaults]]
    if {[llength $given] % 2} {
        return -code error -level 2 "option \"[lindex $given end]\" has no value"
    }
    foreach {option value} $given {
        if {$option ni $known} {
            return -code error -level 2 "unknown option \"$option\": must be one of [join $known {, }]"
        }
        if {$option in {-count -timeout} && (![string is integer -strict $value] || $value < ($option eq "-count"))} {
            return -code error -level 2 "$option is \"$value\": must be a number"
        }
        dict set defaults $option $value
    }
    return $defaults
}

# ::pysmtpd::Asked --
#
#   Return what is asked of addresses and subject, as the engine takes it: a dash before what is given, nothing for what is not.
#
proc ::pysmtpd::Asked {wishes} {
    set asked {}
    foreach option {-to -from -subject} {
        lappend asked [expr {[dict exists $wishes $option] ? "-[dict get $wishes $option]" : ""}]
    }
    return $asked
}

# ::pysmtpd::Inbox --
#
#   Have the engine do something with what it keeps.
#
proc ::pysmtpd::Inbox {args} {
    link::ready
    return [Result [link::call inbox $args]]
}
