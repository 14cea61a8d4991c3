"""A server under attack, in a process of its own: each driver in turn, in one shape.

A subject counts what it delivers and keeps the last message; the tests ask it for that, for what it still holds, and for its
descriptors and memory, as they are before and after. Callbacks are chosen by name, from a table in each language.
"""

import ast
import os
import re
import subprocess
import sys
import threading
import time
from pathlib import Path

from smtp_client import DEADLINE, Client
from tclsh import Script, children_of, environment

#: What the log may say of a client: a warning is no complaint, nor is a handshake that failed.
_LOG_LINE = re.compile(r"\[[0-9:]{8} smtpd (?:(?:notice|warn)\]|error\] TLS )")
HERE = Path(__file__).resolve().parent
RUNNER = HERE / "runner.py"
DRIVERS = ("tclsh", "tkinter", "Server", "aio.Server")

#: What the Tcl subject runs before it serves. Each callback there is has its name from here.
TCL_SCRIPT = """
set delivered 0
set last {}
proc keep {sender recipients data} {
    incr ::delivered
    set ::last [list $sender $recipients $data]
}
proc bgerror message {puts "background error: $message"; flush stdout}
proc look token {
    mime::getproperty $token
    mime::getheader $token
}
proc raise args {error "no such luck"}
proc raise_code args {error "come back" {} {SMTP 451}}
proc raise_nonsense_code args {error "odd" {} "\\{ unbalanced 999 250"}
proc raise_lines args {error "one\\r\\n250 two\\nthree"}
proc raise_accents args {error "n\\u00e3o \\u65e5\\u672c \\x1b\\[31m"}
proc raise_long args {error [string repeat x 1000000]}
proc raise_break args {return -code break}
proc raise_continue args {return -code continue}
proc raise_return args {return -code return}
proc raise_seven args {return -code 7}
proc stop args {smtpd::stop}
proc start args {smtpd::start 127.0.0.1 0}
proc restart args {smtpd::stop; smtpd::start 127.0.0.1 0}
proc reconfigure args {smtpd::configure -banner changed -size_limit 1000 -validate_recipient {}}
proc call_verbs args {upvar 1 channel channel; smtpd::NOOP $channel NOOP; smtpd::RSET $channel RSET}
proc leave args {exit 5}
proc close_channel args {upvar 1 channel channel; close $channel}
proc wait_until_told args {puts waiting; flush stdout; vwait ::go}
proc wait_a_moment args {after 50 {set ::moment 1}; vwait ::moment}
smtpd::configure -deliver keep
"""


class TclSubject:
    """One of the two Tcl drivers."""

    def __init__(self, driver, folder, **options):
        self.script = Script(driver, folder, TCL_SCRIPT, PYTHONPATH=f"{HERE.parent.parent}:{HERE}")
        self.address = self.script.address
        self.pid = self.script.process.pid
        self.configure(**options)

    def configure(self, **options):
        """Set options; a callback is named as in the table, or ``raising:NAME`` for one of raising.py."""
        for name, value in options.items():
            value = f"{{::pysmtpd::call {value}}}" if str(value).startswith("raising:") else value
            self.script.eval(f"smtpd::configure -{name} {value}")

    def reset(self):
        self.script.eval("set delivered 0")

    def delivered(self):
        return int(self.script.eval("set delivered"))

    def last(self):
        """Return the body of the last message, without the trace header: a list of lines."""
        return self.script.eval("join [lrange [lindex $last 2] 4 end] \\n").split("\n")

    def live(self):
        """Return how many sessions there are, and whatever else is kept for connections."""
        return self.script.eval(
            "list [llength [info vars ::smtpd::state_*]] [array size ::pysmtpd::channels] [array size ::pysmtpd::numbers]"
            " [array size ::pysmtpd::suspended] [array size ::pysmtpd::busy] [array size ::pysmtpd::held]"
        )

    NOTHING_LIVE = "0 0 0 0 0 0"

    def wait_waiting(self):
        """Wait until the callback that waits has been called."""
        self.script.wait_printed("waiting")

    def go_on(self):
        """Let the callback that waits return."""
        self.script.eval("set go 1")

    def find(self):
        """Learn where it listens now."""
        self.address = ("127.0.0.1", int(self.script.eval("lindex [fconfigure [smtpd::cget socket] -sockname] 2")))

    def complaints(self):
        return [line for line in self.script.printed if "background error" in line] + self.script.errors().splitlines()

    def end(self):
        return self.script.end()


