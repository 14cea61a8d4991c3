"""From a session that shows a difference to the smallest one that still does, as a transcript."""

import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from compat import suite
from compat.fuzz import known
from compat.fuzz.converse import Bench
from compat.fuzz.sessions import Session, Setup, unsafe_for_stock
from compat.targets import ServerError
from compat.text import escape
from compat.transcript import TCL_ONLY, Rule, load

#: Seconds to spend on one session, and seconds after which a server that says nothing is taken to be hung.
BUDGET = 20.0
PATIENCE = 1.0


def shrink(setup: Setup, session: Session, target: str, against: str = "stock") -> tuple[Setup, Session]:
    """Take away from a session and its set-up what the difference does not need, as long as there is time."""
    benches = [Bench(name, PATIENCE) for name in (against, target)]
    ends = time.monotonic() + BUDGET

    def differs(setup: Setup, session: Session) -> bool:
        if against == "stock" and unsafe_for_stock(setup, session):
            return False
        try:
            expected, actual = (bench.play(setup, session) for bench in benches)
        except (ServerError, OSError):
            for bench in benches:
                bench.close()
            return False
        found = known.difference(expected, actual)
        return found is not None and (against != "stock" or known.entry_for(setup, session, found) is None)

    try:
        if not differs(setup, session):
            return setup, session  # it needs what went before it, or chance
        smaller = iter(_smaller(setup, session))
        while (pair := next(smaller, None)) is not None and time.monotonic() < ends:
            if differs(*pair):
                setup, session = pair
                smaller = iter(_smaller(setup, session))
        return setup, session
    finally:
        for bench in benches:
            bench.close()


def _smaller(setup: Setup, session: Session) -> Iterator[tuple[Setup, Session]]:
    """Everything that is a little smaller, the greatest steps first."""
    items = session.items
    size = len(items) // 2
    while size:
        for start in range(0, len(items), size):
            yield setup, session.with_items(items[:start] + items[start + size :])
        size //= 2
    for index in range(len(setup.rules)):
        yield replace(setup, rules=setup.rules[:index] + setup.rules[index + 1 :]), session
    if setup.names != "qualified" or setup.banner is not None:
        yield replace(setup, names="qualified", banner=None), session
    if setup.log is not None:
        yield replace(setup, log=None), session
    if not session.lockstep:
        yield setup, replace(session, lockstep=True)
    for index, item in enumerate(items):
        for shorter in _shorter(item):
            yield setup, session.with_items((*items[:index], shorter, *items[index + 1 :]))


def _shorter(item: bytes) -> Iterator[bytes]:
    size = len(item) // 2
    while size:
        for start in range(0, len(item), size):
            yield item[:start] + item[start + size :]
        size //= 2


def transcript(setup: Setup, session: Session, shows: str) -> str:
    """The session as a transcript, with a mark wherever a reply is due."""
    lines = [f"shows: {shows}"]
    if any(rule.action in TCL_ONLY for rule in setup.rules):
        lines.append("targets: stock tclsh tkinter")
    if setup.names != "qualified":
        lines.append(f"names: {setup.names}")
    if setup.banner is not None:
        lines.append(f"banner: {setup.banner}")
    if setup.log is not None:
        lines.append(f"log: {setup.log}")
    lines += [f"callback: {_rule(rule)}" for rule in setup.rules]
    lines += ["", "DO: connect a", "S: ?"]
    for item in session.items if session.lockstep else (session.data,):
        *whole, rest = item.split(b"\r\n")
        lines += [f"C: {escape(line.decode('latin-1'))}".rstrip() for line in whole]
        if rest:
            lines.append(f"c: {escape(rest.decode('latin-1'))}")
        lines.append("S: ?")
    return "\n".join(lines) + "\n"


def _rule(rule: Rule) -> str:
    words: Sequence[str] = [rule.callback, rule.action]
    if rule.action == "refuse":
        words = [*words, _word(rule.text)]
    elif rule.action == "refuse-code":
        words = [*words, _word(rule.code), _word(rule.text)]
    return " ".join([*words, *(["for", _word(rule.when)] if rule.when is not None else [])])


def _word(text: str) -> str:
    return json.dumps(text)


def write(folder: Path, name: str, setup: Setup, session: Session, shows: str, say: Callable[[str], None] = print) -> Path:
    """Write the transcript, with what stock says in it, and return its path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.txt"
    path.write_text(transcript(setup, session, shows), "ascii")
    for note in suite.update(load(path)):
        say(note)
    return path
