"""The four servers under comparison: how each is started, and what must be there for it."""

import contextlib
import json
import os
import re
import select
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO

HERE = Path(__file__).parent
REPO = HERE.parent

#: Seconds until a server that has not said READY, or has not left, counts as hung.
DEADLINE = 10.0


class ServerError(Exception):
    """A server that did not come up; carries what it printed."""


#: A callback's name and arguments, then the lines of what it was given.
Record = tuple[list[str], list[str]]

# Tcl logs to stdout, Python to stderr.
_LOG_LINE = re.compile(r"\[\d\d:\d\d:\d\d\s+smtpd (\w+)\] (.*)$")


#: What the name of a target without tcllib ends in.
_BARE = "-bare"


@dataclass(frozen=True)
class Target:
    """A name, the command that runs a script in it, the engine that must answer, and the files it needs."""

    name: str
    command: tuple[str, ...]
    engine: str
    needs: tuple[Path, ...]
    #: The server program; none where the command is the whole of it.
    script: Path | None = HERE / "server.tcl"
    #: tcllib is kept from it.
    bare: bool = False
    #: Whose lines in the transcripts count for it, where that is not its name.
    like: str = ""

    @property
    def role(self) -> str:
        """The name by which transcripts know it: with or without tcllib, the sessions are the same."""
        return self.like or self.name.removesuffix(_BARE)

    def missing(self) -> str:
        """Why the target cannot run here, or nothing."""
        if not Path(self.command[0]).is_absolute() and shutil.which(self.command[0]) is None:
            return f"{self.command[0]} is not installed"
        absent = [str(path.relative_to(REPO)) for path in self.needs if not path.exists()]
        return f"no {' and no '.join(absent)}" if absent else ""

    def environment(self) -> dict[str, str]:
        """The caller's environment without anything that would let one target see another's package."""
        private = ("TCLLIBPATH", "PYTHONPATH")
        environment = {key: value for key, value in os.environ.items() if key not in private and not key.startswith("PYSMTPD_")}
        if self.script is None:
            return environment
        folders = []
        if self.role == "tclsh":
            folders.append(str(REPO / "tcl"))
            environment["PYSMTPD_PYTHON"] = sys.executable
        if self.role in ("tkinter", "python"):
            environment["PYTHONPATH"] = str(REPO)
        if self.bare:
            folders.append(str(HERE / "hide_tcllib"))
        if folders:
            environment["TCLLIBPATH"] = " ".join("{" + folder + "}" for folder in folders)
        return environment


_MAIN = REPO / "pysmtpd" / "__main__.py"
TARGETS: dict[str, Target] = {
    target.name: target
    for target in (
        Target("stock", ("tclsh",), "stock", ()),
        Target("tclsh", ("tclsh",), "pysmtpd", (REPO / "tcl" / "pkgIndex.tcl",)),
        Target("tkinter", (sys.executable, "-m", "pysmtpd", "tclsh"), "pysmtpd", (_MAIN,)),
        Target("python", (sys.executable,), "pysmtpd", (REPO / "pysmtpd" / "api.py",), HERE / "server.py"),
    )
}
#: The two targets whose Tcl may lack tcllib, as if it did: our own mime and logger serve.
WITHOUT_TCLLIB: dict[str, Target] = {
    name + _BARE: replace(TARGETS[name], name=name + _BARE, bare=True) for name in ("tclsh", "tkinter")
}
ALL_TARGETS = {**TARGETS, **WITHOUT_TCLLIB}


def use_tclsh(program: str) -> None:
    """Run our package in another tclsh than the one the stock package is in: one of Tcl 9, say."""
    for name in ("tclsh", "tclsh" + _BARE):
        ALL_TARGETS[name] = replace(ALL_TARGETS[name], command=(program,))


def add_server(command: Sequence[str], like: str) -> str:
    """Make a server program of somebody else's a target, and return its name. It is to answer as the target `like` does."""
    ALL_TARGETS[FOREIGN] = Target(FOREIGN, tuple(command), "", (), script=None, like=like)
    return FOREIGN


#: The name of somebody else's server among the targets.
FOREIGN = "server"


