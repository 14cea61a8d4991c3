# What the commands of the package answer, printed: options, errors, what a script sees of the service.

package require smtpd

proc try_it {script} {
    set code [catch {uplevel #0 $script} result]
    puts [format "%-50s -> %d %s" $script $code $result]
}

puts "version [package present smtpd] $::smtpd::version"
namespace eval ::smtpd {
    set ::exports [namespace export]
}
puts "exports $exports"
puts "packages [expr {![catch {package present mime}]}] [expr {![catch {package present logger}]}]"

# Options, in the order that they are stored in.
array set options [lrange [smtpd::configure] 2 end-1]
foreach name {banner deliver deliverMIME serveraddr tlsopts usetls validate_host validate_recipient validate_sender} {
    try_it "smtpd::cget -$name"
    try_it "smtpd::cget $name"
    puts "   among all: $options(-$name)"
}
puts "first [lrange [smtpd::configure] 0 1], last \"[lindex [smtpd::configure] end]\""

try_it {smtpd::configure -nonsense 1}
try_it {catch {smtpd::cget -nonsense} message; lindex [split $message :] 0}
try_it {smtpd::configure -banner "a banner"}
try_it {smtpd::cget -banner}
try_it {smtpd::configure words are ignored}
try_it {smtpd::configure -deliver ::d -- -banner unseen}
try_it {list [smtpd::cget -deliver] [smtpd::cget -banner]}
try_it {smtpd::configure -deliver}
try_it {smtpd::cget -deliver}
try_it {smtpd::configure -deliverMIME m -validate_host h -validate_sender s -validate_recipient r}
try_it {list [smtpd::cget -deliverMIME] [smtpd::cget -validate_host] [smtpd::cget -validate_sender]}
try_it {smtpd::configure -deliverMIME {} -validate_host {} -validate_sender {} -validate_recipient {} -banner b}
try_it {smtpd::configure -loglevel debug}
try_it {lrange [smtpd::configure] 0 1}
try_it {smtpd::configure -loglevel warn}
try_it {smtpd::configure -loglevel loud}

# The service.
try_it {info exists ::smtpd::stopped}
try_it {smtpd::stop}
try_it {set socket [smtpd::start 127.0.0.1 0]; llength [fconfigure $socket -sockname]}
try_it {lindex [fconfigure $socket -sockname] 0}
try_it {set ::smtpd::stopped}
try_it {expr {[smtpd::cget -socket] eq $socket}}
try_it {smtpd::cget -serveraddr}
try_it {smtpd::start 127.0.0.1 0}
try_it {smtpd::stop}
try_it {set ::smtpd::stopped}
try_it {catch {fconfigure $socket}}
try_it {smtpd::stop}
try_it {smtpd::start 127.0.0.1 no-such-port}
try_it {set taken [socket -server none -myaddr 127.0.0.1 0]; llength $taken}
try_it {smtpd::start 127.0.0.1 [lindex [fconfigure $taken -sockname] 2]}
try_it {close $taken}
try_it {close [smtpd::start localhost 0]; smtpd::cget -serveraddr}

# Helpers that scripts call.
try_it {regexp {^\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d [-+]\d{4}$} [smtpd::timestamp]}
try_it {regexp {^[[:alnum:]]{12}$} [::smtpd::uid]}
try_it {regexp {^[[:alnum:]]$} [::smtpd::uidchar]}
try_it {string length [::smtpd::gmtoffset]}
try_it {set words {a b c}; list [::smtpd::Pop words] $words [::smtpd::Pop words 1] $words}
try_it {::smtpd::state none}
try_it {::smtpd::state none name value}
try_it {::smtpd::state none name}
try_it {::smtpd::state none other}
try_it {set ::smtpd::log}
try_it {lsort [array names ::smtpd::Help]}
try_it {lsort [array names ::smtpd::extensions]}
try_it {set ::smtpd::commands}
