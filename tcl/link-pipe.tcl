# The link to the engine where it runs in a Python child process, over the child's stdin and stdout.
#
# Bytes are measured with [string length], never compared: a comparison would make a string of them, and slow ones from then on.
# Frames of many sessions travel together, and nothing here waits for one, except for the result of a call that the script
# itself makes. pysmtpd/drivers/frames.py describes the frames. When the child is gone its sessions get a 421, and the next
# one that is needed starts anew, with the same settings.

namespace eval ::pysmtpd::link {
    variable folder [file dirname [file normalize [info script]]]
    # The package may be loaded once more, with sessions there.
    if {![info exists [namespace current]::pipe]} {
        variable pipe {}      ;# the channel to the child; empty when there is none
        variable generation 0 ;# counts the children
        variable received {}  ;# bytes of frames not yet handled...
        variable position 0   ;# ...from here on
        variable needed 9     ;# octets without which there is no use looking
        variable farewell {}  ;# the reply for clients whose engine is gone; the engine's own words
        variable watch {}     ;# the timer of the next look
        variable heard 0      ;# counts what the child has said
        variable posted 0     ;# whether what has gathered is about to be sent
        variable waiting {}   ;# sessions not read from because the child has enough to do
    }
    variable patience 15000   ;# milliseconds a new child may take before it counts as broken
    variable pulse 2000       ;# milliseconds between two looks whether a silent child is stopped
    variable ahead            ;# number -> large chunks on their way to the child
    variable renamed          ;# number -> 1 while its message may have another id than the one that the child knew
    variable begun            ;# number -> how a session was opened of which the child has not said anything yet
    variable turn             ;# number -> how many frames were sent for a session since it was opened
    variable full             ;# number -> 1 while so much waits for the answer to a question that nothing more is read
    array set ahead {}
    array set full {}
    array set begun {}
    array set turn {}
    variable gathered         ;# number -> the lines of a large message, a list of lists, as far as they have come
    array set renamed {}
    array set gathered {}

    # How much may be on its way to the child: large chunks of one session, and octets in all.
    variable max_ahead 8
    variable max_pending 8388608
}

# ::pysmtpd::link::Python --
#
#   Return the command line of the Python to run, and what chose it.
#
proc ::pysmtpd::link::Python {} {
    variable folder
    if {[info exists ::env(PYSMTPD_PYTHON)] && $::env(PYSMTPD_PYTHON) ne ""} {
        return [list $::env(PYSMTPD_PYTHON) "PYSMTPD_PYTHON"]
    }
    if {[info exists ::pysmtpd::python]} {
        return [list $::pysmtpd::python "the Python that this interpreter runs in"]
    }
    foreach candidate [Installed $folder] {
        if {[file executable $candidate]} {
            return [list $candidate "the Python that pysmtpd was installed with"]
        }
    }
    return [list python3 "PATH"]
}

# ::pysmtpd::link::Installed --
#
#   Return where the Python is that the package was installed with, as far as one can tell: what the index of "pysmtpd
#   install-tcl" says, the record that "pysmtpd tcl-path" leaves in a checkout, the environment whose site-packages we are in.
#
proc ::pysmtpd::link::Installed {folder} {
    set candidates {}
    if {[info exists ::pysmtpd::python]} {
        lappend candidates $::pysmtpd::python
    }
    if {![catch {open [file join $folder interpreter]} record]} {
        lappend candidates [string trim [read $record]]
        close $record
    }
    set packages [file dirname [file dirname $folder]]
    if {[file tail $packages] in {site-packages dist-packages}} {
        set version [file tail [file dirname $packages]]
        set prefix [file dirname [file dirname [file dirname $packages]]]
        lappend candidates [file join $prefix bin $version] [file join $prefix bin python3] \
            [file join [file dirname [file dirname $packages]] Scripts python.exe]
    }
    return $candidates
}

