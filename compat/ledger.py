"""LEDGER.md as data: the name of each entry, and the transcripts (or the test suite) that show it."""

import functools
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

PATH = Path(__file__).parent / "LEDGER.md"
#: What shows the differences that no client sees: the tcltest suite, whose tests name the entries.
SUITE = "tests/tcl/smtpd.test"

_ENTRY = re.compile(r"^### `(\w+)`\n(.*?)(?=^#|\Z)", re.MULTILINE | re.DOTALL)
_SHOWN = re.compile(r"^- Shown by: (.*)", re.MULTILINE)


@functools.cache
def entries(section: str = "") -> dict[str, frozenset[str]]:
    """Each entry's name, with the transcripts it names: of the sections whose title begins with the word given."""
    found = {}
    for title, entry, text in _parts():
        if title.startswith(section):
            shown = _SHOWN.search(text)
            found[entry] = frozenset(shown[1].split(", ")) if shown else frozenset()
    return found


def _parts() -> Iterator[tuple[str, str, str]]:
    """Each entry: the title of its section, its name, its text."""
    for section in PATH.read_text("utf-8").split("\n## ")[1:]:
        for name, text in _ENTRY.findall(section):
            yield section.splitlines()[0], name, text


def dangling(transcripts: Iterable[str]) -> list[str]:
    """What is wrong with the entries: no transcript named, or one that does not exist."""
    known = frozenset(transcripts) | {SUITE}
    problems = [f"{name}: shown by no transcript" for name, shown in entries().items() if not shown]
    return problems + [f"{name}: no transcript {gone}" for name, shown in entries().items() for gone in shown - known]
