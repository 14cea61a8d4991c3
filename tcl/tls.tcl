# Encryption: the options of Tcl's tls package, for the engine, which does without that package; and what scripts are told of it.

namespace eval ::pysmtpd {
    variable encrypted       ;# number -> 1 while the session is under TLS
    variable tls_flags {-request -require -ssl2 -ssl3 -tls1}
    variable passwords {}    ;# what -password is -> the password, of those that were asked for
    array set encrypted {}
    variable tls_command {{prefix option channel details} {
        list [catch {{*}$prefix $option $channel {*}$details} message settings] $message $settings
    } ::}
}

# ::pysmtpd::SetTls --
#
#   Set one of the options for TLS. The last value counts; what the files hold is looked at when the server listens.
#
proc ::pysmtpd::SetTls {option value} {
    upvar #0 ::smtpd::options options
    variable tls_flags
    variable passwords
    if {$option in $tls_flags && ![string is boolean -strict $value]} {
        return -code error -level 3 "$option is \"$value\": must be 0 or 1"
    }
    if {$option eq "-password"} {
        set passwords {}
    }
    dict set options(tlsopts) $option $value
}

# ::pysmtpd::UseTls --
#
#   Offer STARTTLS, or do not any more.
#
proc ::pysmtpd::UseTls {value} {
    upvar #0 ::smtpd::options options
    if {![string is boolean -strict $value]} {
        return -code error -level 3 -errorcode {TCL VALUE NUMBER} "expected boolean value but got \"$value\""
    }
    set options(usetls) [expr {!!$value}]
    if {$options(usetls)} {
        set ::smtpd::extensions(STARTTLS) {}
        if {"STARTTLS" ni $::smtpd::commands} {
            lappend ::smtpd::commands STARTTLS
        }
    } else {
        unset -nocomplain ::smtpd::extensions(STARTTLS)
        set ::smtpd::commands [lsearch -all -inline -not -exact $::smtpd::commands STARTTLS]
    }
}

# ::pysmtpd::TlsState --
#
#   Return all that UseTls and SetTls change, for RestoreTls.
#
proc ::pysmtpd::TlsState {} {
    return [list [Option usetls 0] [Option tlsopts]]
}

# ::pysmtpd::CheckTls --
#
#   A server that listens gets the new options for TLS now. What is wrong with a file is an error that names it, and the
#   options are then what they were.
#
# Arguments:
#   before   what TlsState returned before the change
#
proc ::pysmtpd::CheckTls {before} {
    if {![info exists ::smtpd::options(socket)] || $before eq [TlsState]} {
        return
    }
    if {[catch {link::ready} message settings]} {
        lassign $before usetls tlsopts
        UseTls $usetls
        set ::smtpd::options(tlsopts) $tlsopts
        return -code error -level 2 -errorcode [dict get $settings -errorcode] $message
    }
}

# ::pysmtpd::TlsSettings --
#
#   Return the options for TLS as the engine takes them.
#
proc ::pysmtpd::TlsSettings {} {
    variable own
    set usetls [Option usetls 0]
    if {!$usetls && (![dict exists $own tls] || [dict get $own tls] eq "off")} {
        return {}
    }
    set settings [list tls usetls text $usetls]
    dict for {option value} [Option tlsopts] {
        if {$value eq ""} {
            continue
        }
        switch -- $option {
            -certfile - -keyfile - -cafile - -cadir {
                # The engine may run in another directory.
                set value [file normalize $value]
            }
            -password {
                set value [Password $value]
            }
            -command {
                lappend settings callback command word tcl
                continue
            }
            -ssl2 - -ssl3 - -tls1 {
                # Nobody should speak those any more, and the engine does not.
                continue
            }
            -request - -require {
                set value [expr {!!$value}]
            }
        }
        lappend settings tls [string range $option 1 end] text $value
    }
    return $settings
}

# ::pysmtpd::Password --
#
#   Return the password that -password stands for: what the command of that name returns, or the value itself where there is
#   no such command. It is asked for once.
#
proc ::pysmtpd::Password {value} {
    variable passwords
    if {[dict exists $passwords $value]} {
        return [dict get $passwords $value]
    }
    set password $value
    if {![catch {lindex $value 0} command] && [namespace which -command ::[string trimleft $command :]] ne ""} {
        if {[catch {apply {{prefix} {{*}$prefix} ::} $value} password settings]} {
            return -code error -errorcode [ErrorCode $settings] "-password: $password"
        }
    }
    dict set passwords $value $password
    return $password
}

# ::pysmtpd::Encrypted --
#
#   A session goes on under TLS, and nothing that was said before counts.
#
proc ::pysmtpd::Encrypted {number changes} {
    variable encrypted
    variable channels
    set encrypted($number) 1
    # Where lines are read one by one, what came in the clear behind this one is still there; it is not TLS.
    read $channels($number) [chan pending input $channels($number)]
    Learn $number [list {*}$changes tls 1]
}

# ::pysmtpd::IsEncrypted --
#
#   Tell whether a session is under TLS.
#
proc ::pysmtpd::IsEncrypted {number} {
    variable encrypted
    return [info exists encrypted($number)]
}

# ::pysmtpd::TlsCallback --
#
#   Tell the script's -command of a step of a handshake, as Tcl's tls package does.
#
# Arguments:
#   channel  the session's connection
#   option   verify, error or info
#   args     what the option says
#
# Results:
#   As of Callback: nothing for yes. Only to verify there is a no: the command returns 0, or the status is 0 and it says
#   nothing, or something goes wrong in it. That is a background error, save where it was just told of a step, as in the
#   tls package.
#
proc ::pysmtpd::TlsCallback {channel option args} {
    set tlsopts [Option tlsopts]
    if {![dict exists $tlsopts -command]} {
        return {}
    }
    variable tls_command
    # tclint-disable-next-line command-args
    lassign [apply $tls_command [dict get $tlsopts -command] $option $channel $args] code result settings
    if {$option eq "info"} {
        return {}
    }
    if {$option eq "verify" && $code == 0 && $result ne "" && ![string is integer -strict $result]} {
        set code 1
        set result "expected integer but got \"$result\""
    }
    if {$code} {
        # tclint-disable-next-line command-args
        after 0 [list {*}[interp bgerror {}] $result [dict merge $settings {-code 1 -level 0}]]
        set result 0
    } elseif {$result eq ""} {
        set result [lindex $args 2]
    }
    return [expr {$option eq "error" || $result ? {} : {1 {the -command of the server says no} NONE}}]
}
