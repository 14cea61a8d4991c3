# The Tcl server under measurement: one script for the stock package and for ours.
#
# First line on stdout: the port, and whose package was loaded. Then it serves until stdin ends, so that a
# benchmark that was killed leaves no server behind. Each line on stdin is answered with what was delivered.

package require smtpd

set delivered 0
set message [list {} {} {}]

# Keeps the count and the last message. Asking for the length makes the data a list of lines for everybody:
# a package that hands out a string has to pay for the split here, as it would in a real script.
proc keep {sender recipients data} {
    global delivered message lines
    incr delivered
    set lines [llength $data]
    set message [list $sender $recipients $data]
}

# Answers "how much": messages delivered, lines and recipients of the last one, its last line.
proc report {} {
    global delivered message lines
    if {[gets stdin question] < 0} {
        exit 0
    }
    lassign $message sender recipients data
    puts [list $delivered $lines [llength $recipients] [lindex $data end]]
    flush stdout
}

set lines 0
smtpd::configure -deliver keep
if {[info exists ::env(BENCHMARK_TLS)]} {
    smtpd::configure -usetls 1 -certfile $::env(BENCHMARK_TLS)/cert.pem -keyfile $::env(BENCHMARK_TLS)/key.pem
}
set server [smtpd::start 127.0.0.1 0]
set owner [expr {[info commands ::pysmtpd::version] eq {} ? {tcllib} : {pysmtpd}}]
puts "[lindex [fconfigure $server -sockname] 2] $owner"
flush stdout
chan event stdin readable report
vwait forever