# ::pysmtpd::link::ready --
#
#   See to it that the child runs and has the current settings. Raises an error that says what is wrong and what to do.
#
proc ::pysmtpd::link::ready {} {
    variable pipe
    variable farewell
    if {$pipe ne "" && !$::pysmtpd::changed} {
        return
    }
    ::pysmtpd::CatchUpAll
    array unset ::pysmtpd::known
    Overtake
    set settings [::pysmtpd::Settings]
    set fresh [expr {$pipe eq ""}]
    if {$fresh} {
        Launch
        set settings [linsert $settings 0 overrides environment]
    }
    lassign [Request 7 $settings] outcome value code
    if {$outcome ne "ok"} {
        if {!$fresh && $pipe eq ""} {
            # It was dying already, and nobody had heard of it yet. Of a fresh one, the same is an error.
            ready
            return
        }
        if {$code eq "PYSMTPD CONFIGURE" && [lindex $settings 0] eq "overrides"} {
            Stop
        }
        return -code error -errorcode $code $value
    }
    set ::pysmtpd::changed 0
    lassign $value farewell idle
    ::pysmtpd::SetIdle $idle
}

# ::pysmtpd::link::Overtake --
#
#   The child is given other settings: what it says before it has them is not the last word on any session's standing.
#
proc ::pysmtpd::link::Overtake {} {
    variable turn
    foreach number [array names turn] {
        incr turn($number)
    }
    ::pysmtpd::DoubtAll
}

# ::pysmtpd::link::look --
#
#   See whether the child is still there, before a new client depends on it: word of its end may not have been heard yet.
#
proc ::pysmtpd::link::look {} {
    variable pipe
    variable received
    if {$pipe eq ""} {
        return
    }
    if {[catch {read $pipe} bytes] || (![string length $bytes] && [eof $pipe])} {
        Gone
    } elseif {[string length $bytes]} {
        append received $bytes
        # tclint-disable-next-line command-args
        after 0 ::pysmtpd::link::Handle
    }
}

# ::pysmtpd::link::Launch --
#
#   Start the child.
#
proc ::pysmtpd::link::Launch {} {
    variable folder
    variable pipe
    variable generation
    variable received {}
    variable position 0
    variable needed 9
    lassign [Python] python origin
    set program [file join [file dirname $folder] pysmtpd drivers pipe.py]
    if {![file exists $program]} {
        # In an installed package this folder stands inside it.
        set program [file join [file dirname $folder] drivers pipe.py]
    }
    if {[catch {OpenPipe [list $python -S -P $program]} opened]} {
        return -code error -errorcode {PYSMTPD ENGINE} "cannot start the Python engine: $opened ($python comes from $origin);\
            set PYSMTPD_PYTHON to a Python 3.11 or later"
    }
    set pipe $opened
    incr generation
    chan configure $pipe -blocking 0 -translation binary -buffering full -buffersize 1000000
    chan event $pipe readable ::pysmtpd::link::Readable
}

# ::pysmtpd::link::OpenPipe --
#
#   Run a command line with pipes to its stdin and stdout; return their channel. Where the script has closed a standard channel,
#   Tcl would give its name to this one: the frames, and whatever the script prints.
#
proc ::pysmtpd::link::OpenPipe {words} {
    variable folder
    set places {}
    foreach name {stdin stdout stderr} {
        if {[catch {chan configure $name}]} {
            lappend places [open [file join $folder link-pipe.tcl]]
        }
    }
    try {
        if {[catch {open |[list {*}$words 2>@stderr] r+} channel]} {
            # A script's stderr may be nothing that one can write to.
            set channel [open |[list {*}$words 2>/dev/null] r+]
        }
        return $channel
    } finally {
        foreach place $places {
            close $place
        }
    }
}

