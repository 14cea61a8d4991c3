"""The command `pysmtpd serve` in a process of its own, for tests that look at it from outside."""

import os
import re
import signal
import subprocess
import sys

from smtp_client import DEADLINE, Client
from tclsh import ROOT

_LISTENING = re.compile(r"pysmtpd serve: listening on (\S+)\n")


def command(*words):
    """Return the words that run the command."""
    return [sys.executable, "-m", "pysmtpd", "serve", *map(str, words)]


def environment(**more):
    unwanted = ("NO_COLOR", "PYTHONWARNINGS")
    inherited = {name: value for name, value in os.environ.items() if name not in unwanted}
    return {**inherited, "PYTHONPATH": str(ROOT), "TERM": "xterm", "LC_ALL": "C.UTF-8", **more}


class Served:
    """A running server that says where it listens.

    Arguments:
        words: more options.
        listen: where; a free port of 127.0.0.1 by default.
        folder: the working directory.
        variables: more environment variables.
    """

    def __init__(self, *words, listen="127.0.0.1:0", folder=ROOT, **variables):
        self.process = subprocess.Popen(
            command("-l", listen, *words),
            env=environment(**variables), cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        said = (self.process.stderr if "--raw" in words else self.process.stdout).readline()
        match = _LISTENING.fullmatch(said)
        if match is None:
            raise AssertionError(f"{said!r}; {self.process.communicate(timeout=DEADLINE)}")
        self.where = match[1]
        self.host, _, port = match[1].rpartition(":")
        self.host = self.host.strip("[]")
        self.port = int(port) if port.isdigit() else 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()

    def connect(self):
        return Client((self.host, self.port))

    def send(self, **mail):
        """Send one mail as :meth:`Client.mail` does, in a session of its own; return the last reply to it."""
        with self.connect() as client:
            client.hello()
            reply = client.mail(**mail)
            client.quit()
        return reply

    def line(self):
        """Read a line of standard output."""
        return self.process.stdout.readline()

    def rest(self):
        """Wait for the end; return the exit code, and what is left on standard output and standard error."""
        output, errors = self.process.communicate(timeout=DEADLINE)
        return self.process.returncode, output, errors

    def end(self, number=signal.SIGTERM):
        """Send a signal and return what :meth:`rest` does."""
        self.process.send_signal(number)
        return self.rest()
