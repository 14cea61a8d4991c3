"""Fixtures shared by all tests."""

import gc
import os
import shutil
import signal
import subprocess

import hypothesis
import pytest
from smtp_client import DEADLINE
from tclsh import Script

import pysmtpd.api
from pysmtpd.installed import InstalledServer

# A machine that is busy with something else is no failure.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")

# A shell starts what it runs in the background with Ctrl-C ignored, and so everything that the tests start from there.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True, scope="module")
def interpreters_end_in_their_own_thread():
    """Tcl ends the process when an interpreter of tkinter's is collected by another thread than the one that made it."""
    yield
    gc.collect()


@pytest.fixture
def default_server(monkeypatch):
    """The module ``pysmtpd`` with a default server that no other test has seen."""
    monkeypatch.setattr(pysmtpd.api, "_server", None)
    yield pysmtpd
    pysmtpd.stop()
    if isinstance(pysmtpd.api._server, InstalledServer):
        pysmtpd.api._server = None
        gc.collect()
    elif pysmtpd.api._server is not None:
        pysmtpd.api._server.close()


def _server_of(shell, tmp_path):
    started = []

    def serve(script="", noisy=False, **variables):
        """Start a script that serves; unless it is said to be noisy, it must leave stderr empty."""
        server = Script(shell, tmp_path, script, **variables)
        started.append((server, noisy))
        return server

    yield serve
    for server, noisy in started:
        if server.process.poll() is None:
            server.end()
        else:
            server.kill()
        assert noisy or server.errors() == ""


@pytest.fixture(params=["tclsh", "tkinter"])
def serve(request, tmp_path):
    """A function that runs a Tcl script with a server, in a stock tclsh and in tkinter's Tcl."""
    yield from _server_of(request.param, tmp_path)


@pytest.fixture
def serve_stock(tmp_path):
    """A function that runs a Tcl script with a server in a stock tclsh."""
    yield from _server_of("tclsh", tmp_path)


@pytest.fixture
def serve_tkinter(tmp_path):
    """A function that runs a Tcl script with a server in tkinter's Tcl."""
    yield from _server_of("tkinter", tmp_path)


@pytest.fixture(scope="session")
def x_server():
    """The name of a display that belongs to these tests alone."""
    if shutil.which("Xvfb") is None:
        pytest.fail("the tests of wish need Xvfb (Debian: apt install xvfb)")
    reading, writing = os.pipe()
    server = subprocess.Popen(
        ["Xvfb", "-displayfd", str(writing), "-screen", "0", "640x480x24", "-nolisten", "tcp"],
        pass_fds=[writing], stderr=subprocess.DEVNULL,
    )  # fmt: skip
    os.close(writing)
    with os.fdopen(reading) as pipe:
        number = pipe.readline().strip()
    if not number:
        pytest.fail(f"Xvfb did not start: exit code {server.wait(DEADLINE)}")
    yield f":{number}"
    server.terminate()
    server.wait(DEADLINE)
