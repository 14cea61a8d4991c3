# Procedures of the package that the engine does without, and that a script has put its own in the place of: Puts, service, uid,
# uidchar, timestamp, gmtoffset, initializeState, deliver_old. From then on they are gone through as in the stock package, which
# takes time; without such a script, nothing here is in the way.

namespace eval ::pysmtpd {
    variable writer ::pysmtpd::Write ;# what sends octets as they are
    variable also {Puts service uid uidchar timestamp gmtoffset initializeState deliver_old}
    variable unseen 1        ;# whether there may be traces that nobody has looked for
    variable traced          ;# procedure -> 1 while it is gone through for the sake of a trace alone
    variable readers {}      ;# verbs that may read by themselves from the client...
    variable initials        ;# ...and their first letters, as clients may write them
    variable cut             ;# number -> 1 while a line has been taken as far as it has come
    array set initials {}
    variable run 0           ;# counts the calls of such verbs
    variable awaited         ;# number -> 1 while such a verb has been sent to the engine, and has not been run
    array set traced {}
    array set cut {}
    array set awaited {}
}

# ::pysmtpd::Replaced --
#
#   Tell whether a script has taken over one of some procedures.
#
proc ::pysmtpd::Replaced {args} {
    variable ours
    foreach name $args {
        if {![info exists ours($name)]} {
            return 1
        }
    }
    return 0
}

# ::pysmtpd::TakenOver --
#
#   Note that a script has renamed or redefined a procedure: it is asked for from now on; or that ours is back. Called by traces.
#
proc ::pysmtpd::TakenOver {name old new operation} {
    variable frames
    variable traced
    unset -nocomplain traced($name)
    set frames($name) $new
    SetOurs $name [string equal $new ::smtpd::$name]
}

# ::pysmtpd::FindTraced --
#
#   A procedure whose calls a script has traced is to be called, too.
#
proc ::pysmtpd::FindTraced {} {
    variable ours
    variable traced
    variable unseen 0
    foreach name [array names traced] {
        if {![llength [trace info execution ::smtpd::$name]]} {
            unset traced($name)
            SetOurs $name 1
        }
    }
    foreach name [array names ours] {
        if {[llength [trace info execution ::smtpd::$name]]} {
            set traced($name) 1
            SetOurs $name 0
        }
    }
}

# ::pysmtpd::SetOurs --
#
#   Have a procedure gone through, or not.
#
proc ::pysmtpd::SetOurs {name are} {
    variable ours
    variable channels
    if {[info exists ours($name)] == $are} {
        return
    }
    if {$are} {
        set ours($name) 1
    } else {
        unset ours($name)
    }
    Changed
    if {$name eq "Puts"} {
        [expr {$are ? "SayAtOnce" : "SayByScript"}]
    } elseif {$name eq "service"} {
        foreach {number channel} [array get channels] {
            if {![catch {chan event $channel readable} handler] && [string match ::pysmtpd::* $handler]} {
                Listen $number $channel
            }
        }
    }
}

# ::pysmtpd::ByScript --
#
#   Return the verbs that are the script's affair: those it has taken over, and those of whose doings it has taken over a part.
#
proc ::pysmtpd::ByScript {} {
    variable readers {}
    variable initials
    array unset initials
    set verbs {}
    foreach verb $::smtpd::commands {
        if {[Replaced $verb] || ($verb eq "DATA" && [Replaced uid uidchar timestamp gmtoffset])
            || ($verb eq "RSET" && [Replaced initializeState])} {
            lappend verbs $verb
        }
        if {[MayRead $verb]} {
            lappend readers $verb
            set initials([string index $verb 0]) 1
            set initials([string tolower [string index $verb 0]]) 1
        }
    }
    return $verbs
}

# ::pysmtpd::MayRead --
#
#   Tell whether a verb is one that the script has added, or its own DATA: it may read by itself from the client.
#
proc ::pysmtpd::MayRead {verb} {
    variable frames
    return [expr {($verb eq "DATA" || ![info exists frames($verb)]) && [Replaced $verb] && [info procs ::smtpd::$verb] ne ""}]
}

# ::pysmtpd::DoPart --
#
#   The engine has handled a command: do what is the script's part in it.
#
proc ::pysmtpd::DoPart {channel verb} {
    upvar #0 ::smtpd::state_$channel State
    if {$verb eq "RSET" && [Replaced initializeState]} {
        ::smtpd::initializeState $channel
    } elseif {$verb eq "DATA" && [Replaced uid uidchar timestamp gmtoffset]} {
        if {[string is true -strict [::smtpd::state $channel indata]]} {
            set id [From uid $State(id)]
            ::smtpd::state $channel id $id data [lreplace $State(data) end end "\tid $id; [From timestamp [Now]]"]
        }
    }
}

