"""Whole legacy scripts, run unchanged in each Tcl target: what they print and write must be what they do on stock.

Three are ours, written the way users of the package write them; two are tcllib's own examples.
"""

import contextlib
import functools
import os
import select
import shutil
import smtplib
import socket
import ssl
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from compat.masking import masked
from compat.targets import ALL_TARGETS
from compat.text import escape
from pysmtpd.certificates import CA, LOCALHOST

FOLDER = Path(__file__).parent / "scripts"
#: Where Debian's tcllib package puts the examples; elsewhere, those two cases do not apply.
EXAMPLES = Path("/usr/share/doc/tcllib/examples/smtpd")
#: Seconds that one script may take in all.
DEADLINE = 20.0

_HEADERS = "From: Anna <a@example.org>\nTo: b@example.org\n"
PLAIN = f"{_HEADERS}Subject: plain\n\nHello.\n.one dot\n..two dots\n\nFrom here on\n"
EIGHT_BIT = f"{_HEADERS}Subject: eight\n\ncaf\xe9\n"
MULTIPART = f"""{_HEADERS}Subject: parts
MIME-Version: 1.0
Content-Type: multipart/mixed; boundary="b-1"

--b-1
Content-Type: text/plain

first
--b-1
Content-Type: application/octet-stream
Content-Transfer-Encoding: base64

AAEC/w==
--b-1--
"""

Client = Callable[[int], Iterator[str]]


def _said(command: str, reply: tuple[int, bytes]) -> str:
    code, text = reply
    return f"client: {command} -> {code} {escape(text.decode('latin-1'))}"


class Sender:
    """An smtplib client that notes down how the server took each thing."""

    def __init__(self, port: int) -> None:
        self._client = smtplib.SMTP("127.0.0.1", port, "client.example.org", timeout=DEADLINE)

    def mail(self, sender: str, recipients: list[str], text: str) -> str:
        """Send one message."""
        try:
            refused = self._client.sendmail(sender, recipients, text.encode("latin-1"))
        except smtplib.SMTPException as failure:
            return f"client: {type(failure).__name__} {failure}"
        return f"client: sent, refused {refused}"

    def command(self, line: str) -> str:
        """Send one command."""
        return _said(line, self._client.docmd(line))

    def pipeline(self, *lines: str) -> Iterator[str]:
        """Send commands in one go."""
        self._client.send("".join(f"{line}\r\n" for line in lines))
        for line in lines:
            yield _said(line, self._client.getreply())

    def greet(self) -> str:
        """Send EHLO."""
        return _said("EHLO", self._client.ehlo())

    def encrypt(self) -> str:
        """Go over to TLS."""
        code, _ = self._client.starttls(context=ssl.create_default_context(cafile=CA))
        return f"client: STARTTLS -> {code}"

    def log_in(self, mechanism: str) -> str:
        """Log in, without an initial response."""
        self._client.user, self._client.password = "anna", "s3cret"
        how = {"LOGIN": self._client.auth_login, "PLAIN": self._client.auth_plain}[mechanism]
        return _said(f"AUTH {mechanism}", self._client.auth(mechanism, how, initial_response_ok=False))

    def quit(self) -> str:
        """Leave; a server that stopped at the last message may be gone already."""
        with contextlib.suppress(smtplib.SMTPServerDisconnected, ConnectionError):
            self._client.quit()
        self._client.close()
        return "client: left"


def to_printer(port: int) -> Iterator[str]:
    """Good mail, refused mail, and a delivery that fails."""
    client = Sender(port)
    yield client.mail("denied@example.org", ["b@example.org"], PLAIN)
    yield client.mail("a@example.org", ["bogus@example.org"], PLAIN)
    yield client.mail("a@example.org", ["b@example.org", "bogus@example.org", "c@example.net"], PLAIN)
    yield client.quit()
    client = Sender(port)
    yield client.mail("a@example.org", ["b@example.org"], "Subject: fail\n\nx\n")
    yield client.quit()
    client = Sender(port)
    yield client.mail("a@example.org", ["postmaster"], EIGHT_BIT)
    yield client.mail("a@example.org", ["b@example.org"], MULTIPART)
    yield client.quit()


def to_mbox(port: int) -> Iterator[str]:
    """Messages of several shapes, one to a connection."""
    for text in (PLAIN, EIGHT_BIT, MULTIPART):
        client = Sender(port)
        yield client.mail("a@example.org", ["b@example.org"], text)
        yield client.quit()


