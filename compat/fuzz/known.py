"""The differences that the ledger names, as the fuzzer recognizes them.

Each entry of LEDGER.md that random sessions can come upon stands here, with what a session must hold for it to apply, and
what the first line that differs must look like. A session that shows one counts under the entry's name; what comes after the
difference is not compared, since the two sessions have parted.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

from compat.fuzz.converse import Outcome
from compat.fuzz.sessions import Session, Setup


@dataclass(frozen=True)
class Difference:
    """The first line in which two outcomes differ; an empty text where one of them has no such line."""

    part: str  #: replies, calls, log or errors
    stock: str
    ours: str


def difference(stock: Outcome, ours: Outcome) -> Difference | None:
    """The first difference: of the replies, else of the calls, else of the log."""
    for part in ("errors", "replies", "calls", "log"):
        theirs, mine = getattr(stock, part), getattr(ours, part)
        if theirs == mine:
            continue
        for index in range(max(len(theirs), len(mine))):
            pair = [lines[index] if index < len(lines) else "" for lines in (theirs, mine)]
            if pair[0] != pair[1]:
                return Difference(part, *pair)
    return None


@dataclass(frozen=True)
class Entry:
    """How one entry of the ledger shows itself."""

    name: str
    session: Callable[[Setup, Session], object]
    difference: Callable[[Difference], object]


def _holds(pattern: bytes) -> Callable[[Setup, Session], object]:
    compiled = re.compile(pattern, re.IGNORECASE | re.DOTALL)
    return lambda _setup, session: compiled.search(session.data)


def _rule(callback: str, test: Callable[[str, str], object]) -> Callable[[Setup, Session], object]:
    """Whether a callback of the set-up refuses with a code and a text that the test is true of."""
    return lambda setup, _session: any(
        rule.callback.startswith(callback) and rule.action.startswith("refuse") and test(rule.code, rule.text)
        for rule in setup.rules
    )


def _replies(stock: str, ours: str) -> Callable[[Difference], object]:
    return lambda found: found.part == "replies" and re.match(stock, found.stock) and re.match(ours, found.ours)


def _null_sender_refused(found: Difference) -> object:
    return _replies("553 ", "250 OK")(found) or (found.part == "calls" and '["validate_sender", ""]' in found.ours)


def _refuses_in_an_odd_text(setup: Setup, session: Session) -> object:
    """A callback's text of several lines; or mime's, which quotes the message."""
    return "deliverMIME" in setup.callbacks or any("\n" in rule.text or "\t" in rule.text for rule in setup.rules)


def _made_one_reply(found: Difference) -> object:
    """Ours is well-formed where stock's is not: continuation lines, no controls, no blank lines at the end."""
    if found.part == "log":
        return re.search(r"\\x[01]|error in deliver|access denied", found.ours + found.stock)
    if found.part != "replies":
        return False
    stripped = re.sub(r"[\x00-\x08\x0a-\x1f\x7f-\x9f]", "", found.stock)
    return re.match(r"[245]\d\d-", found.ours) or stripped == found.ours or not re.match(r"\d{3}[ -]", found.stock)


# A control byte within a line, as stock frames lines: an LF or CR that is not part of CRLF, a NUL, an ESC.
_CONTROL = rb"(?:\x00|\x1b|\r(?!\n)|(?<!\r)\n)"

_ANY_CONTROL = rb"[\x00-\x09\x0b\x0c\x0e-\x1f\x7f-\x9f]|\r(?!\n)|(?<!\r)\n"
_NULL_SENDER = _holds(rb"MAIL FROM:[^\r\n]*<>")

ENTRIES = (
    Entry("ehlo_address_literal", _holds(rb"(?:HELO|EHLO)\s+\["), _replies("501 ", "250[ -]")),
    Entry("control_bytes", _holds(rb"(?:HELO|EHLO)\s+[^\r\n]{256}"), _replies("250[ -]", "501 ")),
    Entry("control_bytes", _holds(_CONTROL), _replies("250 OK|553 ", "501 ")),
    Entry("control_bytes", _holds(_ANY_CONTROL), lambda found: found.part == "log"),
    Entry("crlf_is_one_line_end", _holds(rb"\r\r\n"), lambda found: found.part in ("replies", "calls", "log")),
    Entry("replies_in_order", _holds(rb"(?:^|\n)QUIT\b.*\n."), lambda found: found.part == "replies" and not found.stock),
    Entry("http_request", _holds(rb"^[A-Z]{3,10} \S+ HTTP/"), _replies("500 ", "421 ")),
    Entry("crlf_is_one_line_end", lambda _setup, session: not session.data.endswith(b"\r\n"), lambda found: not found.ours),
    Entry(
        "null_sender_argument",
        lambda setup, session: "validate_sender" in setup.callbacks and _NULL_SENDER(setup, session),
        _null_sender_refused,
    ),
    Entry(
        "error_reply",
        _rule("deliver", lambda code, _text: re.search(r"\d{3}", code) and not re.fullmatch(r"[245]\d\d", code)),
        lambda found: found.part == "replies" and re.match(r"[45]\d\d ", found.ours),
    ),
    Entry("error_reply", _refuses_in_an_odd_text, _made_one_reply),
    Entry(
        "log_of_no_address",
        lambda setup, _session: setup.log == "debug",
        lambda found: found.part == "log" and re.search("no address|more than one address", found.ours),
    ),
    Entry(
        "refused_chooses_the_reply",
        _rule("validate", lambda code, _text: code.startswith("SMTP ")),
        _replies("550 |553 ", r"[45]\d\d "),
    ),
)  # fmt: skip


def entry_for(setup: Setup, session: Session, found: Difference) -> str | None:
    """The name of the entry that explains a difference, if any does."""
    for entry in ENTRIES:
        if entry.session(setup, session) and entry.difference(found):
            return entry.name
    return None
