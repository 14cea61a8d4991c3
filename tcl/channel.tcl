# Connections: Tcl's own channels, carried to the engine and back.
#
# A session has a number, by which the engine knows it; numbers are never used again, channel names are. The link says
# what there is to do by calling Perform (or Ask, for a question), once per action.

namespace eval ::pysmtpd {
    # Tcl 9 raises an error for what an encoding has not; a server takes whatever comes, as Tcl 8 does.
    variable encode {encoding convertto}
    variable decode {encoding convertfrom}
    variable ascii {-encoding ascii}
    if {[package vsatisfies [package provide Tcl] 9-]} {
        lappend encode -profile tcl8
        lappend decode -profile tcl8
        lappend ascii -profile tcl8
    }

    variable has_nodelay [package vsatisfies [package provide Tcl] 8.7-]

    # Live sessions, when there is room for so many.
    variable max_sessions [expr {[package vsatisfies [package provide Tcl] 9-] ? 100000 : 960}]

    variable serial          ;# of the last session; the package may be loaded once more, with sessions there
    if {![info exists serial]} {
        set serial 0
    }
    variable channels        ;# number -> channel
    variable numbers         ;# channel -> number
    variable busy            ;# number -> 1 while a callback of the session runs; reply while a script's own Puts does
    variable suspended       ;# number -> the handler it had, while nothing is read from it, though there may be something
    variable held            ;# number -> reply bytes that go out with the next ones
    variable spoken          ;# number -> 1 when a script has sent a line of its own in the course of a callback
    array set channels {}
    array set numbers {}
    array set busy {}
    array set suspended {}
    array set held {}
    array set spoken {}
}

# ::pysmtpd::Open --
#
#   Begin a session on a new connection; turn the client away when there are too many, or no engine.
#
# Arguments:
#   how      opened, or adopted: somebody else has greeted the client
#
proc ::pysmtpd::Open {channel address port {how opened}} {
    variable serial
    variable channels
    variable numbers
    variable standing
    variable max_sessions
    if {$::pysmtpd::has_nodelay} {
        catch {chan configure $channel -nodelay 1}
    }
    chan configure $channel -blocking 0 -buffering none -translation binary -buffersize 65536
    if {[array size channels] >= $max_sessions} {
        DropClosed
    }
    if {[array size channels] >= $max_sessions || ![HasRoom]} {
        TurnAway $channel
        return
    }
    variable unseen
    if {$unseen} {
        FindTraced
    }
    if {[Replaced timestamp gmtoffset]} {
        Changed ;# the time in the greeting is another one each time
    }
    link::look
    if {[catch {link::ready} message]} {
        Note error $message
        TurnAway $channel
        return
    }
    if {[info exists numbers($channel)]} {
        # A callback closed the connection that had this name before, and is still running.
        Abandon $numbers($channel)
    }
    set number [incr serial]
    variable told
    variable lone
    set channels($number) $channel
    set lone [expr {[array size channels] == 1}]
    set numbers($channel) $number
    set told($number) {{} {}}
    set standing($number) 0
    Listen $number $channel
    Observe $number $channel
    link::$how $number $address $port $channel
}

# ::pysmtpd::Suspend --
#
#   Stop reading from a client for now.
#
proc ::pysmtpd::Suspend {number channel} {
    variable suspended
    variable standing
    set standing($number) 0
    set handler [chan event $channel readable]
    if {$handler ne "" || ![info exists suspended($number)]} {
        set suspended($number) $handler
        chan event $channel readable {}
    }
}

# ::pysmtpd::Resume --
#
#   Read from a client again, if that had been stopped.
#
proc ::pysmtpd::Resume {number} {
    variable suspended
    variable channels
    if {[info exists suspended($number)] && [info exists channels($number)]} {
        set channel $channels($number)
        if {[IsForeign $channel $suspended($number)]} {
            chan event $channel readable $suspended($number)
        } else {
            Listen $number $channel
        }
        unset suspended($number)
    }
}

# ::pysmtpd::Drain --
#
#   Read nothing more from a client before it has read its replies.
#
proc ::pysmtpd::Drain {number channel} {
    Suspend $number $channel
    chan event $channel writable [list ::pysmtpd::Drained $number $channel]
}

