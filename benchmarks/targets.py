"""The servers that are compared: our drivers, the stock package, and peers in other packages and languages.

Goals stand with the target they are for: as multiples of another target, or in a figure's own unit.
"""

import getpass
import sys

from benchmarks.serving import HERE, PORT, Target

REPOSITORY = HERE.parent
PEERS = REPOSITORY / ".peers"
PEERS_PYTHON = PEERS / "python" / "bin" / "python"
SMTP_SINK = PEERS / "postfix" / "usr" / "sbin" / "smtp-sink"
#: Tcl 8.6 waits with select(), and cannot with more than 1,024. Ours turn the rest away.
TCL_CONNECTIONS = 900


def script(*names: str) -> str:
    return str(HERE.joinpath(*names))


PYTHON_PATH = {"PYTHONPATH": str(REPOSITORY)}
TKINTER = (sys.executable, "-m", "pysmtpd", "tclsh")

STOCK = Target(
    "stock",
    ("tclsh", script("server.tcl")),
    "tcllib",
    ("tclsh", script("startup.tcl")),
    is_baseline=True,
    connections=TCL_CONNECTIONS,
    has_tls=False,
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
        connections=TCL_CONNECTIONS,
        has_tls=False,
        note="the same, with a generator that acknowledges each segment at once: the package's own cost, no stalls",
    ),
    Target(
        "tclsh",
        STOCK.command,
        "pysmtpd",
        STOCK.startup,
        environment={"TCLLIBPATH": str(REPOSITORY / "tcl"), "PYSMTPD_PYTHON": sys.executable},
        connections=TCL_CONNECTIONS,
        at_least={
            "stock": {"lockstep1": 2, "lockstep20": 3, "pipelined20": 40, "connections": 10, "bulk": 10},
            "smtp-sink": {"lockstep1": 0.65, "lockstep20": 0.4, "pipelined20": 0.5, "connections": 0.35, "bulk": 0.8},
        },
        at_most={"startup": 150},
        note="our package in stock tclsh, a Tcl deliver callback, the engine in a Python child; both on the server core",
    ),
    Target(
        "tkinter",
        (*TKINTER, script("server.tcl")),
        "pysmtpd",
        (*TKINTER, script("startup.tcl")),
        environment=PYTHON_PATH,
        connections=TCL_CONNECTIONS,
        at_least={
            "stock": {"lockstep1": 3, "lockstep20": 6, "pipelined20": 80, "connections": 20, "bulk": 20},
            "smtp-sink": {"lockstep1": 0.9, "lockstep20": 0.8, "pipelined20": 0.9, "connections": 0.6, "bulk": 1.5},
        },
        note="the same script in the interpreter that tkinter embeds",
    ),
    Target(
        "Server",
        (sys.executable, script("server.py"), "Server"),
        "pysmtpd",
        (sys.executable, script("server.py"), "startup"),
        imports=(sys.executable, "pysmtpd"),
        environment=PYTHON_PATH,
        at_least={
            "smtp-sink": {"lockstep1": 0.95, "lockstep20": 1, "pipelined20": 1.05, "connections": 0.9, "bulk": 3.8},
            "aiosmtpd": {"recipients100": 40, "handshakes": 2},
        },
        at_most={"import": 25, "idle": 4096, "idle_greeting": 50, "size": 1.3, "recipients": 1.3, "sessions": 1.3},
        note="pysmtpd.Server, which keeps the messages it receives",
    ),
    Target(
        "aio.Server",
        (sys.executable, script("server.py"), "aio.Server"),
        "pysmtpd",
        environment=PYTHON_PATH,
        at_least={
            "smtp-sink": {"lockstep1": 0.9, "lockstep20": 0.95, "pipelined20": 1, "connections": 0.6, "bulk": 3.8},
            "aiosmtpd": {"recipients100": 40, "handshakes": 2},
        },
        at_most={"idle": 4096, "idle_greeting": 50, "size": 1.3, "recipients": 1.3, "sessions": 1.3},
        note="pysmtpd.aio.Server, the same in an event loop of asyncio's",
    ),
    Target(
        "serve",
        (sys.executable, "-m", "pysmtpd", "serve", "-l", f"127.0.0.1:{PORT}"),
        environment=PYTHON_PATH,
        has_tls=False,
        at_most={"greeting": 60},
        note="the command: it prints every message, into /dev/null here",
    ),
    Target(
        "aiosmtpd",
        (str(PEERS_PYTHON), script("peers", "aiosmtpd_server.py")),
        "aiosmtpd",
        imports=(str(PEERS_PYTHON), "aiosmtpd.controller"),
        needs=PEERS_PYTHON,
        is_baseline=True,
        note="its Controller, with a handler that keeps the message",
    ),
    Target(
        "smtpdfix",
        (str(PEERS_PYTHON), script("peers", "smtpdfix_server.py")),
        "smtpdfix",
        imports=(str(PEERS_PYTHON), "smtpdfix"),
        needs=PEERS_PYTHON,
        has_tls=False,
        note="the controller of its pytest fixture, over aiosmtpd",
    ),
    Target(
        "smtp-server",
        ("node", script("peers", "smtp_server.js")),
        "smtp-server",
        environment={"NODE_PATH": str(PEERS / "node" / "node_modules")},
        needs=PEERS / "node" / "node_modules" / "smtp-server",
        note="nodemailer's, in node; it makes every client wait 100 ms for its greeting",
    ),
    Target(
        "smtp-sink",
        ("setpriv", "--pdeathsig", "KILL", str(SMTP_SINK), "-u", getpass.getuser(), "-m", "20000", f"127.0.0.1:{PORT}", "1024"),
        environment={"LD_LIBRARY_PATH": str(PEERS / "postfix" / "usr" / "lib" / "postfix")},
        needs=SMTP_SINK,
        is_baseline=True,
        has_tls=False,
        note="Postfix's test server, in C; it throws messages away",
    ),
    Target(
        "canned",
        (sys.executable, script("canned.py")),
        "canned",
        has_tls=False,
        note="canned replies from a bare epoll loop: what the generator can reach at all",
    ),
)
