# The procs of the package, and how they are called: private scripts call, wrap and replace them.

package require smtpd

# `cget` is not among them: called without its argument it is an error in stock, against the manual.
foreach name {
    accept configure deliver deliver_old gmtoffset initializeState server_ip service split_address start state
    stop timestamp tlscallback uid uidchar Log Pop Puts DATA EHLO HELO HELP MAIL NOOP QUIT RCPT RSET STARTTLS
} {
    set proc ::smtpd::$name
    if {[info procs $proc] eq {}} {
        puts "no proc $name"
        continue
    }
    set arguments {}
    foreach argument [info args $proc] {
        lappend arguments [expr {[info default $proc $argument value] ? [list $argument $value] : $argument}]
    }
    puts "$name {$arguments}"
}

puts [::smtpd::split_address {Name <a@b> SIZE=1}]
