"""tcllib's tk_smtpd example, unchanged, on a display that nobody sees: under stock wish and under `pysmtpd wish`."""

import contextlib
import os
import smtplib
import ssl
from pathlib import Path

import pytest
from smtp_client import DEADLINE
from tclsh import WISHES, Script
from without_tcllib import BARE

#: Where Debian's tcllib package puts it.
EXAMPLE = Path("/usr/share/doc/tcllib/examples/smtpd/tk_smtpd")
#: The example takes its settings from the array when it is there: all but the port are as it has them itself, the certificate of 2004
#: included. It stays in the event loop until its Exit is pressed.
SCRIPT = f"""
set dir {EXAMPLE.parent}
array set options [list loglevel debug interface 127.0.0.1 port 0 usetls 1 require 0 request 1 \\
    certfile [file join $dir server-public.pem] keyfile [file join $dir server-private.key]]
proc listening {{}} {{
    return [lindex [fconfigure [smtpd::cget socket] -sockname] 2]
}}
after idle {{.b1 invoke; puts "@port [listening]"; flush stdout}}
set argc 0
set argv {{}}
source {EXAMPLE}
puts "@left"
flush stdout
exit
"""
MAIL = "From: anna@example.org\nTo: otto@example.org\nSubject: {subject}\n\nHello.\n"


@pytest.fixture(params=WISHES)
def example(request, x_server, tmp_path):
    """The example, started."""
    if not EXAMPLE.exists():
        pytest.fail("the test needs tcllib's examples (Debian: apt install tcllib)")
    script = Script(request.param, tmp_path, SCRIPT, DISPLAY=x_server)
    yield script
    script.kill()
    assert script.errors() == ""


def send(port, subject, *, encrypted=False):
    with smtplib.SMTP("127.0.0.1", port, "client.example.org", timeout=DEADLINE) as client:
        if encrypted:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
            context.set_ciphers("DEFAULT:@SECLEVEL=0")
            assert client.starttls(context=context)[0] == 220
        client.sendmail("anna@example.org", ["otto@example.org"], MAIL.format(subject=subject))


def test_start_receive_stop_start_again(example):
    _, port = example.address
    assert example.eval("wm title .") == "Tcllib SMTPd 1.5 Demo"
    assert "smtpd service started on" in example.eval(".t get 1.0 end")

    send(port, "in the clear")
    assert example.eval("wm title .dlg1") == "To: otto@example.org"
    shown = example.eval(".dlg1.e get 1.0 end")
    assert "Subject: in the clear" in shown
    assert "Hello." in shown
    assert shown.startswith("From anna@example.org ")

    send(port, "under TLS", encrypted=True)
    shown = example.eval(".dlg2.e get 1.0 end")
    assert "Subject: under TLS" in shown
    assert "(version=" in shown, shown
    example.eval(".dlg1.b invoke; .dlg2.b invoke")
    assert example.eval("list [winfo exists .dlg1] [winfo exists .dlg2]") == "0 0"

    with (
        pytest.raises(smtplib.SMTPSenderRefused),
        smtplib.SMTP("127.0.0.1", port, "client.example.org", timeout=DEADLINE) as client,
    ):
        client.sendmail("denied@example.org", ["otto@example.org"], MAIL)

    example.eval(".b2 invoke")
    assert "smtpd service stopped" in example.eval(".t get 1.0 end")
    with pytest.raises(ConnectionRefusedError):
        smtplib.SMTP("127.0.0.1", port, timeout=DEADLINE)

    example.eval(".b1 invoke")
    send(int(example.eval("listening")), "again", encrypted=True)
    assert "Subject: again" in example.eval(".dlg3.e get 1.0 end")
    example.ask(".b3 invoke")
    example.wait_printed("@left")
    assert example.process.wait(DEADLINE) == 0


@pytest.mark.parametrize("shell", WISHES)
def test_it_needs_no_tcllib(shell, x_server, tmp_path):
    example = Script(shell, tmp_path, SCRIPT, DISPLAY=x_server, TCLLIBPATH=BARE)
    try:
        send(example.address[1], "without tcllib", encrypted=True)
        assert "Subject: without tcllib" in example.eval(".dlg1.e get 1.0 end")
    finally:
        example.kill()
    assert example.errors() == ""


def test_a_start_that_fails_is_shown_in_the_window(example, tmp_path):
    """The example has a handler of its own for errors of its buttons."""
    (tmp_path / "none.pem").write_text("no certificate")
    example.eval(f".b2 invoke; set options(certfile) {tmp_path}/none.pem")
    example.eval("after 0 {.b1 invoke}; after 50 {set looked 1}; vwait looked")
    shown = example.eval(".t get 1.0 end")
    assert "none.pem" in shown
    with contextlib.suppress(OSError):
        os.remove(tmp_path / "none.pem")


LABELS = """
proc watch {address} {
    upvar 1 channel channel
    foreach item {domain from to} {
        label .$item -textvariable ::smtpd::state_${channel}($item)
    }
}
smtpd::configure -validate_host watch
"""


@pytest.mark.parametrize("shell", WISHES)
def test_what_shows_an_item_of_a_session_on_the_screen_is_right(shell, x_server, tmp_path):
    script = Script(shell, tmp_path, LABELS, DISPLAY=x_server)
    try:
        with script.client() as client:
            client.hello()
            client.command("MAIL FROM:<a@example.org>", 250)
            client.command("RCPT TO:<b@example.org>", 250)
            shown = script.eval("update; list [.domain cget -text] [.from cget -text] [.to cget -text]")
            assert shown == "client.example <a@example.org> <b@example.org>"
    finally:
        script.kill()
    assert script.errors() == ""
