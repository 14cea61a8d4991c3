# Sends a multipart mail with tcllib's own smtp and mime packages.
#
# usage: send.tcl PORT

package require mime
package require smtp

set text [mime::initialize -canonical text/plain -string "Good morning from Tcl."]
set data [mime::initialize -canonical application/octet-stream -string "\x00\x01\xfe\xff" -encoding base64]
set mail [mime::initialize -canonical multipart/mixed -parts [list $text $data]]
smtp::sendmessage $mail -servers 127.0.0.1 -ports [lindex $argv 0] -usetls 0 \
    -header {From tcl@example.org} -header {To alice@example.com} -header {Subject "From tcllib, in two parts"}
mime::finalize $mail -subordinates all