# ::pysmtpd::Drained --
#
#   The client has read its replies.
#
proc ::pysmtpd::Drained {number channel} {
    chan event $channel writable {}
    Resume $number
}

# ::pysmtpd::Perform --
#
#   Do what the engine says, questions aside.
#
proc ::pysmtpd::Perform {number action argument} {
    variable channels
    if {![info exists channels($number)]} {
        return
    }
    switch -- $action {
        write {
            Write $number $argument
        }
        hold {
            Hold $number $argument
        }
        log {
            Note {*}$argument
        }
        tls {
            Encrypted $number $argument
        }
        state {
            Learn $number $argument
        }
        wait {
            Suspend $number $channels($number)
        }
        drain {
            Drain $number $channels($number)
        }
        close {
            Finish $number
        }
        lost {
            # The connection broke: what was unfinished stays unfinished.
            Note error $argument
            Drop $number
        }
        broken {
            Note error "the engine failed: $argument"
            set channel $channels($number)
            set secret [IsEncrypted $number]
            Forget $number
            TurnAway $channel $secret
        }
    }
}

# ::pysmtpd::Note --
#
#   Write to the log. One that fails is the script's affair, and an error in the background: no session depends on it.
#
proc ::pysmtpd::Note {level text} {
    if {[catch {::smtpd::Log $level $text} message settings]} {
        Background $message $settings
    }
}

# ::pysmtpd::Write --
#
#   Send replies, those held back first, in one write.
#
proc ::pysmtpd::Write {number bytes} {
    variable channels
    variable held
    if {![info exists channels($number)]} {
        return
    }
    if {[info exists held($number)]} {
        set bytes $held($number)$bytes
        unset held($number)
    }
    variable lent
    if {[info exists lent($number)]} {
        set failed [catch {WriteLent $number $bytes} message]
    } else {
        set failed [catch {puts -nonewline $channels($number) $bytes} message]
    }
    if {$failed} {
        Note error $message
        Drop $number
    }
}

# ::pysmtpd::Say --
#
#   Send a script's own line to a client.
#
# Results:
#   Nothing.
#
proc ::pysmtpd::Say {channel line} {
    variable numbers
    variable spoken
    variable encrypted
    variable encode
    set spoken($numbers($channel)) 1
    set bytes [{*}$encode ascii $line]
    if {[info exists encrypted($numbers($channel))]} {
        link::say $numbers($channel) $bytes
        return
    }
    variable writer
    $writer $numbers($channel) $bytes
}

# ::pysmtpd::Hold --
#
#   Keep replies for the next write. TCP would delay the second of two small writes until the client acknowledges the
#   first, and clients take their time (RFC 1122, 4.2.3.2 and 4.2.3.4); Tcl 8.6 cannot turn that off.
#
proc ::pysmtpd::Hold {number bytes} {
    variable channels
    variable held
    if {[info exists channels($number)]} {
        append held($number) $bytes
    }
}

# ::pysmtpd::Release --
#
#   Send what is held back for a session, or for all of them: the script runs its event loop in a callback, or ends.
#
proc ::pysmtpd::Release {{number *} args} {
    variable held
    foreach number [array names held $number] {
        Write $number {}
    }
}

# ::pysmtpd::Ask --
#
#   Put the engine's question to the script.
#
# Arguments:
#   number    the session
#   question  its kind, what changed in the session's state, and the question's own values
#
# Results:
#   What the engine is to be told: nothing for yes; else return code, result and errorCode of the callback.
#
proc ::pysmtpd::Ask {number question} {
    variable channels
    variable busy
    variable held
    if {![info exists channels($number)]} {
        return {}
    }
    set channel $channels($number)
    set values [lassign $question kind changes]
    # A callback may have the engine handle a command, in the course of which another question comes up.
    set nested [info exists busy($number)]
    if {!$nested} {
        set busy($number) 1
    }
    if {$kind eq "deliver"} {
        # With no [expr], which would make a string of the lines.
        if {[llength $values]} {
            set lines [split [lindex $values 0] \n]
        } else {
            set lines [link::lines $number]
        }
        variable told
        variable deliverable
        LearnMessage $number $changes $lines
        set deliverable($channel) [list {*}$told($number) $lines]
    } else {
        Learn $number $changes
    }
    variable watched
    if {[info exists watched($number)]} {
        ShowInCallback $number $channel
    }
    if {[info exists held($number)]} {
        # tclint-disable-next-line command-args
        set timer [after 0 [list ::pysmtpd::Release $number]]
    }
    set verdict [Callback $kind $channel $values]
    if {$kind eq "deliver"} {
        unset -nocomplain deliverable($channel)
    }
    if {[info exists timer]} {
        after cancel $timer
    }
    return [ConcludeCallback $number $channel $nested $kind $verdict]
}

