"""Random sessions: valid, nearly valid and wild ones, and random behaviour of the callbacks that see them.

A session is what one client sends on one connection, as items: a command line, or the body of a message, its line ends
included. A set-up is how the server is configured and what its callbacks do; a few sessions in a row share one.
What stock would evaluate is never played to it: `unsafe_for_stock` is the guard.
"""

import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from compat.transcript import Rule

#: Sessions that share a set-up.
PER_SETUP = 25


@dataclass(frozen=True)
class Setup:
    """How the server is configured: the header of a transcript."""

    rules: tuple[Rule, ...] = ()
    banner: str | None = None
    log: str | None = None
    names: str = "qualified"

    @property
    def callbacks(self) -> frozenset[str]:
        """The callbacks that are configured."""
        return frozenset(rule.callback for rule in self.rules)

    def words(self) -> list[str]:
        """The set-up as the server programs take it."""
        words = ["names", self.names, "fresh", "1"]
        if self.banner is not None:
            words += ["banner", self.banner]
        if self.log is not None:
            words += ["log", self.log]
        for rule in self.rules:
            words += rule.words()
        return words


@dataclass(frozen=True)
class Session:
    """What a client sends."""

    items: tuple[bytes, ...]
    lockstep: bool  #: wait for the reply to each item; else send all, and then read

    @property
    def data(self) -> bytes:
        """All of it."""
        return b"".join(self.items)

    def with_items(self, items: Sequence[bytes]) -> "Session":
        """The same with other items."""
        return replace(self, items=tuple(items))


# Set-ups

_SENDERS = ("a@example.org", "bounce@lists.example.net", "x.y+z@sub.example.org", "user@localhost")
_RECIPIENTS = ("b@example.org", "c@example.net", "postmaster@example.org", "d-e_f@mx.example.com", "user")
_TEXTS = ("no", "not this one", "550 5.7.1 go away", "", "  blanks  ", "50% off {braces}", "caf\xe9", "tab\there", "a\nb")
_CODES = (
    "450",
    "552",
    "451",
    "250",
    "SMTP 452",
    "NONE",
    "POSIX ENOENT {no such file}",
    "42",
    "600",
    "ARITH DIVZERO {divide by zero}",
)
_BANNERS = ("", "test", "a longer  banner, (with) 'marks'", "caf\xe9")
_LOG_LEVELS = ("debug", "info", "notice", "warn", "error", "critical")


def setup(seed: int, number: int) -> Setup:
    """The set-up of a session."""
    dice = random.Random(f"{seed} setup {number // PER_SETUP}")  # noqa: S311 (not for secrets: for repeating)
    rules: list[Rule] = []
    if dice.random() < 0.08:
        rules += _rules(dice, "validate_host", ("127.0.0.1", "127.0.0.2"), host=True)
    if dice.random() < 0.5:
        rules += _rules(dice, "validate_sender", _SENDERS)
    if dice.random() < 0.5:
        rules += _rules(dice, "validate_recipient", _RECIPIENTS)
    delivery = dice.random()
    if delivery < 0.7:
        rules += _rules(dice, "deliver", tuple(f"<{address}>" for address in _SENDERS))
    if delivery > 0.6 and delivery < 0.8:
        rules += _rules(dice, "deliverMIME", ("one", "two", ""))
    return Setup(
        tuple(rules),
        dice.choice(_BANNERS) if dice.random() < 0.1 else None,
        dice.choice(_LOG_LEVELS) if dice.random() < 0.25 else None,
        dice.choice(("global", "prefix")) if delivery > 0.8 and dice.random() < 0.5 else "qualified",
    )


