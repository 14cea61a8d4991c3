"""Transcript files: parsed into a header, callback rules and steps. The format is described in README.md."""

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from compat import ledger
from compat.text import unescape

FOLDER = Path(__file__).parent / "transcripts"

TARGET_NAMES = ("stock", "tclsh", "tkinter", "python")
_GROUPS = {"ours": frozenset({"tclsh", "tkinter", "python"}), "tcl": frozenset({"stock", "tclsh", "tkinter"})}

CALLBACKS = ("validate_host", "validate_sender", "validate_recipient", "deliver", "deliverMIME")

# How many words follow each action in a `callback:` header line.
_ACTIONS = {"accept": 0, "refuse": 1, "refuse-code": 2, "break": 0, "continue": 0, "return": 0, "slow": 0}
# What only Tcl has: a transcript that uses one of these must not list the Python target.
TCL_ONLY = frozenset({"break", "continue", "return"})

_BODY_LINE = re.compile(r"(C|c|S|CB|LOG|DO)(?:\[([a-z,]+)\])?:(?: (.*))?$")
_WORD = re.compile(r'\s*("(?:[^"\\]|\\.)*"|[^\s"]\S*)')


class TranscriptError(Exception):
    """A transcript file that does not follow the format; says which line."""


@dataclass(frozen=True)
class Rule:
    """What one callback does, always or when its first argument is `when`."""

    callback: str
    when: str | None
    action: str
    code: str
    text: str

    def words(self) -> list[str]:
        """As the server programs take it."""
        return ["rule", self.callback, "*" if self.when is None else self.when, self.action, self.code, self.text]


@dataclass(frozen=True)
class Line:
    """One body line: its kind, the targets it is for (None: all), its text, and where it stands in the file."""

    kind: str
    targets: frozenset[str] | None
    text: str
    number: int

    def serves(self, target: str) -> bool:
        """Whether the line counts for this target."""
        return self.targets is None or target in self.targets


@dataclass
class Step:
    """What the client does, and then what is expected of the server and its callbacks."""

    sends: list[Line] = field(default_factory=list)
    expects: list[Line] = field(default_factory=list)

    def expected(self, target: str) -> list[str]:
        """The expected lines for the target, callbacks first, as the suite prints them."""
        mine = [line for line in self.expects if line.serves(target)]
        return [f"{kind}: {line.text}".rstrip() for kind in ("CB", "LOG", "S") for line in mine if line.kind == kind]


@dataclass
class Transcript:
    """One file: what it shows, how the server is set up, and the body lines in order."""

    name: str
    path: Path
    shows: str = ""
    quirks: list[str] = field(default_factory=list)
    targets: tuple[str, ...] = TARGET_NAMES
    listen: str = "127.0.0.1"
    banner: str | None = None
    log: str | None = None
    tls: str | None = None
    names: str = "qualified"
    options: list[str] = field(default_factory=list)
    rules: list[Rule] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)

    def server_words(self) -> list[str]:
        """The set-up as the server programs take it: flat words of fixed arity."""
        words = ["names", self.names]
        if self.banner is not None:
            words += ["banner", self.banner]
        if self.log is not None:
            words += ["log", self.log]
        if self.tls is not None:
            words += ["tls", self.tls]
        for rule in self.rules:
            words += rule.words()
        return words

    def steps(self) -> Iterator[Step]:
        """The body cut into steps: a client line after an expectation opens a new one.

        The last step is what stays for the time after the transcript: no client lines, and the log.
        """
        step = Step()
        for line in self.lines:
            if line.kind in ("S", "CB", "LOG"):
                step.expects.append(line)
                continue
            if step.expects:
                yield step
                step = Step()
            step.sends.append(line)
        logged = [line for line in step.expects if line.kind == "LOG"]
        yield Step(step.sends, [line for line in step.expects if line.kind != "LOG"])
        yield Step([], logged)


#: Commands that end a group of pipelined ones (RFC 2920, 3.1); and STARTTLS, behind which nothing is sent (RFC 3207, 4.2).
_LAST_IN_GROUP = frozenset({"EHLO", "HELO", "DATA", "VRFY", "EXPN", "QUIT", "NOOP", "STARTTLS", "AUTH"})


def pipelined(steps: Iterable[Step]) -> Iterator[Step]:
    """The same steps with the commands sent in groups, as far as a client may: without a wait for the replies in between.

    A message may be followed by the next transaction's commands; directives separate groups.
    """
    *steps, last = steps
    group: Step | None = None
    for step in steps:
        alone = any(line.kind == "DO" for line in step.sends)
        if group is not None and not alone and _may_go_on(group):
            group = Step(group.sends + step.sends, group.expects + step.expects)
            continue
        if group is not None:
            yield group
        group = step
    if group is not None:
        yield group
    yield last


