"""The servers under endurance, in one shape: started, killed, started again on the same store; weighed, asked what they hold."""

import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from tclsh import Script, children_of, environment

ROOT = Path(__file__).resolve().parent.parent
CERTIFICATE = ROOT / "pysmtpd" / "certificates" / "localhost"
LIVE = "expr {[array size ::pysmtpd::channels] + [llength [info vars ::smtpd::state_*]]}"
SCRIPT = """
set store [open {%(store)s} a]
proc keep {sender recipients data} {
    set subject [lsearch -inline -glob [lrange $data 0 20] "Subject: *"]
    if {[string match "Subject: refuse*" $subject]} {
        error "as it said"
    }
    puts $::store $subject
    flush $::store
}
proc check address {
    if {[string match "refuse*" $address]} {
        error "as it said" {} {SMTP 550}
    }
}
proc bgerror message {puts stderr "background error: $message"}
smtpd::configure -deliver keep -validate_recipient check -usetls 1 -certfile {%(cert)s.pem} -keyfile {%(cert)s.key}
"""


class TclServer:
    """A Tcl script in a stock tclsh or in tkinter's Tcl; its store is a file with a line for each message."""

    def __init__(self, driver: str, folder: Path) -> None:
        self._store = folder / "store"
        self._script = Script(driver, folder, SCRIPT % {"store": self._store, "cert": CERTIFICATE})
        self.pid = self._script.process.pid
        self.address = self._script.address

    def live(self) -> int:
        """How many sessions there are, and arrays of their state."""
        return int(self._script.eval(LIVE))

    def complaints(self) -> str:
        return str(self._script.errors())

    def kill(self) -> None:
        self._script.kill()

    def end(self) -> int:
        return int(self._script.end())

    @staticmethod
    def stored(folder: Path) -> list[str]:
        """The subject of every message in the store."""
        store = folder / "store"
        return [line.removeprefix("Subject: ") for line in store.read_text().splitlines()] if store.exists() else []


class PythonServer:
    """A pysmtpd.Server in a process of its own, on a Maildir."""

    def __init__(self, driver: str, folder: Path) -> None:
        self._errors = folder / "errors"
        command = [sys.executable, str(ROOT / "soak" / "server.py"), str(folder / "maildir")]
        with self._errors.open("a") as errors:
            self._process = subprocess.Popen(
                command, env=environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True
            )
        self.pid = self._process.pid
        self.address = ("127.0.0.1", self._number())

    def _number(self) -> int:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, f"the server is gone: {self.complaints()}"
        return int(line)

    def live(self) -> int:
        assert self._process.stdin is not None
        self._process.stdin.write("live\n")
        self._process.stdin.flush()
        return self._number()

    def complaints(self) -> str:
        lines = self._errors.read_text().splitlines()
        return "\n".join(line for line in lines if "client has closed the channel" not in line)

    def kill(self) -> None:
        self._process.kill()
        self.end()

    def end(self) -> int:
        with suppress(BrokenPipeError):
            self._process.communicate(timeout=10)
        return self._process.returncode

    @staticmethod
    def stored(folder: Path) -> list[str]:
        subjects = []
        for file in (folder / "maildir" / "new").iterdir():
            with file.open("rb") as message:  # and no more of it than that: together they may be many gigabytes
                subjects.append(next((line[9:].strip().decode() for line in message if line.startswith(b"Subject: ")), "(none)"))
        return subjects


KINDS = {"Server": PythonServer, "tclsh": TclServer, "tkinter": TclServer}


def family(pid: int) -> list[int]:
    return [pid, *children_of(pid)]


def descriptors(pid: int) -> int:
    """How many descriptors a server and its children have open."""
    return sum(len(os.listdir(f"/proc/{member}/fd")) for member in family(pid))


def memory(pid: int) -> int:
    """How much memory they have, in octets."""
    total = 0
    for member in family(pid):
        with suppress(OSError):
            lines = Path(f"/proc/{member}/status").read_text().splitlines()
            total += sum(1024 * int(line.split()[1]) for line in lines if line.startswith("VmRSS:"))
    return total


def kill_child(pid: int) -> bool:
    """Kill the engine of a stock tclsh; False where there is none."""
    children = children_of(pid)
    for child in children:
        with suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
    return bool(children)