# ::pysmtpd::link::Request --
#
#   Send a request and wait for its result; frames for sessions stay where they are, to be handled afterwards. A child
#   that is gone, or that does not even come up in time, is an error, not a wait without end.
#
proc ::pysmtpd::link::Request {operation texts {session 0}} {
    variable pipe
    variable received
    variable position
    variable patience
    Send $operation $session [Pack $texts]
    catch {flush $pipe}
    # A call takes as long as the function called; settings are taken at once, or the child is broken.
    set deadline [expr {$operation == 7 ? [::tcl::clock::milliseconds] + $patience : 0}]
    set scan $position
    while 1 {
        while {[string length $received] - $scan >= 9} {
            binary scan $received "@${scan}IucuIu" length found number
            if {[string length $received] - $scan - 9 < $length} {
                break
            }
            set payload [string range $received [expr {$scan + 9}] [expr {$scan + 8 + $length}]]
            set frame_end [expr {$scan + 9 + $length}]
            if {$found == 21} {
                set received [string replace $received $scan [expr {$frame_end - 1}]]
                if {[string length $received]} {
                    # Whatever came besides is handled when the event loop runs next.
                    after 0 ::pysmtpd::link::Handle
                }
                return [{*}$::pysmtpd::decode utf-8 $payload]
            }
            if {$found == 22} {
                # What a function prints is seen while it runs.
                set received [string replace $received $scan [expr {$frame_end - 1}]]
                Print $payload
                continue
            }
            set scan $frame_end
        }
        if {![Fill $deadline]} {
            lassign [Python] python origin
            Gone
            return [list error "the Python engine ($python, from $origin) ended or did not answer; its own message, if any,\
                is on stderr; set PYSMTPD_PYTHON to a Python 3.11 or later" {PYSMTPD ENGINE}]
        }
    }
}

# ::pysmtpd::link::Fill --
#
#   Wait for more bytes from the child, until a deadline in milliseconds (0: as long as the child lives). Other events
#   are not handled meanwhile: whoever called has asked for a result, not for a nested event loop.
#
proc ::pysmtpd::link::Fill {deadline} {
    variable pipe
    variable received
    variable pulse
    set turns 0
    set patient [expr {[::tcl::clock::microseconds] + 500}] ;# most answers come sooner than a sleep would end
    while 1 {
        if {$pipe eq "" || [catch {read $pipe} bytes]} {
            return 0
        }
        if {$deadline && [::tcl::clock::milliseconds] > $deadline} {
            # It may be anything that PYSMTPD_PYTHON names: it does not end with its input, or says something without end.
            Kill
            return 0
        }
        if {[string length $bytes]} {
            append received $bytes
            return 1
        }
        if {[eof $pipe]} {
            return 0
        }
        if {[incr turns] % $pulse == 0 && [IsStopped [pid $pipe]]} {
            KillStopped
            return 0
        }
        if {[chan pending output $pipe]} {
            # What did not fit into the pipe at once is the event loop's to send, and that does not run. Changing the mode
            # to and fro takes it back.
            chan configure $pipe -blocking 1
            chan configure $pipe -blocking 0
            catch {flush $pipe}
        }
        if {[::tcl::clock::microseconds] > $patient} {
            after 1
        }
    }
}

# ::pysmtpd::link::Pack --
#
#   Return texts as a payload.
#
proc ::pysmtpd::link::Pack {texts} {
    set payload {}
    foreach text $texts {
        set text [{*}$::pysmtpd::encode utf-8 $text]
        append payload [binary format Ia* [string length $text] $text]
    }
    return $payload
}

# ::pysmtpd::link::Send --
#
#   Put a frame on its way. What happens in one turn of the event loop leaves in one write.
#
proc ::pysmtpd::link::Send {operation number payload} {
    variable pipe
    variable generation
    variable turn
    if {$pipe eq ""} {
        return
    }
    if {[info exists turn($number)]} {
        incr turn($number)
    }
    if {[catch {puts -nonewline $pipe [binary format IcIa* [string length $payload] $operation $number $payload]}]} {
        # tclint-disable-next-line command-args
        after 0 [list ::pysmtpd::link::Gone $generation]
    }
}

# ::pysmtpd::link::Flush --
#
#   Send what has gathered.
#
proc ::pysmtpd::link::Flush {} {
    variable pipe
    variable generation
    variable posted 0
    if {$pipe ne "" && [catch {flush $pipe}]} {
        # tclint-disable-next-line command-args
        after 0 [list ::pysmtpd::link::Gone $generation]
    }
}

# ::pysmtpd::link::Post --
#
#   Send what has gathered, and all that the event loop has in store for us by now with it: many sessions then cost the child
#   one turn. With one or two, waiting for more would only take time.
#
proc ::pysmtpd::link::Post {} {
    variable posted
    if {[array size ::pysmtpd::channels] < 3} {
        Flush
    } elseif {!$posted} {
        set posted 1
        after 0 ::pysmtpd::link::Flush
    }
}