def _may_go_on(step: Step) -> bool:
    """Whether more may be sent without waiting for the replies to this."""
    if not step.sends or any(line.kind == "DO" for line in step.sends):
        return False
    words = step.sends[-1].text.split()
    closes = any(line.text.startswith("(closed)") for line in step.expects)
    return not closes and not (words and words[0].upper() in _LAST_IN_GROUP)


def load(path: Path) -> Transcript:
    """Parse one file, and check what a file can get wrong."""
    transcript = Transcript(path.stem, path)
    in_header = True
    for number, raw in enumerate(path.read_text("ascii").splitlines(), 1):
        if raw.startswith("#"):
            continue
        if not raw:
            in_header = False
            continue
        try:
            if in_header:
                _header(transcript, raw)
            else:
                transcript.lines.append(_body(raw, number))
        except ValueError as problem:
            raise TranscriptError(f"{path.name}:{number}: {problem}") from None
    _check(transcript)
    return transcript


def load_all() -> list[Transcript]:
    """Every transcript of the suite, by name."""
    return [load(path) for path in sorted(FOLDER.glob("*.txt"))]


def _header(transcript: Transcript, raw: str) -> None:
    key, colon, value = raw.partition(":")
    value = value.strip()
    if not colon:
        raise ValueError(f"not a header line: {raw!r}")
    match key:
        case "shows":
            transcript.shows = value
        case "quirk":
            transcript.quirks.append(value)
        case "targets":
            transcript.targets = tuple(sorted(_targets(value.replace(" ", ",")), key=TARGET_NAMES.index))
        case "listen":
            transcript.listen = value
        case "banner":
            transcript.banner = value
        case "log":
            transcript.log = value
        case "tls" if value in ("certificate", "nothing", "verify", "told"):
            transcript.tls = value
        case "profile":
            transcript.options += ["profile", value]
        case "option":
            name, _, text = value.partition(" ")
            transcript.options += [name, text.strip()]
        case "names" if value in ("qualified", "global", "prefix"):
            transcript.names = value
        case "callback":
            transcript.rules.append(_rule(value))
        case _:
            raise ValueError(f"unknown header {raw!r}")


def _rule(value: str) -> Rule:
    words = [json.loads(word) if word.startswith('"') else word for word in _WORD.findall(value)]
    when = None
    if len(words) > 2 and words[-2] == "for":
        when = words.pop()
        words.pop()
    callback, action, *rest = [*words, "accept"] if len(words) == 1 else words
    if callback not in CALLBACKS:
        raise ValueError(f"unknown callback {callback!r}")
    if _ACTIONS.get(action) != len(rest):
        raise ValueError(f"action {action!r} is unknown or takes another number of words")
    code, text = (["", "", *rest])[-2:]
    return Rule(callback, when, action, code, text)


def _body(raw: str, number: int) -> Line:
    match = _BODY_LINE.match(raw)
    if match is None:
        raise ValueError(f"not a body line: {raw!r}")
    kind, tag, text = match[1], match[2], match[3] or ""
    if kind in ("C", "c"):
        unescape(text)  # an escape that is not one is found here, with its line number
    return Line(kind, _targets(tag) if tag else None, text, number)


def _targets(text: str) -> frozenset[str]:
    found: frozenset[str] = frozenset()
    for word in filter(None, text.split(",")):
        if word not in _GROUPS and word not in TARGET_NAMES:
            raise ValueError(f"unknown target {word!r}")
        found |= _GROUPS.get(word, frozenset({word}))
    return found


def _check(transcript: Transcript) -> None:
    """Rules that concern the whole file."""
    problems = []
    if transcript.options:  # the stock package has none of these
        transcript.targets = tuple(target for target in transcript.targets if target != "stock")
    if not transcript.shows:
        problems.append("no `shows:` line")
    entries = {name for name, shown in ledger.entries().items() if transcript.name in shown}
    if entries != set(transcript.quirks):
        problems.append(f"its quirks are {sorted(transcript.quirks)}, LEDGER.md says {sorted(entries)}")
    differs = any(line.targets is not None for line in transcript.lines) or "stock" not in transcript.targets
    if differs and not transcript.quirks and not transcript.options:
        problems.append("targets differ, but no `quirk:` says why")
    if "python" in transcript.targets and any(rule.action in TCL_ONLY for rule in transcript.rules):
        problems.append("a callback does what only Tcl can, but the python target is listed")
    if problems:
        raise TranscriptError(f"{transcript.path.name}: {'; '.join(problems)}")
