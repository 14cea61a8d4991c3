# Callbacks: running the script's own code for the engine, and calling Python from a script.
#
# What a client sent reaches a callback as one argument of a list, always: no text of a client's is ever made part of a script.

namespace eval ::pysmtpd {
    variable version 0.1.0

    # A callback runs in a procedure frame inside ::smtpd that has the channel's name in a variable: scripts say
    # [upvar 1 channel ch; ::smtpd::state $ch client_addr] to learn who the client is. The catch stands inside the frame,
    # so that a callback's [return -code return] is one of its outcomes. Who looks at the name has the channel lent.
    # For what the stock package asks, the frame is that of the procedure which asks there; see smtpd.tcl.
    variable asked {}        ;# a question on its way to such a frame: the words to run, and what they find there
    variable qualified       ;# callback option whose command is an unqualified one -> the same with the global command
    array set qualified {}
    variable frames          ;# procedure -> the name that it has by now; none when it is gone
    variable validator {{channel prefix arguments} {
        trace add variable channel read ::pysmtpd::Looked
        list [catch {{*}$prefix {*}$arguments} message settings] $message $settings
    } ::smtpd}
    variable named {{verb channel line} {$verb $channel $line} ::smtpd} ;# a verb is called MAIL, not ::smtpd::MAIL
    variable verb_procedure {{channel verb line} {
        list [catch {$verb $channel $line} message settings] $message $settings
    } ::smtpd}
    variable delivery {{channel} {
        list [catch {deliver $channel} message settings] $message $settings
    } ::smtpd}
}

# ::pysmtpd::version --
#
#   Return the version of this implementation; [package present smtpd] is the version of the interface.
#
proc ::pysmtpd::version {} {
    variable version
    return $version
}

# ::pysmtpd::call --
#
#   Call a Python function. Also a command prefix that every callback option takes: Python is then called without a
#   detour over Tcl.
#
# Arguments:
#   function  MODULE:FUNCTION, looked up as Python would from the working directory
#   args      the function's arguments, as strings
#
# Results:
#   What the function returns: lists and dictionaries as such, None as the empty string. An exception is an error with
#   errorCode PYTHON and the exception's name; pysmtpd.Refused(code, text) one with errorCode SMTP and the code.
#
proc ::pysmtpd::call {function args} {
    link::ready
    return [Result [link::call $function $args]]
}

# ::pysmtpd::Result --
#
#   Return the engine's answer, or raise it where it is an error.
#
proc ::pysmtpd::Result {answer} {
    lassign $answer outcome value code
    if {$outcome eq "ok"} {
        return $value
    }
    return -code error -level 2 -errorcode $code $value
}

# ::pysmtpd::Prefix --
#
#   Return a callback option's command prefix, as Qualified does.
#
proc ::pysmtpd::Prefix {option} {
    variable own
    return [Qualified [expr {[dict exists $own $option] ? [dict get $own $option] : $::smtpd::options($option)}]]
}

# ::pysmtpd::Qualified --
#
#   Return a command prefix of the script's. An unqualified command is the script's global one before it is one of ours: a
#   script's [proc deliver] is not ::smtpd::deliver. One that is none of ours keeps its name: its [info level 0] shows that.
#
proc ::pysmtpd::Qualified {prefix} {
    variable qualified
    if {[info exists qualified($prefix)] && [namespace which -command [lindex $qualified($prefix) 0]] ne ""} {
        return $qualified($prefix)
    }
    set command [lindex $prefix 0]
    if {![string match ::* $command] && [namespace which -command ::$command] ne ""} {
        if {[array size qualified] > 100} {
            array unset qualified ;# a script that sets another one each time
        }
        set qualified($prefix) $prefix
        if {[namespace which -command ::smtpd::$command] ne ""} {
            set qualified($prefix) [lreplace $prefix 0 0 ::$command]
        }
        return $qualified($prefix)
    }
    return $prefix
}

# ::pysmtpd::HasMessage --
#
#   Tell whether there is anything to deliver in a session.
#
proc ::pysmtpd::HasMessage {channel} {
    upvar ::smtpd::state_$channel State
    # An item may be missing. The list of lines is counted, not compared: that would make one string of it again.
    return [expr {![catch {expr {$State(from) ne "" && [llength $State(to)] && [llength $State(data)]}} has] && $has}]
}

# ::pysmtpd::HasManyFields --
#
#   Tell whether a message has more header fields than tcllib's mime reads in a moment: it takes the square of their number, a
#   minute for 20,000. Ours does not.
#
proc ::pysmtpd::HasManyFields {lines} {
    set header [lsearch -exact $lines {}]
    return [expr {($header < 0 ? [llength $lines] : $header) > 3000 && [namespace which -command ::mime::Ask] eq {}}]
}

