"""The servers under measurement: how each is started, asked what it delivered, weighed, and ended."""

import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parent
START_LIMIT = 15.0  # seconds a server may take to say its port
TICKS = os.sysconf("SC_CLK_TCK")
ALL_CORES = sorted(os.sched_getaffinity(0))
SERVER_CORE, GENERATOR_CORE = ALL_CORES[0], ALL_CORES[-1]


class TargetError(Exception):
    """A server that does not do what it should: it lost messages, or its start-up program failed."""


class StartError(TargetError):
    """A server that does not start, or is not the one that was meant. There is no point in trying it again."""


@dataclass(frozen=True)
class Target:
    """One server: its command lines and what must be true of it."""

    name: str
    command: tuple[str, ...]  # prints "PORT OWNER" first, then answers each line of stdin; ends with stdin
    owner: str  # whose package must have been loaded
    startup: tuple[str, ...] = ()  # a program that loads the package, listens and leaves
    environment: Mapping[str, str] = field(default_factory=dict)
    is_baseline: bool = False  # gets a table of everybody's ratios to it
    quick_acks: bool = False  # the generator acknowledges at once (see Session.acknowledge)
    at_least: Mapping[str, float] = field(default_factory=dict)  # figure -> goal, as a multiple of the baseline
    at_most: Mapping[str, float] = field(default_factory=dict)  # figure -> goal, in the figure's own unit
    note: str = ""


def script(name: str) -> str:
    return str(HERE / name)


def python_path() -> dict[str, str]:
    return {"PYTHONPATH": str(REPOSITORY)}


STOCK = Target(
    "stock",
    ("tclsh", script("server.tcl")),
    "tcllib",
    ("tclsh", script("startup.tcl")),
    is_baseline=True,
    note="tcllib's package as a client meets it: it waits for delayed acknowledgements between its replies",
)
TARGETS = (
    STOCK,
    Target(
        "stock, quick acks",
        STOCK.command,
        "tcllib",
        is_baseline=True,
        quick_acks=True,
        note="the same, with a generator that acknowledges each segment at once: the package's own cost, no stalls",
    ),
    Target(
        "tclsh",
        STOCK.command,
        "pysmtpd",
        STOCK.startup,
        environment={
            "TCLLIBPATH": str(REPOSITORY / "tcl"),
            "PYSMTPD_PYTHON": sys.executable,
        },
        at_least={"lockstep1": 2, "lockstep20": 3, "pipelined20": 40, "connections": 10, "bulk": 10},
        at_most={"startup": 150},
        note="our package in stock tclsh, the engine in a Python child; both on the server core",
    ),
    Target(
        "tkinter",
        (sys.executable, "-m", "pysmtpd", "tclsh", script("server.tcl")),
        "pysmtpd",
        (sys.executable, "-m", "pysmtpd", "tclsh", script("startup.tcl")),
        environment=python_path(),
        at_least={"lockstep1": 3, "lockstep20": 6, "pipelined20": 80, "connections": 20, "bulk": 20},
        note="the same script in the interpreter that tkinter embeds",
    ),
    Target(
        "python",
        (sys.executable, script("server.py")),
        "pysmtpd",
        (sys.executable, script("server.py"), "startup"),
        environment=python_path(),
        note="pysmtpd.start and a Python deliver callback, no Tcl",
    ),
    Target(
        "canned",
        (sys.executable, script("canned.py")),
        "canned",
        note="canned replies from a bare epoll loop: what the generator can reach at all",
    ),
)


@contextmanager
def on_core(core: int) -> Iterator[None]:
    """What is started inside is born on this core: affinity is inherited, by the children of servers too."""
    mine = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, mine)


def environment_for(target: Target) -> dict[str, str]:
    """Ours, less everything that would load another package than the one meant."""
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("PYSMTPD_") and name not in ("TCLLIBPATH", "PYTHONPATH")
    }
    return inherited | dict(target.environment)


def spawn(target: Target, command: tuple[str, ...], errors: IO[bytes]) -> "subprocess.Popen[bytes]":
    """Start on the server core, in a process group of its own so that its children die with it."""
    with on_core(SERVER_CORE):
        return subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            env=environment_for(target),
            cwd=HERE,
            start_new_session=True,
        )


