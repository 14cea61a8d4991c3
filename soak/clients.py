"""The clients: each visit is one of many sorts, and every message it sends has a name of its own and a known fate.

A message that got its 250 is in the store, once. One that was refused is not. Of one whose connection broke before its reply
came nobody can know: it may be there, once.
"""

import random
import ssl
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from smtp_client import Client

LARGEST = 3 << 20  # octets of the largest messages
PATIENCE = 30.0  # seconds that clients wait for each other


class Gone(Exception):  # noqa: N818 # no error: servers are killed here
    """The server said 421, or its connection broke."""


class Books:
    """What was sent, and what became of it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._number = 0
        self.accepted: set[str] = set()
        self.refused: set[str] = set()
        self.unknown: set[str] = set()
        self.visits: Counter[str] = Counter()

    def name(self, kind: str) -> str:
        """A name for a message; until more is known its fate is unknown."""
        with self._lock:
            self._number += 1
            name = f"{kind}-{self._number}"
            self.unknown.add(name)
        return name

    def settle(self, name: str, code: int) -> None:
        with self._lock:
            self.unknown.discard(name)
            (self.accepted if code == 250 else self.refused).add(name)

    def errors(self, stored: list[str]) -> list[str]:
        """What does not balance: lost, doubled, or stored though it was refused or never sent."""
        counts = Counter(stored)
        return [
            *(f"lost: {name}" for name in self.accepted if not counts[name]),
            *(f"stored {count} times: {name}" for name, count in counts.items() if count > 1),
            *(f"refused and stored: {name}" for name in self.refused if counts[name]),
            *(f"never sent: {name}" for name in counts.keys() - self.accepted - self.unknown - self.refused),
        ]


class Surge:
    """All clients send their largest message at the same time, and then rest: what a server holds after that is its level.

    At any other moment its memory depends on which large messages happen to have met.
    """

    def __init__(self, visitors: int) -> None:
        self.called = threading.Event()
        self._barrier = threading.Barrier(visitors + 1)

    def meet(self) -> None:
        """Wait until every client, and whoever called the surge, is here too."""
        self._barrier.wait(PATIENCE)

    def broken_off(self) -> None:
        """A client has failed: nobody is to wait for it."""
        self._barrier.abort()

    @contextmanager
    def __call__(self) -> Iterator[None]:
        """Have it happen; the clients rest for as long as the with block lasts."""
        self.called.set()
        self.meet()  # all have sent all but the last line
        self.meet()  # all are accepted
        self.called.clear()
        yield
        self.meet()


class Visitor:
    """One client after another, each of a sort chosen at random, until told to stop."""

    def __init__(self, address: Callable[[], tuple[str, int]], books: Books, seed: int, surge: Surge) -> None:
        self._address = address
        self._books = books
        self._surge = surge
        self._choose = random.Random(seed)  # noqa: S311 # repeatable on purpose
        self.failure: BaseException | None = None
        self._context = ssl.create_default_context()
        self._context.check_hostname = False
        self._context.verify_mode = ssl.CERT_NONE

    def run(self, stopping: threading.Event) -> None:
        """Visit until told to stop; at a surge all send their largest message at the same time."""
        sorts = (
            self.plain,
            self.plain,
            self.pipelined,
            self.slow,
            self.abandoned,
            self.tls,
            self.large,
            self.refused,
            self.rubbish,
        )
        try:
            while not stopping.is_set():
                sort = self.largest if self._surge.called.is_set() else self._choose.choice(sorts)
                try:
                    with Client(self._address()) as client:
                        sort(client)
                    self._books.visits[sort.__name__] += 1
                except (Gone, ConnectionError, ssl.SSLError, BrokenPipeError):
                    self._books.visits[f"{sort.__name__}, cut short"] += 1
                    stopping.wait(0.02)  # it may be starting again
        except BaseException as error:
            self.failure = error
            stopping.set()
            self._surge.broken_off()

    # The sorts

    def plain(self, client: Client) -> None:
        self._hello(client)
        for _ in range(self._choose.randrange(1, 5)):
            self._mail(client, self._books.name("plain"))
        self._say(client, "QUIT", 221)

    def tls(self, client: Client) -> None:
        self._hello(client)
        self._say(client, "STARTTLS", 220)
        client.socket = self._context.wrap_socket(client.socket)
        self._say(client, "EHLO again.example", 250)
        self._mail(client, self._books.name("tls"), size=self._choose.randrange(100_000))
        self._say(client, "QUIT", 221)

    def pipelined(self, client: Client) -> None:
        self._hello(client)
        names = [self._books.name("pipelined") for _ in range(20)]
        reset = b"RSET\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\nDATA\r\n"
        client.send(b"".join(reset + self._body(name, 500) for name in names))
        for name in names:
            for code in (250, 250, 250, 354):
                self._expect(client, code)
            self._books.settle(name, self._expect(client, 250))

    def slow(self, client: Client) -> None:
        self._hello(client)
        name = self._books.name("slow")
        for line, code in (("RSET", 250), ("MAIL FROM:<a@b.example>", 250), ("RCPT TO:<c@d.example>", 250), ("DATA", 354)):
            for octet in f"{line}\r\n".encode():
                client.send(bytes([octet]))
            self._expect(client, code)
        body = self._body(name, 2_000)
        for place in range(0, len(body), 400):
            client.send(body[place : place + 400])
            time.sleep(0.02)
        self._books.settle(name, self._expect(client, 250))

    def abandoned(self, client: Client) -> None:
        name = self._books.name("abandoned")
        session = b"EHLO x\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\nDATA\r\n" + self._body(name, 3_000)
        client.send(session[: self._choose.randrange(len(session) + 1)])
        if self._choose.randrange(2):
            client.reset()

    def large(self, client: Client) -> None:
        self._hello(client)
        self._mail(client, self._books.name("large"), size=self._choose.randrange(1, LARGEST))

    def largest(self, client: Client) -> None:
        self._hello(client)
        name = self._books.name("largest")
        self._begin(client)
        client.send(self._body(name, LARGEST)[:-3])
        self._surge.meet()  # by now the server holds all of them
        client.send(b".\r\n")
        self._books.settle(name, self._expect(client, 250))
        self._surge.meet()
        self._surge.meet()  # the rest is over

    def refused(self, client: Client) -> None:
        self._hello(client)
        self._say(client, "RCPT TO:<refuse@d.example>", 503, 550)
        self._mail(client, self._books.name("refuse"), 554)
        self._say(client, "RSET", 250)
        self._say(client, "NONSENSE", 500)
        self._mail(client, self._books.name("plain"))

    def rubbish(self, client: Client) -> None:
        client.send(self._choose.randbytes(self._choose.randrange(5_000)))
        client.end()
        client.rest()

    # Their words

    def _hello(self, client: Client) -> None:
        self._expect(client, 220)
        self._say(client, "EHLO client.example", 250)

    def _mail(self, client: Client, name: str, code: int = 250, size: int = 1_000) -> None:
        self._begin(client)
        client.send(self._body(name, size))
        self._books.settle(name, self._expect(client, code))

    def _begin(self, client: Client) -> None:
        self._say(client, "RSET", 250)
        self._say(client, "MAIL FROM:<a@b.example>", 250)
        self._say(client, "RCPT TO:<c@d.example>", 250)
        self._say(client, "DATA", 354)

    def _body(self, name: str, size: int) -> bytes:
        return (
            b"Subject: %s\r\n\r\n" % name.encode()
            + b"..and a line that is stuffed, and long enough\r\n" * (size // 46)
            + b".\r\n"
        )

    def _say(self, client: Client, line: str, *codes: int) -> int:
        client.send(f"{line}\r\n".encode())
        return self._expect(client, *codes)

    def _expect(self, client: Client, *codes: int) -> int:
        reply: Any = client.reply()
        if reply.code == 421:
            raise Gone
        assert reply.code in codes, f"expected {codes}, got {reply}"
        return int(reply.code)
