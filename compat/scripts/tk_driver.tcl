# Runs tcllib's tk_smtpd example, unchanged, presses its Start, and prints each dialog that a mail raises; in the end it dismisses
# them, presses Stop, Start again and Exit.
#
# usage: tk_driver.tcl EXAMPLE PORT COUNT ?CERTFILE KEYFILE?      (presses Exit after COUNT dialogs)

lassign $argv example port count certfile keyfile

# The example takes its settings from here when they are there.
array set options [list \
    loglevel debug interface 127.0.0.1 port $port usetls [expr {$certfile ne ""}] require 0 request 0 \
    certfile $certfile keyfile $keyfile]

proc report {args} {
    global _dlgid count
    set dialog .dlg$_dlgid
    puts "dialog \"[wm title $dialog]\" [winfo children $dialog]"
    puts [$dialog.e get 1.0 end-1c]
    incr count -1
}

# The last client has left: the log is complete.
proc logged {command args} {
    if {$::count == 0 && [string match "QUIT on*" [lindex $command 2]]} {
        after idle finish
    }
}

proc finish {} {
    foreach dialog [lsearch -all -inline [winfo children .] .dlg*] {
        $dialog.b invoke
        puts "dismissed $dialog: [winfo exists $dialog]"
    }
    .b2 invoke
    puts "stopped: $::smtpd::stopped, [catch {smtpd::cget socket}]"
    .b1 invoke
    puts "started again: $::smtpd::stopped, [expr {[lindex [fconfigure [smtpd::cget socket] -sockname] 2] == $::port}]"
    puts "window \"[wm title .]\", log:"
    puts [.t get 1.0 end-1c]
    Exit
}

proc bgerror {message} {
    puts stderr "background error: $message\n$::errorInfo"
    exit 1
}

after idle {
    trace add execution ::display leave report
    trace add execution ${::smtpd::log}::stdoutcmd leave logged
    .b1 invoke
    puts "listening on port $options(port)"
}

set argc 0
set argv {}
source $example
