"""The names of the stock package, in Python: start, stop, configure, cget, stopped, over the default server."""

import smtplib
import socket
import subprocess
import sys
import threading
import tkinter

import pytest
from smtp_client import Client
from tclsh import environment

from pysmtpd import ConfigurationError, Refused


def address(sock):
    return sock.getsockname()[:2]


def test_a_mail_from_smtplib_reaches_deliver(default_server):
    got = []
    default_server.configure(deliver=lambda *words: got.append(words))
    host, port = address(default_server.start("127.0.0.1", 0))
    with smtplib.SMTP(host, port, timeout=10) as client:
        client.sendmail("a@example.org", ["b@example.org", "c@example.org"], "Subject: x\r\n\r\nhello\r\n.dot\r\n")
    [(sender, recipients, lines)] = got
    assert (sender, recipients) == ("<a@example.org>", ["<b@example.org>", "<c@example.org>"])
    assert lines[0] == "Return-Path: <a@example.org>"
    assert lines[4:] == ["Subject: x", "", "hello", ".dot"]


def test_deliver_mime_gets_an_email_message(default_server):
    got = []
    default_server.configure("-deliverMIME", got.append)
    with Client(address(default_server.start("127.0.0.1", 0))) as client:
        client.hello()
        assert client.mail().code == 250
    assert (got[0]["Subject"], got[0].get_content().strip()) == ("x", "hello")


def test_validators_see_bare_addresses_and_refuse(default_server):
    seen = []

    def check(address):
        seen.append(address)
        if address.startswith("late"):
            raise Refused(450, "try\nlater")
        if address.startswith("no"):
            raise LookupError(address)

    default_server.configure(validate_host=check, validate_sender=check, validate_recipient=check)
    with Client(address(default_server.start("127.0.0.1", 0))) as client:
        client.hello()
        assert client.command("MAIL FROM:<late@b>", 450).lines == ["try", "later"]
        client.command("MAIL FROM:<no@b>", 553)
        client.command("MAIL FROM:<>", 250)
        client.command("RCPT TO:<no@b>", 553)
        client.command("RCPT TO:<yes@b>", 250)
    assert seen == ["127.0.0.1", "late@b", "no@b", "", "no@b", "yes@b"]


@pytest.mark.parametrize("error", [SystemExit(1), KeyboardInterrupt(), ZeroDivisionError("x"), Refused(451, "later")])
def test_whatever_a_callback_raises_the_server_lives(default_server, error):
    def deliver(*_):
        raise error

    default_server.configure(deliver=deliver)
    with Client(address(default_server.start("127.0.0.1", 0))) as client:
        client.hello()
        assert client.mail().code == (451 if isinstance(error, Refused) else 554)
        assert client.mail().code >= 451
        client.quit()


def test_stopped_tells_and_waits(default_server):
    assert not default_server.stopped
    default_server.stop()
    assert not default_server.stopped
    default_server.start("127.0.0.1", 0)
    assert not default_server.stopped
    assert default_server.stopped.wait(0) is False
    threading.Timer(0.01, default_server.stop).start()
    assert default_server.stopped.wait(10) is True
    assert default_server.stopped
    assert repr(default_server.stopped) == "<stopped: True>"
    default_server.start("127.0.0.1", 0)
    assert not default_server.stopped


def test_stop_in_a_callback_and_the_reply_still_comes(default_server):
    default_server.configure(deliver=lambda *_: default_server.stop())
    where = address(default_server.start("127.0.0.1", 0))
    with Client(where) as client:
        client.hello()
        assert client.mail().code == 250
        assert default_server.stopped.wait(10)
        with pytest.raises(ConnectionRefusedError):
            Client(where)
        assert client.mail().code == 250
        client.quit()


def test_start_again_in_a_callback():
    program = """
import smtplib, pysmtpd
ports = []
def deliver(*_):
    pysmtpd.stop()
    ports.append(pysmtpd.start('127.0.0.1', 0).getsockname()[1])
pysmtpd.configure(deliver=deliver)
ports.append(pysmtpd.start('127.0.0.1', 0).getsockname()[1])
for number in range(2):
    with smtplib.SMTP('127.0.0.1', ports[-1], timeout=3) as client:
        client.sendmail('a@b', ['c@d'], 'x')
    print(len(ports))
"""
    result = subprocess.run([sys.executable, "-c", program], env=environment(), capture_output=True, text=True, timeout=20)
    assert (result.stdout, result.stderr) == ("2\n3\n", "")


def test_a_second_start_names_the_address(default_server):
    sock = default_server.start("127.0.0.1", 0)
    with pytest.raises(RuntimeError, match=f"smtpd service already running on .*{sock.getsockname()[1]}"):
        default_server.start("127.0.0.1", 0)


def test_a_port_in_use_is_named(default_server):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match=f"127.0.0.1, port {port}.*in use"):
            default_server.start("127.0.0.1", port)
    default_server.start("127.0.0.1", port)


@pytest.mark.parametrize("port", [-1, 65536])
def test_a_port_out_of_range_is_named(default_server, port):
    with pytest.raises(ConfigurationError, match=f"port is {port}: must be a number from 0 to 65535"):
        default_server.start("127.0.0.1", port)


@pytest.mark.parametrize("port", ["mail", None, 2.5])
def test_a_port_that_is_no_number_is_named(default_server, port):
    with pytest.raises(ConfigurationError, match="port is .*: must be a number from 0 to 65535"):
        default_server.start("127.0.0.1", port)


