"""The server of an interpreter, seen from Python."""

import smtplib
import ssl
import threading
import tkinter
import types

import pytest
from smtp_client import DEADLINE

from pysmtpd import ConfigurationError
from pysmtpd.certificates import CA
from pysmtpd.installed import InstalledServer


@pytest.fixture
def interpreter():
    made = tkinter.Tcl()
    yield made
    made.eval("catch {smtpd::stop}")


@pytest.fixture
def server(interpreter):
    return InstalledServer(interpreter)


def test_options_are_the_scripts_own(interpreter, server):
    interpreter.eval("smtpd::configure -banner {from Tcl} -validate_host {check {a b}}")
    assert server.cget("banner") == "from Tcl"
    assert interpreter.tk.splitlist(server.cget("-validate_host")) == ("check", "a b")
    server.configure({"banner": "from Python", "deliver": ("proc", "a b")})
    assert interpreter.eval("list [smtpd::cget banner] [smtpd::cget deliver]") == "{from Python} {proc {a b}}"


def test_all_options_can_be_read(server):
    server.configure({"auth_mechanisms": ["PLAIN", "LOGIN"]})
    options = {name: server.cget(name) for name in server.option_names()}
    assert (options["auth_users"], options["auth_mechanisms"], options["size_limit"]) == ({}, ("PLAIN", "LOGIN"), 268_435_456)
    server.configure({"auth_users": {"anna": "s3cret", "bert b": "x"}})
    assert server.cget("auth_users") == {"anna": "s3cret", "bert b": "x"}


def test_a_python_function_is_given_back_as_itself(interpreter, server):
    server.configure({"deliver": print})
    assert server.cget("deliver") is print
    assert interpreter.eval("lindex [smtpd::cget -deliver] 0") == "::pysmtpd::call"
    server.configure({"deliver": None})
    assert server.cget("deliver") == ""


def test_names_are_those_of_the_package(server):
    assert {"banner", "deliver", "deliverMIME", "validate_host", "validate_sender", "validate_recipient", "loglevel"} <= set(
        server.option_names()
    )


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"nope": "x"}, ["-nope", "must be one of"]),
        ({"deliver": 5}, ["deliver", "5", "function"]),
        ({"deliver": ("::pysmtpd::call", "no_such_module_here:f")}, ["-deliver", "no_such_module_here"]),
    ],
)
def test_wrong_options_are_named(server, values, said):
    with pytest.raises(ConfigurationError) as caught:
        server.configure(values)
    assert all(part in str(caught.value) for part in said), str(caught.value)


def test_an_unknown_name_cannot_be_read(server):
    with pytest.raises(ConfigurationError, match="nope"):
        server.cget("nope")


def test_start_returns_where_it_listens(interpreter, server):
    channel = server.start("127.0.0.1", 0)
    host, port = channel.getsockname()
    assert host == "127.0.0.1"
    assert str(port) == interpreter.eval("lindex [fconfigure [smtpd::cget socket] -sockname] 2")
    assert str(channel) == interpreter.eval("smtpd::cget socket")
    assert server.cget("socket").getsockname() == (host, port)
    with pytest.raises(RuntimeError, match="already running"):
        server.start("127.0.0.1", 0)
    other = InstalledServer(tkinter.Tcl())
    with pytest.raises(OSError, match=f"in use.*port {port}"):
        other.start("127.0.0.1", port)
    server.stop()
    server.stop()


def test_stopped_follows_the_script(interpreter, server):
    assert not server.stopped()
    server.start("127.0.0.1", 0)
    assert not server.stopped()
    assert server.wait_stopped(0.01) is False
    interpreter.eval("after 5 smtpd::stop")
    assert server.wait_stopped(10) is True
    assert server.stopped()


def test_a_module_of_callbacks_can_be_given(interpreter):
    module = types.ModuleType("given")
    module.validate_host = print
    InstalledServer(interpreter, module)
    with pytest.raises(ConfigurationError, match="defines no callback"):
        InstalledServer(tkinter.Tcl(), types.ModuleType("empty"))


def test_an_interpreter_that_has_a_smtpd_is_refused(interpreter, server):
    with pytest.raises(RuntimeError, match="smtpd 1.5 is loaded in this interpreter already"):
        InstalledServer(interpreter)


def test_tls_has_python_functions_too(interpreter, server):
    """In Tcl, -command and -password are command prefixes."""
    told = []
    server.configure({"tls": "starttls", "command": lambda *words: told.append(words), "password": lambda: "unused"})
    server.configure({"request": True, "ssl3": False})
    assert server.cget("tls") == "starttls"
    assert callable(server.cget("command"))
    port = server.start("127.0.0.1", 0).getsockname()[1]

    def talk():
        with smtplib.SMTP("localhost", port, timeout=DEADLINE) as client:
            client.starttls(context=ssl.create_default_context(cafile=CA))
            client.noop()

    thread = threading.Thread(target=talk)
    thread.start()
    while thread.is_alive():
        interpreter.tk.dooneevent(2)  # do not wait: the client's thread may be gone by then
    assert {words[0] for words in told} == {"info"}
    assert told[0][2:4] == ("handshake", "start")
    assert ("handshake", "done") in [words[2:4] for words in told]
