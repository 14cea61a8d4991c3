"""The server side of the Python target: the twin of server.tcl, with the same arguments and the same output.

server.py ADDR [NAME VALUE] ...    (and set-ups on stdin, see server.tcl)
"""

from __future__ import annotations

import json
import re
import socket
import sys
import time
from collections.abc import Callable
from email.message import EmailMessage, Message
from typing import Any, cast

import pysmtpd
from pysmtpd.certificates import CA, LOCALHOST
from pysmtpd.core.profile import QUIRKS
from pysmtpd.options import read

Rule = tuple[str, str, str, str, str]
RULES: list[Rule] = []


def record(words: list[str], lines: list[str]) -> None:
    """Print one call of a callback, before it returns."""
    print("CB " + json.dumps([words, lines]), flush=True)


def verdict(callback: str, argument: str) -> None:
    """Do what the first rule for this callback and argument says."""
    for which, when, action, code, text in RULES:
        if which != callback or when not in ("*", argument):
            continue
        match action:
            case "refuse":
                raise RuntimeError(text)
            case "refuse-code" if re.fullmatch(r"(SMTP )?[245]\d\d", code):
                raise pysmtpd.Refused(int(code[-3:]), text)
            case "refuse-code":
                raise RuntimeError(text)
            case "slow":
                time.sleep(0.03)  # not a wait for anything: the callback is the slow thing under test
        return


def validate_host(address: str) -> None:
    """A host that connects."""
    record(["validate_host", address], [])
    verdict("validate_host", address)


def validate_sender(address: str) -> None:
    """The address of MAIL FROM."""
    record(["validate_sender", address], [])
    verdict("validate_sender", address)


def validate_recipient(address: str) -> None:
    """The address of RCPT TO."""
    record(["validate_recipient", address], [])
    verdict("validate_recipient", address)


def deliver(sender: str, recipients: list[str], data: list[str]) -> None:
    """A message as lines."""
    record(["deliver", sender, *recipients], list(data))
    verdict("deliver", sender)


def deliver_mime(message: EmailMessage) -> None:
    """A message parsed."""
    record(["deliverMIME", message.get_content_type()], entity(message))
    verdict("deliverMIME", str(message.get("Subject", "")))


def entity(message: Message[Any, Any]) -> list[str]:
    """One MIME entity in the suite's rendering: sorted headers, an empty line, then the body or the parts."""
    # Tcl's mime package keeps these apart from the headers.
    apart = {"content-type", "content-transfer-encoding", "mime-version"}
    headers = [(name.lower(), fold(value)) for name, value in message.raw_items() if name.lower() not in apart]
    lines = [f"{name}: {value}" for name, value in sorted(headers, key=lambda header: header[0])]
    lines.append("")
    if message.get_content_maintype() == "multipart" and message.is_multipart():
        for part in cast("list[Message[Any, Any]]", message.get_payload()):
            lines += [f"part {part.get_content_type()}", *entity(part)]
        return lines
    payload = message.get_payload(decode=True)
    body = payload.decode("latin-1") if isinstance(payload, bytes) else ""
    body = body.replace("\r\n", "\n").rstrip("\n")
    return lines + (body.split("\n") if body else [])


def fold(value: object) -> str:
    """White space of a folded header as single spaces."""
    return re.sub(r"\s+", " ", str(value))


def verify(option: str, _channel: str, *details: Any) -> bool:
    """Record the checks of a client's certificates. All are good enough."""
    if option == "verify":
        depth, certificate, status, reason = details
        record(["verify", str(depth), certificate["subject"], certificate["notAfter"], str(status), reason], [])
    return True


def told(option: str, channel: str, *details: Any) -> None:
    """Record all that is told of a handshake. The answer is none: it is as OpenSSL says."""
    if option == "verify":
        verify(option, channel, *details)
    else:
        record([option, *details], [])


def tls_options(kind: str) -> dict[str, Any]:
    """The options for TLS of a transcript."""
    options: dict[str, Any] = {"usetls": True, "certfile": LOCALHOST.certfile, "keyfile": LOCALHOST.keyfile, "cafile": CA}
    commands = {"verify": verify, "told": told}
    return {**options, "request": True, "command": commands[kind]} if kind in commands else options


FUNCTIONS: dict[str, Callable[..., None]] = {
    "validate_host": validate_host,
    "validate_sender": validate_sender,
    "validate_recipient": validate_recipient,
    "deliver": deliver,
    "deliverMIME": deliver_mime,
}


def set_up(words: list[str], default_banner: str) -> None:
    """Put a set-up in force in place of the one before."""
    RULES.clear()
    options: dict[str, Any] = {"banner": default_banner, "loglevel": "warn", **dict.fromkeys(FUNCTIONS)}
    options.update(dict.fromkeys(QUIRKS, pysmtpd.cget("profile") == "tcllib-1.5"))
    options.update(usetls=False, request=False, command=None)
    rest = iter(words)
    for keyword in rest:
        if keyword == "rule":
            rule: Rule = (next(rest), next(rest), next(rest), next(rest), next(rest))
            RULES.append(rule)
            options[rule[0]] = FUNCTIONS[rule[0]]
            continue
        value = next(rest)
        if keyword == "without":
            options[value] = False
            continue
        if keyword == "tls":
            options.update(tls_options(value))
        elif keyword not in ("names", "fresh"):  # how a script's procs are named, and errorCode, mean nothing here
            options["loglevel" if keyword == "log" else keyword] = value
    pysmtpd.configure(**options)


def main(listen: str, *words: str) -> None:
    """Start, carry out the set-ups that come on stdin, and stay until it is closed."""
    pysmtpd.configure(profile="tcllib-1.5")
    pysmtpd.configure(**{name: read(name, text) for name, text in zip(words[::2], words[1::2], strict=True)})
    default_banner = str(pysmtpd.cget("banner"))
    port = pysmtpd.start(listen, 0).getsockname()[1]
    for line in sys.stdin:
        set_up([bytes.fromhex(word.strip("-")).decode() for word in line.split()], default_banner)
        print("READY", port, "pysmtpd", socket.gethostname(), flush=True)
    pysmtpd.stop()


if __name__ == "__main__":
    main(*sys.argv[1:])
