"""The invariant: whatever bytes come, in whatever pieces, under whatever settings, and whatever callbacks answer,

1. no exception leaves the core;
2. the client gets the same replies, and callbacks the same questions, whether the bytes come whole, one by one or in pieces,
   and whether a question is answered at once or late;
3. every command has one reply, and every reply is well-formed (RFC 5321, 4.2): no line, control or foreign character in it
   that a client or a callback has put there; log lines neither;
4. what is kept of what was received stays within the limits;
5. a message has a sender and recipients, no more than allowed, and was answered; nothing comes after the end.

An input is eight octets of settings, then what the client sends. The same input is the same session, always.
"""

import functools
import itertools
import random
import re
import unicodedata
from typing import NamedTuple

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

LINE_LIMIT = 600
MESSAGE_LIMIT = 400
RECIPIENT_LIMIT = 3
#: RFC 5321, 4.2: a reply line. Tab and printable ASCII are all its text may hold.
REPLY_LINE = re.compile(rb"[2-5]\d\d[ -][\t\x20-\x7e]*")
QUESTIONS = ("host", "sender", "recipient", "deliver", "user")
ODD_TEXT = "go\r\n250 away \x1b[31m \u2028 é\n.\r\n"


class Outcome(NamedTuple):
    """What one session came to."""

    output: bytes
    events: list[Event]


class Settings:
    """What the first octets of an input choose."""

    def __init__(self, header: bytes) -> None:
        bits = int.from_bytes(header.ljust(HEADER, b"\0"), "big")

        def take(count: int) -> int:
            nonlocal bits
            bits, value = divmod(bits, 1 << count)
            return value

        self.profile = "rfc5321" if take(1) else "tcllib-1.5"
        self.ask = frozenset(name for name in QUESTIONS if take(1))
        self.debug = not take(2)
        self.refuses = take(2)  # 0 nothing; else what the verdict depends on
        self.has_users = bool(take(1))
        self.chosen: dict[str, object] = {}
        # Mostly the profile as it is; sometimes a few of its parts the other way round.
        switched = take(18)
        if not take(1):
            names = (*QUIRKS, *EXTENSIONS, "lmtp", "auth_required")
            self.chosen = {name: bool(take(1)) for place, name in enumerate(names) if switched >> place & 1}
        self.seed = bits
        self._ids = itertools.count(1)
        self._config = self._configured()  # once, for all sessions: it takes longer than a session

    def config(self) -> Config:
        """The configuration, for a new session: its ids begin anew."""
        self._ids = itertools.count(1)
        return self._config

    def _configured(self) -> Config:
        """A configuration whose clock stands still, whose ids count, and whose limits are soon reached."""
        config = Config(lambda: "Tue, 24 Nov 2026 09:00:00 +0000", lambda: f"ID{next(self._ids)}", "host.example")
        limits = {"line_limit": LINE_LIMIT, "size_limit": MESSAGE_LIMIT, "recipient_limit": RECIPIENT_LIMIT, "error_limit": 12}
        users = {"auth_users": {"user": "secret"}} if self.has_users else {}
        config.use_profile(PROFILES[self.profile])
        config.choose({**limits, **users, **self.chosen})
        config.listen_for(self.ask)
        config.log_to("debug" if self.debug else "notice")
        return config

    def verdict(self, question: Question) -> Verdict:
        """A verdict that depends on nothing but the question."""
        if self.refuses:
            match question:
                case CheckSender(address) | CheckRecipient(address) if address[:2] == "no":
                    return Refuse(ODD_TEXT, 450 if self.refuses == 1 else None)
                case Deliver(content=content) if b"no" in content.body:
                    return Refuse(ODD_TEXT, 451 if self.refuses == 2 else None)
        return Accept()


def play(settings: Settings, chunks: list[bytes], *, late: bool = False) -> Outcome:
    """Run one session over the client's bytes and its end, as a driver does."""
    session = Session(settings.config(), "192.0.2.1", 1025, "sock1")
    output: list[bytes] = []
    events: list[Event] = []
    waiting: list[Question] = []

    def go_on() -> None:
        while True:
            event = session.next_event()
            output.append(session.take_output())
            if event is None:
                return
            assert not (events and isinstance(events[-1], Close)), f"{event} after the end"
            events.append(event)
            if isinstance(event, Log | Close):
                continue
            assert not isinstance(event, StartTls), "a handshake without a certificate"
            if late:
                waiting.append(event)
                assert session.next_event() is None, "an event while a question is open"
                return
            session.answer(settings.verdict(event))

    def settle() -> None:
        while waiting:
            session.answer(settings.verdict(waiting.pop()))
            go_on()

    session.start()
    go_on()
    for number, chunk in enumerate(chunks):
        session.receive(chunk)
        go_on()
        if number % 3 == 2:
            settle()
        if not waiting:
            check_memory(session)
    session.receive_eof()
    go_on()
    settle()
    assert session.take_output() == b""
    return Outcome(b"".join(output), events)


