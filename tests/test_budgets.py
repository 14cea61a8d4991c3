"""What a message, a connection and an import may cost: counts that no other program on the machine can change."""

import os
import re
import resource
import subprocess
import sys
import threading
from collections import Counter

import pytest
from python_server import InLoop, Threaded
from smtp_client import DEADLINE, Client
from tclsh import environment

LINE = b"The quick brown fox jumps over the lazy dog; 0123456789, and once again...\r\n"
ENVELOPE = b"RSET\r\nMAIL FROM:<sender@example.org>\r\nRCPT TO:<recipient@example.org>\r\nDATA\r\n"
MESSAGES = 50


def body(size):
    return b"Subject: x\r\n\r\n" + LINE * (size // len(LINE)) + b".\r\n"


class Work:
    """What a client does per message; how to begin and to end."""

    def __init__(self, size):
        self.body = body(size)

    def begin(self, client):
        client.hello()

    def end(self, client):
        client.quit()


class LockStep(Work):
    def message(self, client):
        client.command("MAIL FROM:<sender@example.org>", 250)
        client.command("RCPT TO:<recipient@example.org>", 250)
        client.command("DATA", 354)
        client.send(self.body)
        client.expect(250)


class Pipelined(Work):
    """A body and the next envelope in one segment."""

    def begin(self, client):
        client.hello()
        client.send(ENVELOPE)
        client.expect(250, 250, 250, 354)

    def message(self, client):
        client.send(self.body + ENVELOPE)
        client.expect(250, 250, 250, 250, 354)

    def end(self, client):
        client.send(self.body)
        client.expect(250)
        client.quit()


class Calls:
    """Counts the calls of functions, Python's and C's, in the server's thread."""

    def __init__(self):
        self.counted = Counter()
        self.on = False

    def __call__(self, frame, event, argument):
        if self.on:
            if event == "call":
                self.counted[frame.f_code.co_qualname] += 1
            elif event == "c_call":
                self.counted[f"C {argument.__qualname__}"] += 1


def calls_per_message(kind, work):
    """Return how often each function is called for a message, on average."""
    calls = Calls()
    threading.setprofile(calls)
    try:
        made = kind()
        address = made.start().getsockname()
    finally:
        threading.setprofile(None)
    with Client(address) as client:
        work.begin(client)
        work.message(client)  # once: what is made once is made now
        calls.on = True
        for _ in range(MESSAGES):
            work.message(client)
        calls.on = False
        work.end(client)
    made.end()
    assert len(made.server.messages) >= MESSAGES
    return {name: count / MESSAGES for name, count in calls.counted.most_common()}


@pytest.mark.parametrize(
    ("kind", "work", "budget"),
    [
        (Threaded, LockStep(1_000), 200),
        (Threaded, Pipelined(1_000), 100),
        (Threaded, LockStep(1_000_000), 600),
        # asyncio itself makes 26 for every event.
        (InLoop, LockStep(1_000), 290),
        (InLoop, Pipelined(1_000), 130),
        (InLoop, LockStep(1_000_000), 600),
    ],
    ids=["lock-step", "pipelined", "1 MB", "asyncio lock-step", "asyncio pipelined", "asyncio 1 MB"],
)
def test_calls_per_message(kind, work, budget):
    calls = calls_per_message(kind, work)
    assert sum(calls.values()) <= budget, calls


#: The functions that are a system call each; strace shows that there are no others worth counting.
SYSTEM_CALLS = {
    "epoll.poll", "epoll.register", "epoll.modify", "epoll.unregister", "socket.recv", "socket.recv_into", "socket.send", "socket.sendall",
    "socket.shutdown", "socket.setsockopt", "socket.getsockopt", "socket.getpeername", "socket.getsockname", "urandom", "read", "write",
}  # fmt: skip


@pytest.mark.parametrize("kind", [Threaded, InLoop], ids=["selector", "asyncio"])
@pytest.mark.parametrize(("work", "budget"), [(LockStep(1_000), 13), (Pipelined(1_000), 4)], ids=["lock-step", "pipelined"])
def test_system_calls_per_message(kind, work, budget):
    calls = {name: count for name, count in calls_per_message(kind, work).items() if name.removeprefix("C ") in SYSTEM_CALLS}
    assert {"C epoll.poll", "C socket.send", "C socket.recv_into"} <= set(calls)
    assert sum(calls.values()) <= budget, calls


SERVER = """
import sys
sys.path.insert(0, sys.argv[2])
from python_server import KINDS
made = KINDS[sys.argv[1]]()
print(made.start().getsockname()[1], flush=True)
sys.stdin.readline()
made.end()
"""


class Program:
    """A server in a process of its own, until the end of the block."""

    def __init__(self, kind):
        command = [sys.executable, "-c", SERVER, kind, os.path.dirname(__file__)]
        self.process = subprocess.Popen(command, env=environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.address = "127.0.0.1", int(self.process.stdout.readline())

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.communicate("\n", timeout=DEADLINE)

    def resident(self):
        """Octets of memory that the process holds."""
        with open(f"/proc/{self.process.pid}/status") as status:
            return int(re.search(r"VmRSS:\s+(\d+) kB", status.read())[1]) * 1024


@pytest.mark.parametrize("kind", ["selector", "asyncio", "uvloop"])
def test_memory_per_idle_connection(kind):
    """4 kB at most, in the memory that the process holds; what the kernel holds is not ours."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        with Program(kind) as program:
            clients = [greeted(program.address) for _ in range(200)]  # the first ones: what is made once is made now
            before = program.resident()
            clients += [greeted(program.address) for _ in range(1_500)]
            held = program.resident() - before
            for client in clients:
                client.close()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert held / 1_500 <= 4_096


def greeted(address):
    client = Client(address)
    client.hello()
    return client


def test_importing_loads_nothing_slow_and_little_else():
    """Under 25 ms more than Python alone: that is, none of what costs more than a millisecond each."""
    program = "import sys; before = set(sys.modules); import pysmtpd; print(*set(sys.modules) - before)"
    result = subprocess.run([sys.executable, "-c", program], env=environment(), capture_output=True, text=True, check=True)
    loaded = set(result.stdout.split())
    slow = {
        "asyncio",
        "dataclasses",
        "datetime",
        "email",
        "inspect",
        "logging",
        "socket",
        "ssl",
        "subprocess",
        "threading",
        "tkinter",
    }
    assert not loaded & slow
    assert len(loaded) < 60, sorted(loaded)


def test_a_server_that_listens_has_loaded_no_event_loop_and_nothing_of_tls_or_mime():
    program = "import sys, pysmtpd\nwith pysmtpd.Server(): print(*sys.modules)"
    result = subprocess.run([sys.executable, "-c", program], env=environment(), capture_output=True, text=True, check=True)
    assert not set(result.stdout.split()) & {
        "asyncio",
        "concurrent.futures",
        "email",
        "encodings.idna",
        "logging",
        "ssl",
        "tkinter",
    }
