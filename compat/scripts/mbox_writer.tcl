# Appends each message to an mbox file, and says what it was.
#
# usage: mbox_writer.tcl PORT COUNT FILE      (stops after COUNT messages)

package require mime
package require smtpd

lassign $argv port count mbox

proc from_line {token} {
    set from [lindex [mime::getheader $token From] 0]
    array set address [lindex [mime::parseaddress $from] 0]
    return "From $address(address) [clock format [clock seconds]]"
}

# Name, type and size of each leaf, depth first.
proc describe {token {indent "  "}} {
    set type [mime::getproperty $token content]
    if {[string match multipart/* $type]} {
        puts "$indent$type"
        foreach part [mime::getproperty $token parts] {
            describe $part "$indent  "
        }
        return
    }
    puts "$indent$type, [string length [mime::getbody $token]] characters"
}

proc store {token} {
    global mbox count
    if {[catch {mime::getheader $token Subject} subject]} {
        set subject "(none)"
    }
    puts "subject [lindex $subject 0]"
    describe $token

    set out [open $mbox a]
    fconfigure $out -translation binary
    puts $out [from_line $token]
    set text [string map {\r\n \n} [mime::buildmessage $token]]
    puts $out [regsub -all -line {^(>*From )} $text {>\1}]
    close $out

    if {[incr count -1] == 0} {
        smtpd::stop
    }
}

smtpd::configure -deliverMIME store
set server [smtpd::start 127.0.0.1 $port]
puts "listening on port [lindex [fconfigure $server -sockname] 2]"
vwait ::smtpd::stopped
