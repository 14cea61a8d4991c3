"""Runs transcripts on targets and compares: the part that the command line and the tests share."""

import difflib
import shutil
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from compat import scripts
from compat.masking import mask
from compat.play import play
from compat.targets import ALL_TARGETS, FOREIGN, TARGETS, Server, ServerError
from compat.transcript import FOLDER, Step, Transcript, load

#: Servers of one target at once: while one waits for the network, the other can work.
SERVERS = 2


@dataclass(frozen=True)
class Result:
    """One transcript on one target: `status` is "ok", "DIFF", "pending", or "n.a.".

    "n.a." is a transcript that is not for that target, or a script that lacks something on this machine; "pending" a
    difference that waits for work announced in `scripts.CASES`.
    """

    name: str
    target: str
    status: str
    expected: tuple[str, ...] = ()
    actual: tuple[str, ...] = ()

    def diff(self) -> str:
        """A unified diff from the expected session to the actual one."""
        titles = f"{self.name}: transcript", f"{self.name}: {self.target}"
        return "\n".join(difflib.unified_diff(self.expected, self.actual, *titles, n=30, lineterm=""))


def names() -> list[str]:
    """Every transcript's name, then every script's."""
    return sorted(path.stem for path in FOLDER.glob("*.txt")) + list(scripts.CASES)


def run(
    targets: Iterable[str] = tuple(TARGETS),
    chosen: Sequence[str] | None = None,
    piece: int = 0,
    pipeline: bool = False,
    without: str = "",
) -> list[Result]:
    """A result for each name and target, in the order of the names.

    A target's transcripts are dealt to a few servers, which play them one after the other. `piece` is the number of
    octets that clients send at a time; 0 is a whole segment. With `pipeline`, commands are sent in groups where a client may.
    `without` is a quirk to switch off, in the Python target.
    """
    wanted = list(names() if chosen is None else chosen)
    targets = list(targets)
    loaded = [load(FOLDER / f"{name}.txt") for name in wanted if not _is_script(name)]
    hands = [(target, loaded[first::SERVERS]) for target in targets for first in range(SERVERS)]
    with ThreadPoolExecutor(max(1, len(hands))) as pool:
        played = pool.map(lambda hand: _run_in_turn(hand[0], hand[1], piece, pipeline, without), hands)
        compared = pool.map(lambda name: [_run_script(name, target) for target in targets], filter(_is_script, wanted))
        done = [*played, *compared]
    found = {(result.name, result.target): result for results in done for result in results}
    return [found[name, target] for name in wanted for target in targets]


def _is_script(name: str) -> bool:
    return name in scripts.CASES


def _run_script(name: str, target: str) -> Result:
    """Run one legacy script in the target, and in stock to compare with."""
    case = scripts.CASES[name]
    lacks_tcllib = ALL_TARGETS[target].bare and case.needs_tcllib
    lacks_tk = case.windowed and shutil.which(scripts.command(case, target)[0]) is None
    if target in ("python", FOREIGN) or lacks_tcllib or lacks_tk or case.missing():
        return Result(name, target, "n.a.")
    if reason := ALL_TARGETS[target].missing():
        return Result(name, target, "DIFF", ("a target that runs",), (reason,))
    expected = scripts.output(name, "stock")
    # What stock does is right by definition, as long as it works at all.
    wanted = expected if target != "stock" else tuple(line for line in expected if line != "exit code 1")
    actual = scripts.output(name, target)
    unequal = "pending" if case.pending and target != "stock" else "DIFF"
    return Result(name, target, "ok" if wanted == actual else unequal, wanted, actual)


def _run_in_turn(target: str, transcripts: Sequence[Transcript], piece: int, pipeline: bool, without: str) -> list[Result]:
    """Play the transcripts on one server of the target, or on a fresh one after anything but success."""
    results: list[Result] = []
    with Pool(target, without) as pool:
        for transcript in transcripts:
            result = _run_one(pool, transcript, piece, pipeline)
            results.append(result)
            if result.status == "DIFF":
                pool.drop()
        if results and (odd := pool.finish()):
            last = results[-1]
            results[-1] = replace(last, status="DIFF", actual=(*last.actual, *(f"server: {line}" for line in odd)))
    return results