# ::pysmtpd::ConcludeCallback --
#
#   A callback has returned: go on with its session.
#
# Results:
#   The verdict, as far as there is still anybody whom it concerns.
#
proc ::pysmtpd::ConcludeCallback {number channel nested kind verdict} {
    variable channels
    set there [AfterCallback $number $channel $nested]
    if {![info exists channels($number)]} {
        return {}
    }
    if {!$there} {
        # The callback closed the connection. A verb has said what it had to say before that.
        if {$kind ne "command"} {
            Note error "can not find channel named \"$channel\""
        }
        Drop $number
    }
    return $verdict
}

# ::pysmtpd::AskAboutMessage --
#
#   Put the engine's question about a message to the script, as Ask does.
#
# Arguments:
#   changes  what changed in the session's state
#   text     the message
#
proc ::pysmtpd::AskAboutMessage {number channel changes text} {
    variable busy
    variable standing
    variable latest
    variable told
    variable deliverable
    if {[info exists busy($number)] || [info exists ::pysmtpd::held($number)] || [info exists ::pysmtpd::watched($number)]} {
        return [Ask $number [list deliver $changes $text]]
    }
    set busy($number) 1
    set standing($number) -1
    set lines [split $text \n]
    if {[llength $changes] == 2 && [lindex $changes 0] eq "id"} {
        # Nearly always. Whoever looks, looks at the last one.
        set latest($number) [list {*}$changes data $lines indata 0]
    } else {
        LearnMessage $number $changes $lines
    }
    set deliverable($channel) [list {*}$told($number) $lines]
    if {[info exists ::pysmtpd::ours(deliver)] && [info exists ::smtpd::options(deliverMIME)]
        && $::smtpd::options(deliverMIME) eq ""} {
        # All that our own [deliver] would do.
        set code [catch {::smtpd::deliver_old $channel} result settings]
    } else {
        variable delivery
        # tclint-disable-next-line command-args
        lassign [apply $delivery $channel] code result settings
    }
    unset -nocomplain deliverable($channel)
    set verdict {}
    if {$code} {
        set verdict [list $code $result [ErrorCode $settings]]
    }
    if {![info exists standing($number)] || $standing($number) != -1} {
        return [ConcludeCallback $number $channel 0 deliver $verdict]
    }
    unset busy($number)
    return $verdict
}

# ::pysmtpd::AfterCallback --
#
#   The script's code has returned: tell the engine what it has written, and go on with the session, unless that is in the course
#   of another callback.
#
# Results:
#   Whether the connection is still there; whoever calls ends the session otherwise.
#
proc ::pysmtpd::AfterCallback {number channel nested} {
    variable channels
    variable busy
    variable lent
    variable written
    variable opened
    if {!$nested} {
        unset -nocomplain busy($number)
        if {[info exists lent($number)]} {
            TakeBack $number
        }
    }
    if {![info exists channels($number)]} {
        return 0
    }
    if {[info exists written($number)]} {
        Commit $number
    }
    if {$channel ni [chan names $channel]} {
        return 0
    }
    if {!$nested} {
        if {[info exists opened($number)]} {
            Close $number
        }
        Resume $number
    }
    return 1
}

# ::pysmtpd::Service --
#
#   Handle what has come on a session's connection, as if the event loop had said so; on a channel of which nothing is known, only
#   its end.
#
proc ::pysmtpd::Service {channel} {
    variable numbers
    variable busy
    variable lent
    if {![info exists numbers($channel)]} {
        Adopt $channel
    }
    if {[info exists numbers($channel)]} {
        set number $numbers($channel)
        if {[info exists busy($number)]} {
            Suspend $number $channel
            return
        }
        if {[info exists lent($number)]} {
            Reclaim $number
        }
        variable readers
        variable watched
        if {[Replaced service] || [info exists watched($number)]} {
            ServeLine $number $channel
        } elseif {[llength $readers]} {
            ReadLines $number $channel
        } else {
            link::readable $number $channel
        }
    } elseif {[eof $channel]} {
        close $channel
    }
}

