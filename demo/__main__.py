"""Run the demonstration: `python -m demo`. Exits with 0 when every mail went where it should."""

import os
import smtplib
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import EmailMessage
from pathlib import Path

from pysmtpd.location import as_tcl_list, tcl_path

HERE = Path(__file__).parent
MAILS = 2  # that the script takes before it stops
DEADLINE = 30  # seconds, for anything here


def environment() -> dict[str, str]:
    """Return what the script's user sets: where the package is, and whose callbacks to use besides."""
    return {
        **os.environ,
        "TCLLIBPATH": as_tcl_list(tcl_path()),
        "PYSMTPD_PYTHON": sys.executable,
        "PYSMTPD_CALLBACKS": "demo.callbacks",
        "PYTHONPATH": str(HERE.parent),
    }


@contextmanager
def running(command: list[str]) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """Start the script; yield it and its port, and see it end by itself."""
    script = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment())
    try:
        assert script.stdout is not None
        line = script.stdout.readline()
        print(line, end="", flush=True)
        yield script, int(line.split()[-1])
        output, _ = script.communicate(timeout=DEADLINE)
        print(output, end="", flush=True)
        if script.returncode:
            raise SystemExit(f"{command[0]} ended with exit code {script.returncode}")
    finally:
        script.kill()
        script.wait()


def send_plain(port: int) -> None:
    """A plain mail, by Python's smtplib."""
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = "python@example.org", "bob@example.com", "From smtplib"
    mail.set_content("Good morning from Python.\n.A line with a dot before it.\n")
    with smtplib.SMTP("127.0.0.1", port, timeout=DEADLINE) as client:
        client.send_message(mail)


def send_multipart(port: int) -> None:
    """A mail in two parts, by tcllib's smtp."""
    subprocess.run(["tclsh", str(HERE / "send.tcl"), str(port)], check=True, timeout=DEADLINE)


def send_refused(port: int) -> bool:
    """A mail to a recipient whom the script does not want; return whether it was refused."""
    with smtplib.SMTP("127.0.0.1", port, timeout=DEADLINE) as client:
        try:
            client.sendmail("python@example.org", ["nobody@example.com"], "Subject: never mind\n\nx\n")
        except smtplib.SMTPRecipientsRefused as refusal:
            (code, text) = refusal.recipients["nobody@example.com"]
            print(f"  client: {code} {text.decode()}", flush=True)
            return True
    return False


def show(title: str, command: list[str]) -> str:
    """Run the script one way, send it the three mails, and return a line about what was delivered."""
    print(f"{title}: {' '.join(Path(word).name if '/' in word else word for word in command)}", flush=True)
    with running(command) as (_, port):
        refused = send_refused(port)
        send_plain(port)
        send_multipart(port)
    if not refused:
        raise SystemExit("the mail to nobody was not refused")
    return f"{MAILS} mails delivered and 1 refused in {title}"


def main() -> None:
    """Show both ways in."""
    script = [str(HERE / "legacy.tcl"), str(MAILS)]
    lines = [
        show("stock tclsh", ["tclsh", *script]),
        show("tkinter", [sys.executable, "-m", "pysmtpd", "tclsh", *script]),
    ]
    print("ok: " + "; ".join(lines))


if __name__ == "__main__":
    main()
