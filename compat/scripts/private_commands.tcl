# A server with commands of its own: the places of the package that private scripts hook into.
#
# usage: private_commands.tcl PORT COUNT      (stops after COUNT connections have quit)

package require smtpd

lassign $argv port count

# A verb the package does not have ...
lappend ::smtpd::commands VRFY EXPN
set ::smtpd::extensions(VRFY) {}
set ::smtpd::extensions(XTEST) {one two}
set ::smtpd::Help(VRFY) {{VRFY <user>} {   Say whether there is such a user.}}

proc ::smtpd::VRFY {channel line} {
    Log notice "VRFY from [state $channel client_addr]"
    if {[regexp -nocase {^VRFY\s+(\w+)$} $line -> user]} {
        state $channel asked $user
        Puts $channel "252 $user may be here"
    } else {
        Puts $channel "501 Syntax error in parameters or arguments"
    }
}

# ... and one that it has, wrapped.
rename ::smtpd::RSET ::smtpd::original_RSET
proc ::smtpd::RSET {channel line} {
    puts "RSET from [state $channel domain], who asked for \"[state $channel asked]\", of {[state $channel to]}"
    original_RSET $channel $line
}

proc ::smtpd::NOOP {channel line} {
    Puts $channel "250 \"$line\" did nothing"
}

rename ::smtpd::QUIT ::smtpd::original_QUIT
proc ::smtpd::QUIT {channel line} {
    global count
    original_QUIT $channel $line
    if {[incr count -1] == 0} {
        stop
    }
}

proc ::smtpd::deliver {channel} {
    puts "delivered to {[state $channel to]} from {[state $channel from]} options {[state $channel options]}"
    foreach line [state $channel data] {
        puts "   $line"
    }
}

proc ${::smtpd::log}::stdoutcmd {level text} {
    puts "log $level: $text"
}

smtpd::configure -loglevel notice
set server [smtpd::start 127.0.0.1 $port]
puts "listening on port [lindex [fconfigure $server -sockname] 2]"
vwait ::smtpd::stopped
