"""The command: `python -m fuzz [--inputs N] [--processes N] [--folder FOLDER] ...`, the core under a coverage-guided fuzzer.

The invariant stands in target.py. Inputs begin with fuzz/corpus and with what clients say in compat/transcripts; what is found
goes to fuzz/found, and from there, by hand, to fuzz/corpus, where the tests play it for ever.
"""

import argparse
import importlib.util
import itertools
import os
import sys
import tempfile
from pathlib import Path

from fuzz.campaign import Campaign
from fuzz.counts import PLACES
from fuzz.mutation import inputs
from fuzz.seeds import FOUND, seeds
from fuzz.target import run


def without_coverage(count: int, seed: int) -> None:
    """Random sessions and changed seeds."""
    for number, data in enumerate(itertools.islice(inputs(seed, seeds()), count)):
        try:
            run(data)
        except BaseException:
            FOUND.mkdir(exist_ok=True)
            (FOUND / f"random-{seed}-{number}").write_bytes(data)
            print(f"fuzz: {data!r}", file=sys.stderr)
            raise


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m fuzz", description="Fuzz the core.")
    parser.add_argument("--inputs", type=int, default=10_000_000, help="how many (default 10,000,000: some hours)")
    parser.add_argument("--seed", type=int, default=1, help="of the random choices (default 1)")
    parser.add_argument("--processes", type=int, default=min(os.cpu_count() or 1, PLACES), help="default: one per processor")
    parser.add_argument("--folder", type=Path, help="keeps corpus and count: a campaign that was cut off goes on from there")
    parser.add_argument("--without-coverage", action="store_true", help="random sessions, without atheris, in one process")
    options = parser.parse_args()
    if options.without_coverage:
        without_coverage(options.inputs, options.seed)
    elif importlib.util.find_spec("atheris") is None:
        sys.exit("fuzz: atheris is missing: pip install '.[fuzz]', or --without-coverage")
    else:
        with tempfile.TemporaryDirectory(prefix="fuzz") as folder:
            Campaign(options.folder or Path(folder), options.inputs, options.seed, options.processes).run()
    print(f"{options.inputs:,} inputs, the invariant holds")


if __name__ == "__main__":
    main()
