# The package mime for a Tcl that has no tcllib: the commands of tcllib's mime 1.7, over the Python engine.
#
# Parts live in Python (pysmtpd/drivers/tcl_mime.py), which reads and writes messages. What stands here is Tcl's own business:
# channels, dates, and the conversion of character sets. The version is an unstable one on purpose: [package require] takes
# any tcllib that is there, older ones included, before this.

package require Tcl 8.6-

namespace eval ::mime {
    variable mime
    array set mime {uid 0 cid 0}

    namespace export copymessage finalize getbody getheader getproperty initialize mapencoding parseaddress parsedatetime \
        reversemapencoding setheader uniqueID
}

# ::mime::Ask --
#
#   Have the engine do something, and return its answer. An error is one of the command that called. What is ours of smtpd is
#   there afterwards, the conversions of character sets among it.
#
proc ::mime::Ask {args} {
    if {[info commands ::pysmtpd::link::call] eq ""} {
        package require smtpd
    }
    ::pysmtpd::link::ready
    lassign [::pysmtpd::link::call mime $args] outcome value code
    if {$outcome ne "ok"} {
        return -code error -level 2 -errorcode [expr {[lindex $code 0] eq "PYSMTPD" ? $code : "NONE"}] $value
    }
    if {[string first \u0000 $value] >= 0} {
        # tkinter leaves a NUL that Tcl takes for another character when it compares strings.
        set value [string map [list \u0000 \u0000] $value]
    }
    return $value
}

# ::mime::AskList --
#
#   The same for an answer that is a list: one that Tcl itself made.
#
proc ::mime::AskList {args} {
    return [list {*}[Ask {*}$args]]
}

# ::mime::initialize --
#
#   Make a part.
#
# Arguments:
#   args   ?-canonical type/subtype ?-param {key value}?... ?-encoding value? ?-header {key value}?...?
#          (-file name | -string value | -parts {token ...})
#
# Results:
#   The part's token.
#
proc ::mime::initialize {args} {
    variable mime
    set words {}
    set left [llength $args]
    foreach {option value} $args {
        lappend words $option
        if {[incr left -2] >= 0} {
            set elements {}
            if {$option in {-param -header -parts}} {
                set elements $value
            }
            lappend words $value [llength $elements] {*}$elements
        }
    }
    return [Ask initialize [namespace current]::[incr mime(uid)] [uniqueID] [pwd] {*}$words]
}

# ::mime::finalize --
#
#   Forget a part.
#
# Arguments:
#   token  the part
#   args   -subordinates all|dynamic|none: which of its parts to forget as well
#
proc ::mime::finalize {token args} {
    array set options [list -subordinates dynamic]
    array set options $args
    return [Ask finalize $token $options(-subordinates)]
}

# ::mime::getproperty, getsize, getheader, setheader --
#
#   Look at a part: its properties, its size in octets, its header; change the header (-mode write, append or delete).
#
proc ::mime::getproperty {token {property {}}} {
    if {$property in {{} -names params parts}} {
        return [AskList getproperty $token $property]
    }
    return [Ask getproperty $token $property]
}
proc ::mime::getsize {token} {
    return [Ask getsize $token]
}
proc ::mime::getheader {token {key {}}} {
    if {[string tolower $key] eq "content-transfer-encoding"} {
        return [Ask getheader $token $key]
    }
    return [AskList getheader $token $key]
}
proc ::mime::setheader {token key value args} {
    array set options [list -mode write]
    array set options $args
    return [AskList setheader $token $key $value $options(-mode)]
}

# ::mime::getbody --
#
#   Return the body of a leaf, its transfer encoding undone.
#
# Arguments:
#   token  the part
#   args   -decode: as text, its character set undone too; -command prefix: hand it over in pieces, as "data piece", then
#          "end"; -blocksize octets: how long these may be
#
proc ::mime::getbody {token args} {
    set decode [expr {[set position [lsearch -exact $args -decode]] >= 0}]
    if {$decode} {
        set args [lreplace $args $position $position]
    }
    array set options [list -command {} -blocksize 4096]
    array set options $args
    if {$options(-blocksize) < 1} {
        return -code error "-blocksize expects a positive integer, not $options(-blocksize)"
    }
    set body [Ask getbody $token]
    if {$options(-command) ne ""} {
        set body [HandOver $options(-command) $options(-blocksize) $body]
    }
    if {$decode} {
        return [Decode $token $body]
    }
    return $body
}

# ::mime::HandOver --
#
#   Call a command with the pieces of a text, and return what it returns at the end.
#
proc ::mime::HandOver {prefix size text} {
    for {set start 0} {$start < [string length $text]} {incr start $size} {
        # tclint-disable-next-line command-args
        namespace inscope :: $prefix data [string range $text $start [expr {$start + $size - 1}]]
    }
    # tclint-disable-next-line command-args
    return [namespace inscope :: $prefix end]
}

# ::mime::Decode --
#
#   Return a body as text, by the character set that its part names.
#
proc ::mime::Decode {token body} {
    array set params [list charset US-ASCII {*}[getproperty $token params]]
    set encoding [reversemapencoding $params(charset)]
    if {$encoding eq ""} {
        return -code error -level 2 "-decode failed: can't reversemap charset $params(charset)"
    }
    return [{*}$::pysmtpd::decode $encoding $body]
}

# ::mime::buildmessage --
#
#   Return a part as a message, lines ended with CR LF.
#
proc ::mime::buildmessage {token} {
    return [{*}$::pysmtpd::encode [encoding system] [string map [list \n \r\n] [Ask message $token]]]
}