# ::pysmtpd::link::Readable --
#
#   The child says something, or is gone.
#
proc ::pysmtpd::link::Readable {} {
    variable pipe
    variable received
    variable heard
    if {[catch {read $pipe} bytes] || (![string length $bytes] && [eof $pipe])} {
        Gone
        return
    }
    append received $bytes
    incr heard
    Handle
}

# ::pysmtpd::link::Handle --
#
#   Do what the whole frames say. A callback may come back here through an event loop of its own: where we are is kept
#   outside, and each frame is taken off before it is acted on.
#
proc ::pysmtpd::link::Handle {} {
    variable received
    variable position
    variable needed
    while {[string length $received] - $position >= $needed} {
        binary scan $received "@${position}IucuIu" length operation number
        set needed [expr {9 + $length}]
        if {[string length $received] - $position < $needed} {
            break
        }
        set payload [string range $received [expr {$position + 9}] [expr {$position + 8 + $length}]]
        incr position $needed
        set needed 9
        if {$position == [string length $received]} {
            set received {}
            set position 0
        }
        Act $operation $number $payload
    }
    if {$position} {
        set received [string range $received $position end]
        set position 0
    }
    Flush
}

# ::pysmtpd::link::Act --
#
#   Do what one frame says.
#
proc ::pysmtpd::link::Act {operation number payload} {
    variable begun
    if {[info exists begun($number)]} {
        unset begun($number)
    }
    switch -- $operation {
        16 {
            ::pysmtpd::Write $number $payload
        }
        27 {
            variable turn
            binary scan $payload IuIua* heard standing reply
            if {[info exists turn($number)] && $turn($number) == $heard && !$::pysmtpd::changed} {
                set ::pysmtpd::standing($number) $standing
            }
            ::pysmtpd::Write $number $reply
        }
        24 {
            ::pysmtpd::Hold $number $payload
        }
        18 {
            Answer $number {*}[lrange $payload 0 6] [lrange $payload 7 end]
        }
        19 {
            binary scan $payload IuIuIuIuIuIu size1 size2 size3 more turns standing
            set second [expr {24 + $size1}]
            set third [expr {$second + $size2}]
            set text [expr {$third + $size3}]
            Answer $number deliver [string range $payload 24 $second-1] [string range $payload $second $third-1] $more $turns \
                $standing [string range $payload $third $text-1] [list [string range $payload $text end]]
        }
        30 {
            variable gathered
            if {[info exists ::pysmtpd::channels($number)]} {
                lappend gathered($number) [::pysmtpd::LinesOf $payload]
            }
        }
        20 {
            Tidy $number
            ::pysmtpd::Perform $number close {}
        }
        17 {
            ::pysmtpd::Perform $number log $payload
        }
        25 {
            ::pysmtpd::Perform $number state $payload
        }
        26 {
            ::pysmtpd::Perform $number tls $payload
        }
        22 {
            Print $payload
        }
        23 {
            Taken $number
        }
        31 {
            variable full
            if {[info exists ::pysmtpd::channels($number)]} {
                set full($number) 1
                ::pysmtpd::Suspend $number $::pysmtpd::channels($number)
            }
        }
        32 {
            variable full
            unset -nocomplain full($number)
            ::pysmtpd::Resume $number
        }
        28 {
            lassign $payload standing line reply next
            set ::pysmtpd::known($standing,$line) [list $reply $next]
        }
    }
}

# ::pysmtpd::link::command --
#
#   A script wants a command handled by the engine, whatever it has put in its place. Done when this returns, with all that
#   the engine asks on the way.
#
proc ::pysmtpd::link::command {number verb line} {
    ::pysmtpd::CatchUp $number
    set ::pysmtpd::standing($number) 0
    lassign [::pysmtpd::Result [Request 10 [list $verb $line] $number]] before open
    ActFor $number
    if {$open > $before} {
        # The question that came up has been answered just now; there may be another one.
        await $number $before
    }
}

