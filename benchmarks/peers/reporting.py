"""What the Python peers share: saying the port, and answering each line on stdin with what was delivered.

Knows nothing of the servers: it runs in an environment that has the peers and not this project.
"""

import os
import ssl
import sys
from collections.abc import Callable, Sequence


class Kept:
    """The count and the last message, as server.tcl's `keep` holds them."""

    def __init__(self) -> None:
        self.delivered = 0
        self.recipients: Sequence[object] = ()
        self.data = b""

    def keep(self, recipients: Sequence[object], data: bytes) -> None:
        self.delivered += 1
        self.recipients = recipients
        self.data = data

    def report(self) -> str:
        return report(self.delivered, len(self.recipients), self.data)


def report(delivered: int, recipients: int, data: bytes) -> str:
    """Messages delivered, lines and recipients of the last one, its last line."""
    lines = data.splitlines() or [b""]
    return f"{delivered} {len(lines)} {recipients} {lines[-1].decode('latin-1')}"


def serve_until_stdin_ends(port: int, owner: str, answer: Callable[[], str]) -> None:
    print(port, owner, flush=True)
    for _question in sys.stdin:
        print(answer(), flush=True)


def certificate() -> tuple[str, str] | None:
    """Certificate and key where handshakes are measured."""
    folder = os.environ.get("BENCHMARK_TLS")
    return (f"{folder}/cert.pem", f"{folder}/key.pem") if folder else None


def server_context() -> ssl.SSLContext | None:
    files = certificate()
    if files is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*files)
    return context
