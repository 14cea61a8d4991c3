"""Our package mime, held against tcllib's: the same script, the same output, in a stock tclsh and in tkinter's Tcl."""

import pytest
from tclsh import run
from without_tcllib import BARE, OUTCOMES, with_ours, without_ours

SCRIPT = OUTCOMES + r"""
package require mime 1.3
set message "From: \"Anna B.\" <anna@example.org>\nSubject: caf\u00e9\nReceived: one\nReceived: two\nContent-Type: multipart/mixed; boundary=\"x y\"; a=b; c=d\n
preamble\n--x y\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: quoted-printable\n\ncaf=C3=A9\nmore\n--x y
Content-Type: application/octet-stream\nContent-Transfer-Encoding: base64\n\nAAEC/w==\n--x y--\n"
set file [open message w]
fconfigure $file -translation binary
puts -nonewline $file $message
close $file
file mkdir below
set file [open below/data w]
fconfigure $file -translation binary
puts -nonewline $file [string repeat "\u0000\u00ff{}\\ " 40]
close $file
proc got {kind {text {}}} {
    lappend ::pieces $kind $text
    return "got $kind"
}
proc copied {token} {
    set file [open copied w+]
    fconfigure $file -translation crlf -encoding iso8859-1
    mime::copymessage $token $file
    seek $file 0
    fconfigure $file -translation binary
    set text [read $file]
    close $file
    return $text
}
outcomes {
    {set m [mime::initialize -string $message]} {mime::getheader $m} {mime::getheader $m -names} {mime::getheader $m received}
    {mime::getheader $m Nope} {mime::getheader $m content-type} {mime::getheader $m Content-Transfer-Encoding} {mime::getheader $m MIME-Version}
    {mime::getproperty $m} {mime::getproperty $m -names} {mime::getproperty $m params} {mime::getproperty $m nope}
    {mime::getsize $m} {mime::getbody $m}
    {lassign [mime::getproperty $m parts] one two} {mime::getbody $one} {mime::getbody $one -decode} {binary encode hex [mime::getbody $two]}
    {mime::getbody $one -blocksize 0} {set pieces {}} {mime::getbody $one -command got -blocksize 5} {set pieces} {mime::getproperty $one parts}
    {mime::getbody $one -decode -command got} {mime::getheader $one} {mime::buildmessage $m} {copied $m}
    {mime::setheader $m Subject new} {mime::setheader $m X-New {a b} -mode append} {mime::setheader $m received {} -mode delete}
    {mime::setheader $m nope {} -mode delete} {mime::setheader $m Subject x -mode odd} {mime::getheader $m}
    {mime::finalize $m -subordinates odd} {mime::finalize $m -subordinates all} {mime::getbody $one} {mime::getproperty $m content} {mime::finalize $m}
    {set f [mime::initialize -file message]} {mime::getheader $f -names} {mime::getsize $f} {mime::getbody [lindex [mime::getproperty $f parts] 0]}
    {mime::buildmessage $f} {mime::finalize $f} {mime::initialize -file nosuch} {mime::initialize -file} {mime::initialize -string} {mime::initialize}
    {cd below} {set c [mime::initialize -canonical application/x-data -file data -header {Content-ID <id@here>} -header {X {1 2}} -param {name {a b}}]}
    {mime::getsize $c} {mime::getproperty $c} {mime::getheader $c} {lindex [split [string map {\r\n\r\n \u0001} [mime::buildmessage $c]] \u0001] end} {cd ..}
    {mime::initialize -canonical text/plain -param {a b c} -string x} {mime::initialize -canonical text/plain -header a -string x}
    {mime::initialize -string x -parts} {mime::initialize -odd x} {mime::initialize -parts {a b}}
    {set t [mime::initialize -canonical text/plain -string 0x10 -header {Content-ID 1}]} {mime::getbody $t} {mime::buildmessage $t} {mime::finalize $t}
    {mime::getbody [mime::initialize -string "Content-Type: text/plain; charset=odd\n\nx"] -decode}
    {mime::parseaddress {"Anna B." <anna@example.org> (a note), list: b@c, d@e;, bad address here, plain}} {mime::parseaddress {}}
    {array set parts [lindex [mime::parseaddress {Otto (the one) <otto@example.org>}] 0]} {set parts(friendly)} {set parts(proper)}
    {mime::word_encode utf-8 quoted-printable "caf\u00e9 \u20ac" -charset_encoded 0} {mime::word_encode iso8859-1 base64 "caf\u00e9"}
    {mime::word_encode odd base64 x} {mime::word_encode utf-8 odd x} {mime::word_encode utf-8 base64 {}} {mime::word_encode utf-8 base64 x -maxlength 5}
    {mime::word_decode =?utf-8?Q?caf=C3=A9?=} {mime::word_decode plain} {mime::field_decode "=?utf-8?Q?caf=C3=A9?= =?iso-8859-1?B?6Q==?= and 0x10"}
    {mime::field_decode 0x10} {mime::field_decode {}}
    {mime::mapencoding iso8859-1} {mime::mapencoding odd} {mime::reversemapencoding Latin1} {mime::reversemapencoding odd}
    {regexp {^<[0-9]+[.][0-9]+[.][0-9]+@.+>$} [mime::uniqueID]}
}
foreach date {"Tue, 24 Nov 2026 09:05:07 +0130" "Sun, 01 Feb 2026 00:00:00 -0500" "24 Nov 2026 09:05:07" "Fri, 2 Jan 2026 03:04:05 GMT" odd} {
    foreach property {clock hour lmonth lweekday mday min mon month proper sec wday weekday yday year odd} {
        outcomes [list [list mime::parsedatetime $date $property]]
    }
}
outcomes {
    {mime::parsedatetime {24 Nov 2026 09:05:07 EST} zone} {mime::parsedatetime {24 Nov 2026 09:05:07 xyz} zone} {mime::parsedatetime now zone}
    {mime::parsedatetime -now zone} {mime::parsedatetime -now rclock} {string is integer -strict [mime::parsedatetime -now clock]}
}
"""  # fmt: skip


