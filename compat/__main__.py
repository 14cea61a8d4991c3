"""The command line: `python -m compat [--target T ... | --without-tcllib] [--update] [NAME ...]`, `python -m compat fuzz ...`."""

import argparse
import shlex
import sys
from itertools import groupby

from compat import ledger, suite
from compat.fuzz.__main__ import main as fuzz
from compat.targets import ALL_TARGETS, TARGETS, WITHOUT_TCLLIB, add_server, use_tclsh
from compat.transcript import FOLDER, TranscriptError, load


def main() -> int:
    """Run what is asked for, print the table and the differences; 1 when anything differs."""
    arguments = _arguments()
    chosen = [name for name in suite.names() if not arguments.names or name in arguments.names]
    if unknown := set(arguments.names) - set(chosen):
        print(f"no such transcript: {', '.join(sorted(unknown))}", file=sys.stderr)
        return 2
    if problems := ledger.dangling(suite.names()):
        print("LEDGER.md:", *problems, sep="\n  ", file=sys.stderr)
        return 2
    if arguments.update:
        print("\n".join(suite.update_all([load(FOLDER / f"{name}.txt") for name in chosen if "/" not in name])))
        return 0
    if arguments.tclsh:
        use_tclsh(arguments.tclsh)
    targets = arguments.target or list(WITHOUT_TCLLIB if arguments.without_tcllib else TARGETS)
    if arguments.server:
        targets = [*(arguments.target or ()), add_server(shlex.split(arguments.server), arguments.like)]
    results = suite.run(targets, chosen, arguments.piece, arguments.pipelined)
    _table(results, targets)
    for result in results:
        if result.status == "DIFF" or (arguments.verbose and result.status == "pending"):
            print(f"\n{result.diff()}")
        elif arguments.verbose and result.status == "ok":
            print(f"\n{result.name} on {result.target}:", *result.actual, sep="\n")
    return int(any(result.status == "DIFF" for result in results))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m compat", description="Compare pysmtpd with the stock package.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="transcripts to play (default: all)")
    parser.add_argument("-t", "--target", action="append", choices=list(ALL_TARGETS), help="default: all with tcllib")
    parser.add_argument("--tclsh", metavar="PROGRAM", help="the tclsh of our targets, if it is another than the stock package's")
    parser.add_argument("--without-tcllib", action="store_true", help="the Tcl targets with tcllib hidden from them")
    parser.add_argument("--server", metavar="COMMAND", help="a server program of your own: see README.md")
    parser.add_argument("--like", choices=list(TARGETS), default="python", help="which target it is to answer like: python")
    parser.add_argument("-u", "--update", action="store_true", help="rewrite expectations from the stock package")
    parser.add_argument("--pipelined", action="store_true", help="clients send commands in groups, where RFC 2920 lets them")
    parser.add_argument("--piece", type=int, default=0, metavar="N", help="clients send N octets at a time")
    parser.add_argument("-v", "--verbose", action="store_true", help="print the sessions that agree, too")
    return parser.parse_args()


def _table(results: list[suite.Result], targets: list[str]) -> None:
    """Transcripts down, targets across."""
    width = max((len(result.name) for result in results), default=0)
    columns = [max(8, len(target)) for target in targets]
    print(" " * width, *(f"{target:>{column}}" for target, column in zip(targets, columns, strict=True)))
    for name, row in groupby(results, key=lambda result: result.name):
        print(f"{name:{width}}", *(f"{result.status:>{column}}" for result, column in zip(row, columns, strict=True)))
    for target in targets:
        mine = [result.status for result in results if result.target == target]
        counts = {"agree": "ok", "differ": "DIFF", "pending": "pending", "not applicable": "n.a."}
        print(f"{target}:", ", ".join(f"{mine.count(status)} {word}" for word, status in counts.items()))


if __name__ == "__main__":
    try:
        sys.exit(fuzz(sys.argv[2:]) if sys.argv[1:2] == ["fuzz"] else main())
    except TranscriptError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
