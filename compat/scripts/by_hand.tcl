# The procs of the package called by hand: for a channel that does not exist, is closed, is a file, is no session's; with state
# and without; with too few and too many words. What they return, raise, log, say to the channel and leave in the state.

package require smtpd

proc ${::smtpd::log}::stdoutcmd {level text} {
    puts "    log $level: [shown $text]"
}
smtpd::configure -loglevel debug
set ::smtpd::options(serveraddr) mail.example.org

proc shown {text} {
    regsub -all {(\m|_)(sock|file)[0-9a-f]+\M} $text {\1CHANNEL} text
    regsub -all {\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d [-+]\d{4}} $text DATE text
    regsub -all {\m[0-9A-Za-z]{12}\M( |;)} $text {ID\1} text
    regsub -all {id [0-9A-Za-z]{12}\M} $text {id ID} text
    return [string map [list [info hostname] HOST channelId? channel? \r \\r \n \\n] $text]
}

# Run a command; show what comes of it, and what state there is then.
proc attempt {script} {
    puts [shown $script]
    set code [catch {uplevel #0 $script} result settings]
    puts "    -> $code {[shown $result]}[expr {$code == 1 ? " {[shown [dict get $settings -errorcode]]}" : {}}]"
    foreach name [lsort [info vars ::smtpd::state_*]] {
        puts "    [shown [namespace tail $name]]: [shown [lsort -stride 2 [array get $name]]]"
        unset $name
    }
}

set lines {
    DATA {DATA} EHLO {{EHLO client.example} EHLO} HELO {{HELO client.example} HELO {HELO a b} x}
    HELP {HELP {HELP MAIL} {HELP NOSUCH}}
    MAIL {{MAIL FROM:<a@b>} {MAIL FROM:<>} {mail from:<a@b> SIZE=1} {MAIL FROM:<a>} MAIL}
    NOOP {NOOP {NOOP x}} QUIT {QUIT {QUIT x}}
    RCPT {{RCPT TO:<a@b>} {RCPT TO:<Postmaster>} {RCPT TO:<>} RCPT} RSET {RSET} STARTTLS {STARTTLS {STARTTLS x}}
}
set states {
    {} {from <a@b>} {to <a@b>} {from {} to {}} {from <a@b> to {}}
    {from <a@b> to {<c@d> <e@f>} domain client.example client_addr 192.0.2.1}
    {domain client.example options SIZE=1 mine kept}
}

# Each verb, each line of it, each state, on a channel of each kind.
proc verbs {kind} {
    foreach {verb lines} $::lines {
        foreach line $lines {
            foreach state $::states {
                lassign [opened $kind] channel file
                if {[llength $state]} {
                    smtpd::state $channel {*}$state
                }
                puts "$kind, state {$state}"
                attempt [list smtpd::$verb $channel $line]
                catch {close $channel}
                said $file
            }
        }
    }
}

# A channel of some kind, and the file that shows what was written there.
proc opened {kind} {
    switch -- $kind {
        none { return nosuch }
        file { return [list [open said.txt w] said.txt] }
        readable { return [list [open [info script]]] }
        closed {
            set channel [open said.txt w]
            close $channel
            return [list $channel]
        }
        listener { return [list [socket -server none -myaddr 127.0.0.1 0]] }
    }
}

proc said {name} {
    if {$name ne ""} {
        set file [open $name rb]
        puts "    said: [shown [read $file]]"
        close $file
        file delete $name
    }
}

foreach kind {none file readable closed listener} {
    verbs $kind
}

proc no {text} {
    upvar 1 channel channel
    error "not $text on [shown $channel]"
}
proc yes {text} {
    puts "    asked about $text"
}
foreach validator {no yes} {
    foreach {option verb} {-validate_sender MAIL -validate_recipient RCPT} {
        smtpd::configure $option $validator
        foreach line [dict get $lines $verb] {
            if {[string match *<> $line]} continue
            set channel [open said.txt w]
            attempt [list smtpd::$verb $channel $line]
            close $channel
            said said.txt
        }
        smtpd::configure $option {}
    }
}

# Too few words, and too many.
foreach name [lsort [info procs ::smtpd::*]] {
    set words {}
    foreach argument [info args $name] {
        if {$argument ne "args"} {
            lappend words x
        }
    }
    if {[string match *::cget $name]} continue
    if {[llength $words]} {
        attempt [list $name {*}[lrange $words 1 end-[expr {[string match *::start $name] ? 1 : 0}]]]
    }
    if {"args" ni [info args $name]} {
        attempt [list $name {*}$words more]
    }
}

# The others.
proc got {args} {
    puts "    got [shown $args]"
}
proc parsed {token} {
    puts "    parsed [mime::getproperty $token content] [mime::getheader $token]"
}
proc coded {args} {
    error later {} 451
}
set messages {
    {from <a@b>} {from <a@b> to <c@d>} {from <a@b> to <c@d> data {}}
    {from <a@b> to {<c@d> <e@f>} data {{Subject: x} {} body}} {from {} to x data y}
}
foreach {option command} {-deliver {} -deliver got -deliver coded -deliver nosuch -deliverMIME parsed -deliverMIME coded} {
    smtpd::configure -deliver {} -deliverMIME {} $option $command
    foreach name {deliver deliver_old} {
        foreach state $messages {
            smtpd::state nosuch {*}$state
            puts "$option {$command}, state {$state}"
            attempt [list smtpd::$name nosuch]
        }
    }
}
foreach arguments {
    {Log debug} {Log debug {a b}} {Log error {}} {Log nosuch x} {Puts nosuch} {Puts} {Puts nosuch x} {Puts nosuch -nonewline x}
    {Puts nosuch a b c} {Pop nosuch} {split_address {}} {split_address <a>} {initializeState nosuch}
    {initializeState {}} {state nosuch}
    {state nosuch a} {state nosuch a b} {state nosuch a b c} {state nosuch {} x} {service nosuch} {accept nosuch 192.0.2.1 1}
    {tlscallback error c text} {tlscallback verify c 0 {subject x} 1 {}} {tlscallback verify c 0 {} 1 {}}
    {tlscallback verify c 0 x 1 {}}
    {tlscallback verify c 0 {} 0 why} {tlscallback info c a b c text} {tlscallback info c a b c {}}
    {tlscallback nosuch}
    {tlscallback verify c 0 {} {} {}}
    {start 127.0.0.1 -1} {start 127.0.0.1 {}} {start {} {}} {start 300.0.0.1 0} {stop} {configure x} {configure -nosuch}
    {configure --}
    {configure -usetls} {configure -usetls nosuch} {configure -loglevel nosuch} {configure -serveraddr x} {cget -nosuch}
    {cget {}} {cget -}
    {cget --}
} {
    attempt [list smtpd::[lindex $arguments 0] {*}[lrange $arguments 1 end]]
}
