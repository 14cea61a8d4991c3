"""The invariant: whatever bytes come, in whatever pieces, under whatever settings, and whatever callbacks answer,

1. no exception leaves the core;
2. the client gets the same replies, and callbacks the same questions, whether the bytes come whole, one by one or in pieces,
   and whether a question is answered at once or late;
3. every command has one reply, and every reply is well-formed (RFC 5321, 4.2): no line, control or foreign character in it
   that a client or a callback has put there; log lines neither;
4. what is kept of what was received stays within the limits;
5. a message has a sender and recipients, no more than allowed, and was answered; nothing comes after the end;
6. it takes seconds at most (lap.py looks).

An input is eight octets of settings, then what the client sends. The same input is the same session, always.

Every input is played three times, and 1 to 5 are checked of each:

- whole, answered at once: what comes of it is what the others are compared with. Replies, log lines and messages are looked
  at here, and under coverage this is the session that guides the fuzzer;
- in lock-step: a line, then its end, cut before its CR and between CR and LF by turns. One reply to each, none before its end;
- in pieces, answered late, three pieces after the question: one half of the inputs cut around every line end and every dot
  that leads a line, the other half in up to seven places anywhere.

The most expensive way, octet by octet, is for short inputs and for a sixteenth of the others. Which half and which sixteenth an
input belongs to is a matter of its digest. An input that has reached something new is played in every way there is, once more
(campaign.py); so are the corpus, the transcripts and what hypothesis makes up, in the tests.
"""

import functools
import hashlib
import itertools
import re
from collections.abc import Callable
from typing import Any, NamedTuple

from fuzz.mutation import HEADER
from pysmtpd.core import (
    PROFILES,
    Accept,
    CheckRecipient,
    CheckSender,
    Close,
    Config,
    Deliver,
    Event,
    Log,
    Question,
    Refuse,
    Session,
    StartTls,
    Verdict,
)
from pysmtpd.core.profile import QUIRKS
from pysmtpd.core.settings import EXTENSIONS

# Soon reached: an input costs by the octet. A line has room for a HELO name over the 255 octets it may have.
LINE_LIMIT = 300
MESSAGE_LIMIT = 200
RECIPIENT_LIMIT = 3
SHORT = 48  # octets; a shorter input is always played octet by octet
#: RFC 5321, 4.2: a reply line. Tab and printable ASCII are all its text may hold.
REPLY_LINE = re.compile(rb"[2-5]\d\d[ -][\t\x20-\x7e]*")
CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f]")
#: CR, LF and a dot that leads a line by themselves, and what is between them.
EDGES = re.compile(rb"(?<![^\r\n])\.|[\r\n]|[^\r\n]+")
QUESTIONS = ("host", "sender", "recipient", "deliver", "user")
ODD_TEXT = "go\r\n250 away \x1b[31m \u2028 é\n.\r\n"


class Outcome(NamedTuple):
    """What one session came to."""

    output: bytes
    events: list[Event]


class Ids:
    """Ids that count, from the beginning for each session."""

    def __init__(self) -> None:
        self.given = 0

    def __call__(self) -> str:
        self.given += 1
        return f"ID{self.given}"


@functools.lru_cache(5_000)  # it takes longer than a session
def configuration(
    profile: str, ask: frozenset[str], level: str, has_users: bool, chosen: tuple[tuple[str, bool], ...]
) -> tuple[Config, Ids]:
    """A configuration whose clock stands still, whose ids count, and whose limits are soon reached."""
    ids = Ids()
    config = Config(lambda: "Tue, 24 Nov 2026 09:00:00 +0000", ids, "host.example", PROFILES[profile])
    limits = {"line_limit": LINE_LIMIT, "size_limit": MESSAGE_LIMIT, "recipient_limit": RECIPIENT_LIMIT, "error_limit": 12}
    users = {"auth_users": {"user": "secret"}} if has_users else {}
    config.choose({**limits, **users, **dict(chosen)})
    config.listen_for(ask)
    config.log_to(level)
    return config, ids


