# Tests of a mail client: tcllib's smtp package sends, smtpd receives, both in this interpreter.

package require tcltest
package require mime
package require smtp
package require smtpd
namespace import ::tcltest::*

set delivered {}

proc deliver {sender recipients data} {
    global delivered
    lappend delivered [list $sender $recipients $data]
    if {[string match *broken* $sender]} {
        return -code error -errorcode 452 "no room"
    }
}

proc validate_sender {address} {
    if {$address eq "denied@example.org"} {
        error "go away"
    }
}

proc validate_recipient {address} {
    if {[string match bogus* $address]} {
        error "no such user"
    }
}

# Send one message; what smtp::sendmessage returns, or its error.
proc send {from to body args} {
    global port delivered
    set delivered {}
    set token [mime::initialize -canonical text/plain -string $body]
    foreach {name value} $args {
        mime::setheader $token $name $value
    }
    set failed [catch {
        smtp::sendmessage $token -servers 127.0.0.1 -ports $port -queue 0 -atleastone 1 -usetls 0 \
            -header [list From $from] -header [list To $to]
    } result]
    mime::finalize $token
    return [list $failed $result]
}

# The body of the n-th delivered message: what stands behind the first empty line.
proc body {{n 0}} {
    set data [lindex $::delivered $n 2]
    return [lrange $data [expr {[lsearch -exact $data ""] + 1}] end]
}

# A client that was refused hangs up without waiting for the answer to its QUIT. The server complains of that, and it is
# not what is tested here.
proc bgerror {message} {}
smtpd::configure \
    -loglevel           critical \
    -deliver            ::deliver \
    -validate_sender    ::validate_sender \
    -validate_recipient ::validate_recipient
set port [lindex [fconfigure [smtpd::start 127.0.0.1 0] -sockname] 2]

test mua-1.1 {one message to one recipient} -body {
    set result [send a@example.org b@example.org "Hello.\n"]
    list $result [lrange [lindex $delivered 0] 0 1]
} -result {{0 {}} {<a@example.org> <b@example.org>}}

test mua-1.2 {the body arrives line by line} -body {
    send a@example.org b@example.org "one\ntwo\n\nthree\n"
    body
} -result {one two {} three}

test mua-1.3 {headers arrive, behind the trace lines} -body {
    send a@example.org b@example.org "x\n" Subject "a test" X-Mailer none
    set data [lindex $delivered 0 2]
    list [lindex $data 0] [lsearch -all -inline $data {Subject: *}] [lsearch -all -inline $data {X-Mailer: *}]
} -result {{Return-Path: <a@example.org>} {{Subject: a test}} {{X-Mailer: none}}}

test mua-1.4 {several recipients} -body {
    send a@example.org {b@example.org, C <c@example.net>} "x\n"
    lindex $delivered 0 1
} -result {<b@example.org> <c@example.net>}

test mua-1.5 {lines of dots} -body {
    send a@example.org b@example.org ".\n..\n.x\n"
    llength $delivered
} -result 1

test mua-2.1 {a refused recipient among good ones is reported} -body {
    set result [send a@example.org {b@example.org, bogus@example.org} "x\n"]
    list [lindex $result 0] [lindex $result 1 0 0] [lindex $result 1 0 1] [lindex $delivered 0 1]
} -result {0 bogus@example.org 553 <b@example.org>}

test mua-2.2 {a refused sender is an error} -body {
    lassign [send denied@example.org b@example.org "x\n"] failed result
    list [expr {$failed != 0}] [dict get $result code] [dict get $result diagnostic] $delivered
} -result {1 553 {Requested action not taken: mailbox name not allowed} {}}

test mua-2.3 {an error in deliver reaches the client with its code} -body {
    set result [lindex [send broken@example.org b@example.org "x\n"] 1]
    list [dict get $result code] [dict get $result diagnostic] [llength $delivered]
} -result {452 {no room} 1}

test mua-2.4 {the next message is not affected} -body {
    lindex [send a@example.org b@example.org "x\n"] 0
} -result 0

test mua-3.1 {stop, and nobody listens} -body {
    smtpd::stop
    list $::smtpd::stopped [lindex [send a@example.org b@example.org "x\n"] 0]
} -result {1 1}

set failures $::tcltest::numTests(Failed)
cleanupTests
exit [expr {$failures > 0}]
