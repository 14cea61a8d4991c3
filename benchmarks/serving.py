"""A server under measurement: started on its core, asked what it delivered, weighed, and ended."""

import os
import select
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

HERE = Path(__file__).resolve().parent
START_LIMIT = 15.0  # seconds a server may take to say its port
ALL_CORES = sorted(os.sched_getaffinity(0))
SERVER_CORE, GENERATOR_CORE = ALL_CORES[0], ALL_CORES[-1]
PORT = "{port}"  # in a command line: the port, for a server that does not say which one it took


class TargetError(Exception):
    """A server that does not do what it should: it lost messages, or its start-up program failed."""


@dataclass(frozen=True)
class Target:
    """One server: its command lines and what must be true of it."""

    name: str
    command: tuple[str, ...]  # prints "PORT OWNER" first and answers each line of stdin, unless it has PORT in it
    owner: str = ""  # whose package must have been loaded
    startup: tuple[str, ...] = ()  # a program that loads the package, listens and leaves
    imports: tuple[str, str] | None = None  # a Python, and the module that its users import
    environment: Mapping[str, str] = field(default_factory=dict)
    needs: Path | None = None  # what tools/peers.sh sets up
    is_baseline: bool = False  # gets a table of everybody's ratios to it
    quick_acks: bool = False  # the generator acknowledges at once (see Session.acknowledge)
    connections: int = 10_000  # what it can hold, or as many as are measured
    has_tls: bool = True
    at_least: Mapping[str, Mapping[str, float]] = field(default_factory=dict)  # baseline -> figure -> goal, as a multiple
    at_most: Mapping[str, float] = field(default_factory=dict)  # figure -> goal, in the figure's own unit
    note: str = ""

    @property
    def is_silent(self) -> bool:
        """Whether it neither says its port nor what it delivered."""
        return PORT in " ".join(self.command)


@contextmanager
def on_core(core: int) -> Iterator[None]:
    """What is started inside is born on this core: affinity is inherited, by the children of servers too."""
    mine = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, mine)


def environment_for(target: Target, more: Mapping[str, str]) -> dict[str, str]:
    """Ours, less everything that would load another package than the one meant."""
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("PYSMTPD_") and name not in ("TCLLIBPATH", "PYTHONPATH")
    }
    return {**inherited, **target.environment, **more}


def spawn(
    target: Target, command: Sequence[str], errors: IO[bytes], more: Mapping[str, str] | None = None
) -> "subprocess.Popen[bytes]":
    """Start on the server core, in a process group of its own so that its children die with it."""
    with on_core(SERVER_CORE):
        return subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL if target.is_silent else subprocess.PIPE,
            stderr=errors,
            env=environment_for(target, more or {}),
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
        """One line from the server's stdout."""
        assert self.process.stdout is not None
        text = b""
        while not text.endswith(b"\n"):
            readable, _, _ = select.select([self.process.stdout], [], [], limit)
            piece = os.read(self.process.stdout.fileno(), 4096) if readable else b""
            if not piece:
                why = "ended" if readable else f"silent for {limit:.0f} s"
                raise TargetError(f"{why}: {complaint(self.errors)}")
            text += piece
        return text.decode().strip()

    def announce(self) -> None:
        """Read the port, and refuse to measure one package under the name of another."""
        try:
            port, owner = self.line(START_LIMIT).split()[:2]
        except (TargetError, ValueError) as error:
            raise TargetError(f"does not start: {error}") from error
        if owner != self.target.owner:
            raise TargetError(f"loaded {owner}, not {self.target.owner}")
        self.port = int(port)

    def wait_listening(self) -> None:
        """Knock until somebody opens: all that a silent server says."""
        deadline = time.monotonic() + START_LIMIT
        while True:
            with suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", self.port)):
                return
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise TargetError(f"does not start: {complaint(self.errors)}")
            time.sleep(0.001)

    def delivered(self) -> list[str]:
        """Ask what was delivered: the count, then lines, recipients and last line of the last message."""
        assert self.process.stdin is not None
        os.write(self.process.stdin.fileno(), b"how much\n")
        return self.line(START_LIMIT).split(" ", 3)

    def cpu(self) -> float:
        """Processor seconds so far, of the server and of every process it started."""
        return sum(cpu_of(pid) for pid in family(self.process.pid))

    def memory(self, field: str = "VmRSS") -> int:
        """Octets of memory in use, or with ``VmHWM`` the most there ever were, likewise of all its processes."""
        return sum(memory_of(pid, field) for pid in family(self.process.pid))


def family(pid: int) -> list[int]:
    """A process and all its descendants."""
    found = [pid]
    for parent in found:
        for children in Path(f"/proc/{parent}/task").glob("*/children"):
            with suppress(OSError):
                found.extend(int(child) for child in children.read_text().split())
    return found


def cpu_of(pid: int) -> float:
    """The first field of each thread's schedstat (proc(5)): nanoseconds on the processor."""
    used = 0
    for statistics in Path(f"/proc/{pid}/task").glob("*/schedstat"):
        with suppress(OSError):
            used += int(statistics.read_text().split()[0])
    return used / 1e9


def memory_of(pid: int, field: str) -> int:
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            name, _, value = line.partition(":")
            if name == field:
                return 1024 * int(value.split()[0])
    return 0


@contextmanager
def serving(target: Target, **environment: str) -> Iterator[Server]:
    """A fresh server of this target for as long as the block lasts."""
    if target.needs is not None and not target.needs.exists():
        raise TargetError("is not set up: see tools/peers.sh")
    port = free_port() if target.is_silent else 0
    command = [word.replace(PORT, str(port)) for word in target.command]
    with tempfile.TemporaryFile() as errors:
        try:
            process = spawn(target, command, errors, environment)
        except OSError as error:
            raise TargetError(str(error)) from error
        try:
            server = Server(target, process, errors, port)
            server.wait_listening() if target.is_silent else server.announce()
            yield server
        finally:
            end(process, 0 if target.is_silent else 1)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


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


def run_and_leave(target: Target, command: Sequence[str]) -> float:
    """Wall seconds from spawning a program until it is gone."""
    with tempfile.TemporaryFile() as errors:
        began = time.perf_counter()
        process = spawn(target, command, errors)
        try:
            code = wait_exactly(process, START_LIMIT)
            took = time.perf_counter() - began
        finally:
            end(process, grace=0)
        if code != 0:
            raise TargetError(f"start-up program: exit code {code}: {complaint(errors)}")
        return took