def to_private(port: int) -> Iterator[str]:
    """Commands that only a private script has."""
    client = Sender(port)
    yield client.greet()
    for line in ("VRFY anna", "VRFY", "vrfy otto", "EXPN list", "NOOP twice", "HELP VRFY", "RSET"):
        yield client.command(line)
    yield client.mail("a@example.org", ["b@example.org"], PLAIN)
    yield client.command("RSET")
    yield client.command("RCPT TO:<c@example.org>")
    yield client.command("RSET")
    yield client.quit()


def to_login(port: int) -> Iterator[str]:
    """Logins by a script that talks to its client by itself, in the clear and under TLS."""
    for encrypted in (False, True):
        client = Sender(port)
        yield client.greet()
        if encrypted:
            yield client.encrypt()
        yield client.log_in("LOGIN")
        yield client.command("NOOP")
        yield client.log_in("PLAIN")
        for line in ("NOOP", "AUTH OTHER", "ETRN"):
            yield client.command(line)
        yield from client.pipeline("NOOP", "ETRN", "RSET")
        yield client.mail("a@example.org", ["b@example.org"], PLAIN)
        yield client.quit()


def to_example(port: int) -> Iterator[str]:
    """What tcllib's examples accept and refuse."""
    client = Sender(port)
    yield client.mail("denied@example.org", ["b@example.org"], PLAIN)
    yield client.mail("a@example.org", ["bogus1@example.org"], PLAIN)
    yield client.quit()
    for text in (PLAIN, MULTIPART):
        client = Sender(port)
        yield client.mail("a@example.org", ["b@example.org"], text)
        yield client.quit()


def nobody(port: int) -> Iterator[str]:
    """For scripts that are their own client."""
    yield from ()


@dataclass(frozen=True)
class Case:
    """A script, its arguments (PORT stands for a port that is free), and who talks to it."""

    path: Path
    arguments: tuple[str, ...] = ()
    client: Client = nobody
    #: The script says where it listens; otherwise the port is chosen here.
    announces: bool = True
    #: It runs until it is ended from outside.
    endless: bool = False
    #: Files it writes.
    files: tuple[str, ...] = ()
    windowed: bool = False
    #: It uses packages of tcllib's that we have no substitute for.
    needs_tcllib: bool = False
    #: Why the targets are not held to it yet: a difference is then shown as pending, and is no failure.
    pending: str = ""

    def missing(self) -> str:
        """What it needs and this machine has not."""
        needed = (EXAMPLES,) if EXAMPLES in self.path.parents or self.windowed else ()
        absent = [str(path) for path in needed if not path.exists()]
        absent += [name for name in ("Xvfb", "wish") if self.windowed and shutil.which(name) is None]
        return ", ".join(absent)


CASES: dict[str, Case] = {
    "scripts/stdout_printer": Case(FOLDER / "stdout_printer.tcl", ("0", "4"), to_printer),
    "scripts/mbox_writer": Case(FOLDER / "mbox_writer.tcl", ("0", "3", "mbox"), to_mbox, files=("mbox",)),
    "scripts/mua_test": Case(FOLDER / "mua_test.tcl", needs_tcllib=True),
    "scripts/public_commands": Case(FOLDER / "public_commands.tcl"),
    "scripts/procs": Case(FOLDER / "procs.tcl"),
    "scripts/by_hand": Case(FOLDER / "by_hand.tcl"),
    "scripts/private_commands": Case(FOLDER / "private_commands.tcl", ("0", "1"), to_private),
    "scripts/private_login": Case(
        FOLDER / "private_login.tcl", ("0", "2", str(LOCALHOST.certfile), str(LOCALHOST.keyfile)), to_login
    ),
    "examples/tcl_smtpd": Case(EXAMPLES / "tcl_smtpd", ("127.0.0.1", "PORT"), to_example, announces=False, endless=True),
    "examples/tk_smtpd": Case(FOLDER / "tk_driver.tcl", (str(EXAMPLES / "tk_smtpd"), "PORT", "2"), to_example, windowed=True),
}


def command(case: Case, target: str) -> list[str]:
    """The shell that runs a script in a target."""
    return [word.replace("tclsh", "wish") if case.windowed else word for word in ALL_TARGETS[target].command]