def _rules(dice: random.Random, callback: str, arguments: Sequence[str], *, host: bool = False) -> list[Rule]:
    """What a callback does for some arguments; for all others it accepts."""
    rules = []
    for argument in arguments:
        if dice.random() < (0.25 if not host else 0.5):
            action = dice.choices(("refuse", "refuse-code", "break", "continue", "return"), (10, 6, 1, 1, 1))[0]
            texts = _TEXTS if dice.random() < 0.3 else _TEXTS[:3]
            text = dice.choice(texts) if action.startswith("refuse") else ""
            code = dice.choice(_CODES) if action == "refuse-code" else ""
            rules.append(Rule(callback, argument, action, code, text))
    return [*rules, Rule(callback, None, "accept", "", "")]


# Sessions


def session(seed: int, number: int) -> Session:
    """The session of this number."""
    dice = random.Random(f"{seed} session {number}")  # noqa: S311 (not for secrets: for repeating)
    kind = dice.choices(("valid", "nearly", "wild"), (4, 5, 2))[0]
    items = _PLANS[kind](dice)
    if dice.random() < 0.85:
        items.append(_case(dice, "QUIT", 0.9) + b"\r\n")
        if dice.random() < 0.05:
            items.append(b"NOOP\r\n")
    return Session(tuple(items), dice.random() < 0.5)


def _valid(dice: random.Random) -> list[bytes]:
    """A session as a client means it, with one mail or several."""
    items = [_hello(dice)] if dice.random() < 0.9 else []
    for _ in range(dice.choices((0, 1, 2, 3), (1, 10, 4, 1))[0]):
        items.append(_line(f"MAIL FROM:<{dice.choice((*_SENDERS, ''))}>{dice.choice(('', '', ' SIZE=1000', ' BODY=8BITMIME'))}"))
        for _ in range(dice.choices((1, 2, 3, 5), (8, 4, 2, 1))[0]):
            items.append(_line(f"RCPT TO:<{dice.choice(_RECIPIENTS)}>"))
        if dice.random() < 0.1:
            items.append(_line(dice.choice(("NOOP", "RSET", "HELP", "HELP MAIL"))))
        items += [_line("DATA"), _body(dice)]
    return items


def _nearly(dice: random.Random) -> list[bytes]:
    """Commands in any order, each one more or less what it should be."""
    items: list[bytes] = []
    for _ in range(dice.randint(1, 12)):
        item = dice.choices(_COMMANDS, _WEIGHTS)[0](dice)
        items.append(item)
        if item.upper().startswith(b"DATA") and dice.random() < 0.95:
            items.append(_body(dice))
    return items


def _wild(dice: random.Random) -> list[bytes]:
    """A session with octets changed, lost, doubled and moved."""
    items = dice.choice((_valid, _nearly))(dice)
    for _ in range(dice.randint(1, 4)):
        if not items:
            break
        index = dice.randrange(len(items))
        items[index : index + 1] = dice.choice(_MUTATIONS)(dice, items[index])
    if dice.random() < 0.97 and items and not items[-1].endswith(b"\r\n"):
        items.append(b"\r\n")
    return items


_PLANS: dict[str, Callable[[random.Random], list[bytes]]] = {"valid": _valid, "nearly": _nearly, "wild": _wild}


def _line(text: str) -> bytes:
    return text.encode("latin-1") + b"\r\n"


def _case(dice: random.Random, word: str, upper: float = 0.7) -> bytes:
    """A word in upper case, in lower, or mixed."""
    if dice.random() < upper:
        return word.encode("latin-1")
    return "".join(letter.lower() if dice.random() < 0.7 else letter for letter in word).encode("latin-1")


def _gap(dice: random.Random) -> str:
    return dice.choices((" ", "", "  ", "\t", " \t ", "\xa0"), (40, 2, 3, 1, 1, 0.3))[0]


