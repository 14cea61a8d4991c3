# Options that the stock package does not have: the profile, its quirks, extensions, limits, and one callback, -validate_user. The
# engine knows their names and what they may be; what stands here is what the script has said.

namespace eval ::pysmtpd {
    variable own             ;# name -> value, of those that were set
    if {![info exists own]} {
        set own {}
    }
}

# ::pysmtpd::IsOwn --
#
#   Tell whether there is an option of ours of that name.
#
proc ::pysmtpd::IsOwn {name} {
    variable own
    if {[dict exists $own $name]} {
        return 1
    }
    link::ready
    return [expr {[lindex [link::option $name] 0] eq "ok"}]
}

# ::pysmtpd::Own --
#
#   Return the value of an option of ours: what it was set to, or what holds without that.
#
proc ::pysmtpd::Own {name} {
    variable own
    if {[dict exists $own $name]} {
        return [dict get $own $name]
    }
    link::ready
    return [Result [link::option $name]]
}

# ::pysmtpd::OwnSettings --
#
#   Return those that were set, as the engine takes settings.
#
proc ::pysmtpd::OwnSettings {} {
    variable own
    set settings {}
    foreach {name value} $own {
        if {$name eq "validate_user"} {
            lappend settings {*}[CallbackSetting $name $value]
        } else {
            lappend settings option $name value $value
        }
    }
    return $settings
}

# ::pysmtpd::SetOwn --
#
#   Set an option of ours. The engine looks at it now: a wrong value is an error here, not a surprise later. An empty value takes
#   the option back to what holds without it, as one takes a callback away.
#
# Arguments:
#   option   its name, with the dash
#   value    its value
#
# Results:
#   Whether there is such an option.
#
proc ::pysmtpd::SetOwn {option value} {
    variable own
    set name [string range $option 1 end]
    if {![IsOwn $name]} {
        return 0
    }
    set before $own
    if {$value eq ""} {
        dict unset own $name
    } else {
        dict set own $name $value
    }
    Changed
    if {[catch {link::ready} message settings]} {
        set own $before
        Changed
        return -code error -level 3 -errorcode [dict get $settings -errorcode] -$message
    }
    return 1
}