# ::pysmtpd::From --
#
#   Return what a procedure of the script's own does; something else where it fails, which is an error in the background.
#
proc ::pysmtpd::From {name otherwise} {
    if {[catch {::smtpd::$name} result settings]} {
        Background $result $settings
        return $otherwise
    }
    return $result
}

# ::pysmtpd::Now --
#
#   Return the local time as RFC 5322, 3.3, writes it.
#
proc ::pysmtpd::Now {} {
    return [clock format [clock seconds] -format {%a, %d %b %Y %H:%M:%S %z}]
}

# ::pysmtpd::SayByScript, SayAtOnce --
#
#   Have each line of a reply go through the script's ::smtpd::Puts, and none kept for later; or not any more.
#
proc ::pysmtpd::SayByScript {} {
    variable writer ::pysmtpd::WriteOctets
    # The package may have been loaded once more.
    catch {rename ::pysmtpd::WriteOctets {}}
    catch {rename ::pysmtpd::HoldOctets {}}
    rename ::pysmtpd::Write ::pysmtpd::WriteOctets
    rename ::pysmtpd::Hold ::pysmtpd::HoldOctets
    interp alias {} ::pysmtpd::Write {} ::pysmtpd::PutLines
    interp alias {} ::pysmtpd::Hold {} ::pysmtpd::PutLines
}
proc ::pysmtpd::SayAtOnce {} {
    variable writer
    if {$writer eq "::pysmtpd::Write"} {
        return
    }
    set writer ::pysmtpd::Write
    interp alias {} ::pysmtpd::Write {}
    interp alias {} ::pysmtpd::Hold {}
    rename ::pysmtpd::WriteOctets ::pysmtpd::Write
    rename ::pysmtpd::HoldOctets ::pysmtpd::Hold
}

# ::pysmtpd::PutLines --
#
#   Have replies sent by the script's ::smtpd::Puts, with the channel as it expects it. Not what TLS says: under it, and where it
#   begins, replies are the engine's affair.
#
proc ::pysmtpd::PutLines {number bytes} {
    variable channels
    variable lent
    variable busy
    variable encrypted
    if {[info exists encrypted($number)] || ![string match {[0-9]*} $bytes]} {
        WriteOctets $number $bytes
        return
    }
    if {![info exists channels($number)]} {
        return
    }
    set channel $channels($number)
    # What the client sends while this one runs waits, as for a callback.
    set nested [info exists busy($number)]
    if {!$nested} {
        set busy($number) reply
    }
    if {![info exists lent($number)]} {
        Lend $number
    }
    foreach line [lrange [split [string map {\r\n \n} $bytes] \n] 0 end-1] {
        PutLine $number $line
    }
    if {!$nested && ![AfterCallback $number $channel 0]} {
        Drop $number
    }
}

# ::pysmtpd::PutLine --
#
#   Have one line sent by the script. Where that fails and has said nothing, say it all the same.
#
proc ::pysmtpd::PutLine {number line} {
    variable channels
    variable spoken
    if {![info exists channels($number)]} {
        return
    }
    unset -nocomplain spoken($number)
    if {[catch {::smtpd::Puts $channels($number) $line} message settings]} {
        Background $message $settings
        if {[info exists channels($number)] && ![info exists spoken($number)]} {
            WriteOctets $number $line\r\n
        }
    }
    if {[info exists channels($number)]} {
        set spoken($number) 1
    }
}

# ::pysmtpd::Adopt --
#
#   Begin a session on a connection that an accept of the script's own has taken without calling ours: it has greeted the client,
#   and has made the state. Nothing happens to another channel.
#
proc ::pysmtpd::Adopt {channel} {
    variable numbers
    upvar #0 ::smtpd::state_$channel State
    if {![info exists State(client_addr)] || ![info exists State(client_port)] || $channel ni [chan names $channel]} {
        return
    }
    set handler [chan event $channel readable]
    Open $channel $State(client_addr) $State(client_port) adopted
    if {![info exists numbers($channel)]} {
        return
    }
    if {[IsForeign $channel $handler]} {
        chan event $channel readable $handler
    }
    foreach item {access domain from to options id} {
        if {[info exists State($item)] && $State($item) ne ""} {
            Assign $numbers($channel) $item
        }
    }
}

