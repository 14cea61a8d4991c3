# The whole of a start: load the package, listen, leave. What a script pays before its first mail.
package require smtpd
smtpd::start 127.0.0.1 0
exit 0
