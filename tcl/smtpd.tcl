# The package smtpd: the commands and variables of tcllib's smtpd 1.5, over the Python engine.
#
# What stands here is what scripts see: namespace ::smtpd, and nothing but the names the stock package has. Everything else
# lives in ::pysmtpd: channels and callbacks in the files beside this one, the engine behind ::pysmtpd::link.
# There is no SMTP grammar in any of them: the engine answers the wire.

package require Tcl 8.6-

namespace eval ::pysmtpd {
    variable loading 1       ;# there while this file is read
    variable ours            ;# verb -> 1 while its procedure is the one made here
    variable asking {host accept sender MAIL recipient RCPT} ;# kind of question -> the procedure that asks it in stock
    array set ours {}
}

apply {{folder} {
    # tcllib's logger and mime where there are any, whatever their version; else ours, whose versions are unstable ones.
    catch {package require logger}
    foreach {name version} {logger 0.9.4.1a0 mime 1.7.0.1a0} {
        if {[package versions $name] eq ""} {
            # tclint-disable-next-line command-args
            package ifneeded $name $version [list source [file join $folder $name.tcl]]
        }
    }
    package require logger
    # What mime stands on looks for accelerators that are seldom there, and each miss has every package index read anew, at
    # 10 ms apiece. They have just been read, to find the logger: without looking again, the load takes a third of the time.
    # tclint-disable-next-line command-args
    set finder [package unknown]
    package unknown {}
    catch {package require mime}
    package unknown $finder
}} [file dirname [file normalize [info script]]]
package require mime

namespace eval ::smtpd {
    variable version 1.5
    variable stopped

    namespace export start stop configure

    variable commands
    if {![info exists commands]} {
        set commands {EHLO HELO MAIL RCPT DATA RSET NOOP QUIT HELP}
    }

    variable extensions
    if {![info exists extensions]} {
        array set extensions {8BITMIME {} SIZE 0}
    }

    variable options
    if {![info exists options]} {
        array set options {
            serveraddr {} deliverMIME {} deliver {} validate_host {} validate_sender {} validate_recipient {}
            usetls 0 tlsopts {} banner {tcllib smtpd 1.5}
        }
    }
    variable tlsopts {-cadir -cafile -certfile -cipher -command -keyfile -password -request -require -ssl2 -ssl3 -tls1}

    variable log
    if {![info exists log]} {
        set log [logger::init smtpd]
        ${log}::setlevel warn
        proc ${log}::stdoutcmd {level text} {
            variable service
            puts "\[[clock format [clock seconds] -format %H:%M:%S] $service $level\] $text"
        }
    }

    variable Help
    if {![info exists Help]} {
        array set Help {
            {}   {Topics: {   HELO MAIL DATA RSET NOOP QUIT} {For more information use "HELP <topic>".}}
            HELO {{HELO <hostname>} {   Introduce yourself.}}
            MAIL {
                {MAIL FROM: <sender> [ <parameters> ]}
                {   Specify the sender of the message.}
                {   If using ESMTP there may be additional parameters of the}
                {   form NAME=VALUE.}
            }
            DATA {DATA {   Send your mail message.} {   End with a line containing a single dot.}}
            RSET {RSET {   Reset the session.}}
            NOOP {NOOP {   Command ignored by server.}}
            QUIT {QUIT {   Exit SMTP session}}
        }
    }
}

# The verbs, ::smtpd::HELO and all the others {channel line}: what a script that calls one gets is the engine's own handling.
# The engine calls them only where a script has put one of its own in the place, or has added a verb; and MAIL and RCPT, as
# ::smtpd::accept, to have a validator run in their frame: scripts look around there, with upvar and [info level].
apply {{} {
    foreach verb {DATA EHLO HELO HELP MAIL NOOP QUIT RCPT RSET STARTTLS} {
        set body "::pysmtpd::Command \$channel $verb \$line"
        if {$verb in {MAIL RCPT}} {
            set body [string map [list BODY $body PATH [expr {$verb eq "MAIL" ? "from" : "to"}]] {
                if {![llength $::pysmtpd::asked]} {
                    return [BODY]
                }
                lassign $::pysmtpd::asked words addr(address) PATH opts
                set ::pysmtpd::asked {}
                trace add variable channel read ::pysmtpd::Looked
                list [catch {{*}$words} msg settings] $msg $settings
            }]
        }
        # tclint-disable-next-line command-args
        proc ::smtpd::$verb {channel line} $body
        # Redefining a command deletes it first.
        trace add command ::smtpd::$verb {rename delete} [list ::pysmtpd::TakenOver $verb]
        set ::pysmtpd::ours($verb) 1
        set ::pysmtpd::frames($verb) ::smtpd::$verb
    }
}}