class Settings:
    """What the first octets of an input choose."""

    def __init__(self, header: bytes) -> None:
        bits = int.from_bytes(header.ljust(HEADER, b"\0"), "big")

        def take(count: int) -> int:
            nonlocal bits
            bits, value = divmod(bits, 1 << count)
            return value

        profile = "rfc5321" if take(1) else "tcllib-1.5"
        ask = frozenset(name for name in QUESTIONS if take(1))
        level = "notice" if take(2) else "debug"
        self._refuses = take(2)  # 0 nothing; else what the verdict depends on
        has_users = bool(take(1))
        chosen: list[tuple[str, bool]] = []
        # Mostly the profile as it is; sometimes a few of its parts the other way round.
        switched = take(18)
        if not take(1):
            names = (*QUIRKS, *EXTENSIONS, "lmtp", "auth_required")
            chosen = [(name, bool(take(1))) for place, name in enumerate(names) if switched >> place & 1]
        self._config, self._ids = configuration(profile, ask, level, has_users, tuple(chosen))

    def session(self) -> Session:
        """A new session under these settings."""
        self._ids.given = 0
        return Session(self._config, "192.0.2.1", 1025, "sock1")

    def verdict(self, question: Question) -> Verdict:
        """A verdict that depends on nothing but the question."""
        if self._refuses:
            match question:
                case CheckSender(address) | CheckRecipient(address) if address[:2] == "no":
                    return Refuse(ODD_TEXT, 450 if self._refuses == 1 else None)
                case Deliver(content=content) if b"no" in content.body:
                    return Refuse(ODD_TEXT, 451 if self._refuses == 2 else None)
        return Accept()


settings_of = functools.lru_cache(5_000)(Settings)  # most inputs of a fuzzer have the header of another one


class Driver:
    """Runs one session as a driver does, and keeps what comes of it."""

    def __init__(self, settings: Settings, *, late: bool = False) -> None:
        self.session = settings.session()
        self.late = late
        self.waiting: Question | None = None
        self._settings = settings
        self._output: list[bytes] = []
        self._events: list[Event] = []
        self._ended = False
        self.session.start()
        self.go_on()

    def receive(self, data: bytes) -> bytes:
        """Take bytes from the client; return the replies."""
        self.session.receive(data)
        said = self.go_on()
        if self.waiting is None:
            check_memory(self.session)
        return said

    def go_on(self) -> bytes:
        """Go on as far as possible; return the replies."""
        session = self.session
        event = session.next_event()
        said = session.take_output()
        while event is not None:
            self._handle(event)
            event = session.next_event()
            said += session.take_output()
        if said:
            self._output.append(said)
        return said

    def _handle(self, event: Event) -> None:
        assert not self._ended, f"{event} after the end"
        assert self.waiting is None, f"{event} while a question is open"
        self._events.append(in_one_piece(event))
        if isinstance(event, Close):
            self._ended = True
        elif not isinstance(event, Log):
            assert not isinstance(event, StartTls), "a handshake without a certificate"
            if self.late:
                self.waiting = event
            else:
                self.session.answer(self._settings.verdict(event))

    def settle(self) -> None:
        """Answer what waits for an answer."""
        while self.waiting is not None:
            question, self.waiting = self.waiting, None
            self.session.answer(self._settings.verdict(question))
            self.go_on()
        check_memory(self.session)

    def end(self) -> Outcome:
        """The client has gone: return what came of it all."""
        self.session.receive_eof()
        self.go_on()
        self.settle()
        assert self.session.take_output() == b""
        return Outcome(b"".join(self._output), self._events)


def in_one_piece(event: Any) -> Any:
    """Return an event whose message, if it has one, is in one piece: where it is cut is chance."""
    content = getattr(event, "content", None)
    return event if content is None else event._replace(content=content._replace(pieces=[content.body]))


def check_memory(session: Session) -> None:
    """Nothing is kept beyond the limits while no question is open."""
    assert session._buffer.size <= LINE_LIMIT + 2, f"{session._buffer.size} octets of a line are kept"
    assert len(session.recipients) <= RECIPIENT_LIMIT
    assert session.chunks is None or session.chunks.size <= MESSAGE_LIMIT
    if session.body is not None and isinstance(chunks := getattr(session.body, "_chunks", None), list):
        kept = sum(map(len, chunks)) + len(session.body._tail)
        # Dots to be taken off do not count: of four octets one, at most.
        assert kept <= MESSAGE_LIMIT * 4 // 3 + 64, f"{kept} octets of a body are kept"


def check_replies(output: bytes) -> list[int]:
    """Return the codes of all replies; each line of each must be well-formed."""
    assert output.endswith(b"\r\n"), f"unfinished: {output[-80:]!r}"
    codes = []
    pending = None
    for line in output[:-2].split(b"\r\n"):
        assert REPLY_LINE.fullmatch(line), f"malformed reply line {line!r}"
        code = int(line[:3])
        assert pending in (None, code), f"the code changes inside a reply: {line!r}"
        pending = code if line[3:4] == b"-" else None
        if pending is None:
            codes.append(code)
    assert pending is None, "an unfinished reply"
    return codes


