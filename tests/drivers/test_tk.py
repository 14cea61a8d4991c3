"""The engine inside tkinter's Tcl: what Python sees and does there."""

import socket
import subprocess
import sys
import threading
import tkinter

import pytest
from smtp_client import Client
from tclsh import environment

import pysmtpd
from pysmtpd.core import Session
from pysmtpd.drivers.tcl import TclEngine
from pysmtpd.drivers.tk import TkLink


@pytest.fixture
def interpreter():
    made = tkinter.Tcl()
    yield made
    made.eval("catch {smtpd::stop}; foreach channel [chan names sock*] {catch {close $channel}}")


@pytest.fixture
def engine(interpreter):
    made = TclEngine()
    TkLink(interpreter, made).install()
    return made


def talk(interpreter, conversation):
    """Run a function with a connected client in a thread, and the interpreter's event loop until it returns."""
    port = int(interpreter.eval("lindex [fconfigure [smtpd::cget socket] -sockname] 2"))
    outcome = []

    def run():
        try:
            with Client(("127.0.0.1", port)) as client:
                outcome.append(conversation(client))
        except BaseException as error:
            outcome.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    while thread.is_alive():
        interpreter.eval("after 5 {set ::tick 1}; vwait ::tick")
    thread.join()
    if isinstance(outcome[0], BaseException):
        raise outcome[0]
    return outcome[0]


def send_mail(client):
    client.hello()
    return client.mail().code


def test_the_package_is_provided_and_stays_ours(interpreter, engine):
    assert interpreter.eval("package require smtpd") == "1.5"
    interpreter.eval("catch {package require no_such_package}")
    assert interpreter.eval("package require smtpd 1.4") == "1.5"
    assert interpreter.eval("::pysmtpd::version") == pysmtpd.__version__


def test_mail_reaches_a_tcl_callback_with_no_python_frame_under_it(interpreter, engine):
    interpreter.eval(
        "smtpd::start 127.0.0.1 0; proc d {s r lines} {set ::got [list $s $r [lindex $lines end]]; vwait_test}; proc vwait_test {} {after 1 {set ::v 1}; vwait ::v}; smtpd::configure -deliver d"
    )
    assert talk(interpreter, send_mail) == 250
    assert interpreter.eval("set got") == "<a@example.org> <b@example.org> hello"


def test_no_python_frame_lies_under_a_callback(interpreter, engine):
    """Python has returned to Tcl before a script's callback runs."""
    depths = []

    def depth():
        frame, count = sys._getframe(), 0
        while frame := frame.f_back:
            count += 1 if "pysmtpd" in frame.f_code.co_filename else 0
        depths.append(count)

    interpreter.tk.createcommand("depth", depth)
    interpreter.eval(
        "smtpd::start 127.0.0.1 0; proc v args {depth}; smtpd::configure -validate_host v -validate_sender v -validate_recipient v -deliver v"
    )
    assert talk(interpreter, send_mail) == 250
    assert depths == [0, 0, 0, 0]


def test_an_exception_inside_the_engine_is_421_and_the_server_goes_on(interpreter, engine, monkeypatch):
    interpreter.eval("smtpd::start 127.0.0.1 0; proc ${smtpd::log}::stdoutcmd {level text} {lappend ::logged $text}")

    def fail(*_):
        raise RuntimeError("broken inside")

    with monkeypatch.context() as patch:
        patch.setattr(Session, "receive", fail)
        assert talk(interpreter, lambda client: (client.expect(220).code, client.command("NOOP").code)) == (220, 421)
    assert "broken inside" in interpreter.eval("set logged")
    assert talk(interpreter, send_mail) == 250


def test_a_binary_body_is_exact(interpreter, engine):
    interpreter.eval(
        "smtpd::start 127.0.0.1 0; proc d {s r lines} {set ::got [lrange $lines 4 end]}; smtpd::configure -deliver d"
    )
    body = bytes(octet for octet in range(256) if octet not in b"\r\n") * 20
    talk(interpreter, lambda client: (client.hello(), client.mail(body=body + b"\r\n")))
    got = interpreter.tk.splitlist(interpreter.tk.call("set", "got"))
    assert len(got) == 1
    assert int(interpreter.eval("string length [lindex $got 0]")) == len(body)
    assert interpreter.tk.call("binary", "encode", "hex", got[0]).decode() == body.hex()


def test_mainloop_serves_too():
    """A program whose event loop is tkinter's mainloop."""
    program = """
import tkinter, pysmtpd, socket, threading
interp = tkinter.Tcl()
pysmtpd.install(interp)
sock = pysmtpd.start("127.0.0.1", 0)
def talk():
    with socket.create_connection(sock_name) as client:
        client.sendall(b"QUIT\\r\\n")
        print(client.makefile("rb").read().count(b"\\r\\n"), flush=True)
    done.append(1)
done = []
sock_name = sock.getsockname()
threading.Thread(target=talk).start()
def poll():
    interp.quit() if done else interp.after(5, poll)
interp.after(5, poll)
interp.mainloop(-1)  # without Tk there are no windows to wait for
"""
    result = subprocess.run([sys.executable, "-c", program], env=environment(), capture_output=True, text=True, timeout=20)
    assert (result.stdout, result.stderr) == ("2\n", "")


@pytest.mark.parametrize("ending", ["del interp", "pysmtpd.stop()", "sys.exit(0)", "pass"])
def test_python_ends_with_a_session_open(ending):
    program = f"""
import sys, tkinter, pysmtpd, socket
interp = tkinter.Tcl()
pysmtpd.install(interp)
sock = pysmtpd.start("127.0.0.1", 0)
client = socket.create_connection(sock.getsockname())
interp.eval("vwait ::pysmtpd::serial; update")
print(client.recv(100)[:3], flush=True)
{ending}
"""
    result = subprocess.run([sys.executable, "-c", program], env=environment(), capture_output=True, text=True, timeout=20)
    assert (result.returncode, result.stdout, result.stderr) == (0, "b'220'\n", "")


def test_an_interpreter_is_deleted_with_a_session_open(interpreter, engine):
    """The child interpreter's server goes with it; the process does not."""
    interpreter.eval("smtpd::start 127.0.0.1 0")
    address = ("127.0.0.1", int(interpreter.eval("lindex [fconfigure [smtpd::cget socket] -sockname] 2")))
    with socket.create_connection(address) as client:
        interpreter.eval("vwait ::pysmtpd::serial; update")
        assert client.recv(100).startswith(b"220 ")
        interpreter.eval("foreach channel [chan names sock*] {close $channel}; update")
        assert client.recv(100) == b""
