"""Messages kept for a Tcl script, and waiting for them, in a stock tclsh and in tkinter's Tcl."""

import smtplib
import ssl

import pytest
from smtp_client import DEADLINE
from tclsh import TclError, run

from pysmtpd.certificates import CA, LOCALHOST

MESSAGE = "Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\n\r\nSee http://example.org/1.\r\n\xff\r\n"


def send(server, **mail):
    with server.client() as client:
        client.hello()
        assert client.mail(body=MESSAGE, **mail).code == 250
        client.quit()


def test_nothing_is_kept_before_somebody_asks(serve):
    server = serve()
    send(server)
    assert server.eval("::pysmtpd::messages") == ""
    send(server)
    assert server.eval("llength [::pysmtpd::messages]") == "1"


def test_messages_are_kept_of_clients_that_are_there_already(serve):
    server = serve(f"smtpd::configure -usetls 1 -certfile {LOCALHOST.certfile} -keyfile {LOCALHOST.keyfile}")
    with server.client() as client, smtplib.SMTP(*server.address, timeout=DEADLINE) as encrypted:
        client.hello()
        client.mail()
        encrypted.starttls(context=ssl.create_default_context(cafile=CA))
        encrypted.ehlo("client.example")
        server.eval("::pysmtpd::keep")
        assert server.eval("::pysmtpd::messages") == ""
        client.mail()
        encrypted.sendmail("tls@example.org", "b@example.org", MESSAGE.encode("latin-1"))
        froms = "lmap message [::pysmtpd::messages] {dict get $message from}"
        assert server.eval(froms) == "a@example.org tls@example.org"
        client.quit()
        assert server.eval("::pysmtpd::transcript") == ""


def test_a_callback_may_have_its_message_kept(serve):
    server = serve("proc deliver {from to data} {::pysmtpd::keep}; smtpd::configure -deliver deliver")
    send(server)
    assert server.eval("llength [::pysmtpd::messages]") == "1"


def test_a_message_is_a_dictionary(serve):
    server = serve("::pysmtpd::keep")
    send(server, recipients=("<b@example.org>", "<c@example.org>"))
    server.eval("set m [lindex [::pysmtpd::messages] 0]; list")
    for name, value in {
        "from": "a@example.org", "to": "b@example.org c@example.org", "subject": "Grüße", "links": "http://example.org/1", "html": "",
        "helo": "client.example", "client_addr": "127.0.0.1", "attachments": "",
    }.items():  # fmt: skip
        assert server.eval(f"dict get $m {name}") == value
    # Lines end in LF: under the profile tcllib-1.5, any line end is taken for one.
    assert server.eval("string length [dict get $m content]") == str(len(MESSAGE.replace("\r", "")))
    assert server.eval("scan [string index [dict get $m content] end-1] %c") == "255"
    assert server.eval("expr {abs([dict get $m time] - [clock seconds]) < 60}") == "1"


def test_callbacks_have_their_say_first(serve):
    server = serve(
        "::pysmtpd::keep\nproc deliver {from to data} {if {$from eq {<no@example.org>}} {error no}}\nsmtpd::configure -deliver deliver"
    )
    send(server)
    with server.client() as client:
        client.hello()
        assert client.mail(sender="<no@example.org>").code == 554
    assert server.eval("llength [::pysmtpd::messages]") == "1"


def test_waiting_runs_the_event_loop(serve):
    server = serve("::pysmtpd::keep")
    server.ask('set got [::pysmtpd::wait_for -to c@example.org -count 2 -timeout 20000]; puts "got [llength $got]"')
    send(server)
    send(server, recipients=("<c@example.org>",))
    send(server, recipients=("<c@EXAMPLE.org>",))
    server.wait_printed("got 2")


def test_conditions(serve):
    server = serve("::pysmtpd::keep")
    send(server)
    for condition in (
        "-from a@example.org",
        "-subject rüß",
        "-matching {apply {{m} {string match *See* [dict get $m text]}}}",
        "-timeout 0",
    ):
        assert server.eval(f"llength [::pysmtpd::wait_for {condition}]") == "1"
    assert server.eval("llength [::pysmtpd::messages -subject nothing]") == "0"
    assert server.eval("::pysmtpd::expect_none -to nobody@example.org -timeout 0") == ""
    server.eval("::pysmtpd::clear")
    assert server.eval("::pysmtpd::messages") == ""


def test_a_failure_says_what_came_instead_and_what_the_client_did(serve):
    server = serve("::pysmtpd::keep")
    send(server)
    with pytest.raises(
        TclError, match=r"(?s)messages with to='x': got 0 of 1 in 20 ms.*'Grüße'.*another recipient.*C: RCPT TO:<b@example.org>"
    ):
        server.eval("::pysmtpd::wait_for -to x -timeout 20")
    assert server.eval("catch {::pysmtpd::wait_for -to x -timeout 0}; set ::errorCode") == "PYSMTPD NOT_RECEIVED"
    with pytest.raises(TclError, match="expected no message with anything at all, got <Message"):
        server.eval("::pysmtpd::expect_none -timeout 0")
    lines = server.eval("::pysmtpd::transcript").splitlines()
    after_data = lines[lines.index("C: DATA") :]
    assert [line[:6] for line in after_data] == ["C: DAT", "S: 354", "C: (a ", "S: 250", "C: QUI", "S: 221"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("wait_for -who x", 'unknown option "-who": must be one of -to, -from, -subject, -matching, -count, -timeout'),
        ("messages -count 1", 'unknown option "-count"'),
        ("wait_for -to", 'option "-to" has no value'),
        ("wait_for -count 0", '-count is "0": must be a number'),
        ("wait_for -timeout soon", '-timeout is "soon": must be a number'),
    ],
)
def test_what_is_wrong_is_named(serve, words, message):
    server = serve()
    with pytest.raises(TclError, match=message.replace("-", r"\-")):
        server.eval(f"::pysmtpd::{words}")


@pytest.mark.parametrize("shell", ["tclsh", "tkinter"])
def test_a_client_in_the_same_script(shell, tmp_path):
    script = """
package require smtpd
package require smtp
package require mime
::pysmtpd::keep
smtpd::start 127.0.0.1 0
set port [lindex [fconfigure [smtpd::cget socket] -sockname] 2]
set token [mime::initialize -canonical text/plain -string "Hello\\n"]
mime::setheader $token Subject "from tcl"
smtp::sendmessage $token -servers 127.0.0.1 -ports $port -recipients b@example.org -originator a@example.org
puts [dict get [lindex [::pysmtpd::wait_for -subject tcl] 0] text]
"""
    finished = run(tmp_path, script, shell)
    assert (finished.stdout, finished.stderr) == ("Hello\n\n", "")