def play(settings: Settings, chunks: list[bytes], *, late: bool = False) -> Outcome:
    """Run one session over the client's bytes and its end."""
    driver = Driver(settings, late=late)
    if not late:
        for chunk in chunks:
            driver.receive(chunk)
        return driver.end()
    for number, chunk in enumerate(chunks):
        driver.receive(chunk)
        if number % 3 == 2:
            driver.settle()
    return driver.end()


def whole(data: bytes) -> Outcome:
    """Play an input in one piece; check what came of it by itself."""
    outcome = play(settings_of(data[:HEADER]), [data[HEADER:]])
    codes = check_replies(outcome.output)
    assert codes[0] in (220, 550), codes[:1]
    assert isinstance(outcome.events[-1], Close)
    for event in outcome.events:
        if isinstance(event, Log):
            assert not CONTROLS.search(event.text), event
        elif isinstance(event, Deliver):
            assert event.sender
            assert 0 < len(event.recipients) <= RECIPIENT_LIMIT
            assert len(event.content.body) <= MESSAGE_LIMIT + 2
    return outcome


def lock_step(settings: Settings, stream: bytes) -> Outcome:
    """A line that ends in CRLF where a command is expected has one reply, and a part of one has none."""
    driver = Driver(settings)
    session = driver.session
    *lines, rest = stream.split(b"\r\n")
    for number, line in enumerate(lines):
        if session._closed:
            break
        if session.body is not None:  # there may be several replies under LMTP, and what followed the body in its last line
            driver.receive(line + b"\r\n")
            continue
        # The LF of the CR that ended a body is no part of the line under the stock package's reading.
        begun = session._late_lf and line[:1] == b"\n"
        part, end = (line + b"\r", b"\n") if number % 2 else (line, b"\r\n")
        early = replies_in(driver.receive(part))
        assert session._closed or begun or early <= (len(part) > LINE_LIMIT + 1), f"{early} replies to a part of {line!r}"
        late = replies_in(driver.receive(end))
        starts_data = session.body is not None and line[:4].upper() == b"BDAT"
        wanted = 0 if starts_data else 1
        # With the last error that is allowed, or a request of another protocol, comes a 421 in place of more.
        fits = early + late == wanted or (session._closed and early + late <= 2)
        assert fits or begun, f"{early + late} replies to {line!r}"
    driver.receive(rest)
    return driver.end()


def replies_in(said: bytes) -> int:
    """Count replies that come at once: their last lines."""
    if not said:
        return 0
    assert said.endswith(b"\r\n"), f"unfinished: {said!r}"
    return sum(line[3:4] != b"-" for line in said.splitlines())


def around_line_ends(stream: bytes) -> list[bytes]:
    """Cut around every line end, and around a dot that leads a line."""
    return EDGES.findall(stream)


def anywhere(stream: bytes, digest: bytes) -> list[bytes]:
    """Cut in up to seven places that a digest names."""
    size = len(stream) + 1
    places = sorted((digest[number] << 8 | digest[number + 1]) * size >> 16 for number in range(2, 2 + 2 * (digest[0] & 7), 2))
    return [stream[start:end] for start, end in itertools.pairwise([0, *places, len(stream)])]


def octet_by_octet(stream: bytes) -> list[bytes]:
    """Cut everywhere."""
    return [stream[place : place + 1] for place in range(len(stream))]


def run(data: bytes, first: Callable[[bytes], Outcome] = whole, *, in_every_way: bool = False) -> None:
    """Play one input. Raises AssertionError where the invariant does not hold.

    Arguments:
        data: the input.
        first: plays it in one piece: :func:`whole`, or that of a copy of this module.
        in_every_way: play it in the ways that are else for a fraction of the inputs, too.
    """
    settings, stream = settings_of(data[:HEADER]), data[HEADER:]
    digest = hashlib.blake2b(data, digest_size=16).digest()
    expected = first(data)

    def compare(way: str, outcome: Outcome) -> None:
        assert outcome.output == expected.output, f"{way}: {outcome.output!r}, not {expected.output!r}"
        assert outcome.events == expected.events, f"{way}: {outcome.events}, not {expected.events}"

    compare("in lock-step", lock_step(settings, stream))
    half = digest[0] & 8
    if half or in_every_way:
        compare("cut around line ends, answered late", play(settings, around_line_ends(stream), late=True))
    if not half or in_every_way:
        compare("in pieces, answered late", play(settings, anywhere(stream, digest), late=True))
    if len(stream) <= SHORT or digest[1] < 16 or in_every_way:
        compare("octet by octet", play(settings, octet_by_octet(stream)))
    if in_every_way:
        compare("in pieces", play(settings, anywhere(stream, digest)))
