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


class Lines:
    """What a Tcl script has stored: a file with a line for each message."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "store"
        self._file.touch()
        self._read = 0  # octets of it

    def collect(self) -> list[str]:
        """The subjects of the messages that have come since it was last asked."""
        with self._file.open("rb") as store:
            store.seek(self._read)
            lines, end, _rest = store.read().rpartition(b"\n")
        self._read += len(lines + end)
        return [line.decode().removeprefix("Subject: ") for line in lines.splitlines()]


class Maildir:
    """What the server for Python has stored. Messages are taken out: those of an hour would be many gigabytes."""

    def __init__(self, folder: Path) -> None:
        self._new = folder / "maildir" / "new"

    def collect(self) -> list[str]:
        subjects = []
        for file in list(self._new.iterdir()):
            with file.open("rb") as message:
                subjects.append(next((line[9:].strip().decode() for line in message if line.startswith(b"Subject: ")), "(none)"))
            file.unlink()
        return subjects


# Each driver by its name: its server, and how its store is read.
KINDS: dict[str, tuple[type[PythonServer | TclServer], type[Lines | Maildir]]] = {
    "Server": (PythonServer, Maildir),
    "tclsh": (TclServer, Lines),
    "tkinter": (TclServer, Lines),
}


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