# ::pysmtpd::Callback --
#
#   Run the callback that answers a question.
#
# Arguments:
#   kind     host, sender, recipient, user, deliver, command or tls
#   channel  the session's connection
#   values   a list of one: the address to check, and of a path what Validate takes; a user's name and secret; a verb and its
#            line; or what TlsCallback takes
#
# Results:
#   Nothing when the callback returned; else its return code, result and errorCode.
#
proc ::pysmtpd::Callback {kind channel values} {
    if {$kind eq "deliver"} {
        variable delivery
        # tclint-disable-next-line command-args
        lassign [apply $delivery $channel] code result settings
    } elseif {$kind eq "command"} {
        return [RunCommand $channel {*}[lindex $values 0]]
    } elseif {$kind eq "tls"} {
        return [TlsCallback $channel {*}[lindex $values 0]]
    } elseif {[catch {Prefix validate_$kind} prefix]} {
        lassign [list 1 $prefix {}] code result settings
    } elseif {$kind eq "user"} {
        variable validator
        # tclint-disable-next-line command-args
        lassign [apply $validator $channel $prefix [lindex $values 0]] code result settings
    } elseif {$prefix eq ""} {
        return {} ;# nobody is to be asked any more, since the engine has put the question
    } else {
        set asked [expr {$kind eq "host" ? $values : [lindex $values 0]}]
        lassign [Validate $kind $channel $prefix {*}$asked] code result settings
    }
    if {$code == 0} {
        return {}
    }
    return [list $code $result [ErrorCode $settings]]
}

# ::pysmtpd::Validate --
#
#   Run a validator in the frame of the procedure that asks it in the stock package.
#
# Arguments:
#   kind     host, sender or recipient
#   prefix   the option, as Prefix gives it
#   address  what to check
#   path     sender and recipient: the address in its brackets...
#   options  ...what follows it...
#   line     ...and the whole command line
#
# Results:
#   The return code, the result, and the return options.
#
proc ::pysmtpd::Validate {kind channel prefix address {path {}} {options {}} {line {}}} {
    variable asked
    variable frames
    variable validator
    variable asking
    set frame [dict get $asking $kind]
    if {$frames($frame) eq ""} {
        # tclint-disable-next-line command-args
        return [apply $validator $channel $prefix [list $address]]
    }
    set asked [list [list {*}$prefix $address] $address $path $options]
    if {$kind eq "host"} {
        set line [::smtpd::state $channel client_port]
        return [$frames($frame) $channel $address $line]
    }
    variable named
    # tclint-disable-next-line command-args
    return [apply $named [string map {::smtpd:: {}} $frames($frame)] $channel $line]
}

# ::pysmtpd::RunCommand --
#
#   Run the script's own procedure for a verb. It sends the reply itself; the engine does where there is no such procedure,
#   or where it fails before it has said anything.
#
proc ::pysmtpd::RunCommand {channel verb line} {
    variable numbers
    variable spoken
    if {[info procs ::smtpd::$verb] eq ""} {
        return {1 {} NONE}
    }
    set number $numbers($channel)
    unset -nocomplain spoken($number)
    variable lent
    variable verb_procedure
    NoteRun $number $verb
    if {![info exists lent($number)]} {
        Release $number
        Lend $number
    }
    ShowInCallback $number $channel
    # tclint-disable-next-line command-args
    lassign [apply $verb_procedure $channel $verb $line] code message settings
    if {$code != 1} {
        return {}
    }
    Background $message $settings
    return [expr {[info exists spoken($number)] ? {} : [list 1 $message NONE]}]
}

# ::pysmtpd::ErrorCode --
#
#   Return the errorCode among the return options of a command; NONE where there is none, or none that is a list.
#
proc ::pysmtpd::ErrorCode {settings} {
    if {![dict exists $settings -errorcode] || [catch {llength [dict get $settings -errorcode]}]} {
        return NONE
    }
    return [dict get $settings -errorcode]
}

# ::pysmtpd::AsError --
#
#   Return the return options with which an error is passed on, however a callback has ended: with its code, and where it was.
#
proc ::pysmtpd::AsError {settings} {
    set error [list -code error -errorcode [ErrorCode $settings]]
    if {[dict exists $settings -errorinfo]} {
        lappend error -errorinfo [dict get $settings -errorinfo]
    }
    return $error
}

# ::pysmtpd::Background --
#
#   Have an error of the script's own handled as one in the background.
#
proc ::pysmtpd::Background {message settings} {
    # tclint-disable-next-line command-args
    after 0 [list {*}[interp bgerror {}] $message $settings]
}

# ::pysmtpd::SetOption --
#
#   Set one option of the server. Raises an error that names the option when there is none of the name.
#
proc ::pysmtpd::SetOption {option value} {
    upvar #0 ::smtpd::options options
    switch -- $option {
        -loglevel {
            ${::smtpd::log}::setlevel $value
        }
        -deliverMIME - -deliver - -validate_host - -validate_sender - -validate_recipient {
            SetCallback [string range $option 1 end] $value
        }
        -banner {
            set options(banner) $value
        }
        -usetls {
            UseTls $value
        }
        default {
            if {$option in $::smtpd::tlsopts} {
                SetTls $option $value
            } elseif {![SetOwn $option $value]} {
                return -code error -level 2 "unknown option: \"$option\": must be one of -deliverMIME, -deliver,\
                    -validate_host, -validate_recipient, -validate_sender or an option suitable to tls::init"
            }
        }
    }
}