def check_memory(session: Session) -> None:
    """Nothing is kept beyond the limits while no question is open."""
    assert session._buffer.size <= LINE_LIMIT + 2, f"{session._buffer.size} octets of a line are kept"
    chunks = getattr(session.body, "_chunks", None)
    if isinstance(chunks, list):
        kept = sum(map(len, chunks)) + len(getattr(session.body, "_tail", b""))
        assert kept <= MESSAGE_LIMIT + 64, f"{kept} octets of a body are kept"
    assert len(session.recipients) <= RECIPIENT_LIMIT


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


def check_one_reply_each(settings: Settings, stream: bytes) -> None:
    """In lock-step: a line that ends in CRLF where a command is expected has one reply, and a part of one has none."""
    session = Session(settings.config(), "192.0.2.1", 1025, "sock1")

    def replies() -> int:
        said = b""
        while (event := session.next_event()) is not None:
            said += session.take_output()
            if not isinstance(event, Log | Close):
                session.answer(settings.verdict(event))
        said += session.take_output()
        return len(check_replies(said)) if said else 0

    session.start()
    assert replies() == 1
    *lines, _rest = stream.split(b"\r\n")
    for line in lines:
        if session._closed:
            break
        if session.body is not None:
            session.receive(line + b"\r\n")
            replies()  # of a body there may be several under LMTP, and what followed it in the line
            continue
        if session.prelude is not None and line[:1] == b"\n":
            continue  # the LF of the CR that ended a body: under the stock package's reading it is no part of the line
        session.receive(line)
        early = replies()
        assert session._closed or early <= (len(line) > LINE_LIMIT + 1), f"{early} replies to a part of {line!r}"
        session.receive(b"\r\n")
        late = replies()
        starts_data = session.body is not None and line[:4].upper() == b"BDAT"
        wanted = 0 if starts_data else 1
        # With the last error that is allowed, or a request of another protocol, comes a 421 in place of more.
        assert early + late == wanted or (session._closed and early + late <= 2), f"{early + late} replies to {line!r}"


settings_of = functools.lru_cache(1_000)(Settings)  # most inputs of a fuzzer have the header of another one


def run(data: bytes) -> None:
    """Play one input in every way. Raises AssertionError where the invariant does not hold."""
    settings, stream = settings_of(data[:HEADER]), data[HEADER:]
    whole = play(settings, [stream])
    codes = check_replies(whole.output)
    assert codes[0] in (220, 550), codes[:1]
    assert sum(isinstance(event, Close) for event in whole.events) == 1
    for event in whole.events:
        if isinstance(event, Log):
            assert not any(unicodedata.category(character) == "Cc" for character in event.text), event
        elif isinstance(event, Deliver):
            assert event.sender
            assert 0 < len(event.recipients) <= RECIPIENT_LIMIT
            assert len(event.content.body) <= MESSAGE_LIMIT + 2
    for name, chunks, late in pieces(stream, random.Random(settings.seed)):  # noqa: S311 # the same every time
        other = play(settings, chunks, late=late)
        assert other.output == whole.output, f"{name}: {other.output!r}, not {whole.output!r}"
        assert other.events == whole.events, f"{name}: {other.events}, not {whole.events}"
    check_one_reply_each(settings, stream)


def pieces(stream: bytes, choose: random.Random) -> list[tuple[str, list[bytes], bool]]:
    """The same bytes cut in other ways, and answered late."""
    places = sorted(choose.randrange(len(stream) + 1) for _ in range(choose.randrange(8)))
    cut = [stream[start:end] for start, end in itertools.pairwise([0, *places, len(stream)])]
    single = [stream[place : place + 1] for place in range(len(stream))]
    lines = re.findall(rb"[^\n]*\n|[^\n]+", stream)
    return [("in pieces", cut, False), ("octet by octet", single, False), ("line by line, answered late", lines, True)]