apply {{folder} {
    set link [expr {[namespace exists ::pysmtpd::engine] ? "link-tk.tcl" : "link-pipe.tcl"}]
    foreach file [list channel.tcl lent.tcl by_hand.tcl known.tcl room.tcl state.tcl idle.tcl callbacks.tcl replaced.tcl \
        options.tcl tls.tcl inbox.tcl $link] {
        source [file join $folder $file]
    }
}} [file dirname [file normalize [info script]]]

# ::smtpd::cget --
#
#   Return the value of an option; all options and their values without one.
#
# Arguments:
#   option   the option, with or without its dash
#
proc ::smtpd::cget {{option {}}} {
    variable options
    variable tlsopts
    variable log
    set name [string trimleft $option -]
    if {[llength [info level 0]] == 1} {
        return [configure]
    }
    if {$name eq "loglevel"} {
        return [${log}::currentloglevel]
    }
    if {[info exists options($name)]} {
        return $options($name)
    }
    if {"-$name" in $tlsopts} {
        if {[dict exists $options(tlsopts) -$name]} {
            return [dict get $options(tlsopts) -$name]
        }
        return {}
    }
    if {[::pysmtpd::IsOwn $name]} {
        return [::pysmtpd::Own $name]
    }
    return -code error "unknown option \"-$name\":  must be one of -[join [array names options] {, -}]"
}

# ::smtpd::configure --
#
#   Set options of the server; without arguments, return them all. Takes effect at once, in live sessions too.
#   Stops at the first word without a dash, and at "--".
#
# Arguments:
#   args     options and values; see the manual page
#
proc ::smtpd::configure {args} {
    variable options
    variable log
    if {[llength $args] == 0} {
        set all [list -loglevel [${log}::currentloglevel]]
        foreach {name value} [array get options] {
            lappend all -$name $value
        }
        foreach {name value} $::pysmtpd::own {
            lappend all -$name $value
        }
        return [lappend all -]
    }
    set tls [::pysmtpd::TlsState]
    foreach {option value} $args {
        if {![string match -* $option] || $option eq "--"} {
            break
        }
        ::pysmtpd::SetOption $option $value
    }
    ::pysmtpd::CheckTls $tls
    return {}
}

# ::smtpd::start --
#
#   Start the server: start the engine if it is not running, and listen.
#
# Arguments:
#   myaddr   address or name of the interface to listen on; empty for all
#   port     port to listen on; 0 for a free one
#
# Results:
#   The listening channel.
#
proc ::smtpd::start {{myaddr {}} {port 25}} {
    variable options
    variable stopped
    if {[info exists options(socket)]} {
        return -code error "smtpd service already running on socket $options(socket)"
    }
    set interface {}
    if {$myaddr ne ""} {
        set options(serveraddr) $myaddr
        set interface [list -myaddr $myaddr]
    } elseif {$options(serveraddr) eq ""} {
        set options(serveraddr) [info hostname]
    }
    set channel [socket -server [namespace current]::accept {*}$interface {*}$port]
    try {
        ::pysmtpd::link::ready
    } on error {message settings} {
        close $channel
        return -options $settings $message
    }
    set options(socket) $channel
    set stopped 0
    set ::pysmtpd::unseen 1
    Log notice "smtpd service started on $channel"
    return $channel
}

# ::smtpd::stop --
#
#   Stop listening. Live sessions go on. Does nothing when the server is not running.
#
proc ::smtpd::stop {} {
    variable options
    variable stopped
    if {[info exists options(socket)]} {
        close $options(socket)
        set stopped 1
        Log notice "smtpd service stopped"
        unset options(socket)
    }
}