def test_a_host_that_there_is_not_is_named(default_server):
    with pytest.raises(OSError, match="no-such-host.invalid"):
        default_server.start("no-such-host.invalid", 0)


def test_the_greeting_shows_the_address_given_and_it_sticks(default_server):
    for shown in ("localhost", ""):
        port = address(default_server.start(shown, 0))[1]
        with Client(("127.0.0.1", port)) as client:
            assert client.expect(220).text.split()[0] == "localhost"
        default_server.stop()


def test_configure_takes_keywords_and_tcl_style_and_returns_all(default_server):
    assert default_server.configure(banner="one") is None
    default_server.configure("-banner", "two", "-loglevel", "error", deliver=print)
    everything = default_server.configure()
    assert (everything["banner"], everything["loglevel"], everything["deliver"]) == ("two", "error", print)
    assert default_server.cget("banner") == default_server.cget("-banner") == "two"


@pytest.mark.parametrize(
    ("words", "options", "said"),
    [
        (("-banner",), {}, ["-banner", "no value"]),
        (("banner", "x"), {}, ["banner", "dash"]),
        ((5, "x"), {}, ["5", "dash"]),
        (("-nope", "x"), {}, ["nope", "must be one of"]),
        ((), {"nope": 1}, ["nope", "must be one of"]),
        ((), {"deliver": 5}, ["deliver", "5", "function"]),
        ((), {"profile": "x"}, ["profile", "'x'", "rfc5321"]),
        ((), {"banner": "a\nb"}, ["banner", "single line"]),
    ],
)
def test_wrong_options_are_named_with_value_and_what_is_allowed(default_server, words, options, said):
    with pytest.raises(ConfigurationError) as caught:
        default_server.configure(*words, **options)
    assert all(part in str(caught.value) for part in said), str(caught.value)


def test_a_coroutine_function_is_refused_at_configure(default_server):
    async def deliver(*_):
        pass

    with pytest.raises(ConfigurationError, match="deliver is a coroutine function"):
        default_server.configure(deliver=deliver)


def test_cget_of_the_socket(default_server):
    sock = default_server.start("127.0.0.1", 0)
    assert default_server.cget("socket") is sock
    assert default_server.cget("-socket") is sock
    default_server.stop()
    with pytest.raises(ConfigurationError, match="socket"):
        default_server.cget("socket")


def test_options_take_effect_in_live_sessions(default_server):
    with Client(address(default_server.start("127.0.0.1", 0))) as client:
        client.hello()
        default_server.configure(validate_sender=lambda address: 1 / 0)
        client.command("MAIL FROM:<a@b>", 553)


def test_install_makes_the_interpreters_server_the_one_that_is_meant(default_server):
    interpreter = tkinter.Tcl()
    default_server.install(interpreter)
    got = []
    default_server.configure(deliver=lambda *words: got.append(words), banner="from Python")
    assert interpreter.eval("smtpd::cget -banner") == "from Python"
    where = default_server.start("127.0.0.1", 0).getsockname()
    assert str(where[1]) in interpreter.eval("fconfigure [smtpd::cget socket] -sockname")

    def send():
        with Client(where) as client:
            client.hello()
            client.mail()
            client.quit()
        interpreter_done.append(1)

    interpreter_done = []
    thread = threading.Thread(target=send)
    thread.start()
    while not interpreter_done:
        interpreter.eval("after 5 {set ::tick 1}; vwait ::tick")
    thread.join()
    assert got[0][:2] == ("<a@example.org>", ["<b@example.org>"])
    interpreter.eval("smtpd::stop")
    assert default_server.stopped


@pytest.mark.parametrize("ending", ["pass", "pysmtpd.stop()", "sys.exit(0)"])
def test_a_program_ends_with_the_server_running_and_a_client_connected(ending):
    program = (
        "import sys, socket, pysmtpd\n"
        "client = socket.create_connection(pysmtpd.start('127.0.0.1', 0).getsockname()[:2])\n"
        f"print(client.recv(3))\n{ending}\n"
    )
    result = subprocess.run([sys.executable, "-c", program], env=environment(), capture_output=True, text=True, timeout=20)
    assert (result.returncode, result.stdout, result.stderr) == (0, "b'220'\n", "")


def test_a_program_ends_while_a_callback_runs():
    program = """
import socket, threading, pysmtpd
entered = threading.Event()
def check(ip):
    entered.set()
    threading.Event().wait()
pysmtpd.configure(validate_host=check)
client = socket.create_connection(pysmtpd.start('127.0.0.1', 0).getsockname()[:2])
print(entered.wait(10))
"""
    result = subprocess.run([sys.executable, "-c", program], env=environment(), capture_output=True, text=True, timeout=20)
    assert (result.returncode, result.stdout, result.stderr) == (0, "True\n", "")


def test_threads_that_come_first_at_the_same_time_find_one_server():
    program = """
import threading, pysmtpd
options = {"banner": "x", "deliver": print, "validate_host": print, "validate_sender": print, "validate_recipient": print}
together = threading.Barrier(len(options))
def first(name):
    together.wait()
    pysmtpd.configure(**{name: options[name]})
threads = [threading.Thread(target=first, args=(name,)) for name in options]
for thread in threads: thread.start()
for thread in threads: thread.join()
print([name for name in options if pysmtpd.cget(name) is not options[name]])
"""
    result = subprocess.run([sys.executable, "-c", program], env=environment(), capture_output=True, text=True, check=True)
    assert result.stdout == "[]\n"