class Server:
    """A running server program: its port, and the callback records it prints."""

    def __init__(self, target: Target, listen: str, options: Sequence[str] = ()) -> None:
        self._target = target
        self.listen = listen
        self.options = list(options)
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 (closed in `close`, with the process)
        self._process = subprocess.Popen(
            [*target.command, *([str(target.script)] if target.script else []), listen, *options],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env=target.environment(),
        )
        self._in, self._out = self._pipes()
        os.set_blocking(self._out.fileno(), False)
        self._pending = b""
        self._lines: list[str] = []
        self._errors_seen = 0
        self.port = 0
        self.host = ""

    def _pipes(self) -> tuple[IO[bytes], IO[bytes]]:
        if self._process.stdin is None or self._process.stdout is None:
            raise ValueError("the process must have its stdin and stdout on pipes")
        return self._process.stdin, self._process.stdout

    def set_up(self, words: list[str]) -> None:
        """Put a configuration and callback rules in force, and wait until they are."""
        line = " ".join(word.encode().hex() or "-" for word in words)
        try:
            self._in.write(line.encode() + b"\n")
            self._in.flush()
        except BrokenPipeError:
            raise ServerError(f"{self._target.name} has left\n{self.errors()}") from None
        port, engine, self.host = self._await_ready()
        self.port = int(port)
        if self._target.engine and engine != self._target.engine:
            raise ServerError(f"target {self._target.name} ran the engine {engine!r}")

    def _await_ready(self) -> list[str]:
        deadline = time.monotonic() + DEADLINE
        while (left := deadline - time.monotonic()) > 0:
            select.select([self._out], [], [], left)
            at_end = self._read()
            for line in self._take("READY "):
                return line.split()
            if at_end:
                break
        raise ServerError(f"no READY from {self._process.args!r}\n{self.errors()}")

    def _read(self) -> bool:
        """Take in what the server has printed so far; true at its end."""
        while True:
            try:
                data = os.read(self._out.fileno(), 65536)
            except BlockingIOError:
                return False
            if not data:
                return True
            *lines, self._pending = (self._pending + data).split(b"\n")
            self._lines += [line.decode("utf-8", "replace") for line in lines]

    def _take(self, mark: str) -> list[str]:
        """The lines that begin with the mark, without it."""
        found = [line.removeprefix(mark) for line in self._lines if line.startswith(mark)]
        self._lines = [line for line in self._lines if not line.startswith(mark)]
        return found

    def records(self) -> list[Record]:
        """The callback records printed since last asked.

        A server prints and flushes a record before it sends the reply, so whoever has the reply finds the record here.
        """
        self._read()
        return [json.loads(line) for line in self._take("CB ")]

    def logged(self) -> tuple[list[str], list[str]]:
        """The log lines printed since last asked, as "level text", and apart from them what stderr got besides."""
        self._read()
        others = self.errors().splitlines()
        lines = self._lines + others
        self._lines = []
        found = [f"{match[1]} {match[2]}" for line in lines if (match := _LOG_LINE.match(line))]
        return found, [line for line in others if not _LOG_LINE.match(line)]

    def errors(self) -> str:
        """What the server wrote to stderr since last asked."""
        # `pread` keeps the file position, which the server writes at, where it is.
        data = os.pread(self._errors.fileno(), 1 << 20, self._errors_seen)
        self._errors_seen += len(data)
        return data.decode("utf-8", "replace")

    def finish(self) -> list[str]:
        """Close the server's stdin, which asks it to leave, wait, and say what was odd about its end."""
        with contextlib.suppress(BrokenPipeError):
            self._in.close()
        try:
            code = self._process.wait(DEADLINE)
        except subprocess.TimeoutExpired:
            return ["still running after its stdin was closed"]
        return ([f"exit code {code}"] if code else []) + self.logged()[1]

    def close(self) -> None:
        """End it, whatever state it is in."""
        if self._process.poll() is None:
            self._process.kill()
        with contextlib.suppress(BrokenPipeError):
            self._in.close()
        self._out.close()
        self._process.wait()
        self._errors.close()