# ::mime::copymessage --
#
#   Write a part to a channel as a message.
#
proc ::mime::copymessage {token channel} {
    puts -nonewline $channel [Ask message $token]
    flush $channel
}

# ::mime::parseaddress --
#
#   Split a list of addresses.
#
# Results:
#   For each a list of names and values: address comment domain error friendly group local memberP phrase proper route.
#
proc ::mime::parseaddress {string} {
    set boxes {}
    foreach box [Ask parseaddress [info hostname] $string] {
        lappend boxes [list {*}$box]
    }
    return $boxes
}

# ::mime::mapencoding, reversemapencoding --
#
#   Return the MIME name of a Tcl encoding, and the other way round; nothing where there is none.
#
proc ::mime::mapencoding {enc} {
    return [Ask mapencoding $enc]
}
proc ::mime::reversemapencoding {mimeType} {
    return [Ask reversemapencoding $mimeType]
}

# ::mime::word_encode --
#
#   Return text as encoded words (RFC 2047).
#
# Arguments:
#   charset  the Tcl encoding to use
#   method   base64 or quoted-printable
#   string   the text
#   args     -charset_encoded 0|1: whether the text is in that encoding already; -maxlength: how long a word may be
#
proc ::mime::word_encode {charset method string {args}} {
    set name [Ask charset $charset $method]
    array set options [list -charset_encoded 1 -maxlength 66]
    array set options $args
    if {$options(-charset_encoded)} {
        set string [{*}$::pysmtpd::decode $charset $string]
    }
    set characters {}
    foreach character [split $string {}] {
        lappend characters [{*}$::pysmtpd::encode $charset $character]
    }
    if {![llength $characters]} {
        return {}
    }
    return [Ask word_encode $name $method $options(-maxlength) {*}$characters]
}

# ::mime::word_decode --
#
#   Return the encoding, the method and the octets of an encoded word.
#
proc ::mime::word_decode {encoded} {
    return [AskList word_decode $encoded]
}

# ::mime::field_decode --
#
#   Return a header field as text, its encoded words decoded.
#
proc ::mime::field_decode {field} {
    set text {}
    foreach {encoding piece} [Ask field_decode $field] {
        if {$encoding ne ""} {
            set piece [{*}$::pysmtpd::decode $encoding $piece]
        }
        append text $piece
    }
    return $text
}

# ::mime::uniqueID --
#
#   Return an identifier for a Content-ID.
#
proc ::mime::uniqueID {} {
    variable mime
    return <[pid].[clock seconds].[incr mime(cid)]@[info hostname]>
}

# ::mime::parsedatetime --
#
#   Return a property of a date as RFC 822 writes it, or of the time now ("-now"): clock hour lmonth lweekday mday min mon
#   month proper rclock sec wday weekday yday year zone.
#
proc ::mime::parsedatetime {value property} {
    set clock [Clock $value]
    set formats {
        hour %H lmonth %B lweekday %A mday %d min %M mon %m month %b proper {%a, %d %b %Y %H:%M:%S %z} sec %S wday %w
        weekday %a yday %j year %Y
    }
    switch -- $property {
        clock {
            return $clock
        }
        rclock {
            return [expr {$value eq "-now" ? 0 : [clock seconds] - $clock}]
        }
        zone {
            return [Zone $value]
        }
    }
    if {![dict exists $formats $property]} {
        return -code error "unknown property $property"
    }
    set found [clock format $clock -format [dict get $formats $property]]
    if {$property in {hour mday min mon sec yday year}} {
        set found [string trimleft $found 0]
        if {$found eq ""} {
            set found 0
        }
    }
    return $found
}

# ::mime::Clock --
#
#   Return a date in seconds.
#
proc ::mime::Clock {value} {
    if {$value eq "-now"} {
        return [clock seconds]
    }
    if {![string match {* [-+][0-9][0-9][0-9][0-9]} $value]} {
        return [clock scan $value]
    }
    scan [string range $value end-3 end] %2d%2d hours minutes
    set seconds [expr {60 * ($minutes + 60 * $hours)}]
    set utc [clock scan [string range $value 0 end-6] -gmt 1]
    return [expr {[string index $value end-4] eq "+" ? $utc - $seconds : $utc + $seconds}]
}

# ::mime::Zone --
#
#   Return the offset from UTC that a date names, in minutes; 0 when it is a single word.
#
proc ::mime::Zone {value} {
    set words [split [string trim $value] " \t"]
    set zone [lindex $words end]
    if {[llength $words] < 2} {
        return 0
    }
    if {[string match {[-+]*} $zone]} {
        if {![string match {[-+][0-9][0-9][0-9][0-9]} $zone] || [scan $zone {%*1[-+]%2d%2d} hours minutes] != 2
            || $minutes > 59 || $hours * 60 + $minutes > 720} {
            return -code error -level 2 "malformed timezone-specification: [string range $zone 1 end]"
        }
        return [expr {([string index $zone 0] eq "-" ? -1 : 1) * ($hours * 60 + $minutes)}]
    }
    set hours {UT 0 GMT 0 EST -5 EDT -4 CST -6 CDT -5 MST -7 MDT -6 PST -8 PDT -7}
    set name [string toupper $zone]
    if {![dict exists $hours $name]} {
        return -code error -level 2 "unrecognized timezone-mnemonic: $name"
    }
    return [expr {[dict get $hours $name] * 60}]
}

package provide mime 1.7.0.1a0