def end(process: "subprocess.Popen[bytes]", grace: float = 1.0) -> None:
    """Close stdin, which is the polite way; then kill the whole group, which is the sure one."""
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            with suppress(OSError):
                stream.close()
    with suppress(subprocess.TimeoutExpired):
        process.wait(grace)
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def complaint(errors: IO[bytes]) -> str:
    """The last line a server wrote on stderr, for the report."""
    errors.seek(0)
    lines = errors.read().decode(errors="replace").strip().splitlines()
    return lines[-1][:200] if lines else "nothing on stderr"


@dataclass
class Server:
    """A running target."""

    target: Target
    process: "subprocess.Popen[bytes]"
    errors: IO[bytes]
    port: int = 0

    def line(self, limit: float) -> str:
        """One line from the server's stdout. It writes a line in one piece, so a readable pipe holds all of it."""
        assert self.process.stdout is not None
        readable, _, _ = select.select([self.process.stdout], [], [], limit)
        text = os.read(self.process.stdout.fileno(), 4096).decode() if readable else ""
        if text:
            return text.strip()
        why = "ended" if readable else f"silent for {limit:.0f} s"
        raise TargetError(f"{why}: {complaint(self.errors)}")

    def announce(self) -> None:
        """Read the port, and refuse to measure one package under the name of another."""
        try:
            port, owner = self.line(START_LIMIT).split()[:2]
        except (TargetError, ValueError) as error:
            raise StartError(f"does not start: {error}") from error
        if owner != self.target.owner:
            raise StartError(f"loaded {owner}, not {self.target.owner}")
        self.port = int(port)

    def delivered(self) -> list[str]:
        """Ask what was delivered: the count, then lines, recipients and last line of the last message."""
        assert self.process.stdin is not None
        os.write(self.process.stdin.fileno(), b"how much\n")
        return self.line(START_LIMIT).split(" ", 3)

    def cpu(self) -> float:
        """Processor seconds so far, of the server and of every process it started."""
        return sum(cpu_of(pid) for pid in family(self.process.pid))


def family(pid: int) -> list[int]:
    """A process and all its descendants."""
    found = [pid]
    for parent in found:
        for children in Path(f"/proc/{parent}/task").glob("*/children"):
            with suppress(OSError):
                found.extend(int(child) for child in children.read_text().split())
    return found


def cpu_of(pid: int) -> float:
    """utime, stime and those of children already waited for: fields 14 to 17 of proc(5)'s stat."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return 0.0
    fields = text.rpartition(")")[2].split()
    return sum(int(ticks) for ticks in fields[11:15]) / TICKS


@contextmanager
def serving(target: Target) -> Iterator[Server]:
    """A fresh server of this target for as long as the block lasts."""
    with tempfile.TemporaryFile() as errors:
        try:
            process = spawn(target, target.command, errors)
        except OSError as error:
            raise StartError(str(error)) from error
        try:
            server = Server(target, process, errors)
            server.announce()
            yield server
        finally:
            end(process)


def wait_exactly(process: "subprocess.Popen[bytes]", limit: float) -> int:
    """Wait for the end at once. Popen.wait with a limit sleeps in doubling steps and would measure 64, 114, 164 ms."""
    descriptor = os.pidfd_open(process.pid)
    try:
        ended, _, _ = select.select([descriptor], [], [], limit)
    finally:
        os.close(descriptor)
    if not ended:
        raise TargetError("the start-up program does not end")
    return process.wait()


def start_and_leave(target: Target) -> float:
    """Wall seconds from spawning the start-up program until it is gone."""
    with tempfile.TemporaryFile() as errors:
        began = time.perf_counter()
        process = spawn(target, target.startup, errors)
        try:
            code = wait_exactly(process, START_LIMIT)
            took = time.perf_counter() - began
        finally:
            end(process, grace=0)
        if code != 0:
            raise TargetError(f"start-up program: exit code {code}: {complaint(errors)}")
        return took