# ::pysmtpd::link::await --
#
#   A script wants the engine to have done all there is to do for a session by now, with all that it asks on the way.
#
# Arguments:
#   before   how many questions may stay open
#
proc ::pysmtpd::link::await {number {before 0}} {
    ::pysmtpd::CatchUp $number
    set open [expr {$before + 1}]
    while {$open > $before} {
        set open [lindex [::pysmtpd::Result [Request 10 {} $number]] 1]
        ActFor $number
    }
}

# ::pysmtpd::link::await_verb --
#
#   See to it that a verb of the script's own that a client has sent has been run, if there is one, with all that the engine asks
#   on the way.
#
proc ::pysmtpd::link::await_verb {number} {
    ::pysmtpd::CatchUp $number
    set before $::pysmtpd::run
    set open 1
    while {$open && $::pysmtpd::run == $before} {
        set open [lindex [::pysmtpd::Result [Request 10 {} $number]] 1]
        ActFor $number
    }
    Flush
}

# ::pysmtpd::link::ActFor --
#
#   Do what the frames say that have come for one session; the others stay.
#
# Arguments:
#   session  its number
#   only     operations: stop at the first frame with another one
#
proc ::pysmtpd::link::ActFor {session {only {}}} {
    variable received
    variable position
    variable needed 9
    set received [string range $received $position end]
    set position 0
    set mine {}
    set scan 0
    while {[string length $received] - $scan >= 9} {
        binary scan $received "@${scan}IucuIu" length operation number
        set last [expr {$scan + 8 + $length}]
        if {[string length $received] <= $last} {
            break
        }
        if {$number == $session && [llength $only] && $operation ni $only} {
            break
        }
        if {$number == $session} {
            lappend mine $operation [string range $received [expr {$scan + 9}] $last]
            set received [string replace $received $scan $last]
        } else {
            set scan [expr {$last + 1}]
        }
    }
    foreach {operation payload} $mine {
        Act $operation $session $payload
    }
}

# ::pysmtpd::link::Answer --
#
#   Put a question to the script, and tell the child the outcome. When it is a yes, the reply is sent here and now, unless
#   more are to follow at once: the script may end right here, if that was the message it had been waiting for.
#
proc ::pysmtpd::link::Answer {number kind changes acceptance more turns standing behind values} {
    variable turn
    if {$kind eq "deliver" && [llength $values] && [info exists ::pysmtpd::channels($number)]} {
        set verdict [::pysmtpd::AskAboutMessage $number $::pysmtpd::channels($number) $changes [lindex $values 0]]
    } else {
        set verdict [::pysmtpd::Ask $number [list $kind $changes {*}$values]]
    }
    if {[llength $verdict]} {
        Refuse $number $verdict
    } elseif {($standing || [string length $behind]) && !$::pysmtpd::changed && [info exists turn($number)]
        && $turn($number) == $turns} {
        # What the child has said of the time after this message stays true as long as nothing has been sent to it since.
        ::pysmtpd::Write $number $acceptance$behind
        if {[info exists turn($number)]} {
            set ::pysmtpd::standing($number) $standing
            set ::pysmtpd::untold($number) [expr {$more ? $::pysmtpd::said_more : $::pysmtpd::said_yes}]
            if {![llength $values] || [string length [lindex $values 0]] > $::pysmtpd::large} {
                ::pysmtpd::CatchUp $number
            }
        }
    } else {
        Accept $number $kind $acceptance $more
    }
}