def _hello(dice: random.Random) -> bytes:
    verb = dice.choice(("EHLO", "HELO"))
    if dice.random() < 0.8:
        return _line(f"{verb} {dice.choice(('client', 'mx.example.org', 'localhost', 'a-b.c_d', '10.0.0.1'))}")
    name = dice.choices(
        (
            "",
            "[127.0.0.1]",
            "a b",
            "a..b",
            "-",
            "b\xfccher.example",
            "a!b",
            "client.",
            "x" * 255,
            "x" * 300,
            "a,b",
            "a\x00b",
            "\xd7",
        ),
        (4, 2, 2, 2, 2, 2, 2, 2, 1, 0.3, 1, 0.3, 1),
    )[0]
    return _case(dice, verb) + f"{_gap(dice)}{name}{dice.choice(('', '', ' ', '  ', chr(9)))}".encode("latin-1") + b"\r\n"


def _mail(dice: random.Random) -> bytes:
    return _path_command(dice, "MAIL FROM:", _SENDERS)


def _rcpt(dice: random.Random) -> bytes:
    return _path_command(dice, "RCPT TO:", _RECIPIENTS)


def _path_command(dice: random.Random, words: str, good: Sequence[str]) -> bytes:
    """A MAIL or RCPT, with a path of any quality."""
    if dice.random() < 0.05:
        words = dice.choice(
            (words.replace(" ", "  "), words.replace(":", ""), words.replace(":", " :"), words.split()[0], words + ":")
        )
    address = dice.choice(good) if dice.random() < 0.45 else _address(dice)
    path = f"<{address}>" if dice.random() < 0.8 else _path(dice, address)
    tail = dice.choices(
        ("", " SIZE=10", " X", "  BODY=8BITMIME  ", "SIZE=1", " <b@c>", " \t", " SIZE=99999999999"), (30, 2, 2, 2, 1, 1, 1, 1)
    )[0]
    return _case(dice, words) + f"{_gap(dice) if dice.random() < 0.2 else ''}{path}{tail}".encode("latin-1") + b"\r\n"


def _path(dice: random.Random, address: str) -> str:
    """An address with something else around it than a pair of brackets."""
    return dice.choice(_PATHS).replace("ADDRESS", address)


_PATHS = (
    "ADDRESS", "<ADDRESS", "ADDRESS>", "Name <ADDRESS>", '"A Name" <ADDRESS>', "<ADDRESS> (comment)", "<<ADDRESS>>",
    "(c) <ADDRESS>", "< ADDRESS >", "<@relay.example.org:ADDRESS>", "<@a,@b.c:ADDRESS>", "<ADDRESS,ADDRESS>", "<ADDRESS;>",
    "", "<>", "<> ", "< >", "<<>>", "<group:ADDRESS;>", "<ADDRESS(c)>", "<(c)ADDRESS>", "A. Name <ADDRESS>",
    "Some One Else <ADDRESS>", "<ADDRESS>,<ADDRESS>", "Group: <ADDRESS>;",
)  # fmt: skip
_ATOMS = (
    "a", "joe", "x-y", "under_score", "plus+tag", "50%off", "it's", "eq=", "caf\xe9", "a!b", "/slash", "{brace}", "#1",
    "$x", '"quoted"', '"two words"', '"a\\"b"', '""', "[1]", "a b", "(c)", "", "*", "?", "~", "|", "^", "`", "\x85",
    "\xa0x", "\\a", ";",
)  # fmt: skip
_SAFE_ATOMS = (
    "a", "joe", "x-y", "under_score", "plus+tag", "50%off", "it's", "eq=", "caf\xe9", "a!b", "/slash", "(c)", "",
)  # fmt: skip
_DOMAINS = (
    "example.org", "localhost", "mx.example.com.", "a..b", ".start", "-dash", "b\xfccher.example", "[127.0.0.1]", "",
    "a b", "1.2.3.4", "(c)example.org", "example.(c)org", "example .org", '"q".org', "ex_ample.org", "a@b",
)  # fmt: skip
_SAFE_DOMAINS = (
    "example.org", "localhost", "mx.example.com.", "a..b", ".start", "-dash", "b\xfccher.example", "", "1.2.3.4",
    "(c)example.org", "ex_ample.org", "a@b",
)  # fmt: skip


