"""A Tcl script that serves mail, run in a stock tclsh or in the Tcl that tkinter embeds, and a line to talk to it.

The script gets our package, starts on a free port of 127.0.0.1 and enters the event loop. :meth:`Script.eval` has it
evaluate what a *test* says, meanwhile; :attr:`Script.printed` is what it wrote to its stdout.
"""

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

from smtp_client import DEADLINE, Client

ROOT = Path(__file__).resolve().parent.parent
SHELLS = {"tclsh": ["tclsh"], "tkinter": [sys.executable, "-m", "pysmtpd", "tclsh", "--"]}
WISHES = {"wish": ["wish"], "tkinter wish": [sys.executable, "-m", "pysmtpd", "wish", "--"]}

_CONTROL = r"""
proc control {} {
    if {[gets stdin line] < 0} {
        if {[eof stdin]} exit
        return
    }
    set code [catch {uplevel #0 [encoding convertfrom utf-8 [binary decode hex $line]]} result]
    puts "@@ $code [binary encode hex [encoding convertto utf-8 $result]]"
    flush stdout
}
fconfigure stdin -blocking 0
fconfigure stdout -encoding utf-8
fileevent stdin readable control
"""
_START = """
puts "@port [lindex [fconfigure [smtpd::start 127.0.0.1 0] -sockname] 2]"
flush stdout
vwait forever
"""


class TclError(Exception):
    """What the script evaluated raised an error."""


def environment(**more):
    """Return an environment in which a stock tclsh finds this checkout, and so does Python."""
    unwanted = ("PYSMTPD_CALLBACKS", "PYSMTPD_PYTHON", "TCLLIBPATH", "DISPLAY")
    inherited = {name: value for name, value in os.environ.items() if name not in unwanted}
    ours = {"TCLLIBPATH": str(ROOT / "tcl"), "PYTHONPATH": str(ROOT), "PYSMTPD_PYTHON": sys.executable, "LC_ALL": "C.UTF-8"}
    return {**inherited, **ours, **more}


def run(folder, script, shell="tclsh", **more):
    """Run a script to its end; return the finished process, output as text."""
    file = Path(folder, "run.tcl")
    file.write_text(script, encoding="utf-8")
    return subprocess.run(
        [*{**SHELLS, **WISHES}[shell], str(file)],
        env=environment(**more), cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=3 * DEADLINE,
    )  # fmt: skip


class Script:
    """A running script.

    Arguments:
        shell: ``tclsh`` or ``tkinter``.
        folder: the working directory.
        script: what it does before it starts serving; the package is there already.
        variables: more environment variables.
    """

    def __init__(self, shell, folder, script="", **variables):
        self.shell = shell
        self.folder = Path(folder)
        file = self.folder / "served.tcl"
        file.write_text(f"package require smtpd\n{_CONTROL}\n{script}\n{_START}", encoding="utf-8")
        self._errors = (self.folder / "stderr").open("w+")
        self.process = subprocess.Popen(
            [*{**SHELLS, **WISHES}[shell], str(file)],
            env=environment(**variables), cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors,
        )  # fmt: skip
        self.printed: list[str] = []
        self._answers: list[tuple[int, str]] = []
        self._port = 0
        self._ended = False
        self._news = threading.Condition()
        self._listener = threading.Thread(target=self._listen)
        self._listener.start()
        try:
            self.wait_for(lambda: self._port)
        except BaseException:
            self.kill()
            raise

    def _listen(self):
        for raw in self.process.stdout:
            line = raw.decode("utf-8", "replace").removesuffix("\n")
            with self._news:
                if line.startswith("@port "):
                    self._port = int(line[6:])
                elif line.startswith("@@ "):
                    code, _, text = line[3:].partition(" ")
                    self._answers.append((int(code), bytes.fromhex(text).decode("utf-8", "replace")))
                else:
                    self.printed.append(line)
                self._news.notify_all()
        with self._news:
            self._ended = True
            self._news.notify_all()

    def wait_for(self, condition):
        """Wait until something the script printed makes a condition true; return its value."""
        with self._news:
            self._news.wait_for(lambda: condition() or self._ended, DEADLINE)
            value = condition()
            assert value, f"waited in vain; printed: {self.printed}; on stderr: {self.errors()}"
            return value

    def wait_printed(self, text):
        """Wait until a line is printed that contains a text; return it."""
        return self.wait_for(lambda: next((line for line in self.printed if text in line), None))

    @property
    def address(self):
        return ("127.0.0.1", self._port)

    def client(self, **options):
        return Client(self.address, **options)

    def eval(self, command):
        """Have the script evaluate a command at global level; return the result."""
        self.ask(command)
        code, result = self.wait_for(lambda: self._answers and self._answers[0])
        self._answers.clear()
        if code:
            raise TclError(result)
        return result

    def ask(self, command):
        """Have the script evaluate a command, and do not wait for the result."""
        self.process.stdin.write(command.encode().hex().encode() + b"\n")
        self.process.stdin.flush()

    def wait_until(self, command, wanted):
        """Evaluate a command until it has the wanted result: each answer tells that the event loop has turned."""
        deadline = time.monotonic() + DEADLINE
        while (result := self.eval(command)) != wanted:
            assert time.monotonic() < deadline, f"{command} is {result!r}, not {wanted!r}"

    def errors(self):
        """Return what was written to stderr so far."""
        return (self.folder / "stderr").read_text(errors="replace")

    def children(self):
        """Return the process ids of the script's children."""
        return children_of(self.process.pid)

    def kill(self):
        """End the script with SIGKILL, and let go of it."""
        self.process.kill()
        self._let_go()

    def end(self):
        """End the script by ending its stdin; return its exit code."""
        self.process.stdin.close()
        try:
            self.process.wait(DEADLINE)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"the script does not end; on stderr: {self.errors()}") from None
        self._let_go()
        return self.process.returncode

    def _let_go(self):
        self.process.wait(DEADLINE)
        self._listener.join(DEADLINE)
        self.process.stdout.close()
        self._errors.close()
        self.process.stdin.close()


def children_of(parent):
    """Return the process ids of a process' children."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[1]) == parent and fields[0] != "Z":
                found.append(int(entry.name))
    return found


def wait_gone(process):
    """Wait until there is no process of this id, or only its remains."""
    deadline = time.monotonic() + DEADLINE
    while _lives(process):
        assert time.monotonic() < deadline, f"process {process} is still there"
        os.sched_yield()


def _lives(process):
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
