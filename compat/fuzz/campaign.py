"""Many sessions, played to stock and to ours: dealt to worker processes by set-up, counted, differences collected."""

import multiprocessing.util
import random
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field

from compat.fuzz import known
from compat.fuzz.converse import Bench, Outcome
from compat.fuzz.sessions import PER_SETUP, Session, Setup, session, setup, unsafe_for_stock
from compat.targets import ServerError
from compat.transcript import TCL_ONLY

OURS = ("tclsh", "tkinter", "python")
#: How often a difference is looked for again, to tell a bug from chance.
REPEATS = 5


@dataclass(frozen=True)
class Finding:
    """A session that came out differently, outside the ledger."""

    seed: int
    number: int
    target: str
    against: str  #: the target that is right: stock, or one of ours where stock is not played
    first: known.Difference
    expected: tuple[str, ...]
    actual: tuple[str, ...]


@dataclass
class Tally:
    """What a campaign came to."""

    sessions: int = 0
    played: Counter[str] = field(default_factory=Counter)  #: sessions by target
    equal: int = 0  #: comparisons without a difference
    known: Counter[str] = field(default_factory=Counter)  #: comparisons with a difference that the ledger names, by entry
    findings: list[Finding] = field(default_factory=list)
    unrepeated: list[Finding] = field(default_factory=list)  #: differences that did not show again: chance, on either side

    def add(self, other: "Tally") -> None:
        """Add the counts of another one."""
        self.sessions += other.sessions
        self.played += other.played
        self.equal += other.equal
        self.known += other.known
        self.findings += other.findings
        self.unrepeated += other.unrepeated


def applies(target: str, rules: Setup) -> bool:
    """Whether a set-up means the same to a target: Python has no return codes, its own MIME parser and its own `Refused`."""
    if target != "python":
        return True
    return not any(
        rule.callback == "deliverMIME"
        or rule.action in TCL_ONLY
        or (rule.action == "refuse-code" and (rule.callback != "deliver" or not rule.text or rule.code.startswith("2")))
        or (rule.action == "refuse" and not rule.text)
        for rule in rules.rules
    )


class Worker:
    """Plays the sessions of one set-up after the other, each to all targets."""

    def __init__(self, seed: int, targets: Sequence[str]) -> None:
        self._seed = seed
        self._targets = targets
        self._benches = {target: Bench(target) for target in ("stock", *targets)}

    def close(self) -> None:
        """End all servers."""
        for bench in self._benches.values():
            bench.close()

    def run(self, first: int, last: int) -> Tally:
        """Play the sessions from `first` up to, and without, `last`: all of one set-up."""
        tally = Tally()
        rules = setup(self._seed, first)
        for number in range(first, last):
            tally.sessions += 1
            self._compare(tally, rules, session(self._seed, number), number)
        return tally

    def _compare(self, tally: Tally, rules: Setup, what: Session, number: int) -> None:
        """Play one session to stock and to the others; where stock may not have it, ours are compared with each other."""
        oracle, *others = self._benches if not unsafe_for_stock(rules, what) else self._targets
        dice = random.Random(f"{self._seed} cut {number}")  # noqa: S311 (not for secrets: for repeating)
        expected: Outcome | None = None
        for target in (oracle, *others):
            if not applies(target, rules):
                continue
            cut = dice if target != "stock" and dice.random() < 0.2 else None
            outcome = self._play(target, rules, what, cut)
            tally.played[target] += 1
            if expected is None:
                expected = outcome
            elif (found := known.difference(expected, outcome)) is None:
                tally.equal += 1
            elif oracle == "stock" and (entry := known.entry_for(rules, what, found)):
                tally.known[entry] += 1
            else:
                lines = tuple(expected.lines()), tuple(outcome.lines())
                again = any(self._differs(rules, what, oracle, target, cut is not None) for _ in range(REPEATS))
                finding = Finding(self._seed, number, target, oracle, found, *lines)
                (tally.findings if again else tally.unrepeated).append(finding)

    def _differs(self, rules: Setup, what: Session, oracle: str, target: str, cut: bool) -> bool:
        """Whether a difference shows when the session is played once more."""
        expected = self._play(oracle, rules, what, None)
        actual = self._play(target, rules, what, random.Random() if cut else None)  # noqa: S311
        found = known.difference(expected, actual)
        return found is not None and not (oracle == "stock" and known.entry_for(rules, what, found))

    def _play(self, target: str, rules: Setup, what: Session, cut: random.Random | None) -> Outcome:
        """Play, and be rid of the server where it failed."""
        try:
            return self._benches[target].play(rules, what, cut)
        except (ServerError, OSError) as failure:
            self._benches[target].close()
            return Outcome((), (), (), tuple(str(failure).splitlines()))


_worker: Worker | None = None


def _begin(seed: int, targets: Sequence[str]) -> None:
    """Set a worker process up."""
    global _worker
    _worker = Worker(seed, targets)
    multiprocessing.util.Finalize(None, _worker.close, exitpriority=10)


def _run(first: int, last: int) -> Tally:
    if _worker is None:
        raise RuntimeError("this process has not been set up")
    return _worker.run(first, last)


def run(
    seed: int, sessions: int, targets: Sequence[str] = OURS, jobs: int = 1, first: int = 0, seconds: float = 0
) -> Iterator[Tally]:
    """Play sessions from `first` on; yields the tally of each set-up as it is done. Stops early after so many seconds, if any."""
    ends = time.monotonic() + seconds if seconds else None
    starts = list(range(first - first % PER_SETUP, first + sessions, PER_SETUP))
    spans = [(max(start, first), min(start + PER_SETUP, first + sessions)) for start in starts]
    with ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn"), _begin, (seed, targets)) as pool:
        waiting = iter(spans)
        running = {pool.submit(_run, *span) for _, span in zip(range(2 * jobs), waiting, strict=False)}
        while running:
            for done in as_completed(running):
                running.remove(done)
                if (ends is None or time.monotonic() < ends) and (span := next(waiting, None)):
                    running.add(pool.submit(_run, *span))
                yield done.result()
                break