def _address(dice: random.Random) -> str:
    """An address put together from parts that may not fit."""
    if dice.random() < 0.02:
        return "x" * dice.choice((64, 65, 1000, 5000)) + "@example.org"
    safe = dice.random() < 0.6
    local = dice.choice(("", ".", "")).join(
        dice.choices(_SAFE_ATOMS if safe else _ATOMS, k=dice.choices((1, 2, 3), (6, 3, 1))[0])
    )
    domain = dice.choice(_SAFE_DOMAINS if safe else _DOMAINS)
    at = dice.choices(("@", "", "@@", " @ "), (30, 2, 1, 0.5))[0]
    return f"{local}{at}{domain}"


def _simple(dice: random.Random) -> bytes:
    word = dice.choice(("NOOP", "RSET", "HELP", "DATA", "QUIT", "HELO", "EHLO", "RCPT", "MAIL"))
    tail = dice.choices(
        ("", " ", " x", " MAIL", " mail", " DATA x", "  RSET", "\tQUIT", " caf\xe9", "\x00", "."),
        (30, 3, 3, 3, 2, 2, 2, 2, 1, 1, 1),
    )[0]
    return _case(dice, word) + tail.encode("latin-1") + b"\r\n"


def _help(dice: random.Random) -> bytes:
    return _case(dice, "HELP") + dice.choice(_TOPICS).encode("latin-1") + b"\r\n"


_TOPICS = (
    "", " HELO", " MAIL", " DATA", " RSET", " NOOP", " QUIT", " EHLO", " mail", " x y", "  DATA", "\tNOOP", " %s",
    " \xe9t\xe9", "MAIL",
)  # fmt: skip


def _unknown(dice: random.Random) -> bytes:
    return _line(dice.choice(_UNKNOWN))


_UNKNOWN = (
    "VRFY a", "EXPN list", "STARTTLS", "AUTH PLAIN", "XYZZY", "", " ", " NOOP", "\tNOOP", "NOOPX", "NOO", "123", "\xe9", "{NOOP}",
    '"NOOP"', "NOOP\x0bx", "MAIL\xa0FROM:<a@b>", "GET / HTTP", ".", "..", "-", "--", "#", "DATA.", "RSET;", "set x 1",
)  # fmt: skip
_COMMANDS: tuple[Callable[[random.Random], bytes], ...] = (
    _hello, _mail, _rcpt, lambda dice: b"DATA\r\n", _simple, _help, _unknown, lambda dice: b"RSET\r\n",
)  # fmt: skip
_WEIGHTS = (3, 8, 10, 6, 4, 2, 2, 2)


# Messages

_BODY_LINES = (
    b"Hello", b"", b"", b"Subject: one", b"Subject: two", b"From: A <a@example.org>", b"To: b@example.org",
    b"X-Long: " + b"x" * 200, b" folded", b".", b"..", b"...", b". ", b".x", b"..x", b"\t", b"caf\xe9", b"\xff\xfe\x80",
    b"tab\there", b"nul\x00", b"QUIT", b"RSET", b"NOOP", b"MAIL FROM:<b@example.org>", b"-- ", b"From here", b"{ brace",
    b"a $ sign", b"y" * 1100, b"\x1a", b"\x04",
)  # fmt: skip
_MIME_BODIES = (
    b"Subject: one\r\n\r\nplain\r\n",
    b"Subject: two\r\nContent-Type: text/plain; charset=utf-8\r\n"
    b"Content-Transfer-Encoding: quoted-printable\r\n\r\nna=C3=AFve =\r\nsoft\r\n",
    b"MIME-Version: 1.0\r\nContent-Type: text/plain\r\nContent-Transfer-Encoding: base64\r\n\r\naGVsbG8=\r\n",
    b'Content-Type: multipart/mixed; boundary="b"\r\n\r\n--b\r\n\r\none\r\n'
    b"--b\r\nContent-Type: text/html\r\n\r\n<p>two</p>\r\n--b--\r\n",
    b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nunfinished\r\n",
    b"Content-Type: application/octet-stream\r\n\r\n\x00\x01\xff\r\n",
    b"Content-Type: no type\r\n\r\nx\r\n",
    b"no header at all\r\n",
)


