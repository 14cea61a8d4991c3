# Known replies: lines that the engine has seen before, and need no turn of their own to it.
#
# The engine fills the table: of a session's standing, which is a number of the engine's, and a line that came before, the reply,
# and the standing after it. With a message it says what the reply to a yes is going to be, so that Tcl sends that, too. What has
# been replied to so, the engine hears with what comes next and is not in the table, and before anybody looks at the session or
# changes the settings. pysmtpd/drivers/known_replies.py has the other half.

namespace eval ::pysmtpd {
    variable known           ;# standing,line -> reply and the next standing; -2 where the session ends with it
    variable standing        ;# number -> the session's standing; 0 where the engine has to be asked; -1 from a question for a
                             ;# message on, as long as the callback does nothing that could make a difference
    variable untold          ;# number -> what has come and was replied to, and the engine has not heard of: lines...
    variable said_yes \1     ;# ...and before them, that a message was accepted...
    variable said_more \2    ;# ...and that what had come behind it was replied to, too
    variable large 65536     ;# octets of a message that the engine is to let go as soon as it has been accepted
    variable max_unread 262144 ;# octets of replies a client may leave unread before nothing more is read from it
    variable lone            ;# whether there is one session, and no other
    variable moment 240      ;# turns of a loop, some microseconds in all: what a client may take to be met at once
    variable in_vain 0       ;# how long that was in vain, more or less
    variable rests 0         ;# how often it is not tried now
    array set known {}
    array set standing {}
    array set untold {}
    set lone [expr {[array size channels] == 1}] ;# the package may be loaded once more
}

# ::pysmtpd::Arrived --
#
#   A client sends something. Reply to it if that is a line in the table, else leave it to the link. Most of what clients say
#   comes by here: all in one procedure, and its limits numbers. A line in the table has at most 512 octets; and the engine is
#   left without 1024 or so, since that many lines may have brought the session near its limits: the link has the next one.
#
proc ::pysmtpd::Arrived {number channel} {
    variable heard
    variable standing
    set heard($number) [::tcl::clock::milliseconds]
    if {$standing($number) <= 0} {
        link::readable $number $channel
        return
    }
    if {[catch {read $channel 262144} data]} {
        Lose $number $data
        return
    }
    variable known
    variable untold
    while {[string length $data] <= 512 && [info exists known([set exchange $standing($number),$data])]} {
        lassign $known($exchange) reply standing($number)
        append untold($number) $data
        if {[catch {puts -nonewline $channel $reply} message]} {
            Lose $number $message
            return
        }
        if {$standing($number) == -2} {
            Finish $number
            link::forget $number
            return
        }
        if {[string length $untold($number)] > 1024} {
            CatchUp $number
            set standing($number) 0
            return
        }
        if {!$::pysmtpd::lone || ![string length [set data [MeetAgain $channel]]]} {
            return
        }
    }
    if {[string length $data] && [chan pending output $channel] > $::pysmtpd::max_unread} {
        Drain $number $channel
    }
    link::pass $number $channel $data
}

# ::pysmtpd::MeetAgain --
#
#   Return what a client that is alone says within a moment: to wait for events takes Tcl longer than that. Where that was in vain
#   it is tried more and more seldom. No callback has run since the event loop had its turn, and none does meanwhile.
#
proc ::pysmtpd::MeetAgain {channel} {
    variable rests
    variable in_vain
    variable moment
    if {$rests > 0} {
        incr rests -1
        return {}
    }
    for {set i 0} {$i < $moment} {incr i} {}
    if {[catch {read $channel 262144} data] || ![string length $data]} {
        set in_vain [expr {min(2 * $in_vain + 1, 255)}]
        set rests $in_vain
        return {}
    }
    set in_vain [expr {$in_vain / 2}]
    return $data
}

# ::pysmtpd::Lose --
#
#   A connection broke: what was unfinished stays unfinished.
#
proc ::pysmtpd::Lose {number message} {
    Note error $message
    Drop $number
}

# ::pysmtpd::DoubtAll --
#
#   Have the engine asked in every session, whatever is known.
#
proc ::pysmtpd::DoubtAll {} {
    variable standing
    foreach number [array names standing] {
        set standing($number) 0
    }
}

# ::pysmtpd::CatchUp, CatchUpAll --
#
#   Let the engine hear of what it has not heard of in a session, if anything; or of every session.
#
proc ::pysmtpd::CatchUp {number} {
    variable untold
    if {[info exists untold($number)]} {
        set told $untold($number)
        unset untold($number)
        link::tell $number $told
    }
}
proc ::pysmtpd::CatchUpAll {} {
    variable untold
    foreach number [array names untold] {
        CatchUp $number
    }
}