# ::pysmtpd::Command --
#
#   Have the engine handle a command that a script has taken over, or calls by itself.
#
# Results:
#   Of HELP, what came of saying the last line: nothing. Of the others, nothing at all.
#
proc ::pysmtpd::Command {channel verb line} {
    variable numbers
    if {[info exists numbers($channel)]} {
        Commit $numbers($channel)
        link::command $numbers($channel) $verb $line
        DoPart $channel $verb
        return
    }
    set said [ByHand $channel $verb $line]
    DoPart $channel $verb
    return [expr {$verb eq "HELP" ? $said : {}}]
}

# ::pysmtpd::Finish --
#
#   Close a connection after its last reply. What the client sent behind its QUIT is read first: closing over unread bytes
#   would reset the connection, and the reply with it.
#
proc ::pysmtpd::Finish {number} {
    variable channels
    Release $number
    if {![info exists channels($number)]} {
        return
    }
    set channel $channels($number)
    variable lent
    if {[info exists lent($number)]} {
        catch {AsOctets $number}
    }
    Forget $number
    if {[catch {read $channel 65536} rest] || ![string length $rest] || [eof $channel]} {
        catch {close $channel}
        return
    }
    Linger $channel
}

# ::pysmtpd::TurnAway --
#
#   Close a connection that cannot be served, with a reply that says so. Under TLS nobody is left who could say it.
#
proc ::pysmtpd::TurnAway {channel {secret 0}} {
    if {!$secret} {
        catch {
            chan configure $channel -translation binary
            puts -nonewline $channel [link::unavailable]
        }
    }
    catch {close $channel}
    unset -nocomplain ::smtpd::state_$channel
}

# ::pysmtpd::Drop --
#
#   End a session whose connection is gone, and tell the engine.
#
proc ::pysmtpd::Drop {number} {
    variable channels
    if {[info exists channels($number)]} {
        catch {close $channels($number)}
        Forget $number
        link::forget $number
    }
}

# ::pysmtpd::DropClosed --
#
#   End the sessions whose channels a script has closed by itself: of that we are not told.
#
proc ::pysmtpd::DropClosed {} {
    variable channels
    variable busy
    foreach channel [chan names] {
        set open($channel) 1
    }
    foreach {number channel} [array get channels] {
        if {![info exists open($channel)] && ![info exists busy($number)]} {
            Drop $number
        }
    }
}

# ::pysmtpd::Abandon --
#
#   End a session whose channel's name belongs to another one by now.
#
proc ::pysmtpd::Abandon {number} {
    Clear $number
    link::forget $number
}

# ::pysmtpd::Forget --
#
#   Let go of everything kept for a session.
#
proc ::pysmtpd::Forget {number} {
    variable channels
    if {[info exists channels($number)]} {
        set channel $channels($number)
        Clear $number
        # The array comes last: who writes there while there is a session is heard.
        unset -nocomplain ::smtpd::state_$channel
    }
}

# ::pysmtpd::Clear --
#
#   Let go of what is kept by the number of a session.
#
proc ::pysmtpd::Clear {number} {
    variable channels
    variable numbers
    variable busy
    variable suspended
    variable held
    variable spoken
    variable heard
    variable encrypted
    variable lent
    variable standing
    variable untold
    variable written
    variable opened
    variable pending
    variable latest
    variable told
    variable cut
    variable awaited
    variable watched
    variable lone
    unset -nocomplain numbers($channels($number)) channels($number) busy($number) suspended($number) held($number) \
        spoken($number) heard($number) encrypted($number) lent($number) standing($number) untold($number) \
        written($number) opened($number) pending($number) latest($number) told($number) cut($number) \
        awaited($number) watched($number)
    set lone [expr {[array size channels] == 1}]
}

# A script that ends, by whatever road, ends with [exit]: tclsh itself calls it after the last command.
# In a program with tkinter there is no such command.
catch {trace add execution ::exit enter {::pysmtpd::Release *}}