# ::pysmtpd::SetCallback --
#
#   Set a callback option. One that calls Python is looked up now: a missing module is an error here, not a refused mail.
#
proc ::pysmtpd::SetCallback {name prefix} {
    upvar #0 ::smtpd::options options
    set before [Option $name]
    set options($name) $prefix
    if {[CallsPython $prefix] && [catch {link::ready} message settings]} {
        set options($name) $before
        return -code error -level 3 -errorcode [dict get $settings -errorcode] "-$name: $message"
    }
}

# ::pysmtpd::Option --
#
#   Return the value of a stock option; another one where a script has unset that.
#
proc ::pysmtpd::Option {name {otherwise {}}} {
    if {[info exists ::smtpd::options($name)]} {
        return $::smtpd::options($name) ;# not [expr]'s result: it would make 16 of 0x10
    }
    return $otherwise
}

# ::pysmtpd::CallsPython --
#
#   Tell whether a command prefix is a call of Python.
#
proc ::pysmtpd::CallsPython {prefix} {
    return [expr {![catch {lindex $prefix 0} command] && $command in {::pysmtpd::call pysmtpd::call}}]
}

# ::pysmtpd::Settings --
#
#   Return all settings as the engine takes them: a flat list of names and values.
#
proc ::pysmtpd::Settings {} {
    variable log_level [LogLevel]
    set settings [list hostname [info hostname] server_address [Option serveraddr] banner [Option banner] \
        version $::smtpd::version log_level $log_level]
    foreach command $::smtpd::commands {
        lappend settings command $command
    }
    foreach verb [ByScript] {
        lappend settings scripted $verb
    }
    if {[Replaced Puts]} {
        lappend settings puts script
    }
    if {[Replaced timestamp gmtoffset]} {
        lappend settings timestamp [From timestamp [Now]]
    }
    foreach {name parameters} [array get ::smtpd::extensions] {
        lappend settings extension $name parameters $parameters
    }
    foreach {topic lines} [array get ::smtpd::Help] {
        lappend settings help $topic
        foreach line $lines {
            lappend settings line $line
        }
    }
    foreach name {deliver deliverMIME validate_host validate_sender validate_recipient} {
        lappend settings {*}[CallbackSetting $name [Option $name unset]] ;# to ask for one that is not there is an error
    }
    lappend settings {*}[TlsSettings]
    lappend settings {*}[OwnSettings]
    variable keeps
    if {$keeps} {
        lappend settings keep 1
    }
    if {[Replaced deliver deliver_old]} {
        # Whatever the options say, a script's own ::smtpd::deliver has every message.
        lappend settings callback deliverMIME callback deliver word tcl
    }
    return $settings
}

# ::pysmtpd::LogLevel --
#
#   Return the level from which on is logged, and hear when it changes: where the logger has it, tcllib's and ours. Its
#   lvlchangeproc is the script's.
#
proc ::pysmtpd::LogLevel {} {
    variable ours
    Trace ${::smtpd::log}::enabled write ::pysmtpd::Changed
    return [expr {[info exists ours(Log)] ? [${::smtpd::log}::currentloglevel] : "debug"}]
}

# ::pysmtpd::CallbackSetting --
#
#   Return a callback option as settings. Only the words of a call of Python concern the engine.
#
proc ::pysmtpd::CallbackSetting {name prefix} {
    set setting [list callback $name]
    if {[CallsPython $prefix]} {
        foreach word $prefix {
            lappend setting word $word
        }
    } elseif {$prefix ne ""} {
        lappend setting word tcl
    }
    return $setting
}

# ::pysmtpd::Changed --
#
#   Note that the engine's settings are not the script's any more, and no reply is known. Called by traces, too.
#
proc ::pysmtpd::Changed {args} {
    variable changed 1
    DoubtAll
}

# ::pysmtpd::Trace --
#
#   Have a variable traced once, however often this is said: the package may be loaded once more.
#
proc ::pysmtpd::Trace {name operations command} {
    trace remove variable $name $operations $command
    trace add variable $name $operations $command
}

# ::pysmtpd::ListenTo, Setting --
#
#   Have a variable of the package's noted as changed when a script changes it; the script has. With a variable that is unset, its
#   traces are gone.
#
proc ::pysmtpd::ListenTo {name} {
    Trace ::smtpd::$name {write unset} [list ::pysmtpd::Setting $name]
}
proc ::pysmtpd::Setting {name variable item operation} {
    Changed
    if {$operation eq "unset" && $item eq ""} {
        ListenTo $name
    }
}

# tcllib's mime reads these two without looking whether there has been an error yet.
if {![info exists ::errorInfo]} {
    set ::errorInfo {}
}
if {![info exists ::errorCode]} {
    set ::errorCode NONE
}

apply {{} {
    foreach name {commands extensions options Help version log} {
        ::pysmtpd::ListenTo $name
    }
    ::pysmtpd::Changed
}}