class Pool:
    """At most one server of a target, started when needed and kept while it does."""

    def __init__(self, target: str, without: str = "") -> None:
        self.target = target
        self._words = ["without", without] if without else []
        self._server: Server | None = None
        #: Set once a server did not start: the others would only fail at the same thing.
        self.failed = ""

    def __enter__(self) -> "Pool":
        return self

    def __exit__(self, *_: object) -> None:
        self.drop()

    def server(self, transcript: Transcript) -> Server:
        """A server set up for the transcript."""
        wanted = transcript.listen, transcript.options
        if self._server is None or (self._server.listen, self._server.options) != wanted:
            self.drop()
            self._server = Server(ALL_TARGETS[self.target], *wanted)
        self._server.set_up(transcript.server_words() + self._words)
        return self._server

    def drop(self) -> None:
        """Be rid of the server."""
        if self._server is not None:
            self._server.close()
            self._server = None

    def finish(self) -> list[str]:
        """Let the server leave in good order; what was odd about it (of the stock package nothing is asked)."""
        return self._server.finish() if self._server is not None and self.target != "stock" else []


def _run_one(pool: Pool, transcript: Transcript, piece: int, pipeline: bool) -> Result:
    """Play one transcript and compare."""
    target = pool.target
    role = ALL_TARGETS[target].role
    if role not in transcript.targets:
        return Result(transcript.name, target, "n.a.")
    if reason := pool.failed or ALL_TARGETS[target].missing():
        return Result(transcript.name, target, "DIFF", ("a target that runs",), (reason,))
    try:
        server = pool.server(transcript)
    except ServerError as failure:
        pool.failed = pool.failed or f"did not start for {transcript.name} either"
        return Result(transcript.name, target, "DIFF", ("a server that starts",), tuple(str(failure).splitlines()))
    played = play(transcript, role, server, piece=piece, pipeline=pipeline)
    host = server.host
    expected: list[str] = []
    actual: list[str] = []
    for step, lines in played:
        sent = [f"{line.kind}: {line.text}" for line in step.sends if line.serves(role)]
        wanted = [mask(line, [host]) for line in step.expected(role)]
        got = _elide(wanted, [mask(line, [host]) for line in lines])
        expected += sent + wanted
        actual += sent + got
    status = "ok" if expected == actual else "DIFF"
    return Result(transcript.name, target, status, tuple(expected), tuple(actual))


def _elide(wanted: list[str], got: list[str]) -> list[str]:
    """Where an expected line ends in ` ...`, any actual line with that beginning stands for it."""
    if len(wanted) != len(got):
        return got
    return [
        want if want.endswith(" ...") and have.startswith(want[:-3]) else have for want, have in zip(wanted, got, strict=True)
    ]


def update_all(transcripts: Sequence[Transcript]) -> list[str]:
    """`update` for each, several at once: it mostly waits for silence."""
    with ThreadPoolExecutor(4) as pool:
        return [note for notes in pool.map(update, transcripts) for note in notes]


def update(transcript: Transcript) -> list[str]:
    """Rewrite the untagged expectations of a file from what the stock package does; the lines to look at by hand.

    A step in which targets differ is left as it stands. Of a file with options, which the stock package does not have, all
    lines are to be looked at: they are what our own package does.
    """
    if "stock" not in transcript.targets and not transcript.options:
        return [f"{transcript.name}: not for stock, left alone"]
    teacher = transcript.targets[0]
    with Pool(teacher) as pool:
        server = pool.server(transcript)
        played = play(transcript, teacher, server, learn=True)
        host = server.host
    notes: list[str] = []
    text = transcript.path.read_text("ascii").splitlines()
    for step, lines in reversed(played):
        learnt = [mask(line, [host]) for line in lines]
        notes += _rewrite(transcript, step, learnt, text)
    transcript.path.write_text("\n".join(text) + "\n", "ascii")
    return notes


def _rewrite(transcript: Transcript, step: Step, learnt: list[str], text: list[str]) -> list[str]:
    """Put what was learnt in place of a step's expectations; works from the end of the file to its start."""
    if any(line.targets is not None for line in step.sends + step.expects):
        same = _elide(step.expected("stock"), learnt) == step.expected("stock")
        return [] if same else [f"{transcript.name}: a step with tags differs from stock: {learnt}"]
    if not step.sends and any(not line.startswith("LOG: ") for line in learnt):
        return [f"{transcript.name}: after the end of the transcript: {learnt}"]
    numbers = [line.number - 1 for line in step.expects]
    start = numbers[0] if numbers else step.sends[-1].number if step.sends else len(text)
    for number in reversed(numbers):
        del text[number]
    text[start:start] = learnt
    return []
