"""The command line: `python -m compat.fuzz [--seed N] [--sessions N] [--only N] [--jobs N] [--target T ...]`."""

import argparse
import os
import random
import sys
import time
from pathlib import Path

from compat.fuzz import campaign, shrink
from compat.fuzz.sessions import session, setup

#: Where transcripts of differences go.
FOUND = Path(__file__).parent.parent / "found"
#: So many differences are shrunk; more of them are only counted.
SHRUNK = 10


def main(words: list[str] | None = None) -> int:
    """Run a campaign and report; 1 when anything differs outside the ledger."""
    arguments = _arguments(words)
    seed = random.SystemRandom().randrange(10**6) if arguments.seed is None else arguments.seed
    first, count = (arguments.first, arguments.sessions) if arguments.only is None else (arguments.only, 1)
    total = campaign.Tally()
    began = time.monotonic()
    for tally in campaign.run(seed, count, arguments.target or campaign.OURS, arguments.jobs, first, arguments.seconds):
        total.add(tally)
        if arguments.verbose and total.sessions % 1000 == 0:
            print(f"{total.sessions} sessions, {len(total.findings)} differences", file=sys.stderr, flush=True)
    one_each = {finding.number: finding for finding in reversed(total.findings)}
    for finding in sorted(one_each.values(), key=lambda finding: finding.number)[:SHRUNK]:
        _report(finding, arguments.show or arguments.only is not None)
    _summary(seed, total, time.monotonic() - began)
    return int(bool(total.findings))


def _arguments(words: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m compat.fuzz", description="Play random sessions to stock and to ours.")
    parser.add_argument("--seed", type=int, metavar="N", help="where the sessions come from; default: another one each time")
    parser.add_argument("--sessions", type=int, default=1000, metavar="N", help="how many; default 1000")
    parser.add_argument("--first", type=int, default=0, metavar="N", help="the number of the first session")
    parser.add_argument("--only", type=int, metavar="N", help="play this session alone")
    parser.add_argument("--seconds", type=float, default=0, metavar="S", help="stop after this time, whatever is left")
    parser.add_argument(
        "--jobs", type=int, default=os.cpu_count() or 1, metavar="N", help="processes; default: one per processor"
    )
    parser.add_argument("-t", "--target", action="append", choices=campaign.OURS, help="default: all three")
    parser.add_argument("--show", action="store_true", help="print the differing sessions as they are, and do not shrink them")
    parser.add_argument("-v", "--verbose", action="store_true", help="say how far it is")
    return parser.parse_args(words)


def _report(finding: campaign.Finding, whole: bool) -> None:
    """Print one difference, and write the transcript of the smallest session that shows it."""
    rules, what = setup(finding.seed, finding.number), session(finding.seed, finding.number)
    title = f"session {finding.number} of seed {finding.seed}: {finding.target} differs from {finding.against}"
    print(f"\n{title}:\n  {finding.first.stock!r}\n  {finding.first.ours!r}")
    if whole:
        print(*rules.rules, *what.items, "in lock-step" if what.lockstep else "pipelined", sep="\n")
        print(*(f"  {finding.against}: {line}" for line in finding.expected), sep="\n")
        print(*(f"  {finding.target}: {line}" for line in finding.actual), sep="\n")
        return
    smallest = shrink.shrink(rules, what, finding.target, finding.against)
    if finding.against == "stock":
        name = f"fuzz_{finding.seed}_{finding.number}"
        print(f"python -m compat {shrink.write(FOUND, name, *smallest, title)}")
    print(shrink.transcript(*smallest, title))


def _summary(seed: int, total: campaign.Tally, seconds: float) -> None:
    print(f"\nseed {seed}: {total.sessions} sessions in {seconds:.0f} s; {len(total.findings)} differences outside the ledger")
    print("sessions played:", ", ".join(f"{target} {count}" for target, count in sorted(total.played.items())))
    for once in total.unrepeated:
        print(
            f"once only: session {once.number}, {once.target} against {once.against}: {once.first.stock!r}, {once.first.ours!r}"
        )
    named = ", ".join(f"{entry} {count}" for entry, count in total.known.most_common())
    print(f"comparisons: {total.equal} equal, {sum(total.known.values())} parted in the ledger ({named or 'none'})")


if __name__ == "__main__":
    sys.exit(main())
