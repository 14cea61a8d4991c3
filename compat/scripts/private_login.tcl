# A server with a login of its own, as private scripts have it: a verb that talks to the client by itself, on the channel.
#
# usage: private_login.tcl PORT COUNT CERTIFICATE KEY      (stops after COUNT connections have quit)

package require smtpd

lassign $argv port count certificate key

lappend ::smtpd::commands AUTH ETRN
set ::smtpd::extensions(AUTH) {PLAIN LOGIN}

proc told {what} {
    puts "told: [binary decode base64 $what]"
}

# LOGIN waits for each answer. PLAIN has a handler for the answer, and gives the connection back.
proc ::smtpd::AUTH {channel line} {
    switch -- [string toupper [lindex [split $line] 1]] {
        LOGIN {
            foreach question {Username: Password:} {
                Puts $channel "334 [binary encode base64 $question]"
                gets $channel answer
                told $answer
            }
            puts $channel "235-Welcome"
            puts $channel "235 Go on"
        }
        PLAIN {
            puts $channel "334 "
            # tclint-disable-next-line command-args
            fileevent $channel readable [list plain_answer $channel [fileevent $channel readable]]
        }
        default {
            puts $channel "504 Unrecognized authentication type \u20ac"
        }
    }
}

proc plain_answer {channel handler} {
    if {[gets $channel answer] < 0} {
        close $channel
        return
    }
    told $answer
    # tclint-disable-next-line command-args
    fileevent $channel readable $handler
    ::smtpd::Puts $channel "235 Good"
}

# Neither says how long a line is, nor looks for its end.
proc ::smtpd::ETRN {channel line} {
    puts -nonewline $channel "250 "
    puts $channel "[fconfigure $channel -blocking] [fconfigure $channel -translation] [fconfigure $channel -encoding]"
}

rename ::smtpd::QUIT ::smtpd::original_QUIT
proc ::smtpd::QUIT {channel line} {
    global count
    original_QUIT $channel $line
    if {[incr count -1] == 0} {
        stop
    }
}

proc deliver_it {from to lines} {
    puts "delivered from $from to $to: [lindex $lines end]"
}

smtpd::configure -deliver deliver_it -usetls 1 -certfile $certificate -keyfile $key
set server [smtpd::start 127.0.0.1 $port]
puts "listening on port [lindex [fconfigure $server -sockname] 2]"
vwait ::smtpd::stopped