def _body(dice: random.Random) -> bytes:
    """A message and its end."""
    if dice.random() < 0.25:
        return dice.choice(_MIME_BODIES) + b".\r\n"
    ends = dice.choices(((b"\r\n",), (b"\n",), (b"\r",), (b"\r\n", b"\n", b"\r")), (20, 3, 1, 3))[0]
    lines = [dice.choice(_BODY_LINES) for _ in range(dice.choices((0, 1, 3, 8, 30), (1, 3, 8, 5, 1))[0])]
    if dice.random() < 0.85:
        lines = [line for line in lines if line != b"."]
    return b"".join(line + dice.choice(ends) for line in lines) + b"." + dice.choice(ends if dice.random() < 0.3 else (b"\r\n",))


# Mutations

_ODD = (
    b"\x00", b"\x1b", b"\x7f", b"\x80", b"\xff", b"\xa0", b"\x85", b" ", b"\t", b"\x0b", b"<", b">", b"@", b":", b",",
    b"(", b")", b".", b'"', b"%s", b"{", b"}", b"\r", b"\n", b"\r\n", b"=", b"a",
)  # fmt: skip


def _insert(dice: random.Random, item: bytes) -> list[bytes]:
    at = dice.randint(0, max(0, len(item) - 2))
    return [item[:at] + dice.choice(_ODD) + item[at:]]


def _lose(dice: random.Random, item: bytes) -> list[bytes]:
    at = dice.randint(0, max(0, len(item) - 3))
    return [item[:at] + item[at + 1 :]]


def _swap(dice: random.Random, item: bytes) -> list[bytes]:
    at = dice.randint(0, max(0, len(item) - 4))
    return [item[:at] + item[at + 1 : at + 2] + item[at : at + 1] + item[at + 2 :]]


def _double(dice: random.Random, item: bytes) -> list[bytes]:
    return [item, item]


def _drop(dice: random.Random, item: bytes) -> list[bytes]:
    return []


def _split(dice: random.Random, item: bytes) -> list[bytes]:
    at = dice.randint(0, len(item))
    return [item[:at] + b"\r\n", item[at:]]


def _noise(dice: random.Random, item: bytes) -> list[bytes]:
    return [dice.randbytes(dice.randint(1, 30)) + b"\r\n"]


_MUTATIONS = (_insert, _insert, _insert, _lose, _swap, _double, _drop, _split, _noise)


# The guard

_GLOB = re.compile(rb"[*?\[\]\\]")
_ANY_LINE_END = re.compile(rb"\r\n|\r|\n")
_PATH_WORDS = re.compile(rb"(?:MAIL[^<]{0,40}FROM|RCPT[^<]{0,40}TO)", re.IGNORECASE)
_EVALUATED = re.compile(rb"[\[\]$;\"{}\\]")


def unsafe_for_stock(setup: Setup, session: Session) -> bool:
    """Whether stock might evaluate something of this session, or take it for a pattern.

    It matches the first word of a command against its verbs as a pattern, and hands addresses to validators by way of `eval`.
    Any line may turn out to be a command, those of a body too. An address with blanks is not code, but breaks the call.
    """
    if any(_GLOB.search(line.split(b" ")[0].split(b"\t")[0]) for line in _ANY_LINE_END.split(session.data)):
        return True
    if not setup.callbacks & {"validate_sender", "validate_recipient"}:
        return False
    return any(_may_be_evaluated(line) for line in session.data.split(b"\r\n") if _PATH_WORDS.search(line))


def _may_be_evaluated(line: bytes) -> bool:
    inside = line[line.find(b"<") + 1 : line.rfind(b">")] if b">" in line else line
    return bool(_EVALUATED.search(line.split(b":", 1)[-1]) or re.search(rb"[\s\x00]", inside))
