# A mail catcher for the terminal: prints what comes in, and who brought it.
#
# usage: stdout_printer.tcl PORT COUNT      (stops after COUNT messages)

package require smtpd

lassign $argv port count
set received 0

# The client's address is where the package keeps it: in the state of the caller's channel.
proc client {} {
    upvar 2 channel channel
    return [::smtpd::state $channel client_addr]
}

proc check_host {ip} {
    puts "connection from $ip"
}

proc check_sender {address} {
    puts "sender $address at [client]"
    if {[string match "denied@*" $address]} {
        error "mailbox denied"
    }
}

proc check_recipient {address} {
    puts "recipient $address at [client]"
    if {[string match "bogus*" $address]} {
        return -code error "no such user here"
    }
}

proc print {sender recipients data} {
    global received count
    incr received
    puts "-- message $received from $sender to [llength $recipients]: $recipients"
    foreach line $data {
        puts "   $line"
    }
    if {[lsearch -exact $data "Subject: fail"] >= 0} {
        error "the printer is out of paper"
    }
    if {$received == $count} {
        smtpd::stop
    }
}

proc ${::smtpd::log}::stdoutcmd {level text} {
    puts "log $level: $text"
}

smtpd::configure \
    -loglevel           notice \
    -banner             "printer" \
    -validate_host      ::check_host \
    -validate_sender    ::check_sender \
    -validate_recipient ::check_recipient \
    -deliver            ::print

set server [smtpd::start 127.0.0.1 $port]
puts "listening on port [lindex [fconfigure $server -sockname] 2]"
vwait ::smtpd::stopped
puts "stopped after $received messages"
