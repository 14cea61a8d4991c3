"""Work on connections themselves: holding many, greeting one more, STARTTLS."""

import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.generator import LoadError

BATCH = 90  # connections made before their greetings are waited for: less than any server's backlog (asyncio's is 100)
PATIENCE = 20.0  # seconds


@contextmanager
def hold(port: int, count: int) -> Iterator[list[socket.socket]]:
    """So many greeted connections, silent as long as the block lasts."""
    held: list[socket.socket] = []
    try:
        while len(held) < count:
            batch = [connect(port) for _ in range(min(BATCH, count - len(held)))]
            held.extend(batch)
            for client in batch:
                greeting(client)
        yield held
    finally:
        for client in held:
            client.close()


def connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)


def greeting(client: socket.socket) -> None:
    expect(client, b"220")


def expect(client: socket.socket, code: bytes) -> None:
    """One reply, its last line in the last segment read."""
    data = b""
    while not data.endswith(b"\r\n") or data[:-2].rpartition(b"\r\n")[2][3:4] == b"-":
        piece = client.recv(4096)
        if not piece:
            raise LoadError(f"connection closed after {data!r}")
        data += piece
    if not data.startswith(code):
        raise LoadError(f"expected {code!r}, got {data!r}")


def time_to_greeting(port: int) -> float:
    began = time.perf_counter()
    with connect(port) as client:
        greeting(client)
        return time.perf_counter() - began


def handshakes(port: int, seconds: float) -> int:
    """Sessions with nothing in them but STARTTLS, one after the other; returns how many there were."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    done = 0
    end = time.monotonic() + seconds
    while time.monotonic() < end or not done:
        with connect(port) as client:
            greeting(client)
            client.sendall(b"EHLO client.example.com\r\n")
            expect(client, b"250")
            client.sendall(b"STARTTLS\r\n")
            expect(client, b"220")
            with context.wrap_socket(client) as encrypted:
                encrypted.sendall(b"QUIT\r\n")
                expect(encrypted, b"221")
        done += 1
    return done