# ::pysmtpd::link::Accept, Refuse --
#
#   Tell the child that the script says yes, and the client; or that it says no.
#
proc ::pysmtpd::link::Accept {number kind acceptance more} {
    variable renamed
    if {[info exists renamed($number)]} {
        unset renamed($number)
        set acceptance [::pysmtpd::Result [Request 8 [list acceptance $number]]]
    }
    if {$more} {
        ::pysmtpd::Hold $number $acceptance
    } else {
        ::pysmtpd::Write $number $acceptance
    }
    if {$::pysmtpd::changed && [catch {ready} message]} {
        ::pysmtpd::Note error $message
    }
    Send 9 $number {}
    if {$kind ne "deliver" && !$more && $::pysmtpd::log_level in {debug info notice}} {
        # Who has the reply may look for its line in the log.
        Request 10 {} $number
        ActFor $number 17
    } elseif {$kind eq "deliver" && ![string length $acceptance]} {
        # Under TLS, only the child can send it: see to that.
        ::pysmtpd::Result [Request 10 {} $number]
        ActFor $number {16 17 24}
    }
}
proc ::pysmtpd::link::Refuse {number verdict} {
    variable renamed
    unset -nocomplain renamed($number)
    if {$::pysmtpd::changed && [catch {ready} message]} {
        ::pysmtpd::Note error $message
    }
    Send 4 $number [Pack $verdict]
    if {![info exists ::smtpd::options(socket)]} {
        Settle
    }
}

# ::pysmtpd::link::lines --
#
#   Return the lines of a large message: they came before the question for it.
#
proc ::pysmtpd::link::lines {number} {
    variable gathered
    set lines [concat {*}$gathered($number)]
    unset gathered($number)
    return $lines
}

# ::pysmtpd::link::Settle --
#
#   The server was stopped and a refusal is still to be said: see to it before the script may end.
#
proc ::pysmtpd::link::Settle {} {
    set ::pysmtpd::changed 1
    catch {ready}
    Handle
}

# ::pysmtpd::link::Print --
#
#   A Python callback prints: to the script's own stdout.
#
proc ::pysmtpd::link::Print {payload} {
    catch {
        puts -nonewline stdout [{*}$::pysmtpd::decode utf-8 $payload]
        flush stdout
    }
}

# ::pysmtpd::link::Gone --
#
#   The child has ended. Its sessions cannot go on, save for those it had not begun yet: a fresh child takes them.
#
# Arguments:
#   which    the child that is meant, where word of it may come late: another one may run by now
#
proc ::pysmtpd::link::Gone {{which {}}} {
    variable pipe
    variable generation
    if {$pipe eq "" || $which ni [list {} $generation]} {
        return
    }
    Stop
    variable begun
    set numbers {}
    foreach number [array names ::pysmtpd::channels] {
        if {![info exists begun($number)]} {
            lappend numbers $number
        }
    }
    if {[llength $numbers]} {
        ::pysmtpd::Note error "the Python engine has ended; [llength $numbers] session(s) are closed with it"
    }
    foreach number $numbers {
        ::pysmtpd::Release $number
        End $number
    }
    foreach {number request} [array get begun] {
        Again $number $request
    }
}

# ::pysmtpd::link::Again --
#
#   Open a session on a fresh child, once: the one it was opened on died before it said a word.
#
proc ::pysmtpd::link::Again {number request} {
    variable begun
    unset -nocomplain begun($number)
    if {![info exists ::pysmtpd::channels($number)]} {
        return
    }
    if {[catch {ready} message]} {
        ::pysmtpd::Note error $message
        End $number
        return
    }
    Begin $number $request
    Flush
}

# ::pysmtpd::link::End --
#
#   Close a session that has no engine, with a reply that says so.
#
proc ::pysmtpd::link::End {number} {
    if {[info exists ::pysmtpd::channels($number)]} {
        set channel $::pysmtpd::channels($number)
        set secret [::pysmtpd::IsEncrypted $number]
        Tidy $number
        ::pysmtpd::Forget $number
        ::pysmtpd::TurnAway $channel $secret
    }
}

# ::pysmtpd::link::Watch --
#
#   Look at the child from time to time while there are sessions.
#
proc ::pysmtpd::link::Watch {} {
    variable watch
    variable pulse
    variable heard
    if {$watch eq ""} {
        # tclint-disable-next-line command-args
        set watch [after $pulse [list ::pysmtpd::link::Look $heard 0]]
    }
}

