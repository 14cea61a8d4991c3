# Channels lent to scripts: a verb of the script's own has the connection as the stock package leaves it, blocking, in lines that
# end in CRLF, in ascii. So it may write a reply by itself, and read what the client answers: login dialogs do. It may also put a
# handler of its own in place of ours, which then has the connection until ::smtpd::service is its handler again, or is called.
# Other callbacks have it so as soon as they look at its name.
#
# Under TLS the channel gets a transformation that has the engine encrypt and decrypt. What a client has sent there behind a line
# in one go is the engine's, not the script's.

namespace eval ::pysmtpd {
    variable lent            ;# number -> while the channel is a script's: clear or cipher, and its handler when it was lent
    variable enciphered      ;# number -> what the engine has to send, while it encrypts for a script
    variable bypassed        ;# number -> 1 while octets of the engine's go through the transformation
    variable overheard       ;# number -> 1 when something has been decrypted, and is being read
    array set lent {}
    array set enciphered {}
    array set bypassed {}
    array set overheard {}
}

# ::pysmtpd::Lend --
#
#   Let a script have a session's connection. What is held back for the client goes before the script's own words.
#
proc ::pysmtpd::Lend {number} {
    variable channels
    variable encrypted
    variable held
    variable lent
    if {[info exists encrypted($number)]} {
        Release $number
    }
    if {![info exists channels($number)]} {
        return
    }
    variable standing
    set standing($number) 0
    set channel $channels($number)
    if {![IsForeign $channel [chan event $channel readable]]} {
        chan event $channel readable [list ::smtpd::service $channel]
    }
    set lent($number) [list clear [chan event $channel readable]]
    if {[info exists encrypted($number)]} {
        lset lent($number) 0 cipher
        chan push $channel [list ::pysmtpd::Cipher $number]
    } elseif {[info exists held($number)]} {
        # Not sent before there is more: see Hold.
        chan configure $channel -buffering full
        puts -nonewline $channel $held($number)
        set held($number) {}
    }
    AsText $channel
    chan configure $channel -blocking 1 -buffering line
}

# ::pysmtpd::Looked --
#
#   A callback looks at the name of its connection: it may be going to use it. Called by traces.
#
proc ::pysmtpd::Looked {name args} {
    variable numbers
    variable lent
    upvar 1 $name channel
    if {[info exists numbers($channel)] && ![info exists lent($numbers($channel))]} {
        ShowInCallback $numbers($channel) $channel
        catch {Lend $numbers($channel)} ;# the callback may have closed it
    }
}

# ::pysmtpd::Greet --
#
#   See to it that a client has its greeting, and let the script that has taken the connection use it: it may have more to say, or
#   put a handler of its own in place of ours. Not where TLS comes first.
#
proc ::pysmtpd::Greet {channel} {
    variable numbers
    variable own
    variable lent
    if {[info exists numbers($channel)] && ![dict exists $own tls]} {
        set number $numbers($channel)
        link::await $number
        if {[info exists numbers($channel)] && ![info exists lent($number)]} {
            Lend $number
        }
    }
}

# ::pysmtpd::IsForeign --
#
#   Tell whether a connection's handler is a script's own.
#
proc ::pysmtpd::IsForeign {channel handler} {
    return [expr {$handler ni [list {} [list ::smtpd::service $channel]] && ![string match ::pysmtpd::* $handler]}]
}

# ::pysmtpd::AsText --
#
#   Have a channel carry text, not octets.
#
proc ::pysmtpd::AsText {channel} {
    variable ascii
    chan configure $channel -translation crlf {*}$ascii
}

# ::pysmtpd::TakeBack --
#
#   Have a connection back that was lent: the script's callback has returned. One that has been given another handler meanwhile,
#   or none, stays lent.
#
proc ::pysmtpd::TakeBack {number} {
    variable channels
    variable suspended
    variable lent
    if {![info exists channels($number)] || [catch {chan event $channels($number) readable} handler]} {
        return
    }
    if {[info exists suspended($number)] || $handler eq [lindex $lent($number) 1]} {
        Reclaim $number
    }
}

# ::pysmtpd::Reclaim --
#
#   Have a connection back that was lent, and hear of what comes there, by way of the script's own handler if it has one.
#
proc ::pysmtpd::Reclaim {number} {
    variable channels
    variable suspended
    AsOctets $number
    set channel $channels($number)
    FindWatch $number $channel
    if {[info exists suspended($number)]} {
        chan event $channel readable {}
    } elseif {![IsForeign $channel [chan event $channel readable]]} {
        Listen $number $channel
    }
}

# ::pysmtpd::AsOctets --
#
#   Have a channel that was lent carry octets again, and never wait, whatever the script has configured: the stock DATA has any
#   line end taken for one, and scripts have copies of it.
#
proc ::pysmtpd::AsOctets {number} {
    variable channels
    variable lent
    if {[lindex $lent($number) 0] eq "cipher"} {
        chan pop $channels($number)
    }
    unset lent($number)
    chan configure $channels($number) -blocking 0 -buffering none -translation binary
}

# ::pysmtpd::WriteLent --
#
#   Send octets of the engine's on a channel that is a script's. Raises an error when the connection is gone.
#
proc ::pysmtpd::WriteLent {number bytes} {
    variable channels
    variable enciphered
    variable bypassed
    if {[info exists enciphered($number)]} {
        append enciphered($number) $bytes
        return
    }
    set channel $channels($number)
    chan configure $channel -translation binary
    set bypassed($number) 1
    try {
        puts -nonewline $channel $bytes
        flush $channel
    } finally {
        unset -nocomplain bypassed($number)
    }
    AsText $channel
}

# ::pysmtpd::Cipher --
#
#   The transformation that a lent channel under TLS has (the Tcl manual's transchan). What a script writes is encrypted, and what
#   it reads decrypted. Tcl reads on until its buffer is full, the channel being a blocking one; the limit is how to stop it once
#   there is something: 0 is none, and -1 no limit.
#
proc ::pysmtpd::Cipher {number operation handle args} {
    variable enciphered
    variable bypassed
    variable overheard
    switch -- $operation {
        initialize {
            return {initialize finalize read write limit?}
        }
        limit? {
            set has [info exists overheard($number)]
            unset -nocomplain overheard($number)
            return [expr {$has ? 0 : -1}]
        }
        read {
            set said [link::overhear $number [lindex $args 0]]
            if {$said ne ""} {
                set overheard($number) 1
            }
            return $said
        }
        write {
            if {[info exists bypassed($number)]} {
                return [lindex $args 0]
            }
            set enciphered($number) {}
            try {
                link::say $number [lindex $args 0]
                return $enciphered($number)
            } finally {
                unset -nocomplain enciphered($number)
            }
        }
        finalize {
            unset -nocomplain overheard($number)
        }
    }
}