@functools.cache
def output(name: str, target: str) -> tuple[str, ...]:
    """What the script printed, what its client saw, what it wrote, and how it ended; masked."""
    case = CASES[name]
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="compat-"))
        extra = {"DISPLAY": stack.enter_context(_display())} if case.windowed else {}
        run = stack.enter_context(_Run.started(case, target, Path(folder), extra))
        try:
            lines = run.lines()
        except OSError as failure:  # time-outs, and clients that were turned away
            return (f"{type(failure).__name__}: {failure}", *run.printed(), "exit code 1")
        for file in case.files:
            lines += [f"{file}: {line}" for line in (Path(folder) / file).read_text("latin-1").splitlines()]
    return tuple(escape(line) for line in masked(lines))


class _Run:
    """A script under way: its stdout is a terminal, as its author had it, so that what it prints comes at once."""

    def __init__(self, process: subprocess.Popen[bytes], case: Case, terminal: int, port: int) -> None:
        self._process = process
        self._case = case
        self._terminal = terminal
        self._port = port
        self._printed = b""
        self._deadline = time.monotonic() + DEADLINE

    @classmethod
    @contextlib.contextmanager
    def started(cls, case: Case, target: str, folder: Path, extra: dict[str, str]) -> Iterator["_Run"]:
        """Start it; when the block ends, so does the process."""
        port = _free_port()
        arguments = [word.replace("PORT", str(port)) for word in case.arguments]
        terminal, script_side = os.openpty()
        process = subprocess.Popen(
            [*command(case, target), str(case.path), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=script_side,
            stderr=subprocess.STDOUT,
            cwd=folder,
            env=ALL_TARGETS[target].environment() | extra,
        )
        os.close(script_side)
        os.set_blocking(terminal, False)
        try:
            yield cls(process, case, terminal, port)
        finally:
            process.kill()
            process.wait()
            os.close(terminal)

    def lines(self) -> list[str]:
        """Talk to it, and see it to its end."""
        if self._case.announces and self._case.client is not nobody:
            self._port = int(self._printed_line("listening on port ").split()[-1])
        elif self._case.client is not nobody:
            self._await_listener()
        heard = list(self._case.client(self._port))
        if self._case.endless:
            self._read()
            self._process.terminate()
        code = self._await_end()
        return [*heard, *self.printed(), f"exit code {code}"]

    def printed(self) -> list[str]:
        """What came so far; a terminal makes CRLF of each line end."""
        return self._printed.decode("latin-1").replace("\r\n", "\n").splitlines()

    def _printed_line(self, beginning: str) -> str:
        """The first line with that beginning, when it has come."""
        while time.monotonic() < self._deadline:
            for line in self._printed.decode("latin-1").splitlines():
                if line.startswith(beginning):
                    return line
            if not self._read(self._deadline - time.monotonic()):
                break
        raise TimeoutError(f"the script did not print {beginning!r}, but {self._printed.decode('latin-1')!r}")

    def _await_listener(self) -> None:
        """A script that says nothing when it listens is asked until it answers, or dies."""
        while time.monotonic() < self._deadline:
            with contextlib.suppress(ConnectionRefusedError):
                socket.create_connection(("127.0.0.1", self._port), DEADLINE).close()
                return
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(0.02)
                break
        raise TimeoutError("the script does not listen")

    def _read(self, wait: float = 0) -> bool:
        """Take in what is printed; false at the end."""
        if not select.select([self._terminal], [], [], max(0, wait))[0]:
            return True
        try:
            data = os.read(self._terminal, 65536)
        except BlockingIOError:
            return True
        except OSError:  # a terminal whose other side is closed
            return False
        self._printed += data
        return bool(data)

    def _await_end(self) -> int | str:
        while self._read(self._deadline - time.monotonic()):
            if time.monotonic() > self._deadline:
                return f"none within {DEADLINE:.0f} s"
        code = self._process.wait(DEADLINE)
        return "by signal" if code < 0 else code


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


@contextlib.contextmanager
def _display() -> Iterator[str]:
    """An X display that nobody sees."""
    reading, writing = os.pipe()
    server = subprocess.Popen(
        ["Xvfb", "-displayfd", str(writing), "-screen", "0", "800x600x24", "-nolisten", "tcp"],
        pass_fds=[writing],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(writing)
    try:
        with os.fdopen(reading) as said:
            yield f":{said.readline().strip()}"
    finally:
        server.terminate()
        server.wait()