# ::pysmtpd::link::Look --
#
#   Give a child up that somebody has stopped: its end would be heard of, its silence never. Stopped twice in a row, that
#   is, since a Ctrl-Z and what follows it reach both of us, one after the other.
#
# Arguments:
#   before   what "heard" was at the last look
#   stopped  whether the child was stopped then
#
proc ::pysmtpd::link::Look {before stopped} {
    variable pipe
    variable watch
    variable pulse
    variable heard
    set watch {}
    if {$pipe eq "" || ![array size ::pysmtpd::channels]} {
        return
    }
    set now [expr {$heard == $before && [IsStopped [pid $pipe]]}]
    if {$now && $stopped} {
        KillStopped
        Gone
        return
    }
    # tclint-disable-next-line command-args
    set watch [after $pulse [list ::pysmtpd::link::Look $heard $now]]
}

# ::pysmtpd::link::KillStopped, Kill --
#
#   End a child that somebody has stopped; or that is of no use. The shell's own kill: a small system may have no other.
#
proc ::pysmtpd::link::KillStopped {} {
    variable pipe
    ::pysmtpd::Note error "the Python engine (process [pid $pipe]) has been stopped, and is ended"
    Kill
}
proc ::pysmtpd::link::Kill {} {
    variable pipe
    catch {exec sh -c {kill -KILL "$@"} sh {*}[pid $pipe]}
}

# ::pysmtpd::link::IsStopped --
#
#   Tell whether a process is stopped by a signal (proc(5)); no, where the system does not say.
#
proc ::pysmtpd::link::IsStopped {process} {
    if {[catch {open /proc/$process/stat} file]} {
        return 0
    }
    set state [read $file]
    close $file
    return [string equal [string index $state [expr {[string last ) $state] + 2}]] T]
}

# ::pysmtpd::link::Stop --
#
#   Let the child go. It ends when it reads the end of its input; closing does not wait for that.
#
proc ::pysmtpd::link::Stop {} {
    variable pipe
    variable received {}
    variable position 0
    variable needed 9
    catch {close $pipe}
    set pipe {}
    set ::pysmtpd::changed 1
}

# ::pysmtpd::link::opened, adopted --
#
#   A client has connected; or had connected before, and has been greeted.
#
proc ::pysmtpd::link::opened {number address port channel} {
    variable begun
    set begun($number) [list $address $port $channel]
    Watch
    Begin $number $begun($number)
    Post
}
proc ::pysmtpd::link::adopted {number address port channel} {
    Watch
    Begin $number [list $address $port $channel adopted]
}

# ::pysmtpd::link::Begin --
#
#   Have the child open a session.
#
proc ::pysmtpd::link::Begin {number request} {
    variable turn
    Send 1 $number [Pack $request]
    set turn($number) 0
}

# ::pysmtpd::link::readable --
#
#   There is something to read: take it, unless the client has to wait, for a callback or because it does not read its replies.
#
proc ::pysmtpd::link::readable {number channel} {
    variable pipe
    if {[info exists ::pysmtpd::busy($number)] || [info exists ::pysmtpd::link::full($number)]} {
        ::pysmtpd::Suspend $number $channel
    } elseif {[chan pending output $channel] > $::pysmtpd::max_unread} {
        ::pysmtpd::Drain $number $channel
    } elseif {(($::pysmtpd::changed || $pipe eq "") && [catch {ready} data]) || [catch {read $channel 262144} data]} {
        ::pysmtpd::Lose $number $data
    } else {
        pass $number $channel $data
    }
}

# ::pysmtpd::link::pass, take --
#
#   These bytes have been read from a client, if any; or line by line: see replaced.tcl. The child has them; and no more is read
#   than it can follow.
#
proc ::pysmtpd::link::pass {number channel data} {
    variable pipe
    variable begun
    variable ::pysmtpd::untold
    set size [string length $data]
    if {!$size} {
        if {[eof $channel]} {
            chan event $channel readable {}
            ::pysmtpd::CatchUp $number
            Send 3 $number {}
            Post
        }
        return
    }
    unset -nocomplain begun($number)
    if {[info exists untold($number)]} {
        set told $untold($number)
        unset untold($number)
        Tell $number $told $data
    } else {
        Send 2 $number $data
    }
    set ::pysmtpd::standing($number) 0
    Post
    if {$size >= 16384 && [incr ::pysmtpd::link::ahead($number)] >= $::pysmtpd::link::max_ahead} {
        ::pysmtpd::Suspend $number $channel
    }
    if {[chan pending output $pipe] > $::pysmtpd::link::max_pending} {
        Wait $number $channel
    }
}
proc ::pysmtpd::link::take {number channel data} {
    if {[catch {ready} message]} {
        ::pysmtpd::Lose $number $message
    } else {
        pass $number $channel $data
    }
}

