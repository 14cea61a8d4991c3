# The server side of every Tcl target: starts, sets up callbacks as it is told, and reports what they see.
#
# The same file runs on the stock package and on ours, so it uses public commands and variables only.
#   server.tcl ADDR ?NAME VALUE? ...
# with options that are ours alone, by their names without a dash.
# On stdin one line for each set-up, all words of it in hexadecimal UTF-8, an empty word as "-":
#   names STYLE ?fresh BOOL? ?banner TEXT? ?log LEVEL? ?tls KIND? ?rule CALLBACK WHEN ACTION CODE TEXT? ...
# With "fresh", no callback sees the errorCode of an earlier error.
# On stdout "READY port engine host" when a set-up is in force, and one "CB json" line for each call of a callback,
# printed before the callback returns. It leaves when its stdin is closed.

package require smtpd

set names qualified
set fresh 0
set rules {}

# A string in JSON, in ASCII.
proc quote {text} {
    if {![regexp {[^ -~]|[\\"]} $text]} {
        return \"$text\"
    }
    set out ""
    foreach character [split $text ""] {
        scan $character %c code
        if {$code < 32 || $code > 126 || $character in {\\ \"}} {
            append out [format {\u%04x} $code]
        } else {
            append out $character
        }
    }
    return \"$out\"
}

proc record {words lines} {
    set parts {}
    foreach group [list $words $lines] {
        set items {}
        foreach text $group {
            lappend items [quote $text]
        }
        lappend parts "\[[join $items ,]\]"
    }
    puts "CB \[[join $parts ,]\]"
}

# Do what the first rule for this callback and argument says, as if the callback itself did.
proc verdict {callback argument} {
    if {$::fresh} {
        set ::errorCode NONE
    }
    foreach rule $::rules {
        lassign $rule which when action code text
        if {$which ne $callback || ($when ne "*" && $when ne $argument)} {
            continue
        }
        switch -- $action {
            refuse { return -level 2 -code error $text }
            refuse-code { return -level 2 -code error -errorcode $code $text }
            break - continue { return -level 2 -code $action }
            return { return -level 2 -code 7 $text }
            slow {
                # The event loop runs meanwhile, as it does under a dialog.
                after 30 {set ::woken 1}
                vwait ::woken
            }
        }
        return
    }
}

proc validate_host {address} {
    record [list validate_host $address] {}
    verdict validate_host $address
}

proc validate_sender {address} {
    record [list validate_sender $address] {}
    verdict validate_sender $address
}

proc validate_recipient {address} {
    record [list validate_recipient $address] {}
    verdict validate_recipient $address
}

proc deliver {sender recipients data} {
    record [list deliver $sender {*}$recipients] $data
    verdict deliver $sender
}

proc deliverMIME {token} {
    record [list deliverMIME [mime::getproperty $token content]] [entity $token]
    set subject {}
    catch {set subject [lindex [mime::getheader $token Subject] 0]}
    verdict deliverMIME $subject
}

# One MIME entity in the suite's rendering: sorted headers, an empty line, then the body or the parts.
proc entity {token} {
    set lines {}
    foreach name [lsort [mime::getheader $token -names]] {
        foreach value [mime::getheader $token $name] {
            lappend lines "[string tolower $name]: [regsub -all {\s+} $value { }]"
        }
    }
    lappend lines ""
    if {[string match multipart/* [mime::getproperty $token content]]} {
        foreach part [mime::getproperty $token parts] {
            lappend lines "part [mime::getproperty $part content]" {*}[entity $part]
        }
        return $lines
    }
    set body [string trimright [string map {\r\n \n} [mime::getbody $token]] \n]
    lappend lines {*}[split $body \n]
}

# What Tcl's tls package calls: the checks of a client's certificates are recorded. All are good enough.
proc verify {option channel args} {
    if {$option eq "verify"} {
        lassign $args depth certificate status reason
        record [list verify $depth [dict get $certificate subject] [dict get $certificate notAfter] $status $reason] {}
    }
    return 1
}

# What it calls where all that it tells is to be recorded. The answer is none: it is as OpenSSL says.
proc told {option channel args} {
    if {$option eq "verify"} {
        verify $option $channel {*}$args
    } else {
        record [list $option {*}$args] {}
    }
    return ""
}

# Switch TLS off, whatever was before: in the stock package, no option does.
proc without_tls {} {
    set ::smtpd::options(usetls) 0
    set ::smtpd::options(tlsopts) {}
    unset -nocomplain ::smtpd::extensions(STARTTLS)
    set ::smtpd::commands [lsearch -all -inline -not -exact $::smtpd::commands STARTTLS]
}

proc tls_options {kind} {
    set folder [file join [file dirname [file dirname [file normalize [info script]]]] pysmtpd certificates]
    set options {-usetls 1}
    if {$kind ne "nothing"} {
        lappend options -certfile $folder/localhost.pem -keyfile $folder/localhost.key -cafile $folder/ca.pem
    }
    if {$kind in {verify told}} {
        lappend options -request 1 -command ::$kind
    }
    return $options
}

# A command prefix of several words ends here.
proc with_prefix {name args} {
    tailcall ::$name {*}$args
}

proc callback {name} {
    switch -- $::names {
        qualified { return ::$name }
        global { return $name }
        prefix { return [list ::with_prefix $name] }
    }
}

# Put a set-up in force in place of the one before.
proc set_up {words} {
    set ::rules {}
    set ::fresh 0
    # The stock package lets an old errorCode leak into replies: each set-up begins like a fresh interpreter.
    set ::errorCode NONE
    without_tls
    set options [list -banner $::default_banner -loglevel warn]
    foreach name {deliver deliverMIME validate_host validate_sender validate_recipient} {
        dict set options -$name {}
    }
    while {[llength $words]} {
        set words [lassign $words keyword]
        switch -- $keyword {
            names { set words [lassign $words ::names] }
            fresh { set words [lassign $words ::fresh] }
            banner {
                set words [lassign $words text]
                dict set options -banner $text
            }
            log {
                set words [lassign $words level]
                dict set options -loglevel $level
            }
            tls {
                set words [lassign $words kind]
                set options [dict merge $options [tls_options $kind]]
            }
            rule {
                lappend ::rules [lrange $words 0 4]
                set name [lindex $words 0]
                dict set options -$name [callback $name]
                set words [lrange $words 5 end]
            }
        }
    }
    smtpd::configure {*}$options
}

proc decode {word} {
    return [encoding convertfrom utf-8 [binary format H* [string trim $word -]]]
}

proc instructed {} {
    if {[gets stdin line] >= 0} {
        set_up [lmap word [split $line] { decode $word }]
        puts "READY $::port $::engine [info hostname]"
    } elseif {[eof stdin]} {
        chan event stdin readable {}
        smtpd::stop
    }
}

# The package logs to stdout: its lines must not wait in a buffer.
fconfigure stdout -buffering line
foreach {name value} [lrange $argv 1 end] {
    smtpd::configure -$name $value
}
set default_banner [smtpd::cget -banner]
set port [lindex [fconfigure [smtpd::start [lindex $argv 0] 0] -sockname] 2]
set engine [expr {[llength [info commands ::pysmtpd::version]] ? "pysmtpd" : "stock"}]

fconfigure stdin -blocking 0
chan event stdin readable instructed
vwait ::smtpd::stopped