# ::smtpd::accept --
#
#   Take a new connection and begin a session on it.
#
# Arguments:
#   channel      the connection
#   client_addr  IP address of the client
#   client_port  port of the client
#
proc ::smtpd::accept {channel client_addr client_port} {
    if {[llength $::pysmtpd::asked]} {
        lassign $::pysmtpd::asked words
        set ::pysmtpd::asked {}
        trace add variable channel read ::pysmtpd::Looked
        return [list [catch {{*}$words} msg settings] $msg $settings]
    }
    upvar [namespace current]::state_$channel State
    unset -nocomplain State
    initializeState $channel
    set State(access) allowed
    set State(client_addr) $client_addr
    set State(client_port) $client_port
    ::pysmtpd::Open $channel $client_addr $client_port
    if {[info level] > 1} {
        # Called by a script: an accept of its own, or a handler of its own for a listener.
        ::pysmtpd::Greet $channel
    }
    return
}

# ::smtpd::initializeState --
#
#   Forget the mail transaction of a session.
#
proc ::smtpd::initializeState {channel} {
    upvar [namespace current]::state_$channel State
    array set State {indata 0 to {} from {} data {} options {}}
}

# ::smtpd::state --
#
#   Read or write the state of a live session.
#
# Arguments:
#   channel  the session's connection
#   args     nothing: return all; a name: return its value, empty when there is none; names and values: set them
#
proc ::smtpd::state {channel args} {
    upvar [namespace current]::state_$channel State
    if {[llength $args] == 0} {
        return [array get State]
    }
    if {[llength $args] == 1} {
        set name [lindex $args 0]
        if {[info exists State($name)]} {
            return $State($name) ;# not [expr]'s result: it would make 16 of 0x10
        }
        return {}
    }
    foreach {name value} $args {
        set [namespace current]::state_${channel}($name) $value
    }
    return {}
}

# ::smtpd::service --
#
#   Handle what a client has sent.
#
proc ::smtpd::service {channel} {
    ::pysmtpd::Service $channel
    return
}

# ::smtpd::tlscallback --
#
#   Log what happens to an encrypted connection, in the way the -command of Tcl's tls package is told of it.
#
# Arguments:
#   option   error, verify or info
#   args     error: channel, text; verify: channel, depth, certificate, status, error; info: channel, major, minor, state, text
#
# Results:
#   Of verify, the status: 1 when the certificate is good.
#
proc ::smtpd::tlscallback {option args} {
    # Unlike lassign, foreach leaves the names unset where there is nothing at all: an error, as in the stock package.
    switch -- $option {
        error {
            foreach {channel msg} $args break
            Log error "TLS error '$msg'"
        }
        verify {
            foreach {channel depth certificate rc reason} $args break
            if {$rc eq "1"} {
                array set c $certificate
                Log notice "TLS verify/$depth: $c(subject)"
            } else {
                Log error "TLS verify/$depth Bad cert '$reason' (rc=$rc)"
            }
            return $rc
        }
        info {
            foreach {channel major minor state msg} $args break
            if {$msg ne ""} {
                set msg ": $msg"
            }
            Log debug "TLS $major.$minor $state$msg"
        }
        default {
            Log warn "bad option \"$option\" in smtpd::callback"
        }
    }
}

# ::smtpd::Pop --
#
#   Take the nth element out of the list in a variable and return it.
#
proc ::smtpd::Pop {varname {nth 0}} {
    upvar $varname args
    set element [lindex $args $nth]
    set args [lreplace $args $nth $nth]
    return $element
}

# ::smtpd::Log --
#
#   Write a line to the log.
#
proc ::smtpd::Log {level text} {
    variable log
    ${log}::$level $text
}

# ::smtpd::Puts --
#
#   Send a line to a client, behind what is held back for it. Ends the session where the connection is gone.
#
# Arguments:
#   channel  the session's connection
#   args     the line
#
# Results:
#   Nothing; or what went wrong, which has been logged.
#
proc ::smtpd::Puts {channel args} {
    if {[info exists ::pysmtpd::numbers($channel)] && [llength $args] == 1} {
        return [::pysmtpd::Say $channel [lindex $args 0]\r\n]
    }
    if {[catch {puts {*}$channel {*}$args} message]} {
        Log error $message
        if {[info exists ::pysmtpd::numbers($channel)]} {
            catch {close $channel}
            ::pysmtpd::Drop $::pysmtpd::numbers($channel)
        } else {
            catch {
                close $channel
                unset [namespace current]::state_$channel
            }
        }
    }
    return $message
}