# ::pysmtpd::link::Taken --
#
#   The child has used up a large chunk.
#
proc ::pysmtpd::link::Taken {number} {
    variable ahead
    variable max_ahead
    if {[info exists ahead($number)] && [incr ahead($number) -1] == $max_ahead - 1} {
        ::pysmtpd::Resume $number
    }
}

# ::pysmtpd::link::Wait --
#
#   Read nothing more from a session until the pipe to the child has room.
#
proc ::pysmtpd::link::Wait {number channel} {
    variable pipe
    variable waiting
    ::pysmtpd::Suspend $number $channel
    lappend waiting $number
    chan event $pipe writable ::pysmtpd::link::Roomy
}

# ::pysmtpd::link::Roomy --
#
#   The pipe to the child has room again.
#
proc ::pysmtpd::link::Roomy {} {
    variable pipe
    variable waiting
    chan event $pipe writable {}
    set numbers $waiting
    set waiting {}
    foreach number $numbers {
        ::pysmtpd::Resume $number
    }
}

# ::pysmtpd::link::Tidy --
#
#   Forget what is kept here for a session.
#
proc ::pysmtpd::link::Tidy {number} {
    variable ahead
    variable begun
    variable turn
    variable renamed
    variable gathered
    variable full
    unset -nocomplain ahead($number) full($number) begun($number) turn($number) renamed($number) gathered($number)
}

# ::pysmtpd::link::say --
#
#   A script has a line of its own for a client whose session is under TLS.
#
proc ::pysmtpd::link::say {number line} {
    ::pysmtpd::Result [Request 13 [list $line] $number]
    ActFor $number {16 24}
}

# ::pysmtpd::link::overhear --
#
#   Return what was said in bytes of a session under TLS that a script has read by itself.
#
proc ::pysmtpd::link::overhear {number bytes} {
    return [::pysmtpd::Result [Request 29 [list $bytes] $number]]
}

# ::pysmtpd::link::tell, Tell --
#
#   Let the child hear of what the client has its replies to; and of what has come behind that.
#
proc ::pysmtpd::link::tell {number told} {
    Tell $number $told {}
    Post
}
proc ::pysmtpd::link::Tell {number told data} {
    Send 15 $number [binary format IuIua*a* [string length $told] $::pysmtpd::standing($number) $told $data]
}

# ::pysmtpd::link::expire --
#
#   A client has been silent for too long.
#
proc ::pysmtpd::link::expire {number} {
    ::pysmtpd::CatchUp $number
    Send 12 $number {}
    Post
}

# ::pysmtpd::link::forget, state, assign, call, option, unavailable --
#
#   The channel is gone; a script looks at the state; a script set an item of it (to a list of values); call a Python
#   function; the value of an option of ours; the reply for a client that cannot be served.
#
proc ::pysmtpd::link::forget {number} {
    Tidy $number
    Send 5 $number {}
    Post
}
proc ::pysmtpd::link::state {number} {
    variable pipe
    if {$pipe eq ""} {
        return {}
    }
    ::pysmtpd::CatchUp $number
    lassign [Request 14 {} $number] outcome value
    return [expr {$outcome eq "ok" ? $value : {}}]
}
proc ::pysmtpd::link::assign {number name values} {
    variable renamed
    ::pysmtpd::CatchUp $number
    set ::pysmtpd::standing($number) 0
    if {$name eq "id"} {
        set renamed($number) 1
    }
    Send 6 $number [Pack [list $name {*}$values]]
}
proc ::pysmtpd::link::call {function arguments} {
    return [Request 8 [list $function {*}$arguments]]
}
proc ::pysmtpd::link::option {name} {
    return [Request 11 [list $name]]
}
proc ::pysmtpd::link::unavailable {} {
    variable farewell
    return $farewell
}