@pytest.mark.parametrize("shell", ["tclsh", "tkinter"])
@pytest.mark.parametrize("zone", ["UTC", "Asia/Kolkata", "America/St_Johns"])
def test_a_script_sees_no_difference(tmp_path, monkeypatch, shell, zone):
    monkeypatch.setenv("TZ", zone)
    assert with_ours(tmp_path, SCRIPT, shell).splitlines() == without_ours(tmp_path, SCRIPT).splitlines()


MENDED = r"""
package require mime
foreach {date property} {
    "Tue, 24 Nov 2026 09:05:07 +0130" zone "Tue, 24 Nov 2026 09:05:07 -0500" zone "Thu, 24 Sep 2026 09:05:07" lmonth
    "24 Nov 2026 09:05:07 +9999" zone "24 Nov 2026 09:05:07 +12" zone
} {
    catch {mime::parsedatetime $date $property} result
    puts $result
}
set crlf [mime::initialize -string "Subject: x\r\n\r\nbody"]
puts [mime::getheader $crlf Subject]
set parts [list [mime::initialize -canonical text/plain -string a] [mime::initialize -canonical image/png -string b]]
set whole [mime::initialize -canonical multipart/mixed -parts $parts]
set again [mime::initialize -string [string map {\r {}} [mime::buildmessage $whole]]]
foreach part [mime::getproperty $again parts] {
    puts [mime::getbody $part]
}
puts [regexp -all Content-Transfer-Encoding [mime::buildmessage $whole]]
"""


@pytest.mark.parametrize("shell", ["tclsh", "tkinter"])
def test_what_tcllib_gets_wrong_is_mended(tmp_path, shell):
    """As docs/without-tcllib.md lists it."""
    assert with_ours(tmp_path, MENDED, shell).splitlines() == [
        "90", "-300", "September", "malformed timezone-specification: 9999", "malformed timezone-specification: 12", "x", "a", "b", "1",
    ]  # fmt: skip


@pytest.mark.parametrize("shell", ["tclsh", "tkinter"])
def test_bodies_of_all_octets_pass_unharmed(tmp_path, shell):
    script = r"""
package require mime
set octets {}
for {set i 0} {$i < 256} {incr i} {append octets [format %c $i]}
set m [mime::initialize -string "Content-Type: application/x\n\n$octets"]
puts [string equal [mime::getbody $m] $octets]
set large [string repeat $octets 4096]
set m [mime::initialize -canonical application/x -string $large]
puts [mime::getsize $m]
puts [string equal [mime::getbody [mime::initialize -string [mime::buildmessage $m]]] $large]
"""
    assert with_ours(tmp_path, script, shell).split() == ["1", "1048576", "1"]


def test_without_an_engine_the_error_says_so(tmp_path):
    script = (
        "package require mime; puts [list [catch {mime::parseaddress a@b} said settings] $said [dict get $settings -errorcode]]"
    )
    result = run(tmp_path, script, TCLLIBPATH=BARE, PYSMTPD_PYTHON="/no/such/python")
    assert "/no/such/python" in result.stdout
    assert "PYSMTPD ENGINE" in result.stdout


def test_interpreters_have_parts_of_their_own(tmp_path):
    script = r"""
package require mime
set other [interp create]
$other eval [list set auto_path $auto_path]
puts [mime::initialize -string "A: 1\n\n"]
puts [$other eval {package require mime; mime::initialize -string "A: 2\n\n"}]
puts [list [mime::getheader ::mime::1 A] [$other eval {mime::getheader ::mime::1 A}]]
"""
    assert with_ours(tmp_path, script, "tclsh").splitlines() == ["::mime::1", "::mime::1", "1 2"]


def test_tcllibs_is_taken_where_there_is_one_and_whatever_is_asked_for(tmp_path):
    script = "package require mime 1.3; puts [package present mime]; package require smtpd; puts [info procs ::mime::Ask]"
    version, ask = run(tmp_path, script).stdout.split("\n")[:2]
    assert "a" not in version
    assert ask == ""


@pytest.mark.parametrize("requirement", ["", "1.3", "1.5", "1.6", "1.7"])
def test_ours_serves_what_scripts_ask_for(tmp_path, requirement):
    script = (
        f"package require mime {requirement}; package require logger 0.9; package require smtpd 1.4; puts [package present mime]"
    )
    assert "a" in with_ours(tmp_path, script, "tclsh")