# ::pysmtpd::Serve --
#
#   A client has sent something, which is for the script's ::smtpd::service.
#
proc ::pysmtpd::Serve {number channel} {
    variable channels
    variable busy
    variable heard
    variable idle
    variable lent
    variable encrypted
    if {[info exists busy($number)]} {
        Suspend $number $channel
        return
    }
    if {$idle} {
        set heard($number) [::tcl::clock::milliseconds]
    }
    if {![info exists lent($number)] && ![info exists encrypted($number)]} {
        Lend $number
    }
    if {[catch {::smtpd::service $channel} message settings]} {
        Background $message $settings
    }
    if {![info exists channels($number)]} {
        return
    }
    if {$channel ni [chan names $channel]} {
        Drop $number
    } elseif {[info exists lent($number)] && ![info exists busy($number)]} {
        TakeBack $number
    }
}

# ::pysmtpd::ReadLines --
#
#   A client has sent something, and a verb of the script's own may want to read on by itself: take all lines up to the next such
#   verb, and have done with it before anything else is read.
#
proc ::pysmtpd::ReadLines {number channel} {
    variable channels
    variable busy
    variable lent
    variable encrypted
    variable heard
    variable idle
    variable awaited
    if {$idle} {
        set heard($number) [::tcl::clock::milliseconds]
    }
    if {[info exists awaited($number)] && ![info exists busy($number)]} {
        unset awaited($number)
        link::await_verb $number
        if {![info exists channels($number)] || [info exists lent($number)]} {
            return
        }
    }
    if {[info exists busy($number)]} {
        Suspend $number $channel
    } elseif {[info exists encrypted($number)]} {
        link::readable $number $channel
    } elseif {[chan pending output $channel] > $::pysmtpd::max_unread} {
        Drain $number $channel
    } elseif {[catch {NextLines $number $channel} lines]} {
        Lose $number $lines
    } else {
        lassign $lines data reads
        if {$reads} {
            set awaited($number) 1
        }
        if {[string length $data]} {
            link::take $number $channel $data
        } elseif {[eof $channel]} {
            link::readable $number $channel
        }
        if {[info exists awaited($number)] && [chan pending input $channel]} {
            unset awaited($number)
            link::await_verb $number
        }
    }
}

# ::pysmtpd::NoteRun --
#
#   A verb of the script's own is about to be run: one that may read by itself need not be waited for any more.
#
proc ::pysmtpd::NoteRun {number verb} {
    variable readers
    variable run
    variable awaited
    if {$verb in $readers} {
        incr run
        unset -nocomplain awaited($number)
    }
}

# ::pysmtpd::NextLines --
#
#   Read lines up to the first that may be for a verb which reads by itself, or what there is. Raises an error when the connection
#   is gone.
#
# Results:
#   What was read, and whether it ends in such a line.
#
proc ::pysmtpd::NextLines {number channel} {
    variable readers
    variable initials
    variable cut
    set lines {}
    set room 65536
    set reads 0
    while {!$reads && $room > 0 && [set size [gets $channel line]] >= 0} {
        lappend lines $line
        if {[eof $channel]} {
            return [list [join $lines \n] 0]
        }
        incr room -$size
        if {[info exists initials([string index $line 0])] || [info exists cut($number)]} {
            set reads [expr {[info exists cut($number)] || [string toupper [lindex [split $line] 0]] in $readers}]
            unset -nocomplain cut($number)
        }
    }
    set data [join $lines \n] ;# not by [expr], which would make 0 of 00
    if {[llength $lines]} {
        append data \n
    }
    if {!$reads && $room > 0 && [chan pending input $channel]} {
        append data [read $channel 65536]
        if {[string index $data end] ne "\n"} {
            set cut($number) 1
        }
    }
    return [list $data $reads]
}

# ::pysmtpd::ServeLine --
#
#   The script's ::smtpd::service calls the original: take one line, as that does, and have done with it when this returns.
#
proc ::pysmtpd::ServeLine {number channel} {
    variable busy
    variable encrypted
    variable watched
    set line {}
    if {[info exists encrypted($number)] || [catch {gets $channel line} size] || $size < 0} {
        # Octets, too, need not be lines; and the end is not one.
        link::readable $number $channel
    } else {
        set ending [expr {[eof $channel] ? "" : "\n"}]
        link::take $number $channel $line$ending
    }
    link::await $number
    # The lines of a message are not shown as they come: it would take the square of their number.
    if {[info exists watched($number)] && ![info exists busy($number)] && (!$watched($number) || $line in {. .\r})} {
        ShowChanges $number
    }
}
