# Sends one mail with tcllib's smtp: tclsh send.tcl HOST PORT USETLS
package require mime
package require smtp
lassign $argv host port usetls
set token [mime::initialize -canonical text/plain -string "Hello\n..two dots\n.one\n"]
smtp::sendmessage $token -servers $host -ports $port -usetls $usetls -debug 0 -originator a@example.org -recipients "" \
    -header {From a@example.org} -header {To b@example.org} -header {Subject {from Tcl}}
mime::finalize $token
