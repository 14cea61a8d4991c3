# Verbs by hand: a script calls ::smtpd::MAIL and its like for a channel that has no session.
#
# As in the stock package, the array state_<channel> is then all there is, and what is wrong with the channel is an error of
# Tcl's own. What a verb does comes from the engine, as steps: pysmtpd/drivers/tcl_by_hand.py lists them.

# ::pysmtpd::ByHand --
#
#   Handle a command for a channel without a session.
#
# Results:
#   Of the steps.
#
proc ::pysmtpd::ByHand {channel verb line} {
    link::ready
    set request [list call $channel $verb $line {*}[array get ::smtpd::state_$channel]]
    while {[llength $request]} {
        set steps [Result [link::call hand $request]]
        set request {}
        foreach step $steps {
            lassign $step name first second number
            if {$name eq "ask"} {
                set verdict [Callback $first $channel [list $second]]
                set request [expr {[llength $verdict] ? [list refuse $number {*}[lrange $verdict 1 end]] : [list accept $number]}]
            } else {
                set result [Step $channel $name $first $second]
            }
        }
    }
    return $result
}

# ::pysmtpd::Step --
#
#   Take one step of a verb.
#
# Results:
#   What Puts says, of one that says something.
#
proc ::pysmtpd::Step {channel name first second} {
    upvar #0 ::smtpd::state_$channel State
    switch -- $name {
        log {
            ::smtpd::Log $first $second
        }
        say {
            return [::smtpd::Puts $channel $first]
        }
        read {
            set State($first)
        }
        set {
            set State($first) $second
        }
        forget {
            ::smtpd::initializeState $channel
        }
        translate {
            chan configure $channel -translation auto
        }
        close {
            close $channel
            unset State
        }
    }
    return
}