class PythonSubject:
    """One of the two drivers for Python, run by runner.py."""

    NOTHING_LIVE = 0

    def __init__(self, driver, folder, **options):
        self._errors = (Path(folder) / "stderr").open("w+")
        self.process = subprocess.Popen(
            [sys.executable, str(RUNNER), driver],
            env=environment(PYTHONPATH=f"{HERE.parent.parent}:{HERE.parent}"), cwd=folder,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors, text=True,
        )  # fmt: skip
        self.pid = self.process.pid
        self.address = ("127.0.0.1", self.eval("port"))
        self.configure(**options)

    def eval(self, expression):
        """Have the runner evaluate what a *test* says; return the value."""
        self.process.stdin.write(expression + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        assert answer, f"the server is gone: {self.complaints()}"
        return ast.literal_eval(answer)

    def configure(self, **options):
        values = {
            name: f"CALLBACKS[{value!r}]" if name.startswith(("deliver", "validate")) else repr(value)
            for name, value in options.items()
        }
        self.eval(f"configure({', '.join(f'{name}={value}' for name, value in values.items())})")

    def reset(self):
        self.eval("setattr(kept, 'delivered', 0)")

    def delivered(self):
        return self.eval("kept.delivered")

    def last(self):
        return self.eval("kept.last")

    def live(self):
        return self.eval("live()")

    def wait_waiting(self):
        assert self.eval(f"waiting.wait({DEADLINE})")

    def go_on(self):
        self.eval("go.set()")

    def find(self):
        self.address = ("127.0.0.1", self.eval("subject.server.port"))

    def complaints(self):
        lines = Path(self._errors.name).read_text().splitlines()
        return [line for line in lines if not _LOG_LINE.match(line)]

    def end(self):
        self.process.stdin.close()
        try:
            code = self.process.wait(DEADLINE)
        finally:
            self.process.kill()
            self.process.wait()
            self.process.stdout.close()
            self._errors.close()
        return code


class Subject:
    """What the tests do with either."""

    def __init__(self, driver, folder, **options):
        self.driver = driver
        self.speaks_tcl = driver in ("tclsh", "tkinter")
        self.inner = (TclSubject if self.speaks_tcl else PythonSubject)(driver, folder, **options)

    def __getattr__(self, name):
        return getattr(self.inner, name)

    def client(self, **options):
        return Client(self.address, **options)

    def family(self):
        return [self.pid, *children_of(self.pid)]

    def descriptors(self):
        """Return how many descriptors the server and its children have open."""
        return sum(len(os.listdir(f"/proc/{pid}/fd")) for pid in self.family())

    def memory(self):
        """Return how much memory they have, in octets."""
        return sum(_resident(pid) for pid in self.family())

    def cpu(self):
        """Return the processor seconds they have used."""
        return sum(_cpu(pid) for pid in self.family())

    def wait_nothing_left(self, descriptors):
        """Wait until no session is left and there are no more descriptors than there were."""
        deadline = time.monotonic() + DEADLINE
        while (live := self.live()) != self.NOTHING_LIVE or self.descriptors() > descriptors:
            assert time.monotonic() < deadline, f"left: {live}; descriptors: {self.descriptors()}, before: {descriptors}"
            os.sched_yield()

    def assert_alive(self):
        """A client is served: greeted, its mail taken and delivered."""
        before = self.delivered()
        with self.client() as client:
            client.hello()
            assert client.mail().code == 250
            client.quit()
        assert self.delivered() == before + 1


def in_threads(count, work):
    """Do something in so many threads at once; the first exception of any of them is raised."""
    failures = []

    def run(number):
        try:
            work(number)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


def _resident(pid):
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return 1024 * int(line.split()[1])
    return 0


def _cpu(pid):
    return sum(int(file.read_text().split()[0]) for file in Path(f"/proc/{pid}/task").glob("*/schedstat")) / 1e9
