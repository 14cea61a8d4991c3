# Known replies: lines that the engine has seen before, and need no turn of their own to it.
#
# The engine fills the table: of a session's standing, which is a number of the engine's, and a line that came before, the reply,
# and the standing after it. What has been replied to by the table, the engine hears with what comes next and is not in it,
# before anybody looks at the session or changes the settings, and at any rate soon. pysmtpd/drivers/known_replies.py has the
# other half.

namespace eval ::pysmtpd {
    variable known           ;# standing,line -> reply and the next standing
    variable standing        ;# number -> the session's standing; 0 where the engine has to be asked
    variable untold          ;# number -> what has come and was replied to by the table, and the engine has not heard of
    variable foretold        ;# number -> octets of those replies
    variable longest 512     ;# octets of a line in the table, at most
    variable max_untold 1024 ;# octets that the engine may be left without
    variable soon 100        ;# milliseconds after which it hears of all
    variable catching_up {}  ;# the timer
    array set known {}
    array set standing {}
    array set untold {}
    array set foretold {}
}

# ::pysmtpd::ReplyKnown --
#
#   Reply to a line that is in the table. Raises an error when the connection is gone.
#
proc ::pysmtpd::ReplyKnown {number channel line} {
    variable known
    variable standing
    variable untold
    variable foretold
    variable max_untold
    variable soon
    variable catching_up
    lassign $known($standing($number),$line) reply standing($number)
    append untold($number) $line
    incr foretold($number) [string length $reply]
    puts -nonewline $channel $reply
    if {[string length $untold($number)] > $max_untold} {
        CatchUp $number
    } elseif {$catching_up eq ""} {
        # tclint-disable-next-line command-args
        set catching_up [after $soon {set ::pysmtpd::catching_up {}; ::pysmtpd::CatchUpAll}]
    }
}

# ::pysmtpd::CatchUp, CatchUpAll --
#
#   Let the engine hear of what a session was replied to by the table, if anything, and of what has come behind it; or of
#   every session.
#
proc ::pysmtpd::CatchUp {number {data {}}} {
    variable standing
    variable untold
    variable foretold
    if {[info exists untold($number)]} {
        set lines $untold($number)
        set octets $foretold($number)
        unset untold($number) foretold($number)
        link::tell $number $lines $octets $standing($number) $data
    }
}
proc ::pysmtpd::CatchUpAll {} {
    variable untold
    foreach number [array names untold] {
        CatchUp $number
    }
    link::Post
}
