# Channels lent to scripts: a verb of the script's own has the connection as the stock package leaves it, blocking, in lines that
# end in CRLF, in ascii. So it may write a reply by itself, and read what the client answers: login dialogs do. It may also put a
# handler of its own in place of ours, which then has the connection until ::smtpd::service is its handler again.
#
# Under TLS the channel gets a transformation that has the engine encrypt and decrypt. What a client has sent behind a line in one
# go is the engine's, not the script's.

namespace eval ::pysmtpd {
    variable lent            ;# number -> 1 while the channel is a script's; cipher, where it is under TLS
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
#   Let a script have a session's connection, and send what stands before the script's own words.
#
proc ::pysmtpd::Lend {number} {
    variable channels
    variable encrypted
    variable lent
    Release $number
    if {![info exists channels($number)]} {
        return
    }
    set channel $channels($number)
    set lent($number) 1
    if {[info exists encrypted($number)]} {
        set lent($number) cipher
        chan push $channel [list ::pysmtpd::Cipher $number]
    }
    AsText $channel
    chan configure $channel -blocking 1 -buffering line
    chan event $channel readable [list ::smtpd::service $channel]
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
#   Have a connection back that was lent: the script's own verb has returned. One that has a handler of the script's by now, or
#   none, stays lent.
#
proc ::pysmtpd::TakeBack {number} {
    variable channels
    variable suspended
    if {![info exists channels($number)] || [catch {chan event $channels($number) readable} handler]} {
        return
    }
    if {[info exists suspended($number)] || $handler eq [list ::smtpd::service $channels($number)]} {
        Reclaim $number
    }
}

# ::pysmtpd::Reclaim --
#
#   Have a connection back that was lent, and hear of what comes there.
#
proc ::pysmtpd::Reclaim {number} {
    variable channels
    variable suspended
    AsOctets $number
    if {[info exists suspended($number)]} {
        chan event $channels($number) readable {}
    } else {
        Listen $number $channels($number)
    }
}

# ::pysmtpd::AsOctets --
#
#   Have a channel that was lent carry octets again, and never wait.
#
proc ::pysmtpd::AsOctets {number} {
    variable channels
    variable lent
    if {$lent($number) eq "cipher"} {
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
