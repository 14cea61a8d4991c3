"""The command: `python -m benchmarks` measures everything round by round and prints Markdown tables.

The rounds are interleaved (A B C, A B C, ...), so that whatever slows the machine for a while slows all alike.
"""

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.figures import FIGURES, Figure
from benchmarks.generator import LoadError
from benchmarks.report import Results, markdown
from benchmarks.targets import GENERATOR_CORE, SERVER_CORE, TARGETS, StartError, Target, TargetError


def arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__.splitlines()[0] if __doc__ else "")
    figures, targets = [figure.key for figure in FIGURES], [target.name for target in TARGETS]
    parser.add_argument("--rounds", type=int, default=5, help="rounds per figure (default 5)")
    parser.add_argument("--seconds", type=float, default=1.5, help="seconds per sample (default 1.5)")
    parser.add_argument("--quick", action="store_true", help="2 rounds of 0.4 s")
    parser.add_argument("--only", action="append", choices=figures, metavar="FIGURE", help=", ".join(figures))
    parser.add_argument("--target", action="append", choices=targets, metavar="TARGET", help=", ".join(targets))
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the report there as well")
    options = parser.parse_args(argv)
    if options.quick:
        options.rounds, options.seconds = 2, 0.4
    return options


def sample(results: Results, target: Target, figure: Figure, seconds: float) -> bool:
    """Take one sample, or write down why not; false when the target itself is of no use."""
    try:
        results.add(target, figure, figure.measure(target, seconds))
    except (TargetError, LoadError, OSError, ValueError, IndexError) as error:
        results.fail(target, figure, str(error) or type(error).__name__)
        print(f"{target.name}, {figure.key}: {error}", file=sys.stderr)
        return not isinstance(error, StartError)
    return True


def measure(results: Results, rounds: int, seconds: float) -> None:
    """All figures, each in interleaved rounds. What failed once is left out from then on: it may have cost a minute."""
    unusable: set[str] = set()
    for figure in results.figures:
        print(f"{figure.title} ...", file=sys.stderr, flush=True)
        for _ in range(rounds):
            for target in results.targets:
                if target.name in unusable or (target.name, figure.key) in results.failures:
                    results.add(target, figure, None)  # keeps the rounds of a pair beside each other
                elif figure.applies_to(target) and not sample(results, target, figure, seconds):
                    unusable.add(target.name)


def end_on_term() -> None:
    """SIGTERM as an exception, so that the servers are ended on the way out."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))


def main() -> int:
    options = arguments()
    end_on_term()
    if SERVER_CORE == GENERATOR_CORE:
        print("one core only: server and generator share it, the figures say little", file=sys.stderr)
    os.sched_setaffinity(0, {GENERATOR_CORE})
    targets = [target for target in TARGETS if not options.target or target.name in options.target]
    figures = [figure for figure in FIGURES if not options.only or figure.key in options.only]
    results = Results(targets, figures)
    load = os.getloadavg()[0]
    measure(results, options.rounds, options.seconds)
    report = markdown(results, options.rounds, options.seconds, load)
    print(report)
    if options.out:
        options.out.write_text(report)
    return 0


if __name__ == "__main__":
    sys.exit(main())
