"""Driving a core session without a driver: fixed clock and ids, verdicts from a function, chunks of any size."""

import itertools

from fuzz.target import check_replies, in_one_piece
from pysmtpd.core import PROFILES, Accept, Close, Config, Log, Session

TIME = "Tue, 24 Nov 2026 09:00:00 +0000"
PROFILE_NAMES = tuple(PROFILES)
EVERYTHING = ("host", "sender", "recipient", "deliver")


def config(profile="rfc5321", ask=()):
    """Return the settings of a server whose clock stands still and whose ids count."""
    counter = itertools.count(1)
    made = Config(lambda: TIME, lambda: f"ID{next(counter)}", "host.example", PROFILES[profile])
    made.listen_for(frozenset(ask))
    return made


def accept(_question):
    return Accept()


class Driver:
    """The loop of :mod:`pysmtpd.core`, keeping all that comes out.

    Arguments:
        settings: a Config.
        verdict: answers questions.
        late: keep questions open until :meth:`settle`, as a callback does that takes its time; or a function that says which.
    """

    def __init__(self, settings, verdict=accept, late=False):
        self.session = Session(settings, "192.0.2.1", 1025, "sock1")
        self.output = b""
        self.events = []
        self._verdict = verdict
        self._late = late
        self._open = None
        self.session.start()
        self._go_on()

    def _go_on(self):
        while True:
            event = self.session.next_event()
            self.output += self.session.take_output()
            if event is None:
                return
            self.events.append(in_one_piece(event))
            if isinstance(event, Log | Close):
                continue
            if self._late(event) if callable(self._late) else self._late:
                self._open = event
                assert self.session.next_event() is None, "an event while a question is open"
                return
            self.session.answer(self._verdict(event))

    def settle(self):
        """Answer what was kept open, until nothing is."""
        while self._open is not None:
            question, self._open = self._open, None
            assert not self.session.wants_input
            self.session.answer(self._verdict(question))
            self._go_on()

    def feed(self, data):
        self.session.receive(data)
        self._go_on()

    def end(self):
        self.session.receive_eof()
        self._go_on()

    @property
    def closed(self):
        return any(isinstance(event, Close) for event in self.events)

    def said(self, data):
        """Feed octets; return the replies to them."""
        before = len(self.output)
        self.feed(data)
        return self.output[before:]

    def code(self, line):
        """Feed a command line; return the code of the one reply to it, as a number."""
        replies = codes(self.said(line + b"\r\n"))
        assert len(replies) == 1, f"{line!r} got {replies}"
        return replies[0]

    def of_type(self, kind):
        return [event for event in self.events if isinstance(event, kind)]


def codes(output):
    """Return the codes of the replies in some output, checking that each is well-formed."""
    return check_replies(output) if output else []


def lines(output):
    """Return the lines of some output; each must end in CRLF and hold neither elsewhere."""
    assert output == b"" or output.endswith(b"\r\n")
    found = output.split(b"\r\n")[:-1]
    assert not any(b"\r" in line or b"\n" in line for line in found)
    return found


def play(settings, chunks, verdict=accept, late=False):
    """Feed a whole client side, then its end; return the driver."""
    driver = Driver(settings, verdict, late)
    for chunk in chunks:
        driver.feed(chunk)
    driver.end()
    driver.settle()
    return driver