# ::smtpd::split_address --
#
#   Split what follows FROM: or TO: into the path with its brackets and the rest.
#
proc ::smtpd::split_address {address} {
    set end [string last > $address]
    set path [string range $address [string first < $address] $end]
    return [list $path [string trim [string range $address [expr {$end + 1}] end]]]
}

# ::smtpd::uidchar --
#
#   Return a random ASCII letter or digit.
#
proc ::smtpd::uidchar {} {
    set characters ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789
    return [string index $characters [expr {int(rand() * 62)}]]
}

# ::smtpd::uid --
#
#   Return a random identifier of twelve ASCII letters and digits.
#
proc ::smtpd::uid {} {
    set id {}
    while {[string length $id] < 12} {
        append id [uidchar]
    }
    return $id
}

# ::smtpd::gmtoffset --
#
#   Return the local time's offset from UTC, as +hhmm or -hhmm.
#
proc ::smtpd::gmtoffset {} {
    return [clock format [clock seconds] -format %z]
}

# ::smtpd::timestamp --
#
#   Return the local time as RFC 5322, 3.3, writes it.
#
proc ::smtpd::timestamp {} {
    return [clock format [clock seconds] -format "%a, %d %b %Y %H:%M:%S [gmtoffset]"]
}

# ::smtpd::server_ip --
#
#   Return the IP address of this host.
#
proc ::smtpd::server_ip {} {
    set listener [socket -server none -myaddr [info hostname] 0]
    set address [lindex [chan configure $listener -sockname] 0]
    close $listener
    return $address
}

# ::smtpd::deliver --
#
#   Hand a message that has come to the script: to -deliverMIME as a mime token, else to -deliver. A script may redefine
#   this. The engine calls it at the end of DATA; an error refuses the message.
#
# Arguments:
#   channel  the session's connection
#
proc ::smtpd::deliver {channel} {
    if {[cget deliverMIME] eq "" || ![::pysmtpd::HasMessage $channel]} {
        deliver_old $channel
        return
    }
    set prefix [::pysmtpd::Prefix deliverMIME]
    if {[::pysmtpd::HasManyFields [state $channel data]]} {
        Log debug "error in deliver: too many header fields"
        return -code error "too many header fields"
    }
    set token [mime::initialize -string [join [state $channel data] \n]]
    trace add variable channel read ::pysmtpd::Looked
    set failed [catch {{*}$prefix $token} message settings]
    mime::finalize $token -subordinates all
    if {$failed} {
        Log debug "error in deliver: $message"
        return -options [::pysmtpd::AsError $settings] $message
    }
}

# ::smtpd::deliver_old --
#
#   Hand a message to -deliver: reverse-path, forward-paths, list of lines.
#
proc ::smtpd::deliver_old {channel} {
    variable options
    upvar #0 ::smtpd::state_$channel State ;# for callbacks that look around
    if {[catch {set options(deliver)} prefix]} {
        cget deliver ;# says what is wrong
    }
    if {$prefix eq ""} {
        return
    }
    variable ::pysmtpd::deliverable
    if {[info exists deliverable($channel)]} {
        set mail $deliverable($channel)
    } else {
        set mail [::pysmtpd::MessageOf $channel]
    }
    if {[lindex $mail 0] eq "" || ![llength [lindex $mail 1]]} {
        return
    }
    set prefix [::pysmtpd::Qualified $prefix]
    trace add variable channel read ::pysmtpd::Looked
    if {[catch {{*}$prefix {*}$mail} message settings]} {
        Log debug "error in deliver: $message"
        return -options [::pysmtpd::AsError $settings] $message
    }
}

# Where a script puts one of its own, that deliver has every message, that Log hears of everything, and so on: replaced.tcl.
apply {{} {
    foreach name [list deliver Log accept {*}$::pysmtpd::also] {
        trace add command ::smtpd::$name {rename delete} [list ::pysmtpd::TakenOver $name]
        ::pysmtpd::SetOurs $name 1
    }
    set ::pysmtpd::frames(accept) ::smtpd::accept
    # A test that has a clock of its own expects its time in greetings and messages.
    trace add command ::clock {rename delete} [list ::pysmtpd::TakenOver timestamp]
    if {[llength [info procs ::clock]]} {
        ::pysmtpd::SetOurs timestamp 0
    }
}}

package provide smtpd 1.5
unset ::pysmtpd::loading
