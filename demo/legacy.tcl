# An old mail tester, as written for tcllib's smtpd: prints what comes, refuses one recipient. Nothing here knows of Python.
#
# usage: legacy.tcl COUNT      (stops after COUNT messages)

package require smtpd

set left [lindex $argv 0]

proc deliver {sender recipients data} {
    puts "  script: from $sender to $recipients, [llength $data] lines"
    puts "  script: | [join $data "\n  script: | "]"
    if {[incr ::left -1] == 0} {
        smtpd::stop
    }
}

proc validate_recipient {address} {
    if {[string match "nobody@*" $address]} {
        puts "  script: refuses $address"
        error "mailbox $address unknown"
    }
}

smtpd::configure -deliver ::deliver -validate_recipient ::validate_recipient
set server [smtpd::start 127.0.0.1 0]
puts "  script: listening on port [lindex [fconfigure $server -sockname] 2]"
flush stdout
vwait ::smtpd::stopped
