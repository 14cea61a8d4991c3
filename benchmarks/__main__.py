"""The command: `python -m benchmarks` measures everything round by round and prints Markdown tables.

The rounds are interleaved (A B C, A B C, ...), so that whatever slows the machine for a while slows all alike.
"""

import argparse
import os
import resource
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from benchmarks.figures import FIGURES, Figure
from benchmarks.generator import LoadError
from benchmarks.plot import plot
from benchmarks.report import Results, markdown
from benchmarks.serving import GENERATOR_CORE, SERVER_CORE, Target, TargetError
from benchmarks.targets import TARGETS


def arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__.splitlines()[0] if __doc__ else "")
    figures, targets = [figure.key for figure in FIGURES], [target.name for target in TARGETS]
    parser.add_argument("--targets", type=some_of(targets), default=targets, metavar="A,B", help=f"of {', '.join(targets)}")
    parser.add_argument("--work", type=some_of(figures), default=figures, metavar="A,B", help=f"of {', '.join(figures)}")
    parser.add_argument("--rounds", type=int, default=5, help="rounds per figure (default 5)")
    parser.add_argument("--seconds", type=float, default=1.5, help="seconds per sample (default 1.5)")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the report there, and the plot beside it as .svg")
    return parser.parse_args(argv)


def some_of(names: Sequence[str]) -> Callable[[str], list[str]]:
    """A list of names with commas between them, each one of these."""

    def chosen(text: str) -> list[str]:
        words = [word.strip() for word in text.split(",")]
        if unknown := [word for word in words if word not in names]:
            raise argparse.ArgumentTypeError(f"unknown: {', '.join(unknown)}; must be of {', '.join(names)}")
        return words

    return chosen


def sample(results: Results, target: Target, figure: Figure, seconds: float) -> None:
    """Take one sample, or write down why not."""
    try:
        results.add(target, figure, figure.measure(target, seconds))
    except (TargetError, LoadError, OSError, ValueError, IndexError) as error:
        results.fail(target, figure, str(error) or type(error).__name__)
        print(f"{target.name}, {figure.key}: {error}", file=sys.stderr)


def measure(results: Results, rounds: int, seconds: float) -> None:
    """All figures, each in interleaved rounds. What failed once is left out from then on: it may have cost a minute."""
    for figure in results.figures:
        began = time.monotonic()
        for _ in range(rounds):
            for target in results.targets:
                if (target.name, figure.key) in results.failures:
                    results.add(target, figure, None)  # keeps the rounds of a pair beside each other
                elif figure.applies_to(target):
                    sample(results, target, figure, seconds)
        print(f"{figure.title}: {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)


def end_on_term() -> None:
    """SIGTERM as an exception, so that the servers are ended on the way out."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))


def allow_many_descriptors() -> None:
    """As many as the system lets us have, for us and for the servers."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def main() -> int:
    options = arguments()
    end_on_term()
    if SERVER_CORE == GENERATOR_CORE:
        print("one core only: server and generator share it, the figures say little", file=sys.stderr)
    os.sched_setaffinity(0, {GENERATOR_CORE})
    allow_many_descriptors()
    targets = [target for target in TARGETS if target.name in options.targets]
    figures = [figure for figure in FIGURES if figure.key in options.work]
    results = Results(targets, figures)
    load = os.getloadavg()[0]
    measure(results, options.rounds, options.seconds)
    report = markdown(results, options.rounds, options.seconds, load)
    print(report)
    if options.out:
        drawing = plot(results, next(target for target in TARGETS if target.name == "smtp-sink"))
        if drawing:
            options.out.with_suffix(".svg").write_text(drawing)
            report += f"\n![Loads as multiples of smtp-sink]({options.out.with_suffix('.svg').name})\n"
        options.out.write_text(report)
    return 0


if __name__ == "__main__":
    sys.exit(main())
