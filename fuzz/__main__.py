"""The command: `python -m fuzz [--inputs N] [--seed N] [--without-coverage]`, the core under a coverage-guided fuzzer.

The invariant stands in target.py. Inputs begin with fuzz/corpus and with what clients say in compat/transcripts; what is found
goes to fuzz/found, and from there, by hand, to fuzz/corpus, where the tests play it for ever.
"""

import argparse
import itertools
import sys
import tempfile
from pathlib import Path

from fuzz.mutation import WORDS, inputs

HERE = Path(__file__).resolve().parent
FOUND = HERE / "found"
LONGEST = 2_000  # octets of an input


def seeds() -> list[bytes]:
    """The corpus, and the client's lines of every transcript under both profiles."""
    found = [file.read_bytes() for file in sorted((HERE / "corpus").iterdir())]
    for file in sorted((HERE.parent / "compat" / "transcripts").glob("*.txt")):
        lines = [line[3:] for line in file.read_text().splitlines() if line.startswith("C: ")]
        session = "\r\n".join([*lines, ""]).encode("latin-1", "replace")
        found += [bytes(7) + b"\0" + session, bytes(7) + b"\xff" + session]
    return [seed for seed in found if len(seed) <= LONGEST]


def with_coverage(count: int, seed: int) -> None:
    """Let atheris choose the inputs. Does not return: the fuzzing engine ends the process."""
    try:
        import atheris
    except ImportError:
        sys.exit("fuzz: atheris is missing: pip install '.[fuzz]', or --without-coverage")
    with atheris.instrument_imports(include=["pysmtpd.core"]):
        from fuzz import target

    FOUND.mkdir(exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="fuzz"))
    for number, data in enumerate(seeds()):
        (folder / f"seed{number}").write_bytes(data)
    dictionary = folder.with_suffix(".dict")
    escaped = ["".join(f"\\x{octet:02x}" for octet in word) for word in WORDS if 1 < len(word) <= 60]
    dictionary.write_text("".join(f'"{word}"\n' for word in escaped))
    words = [f"-runs={count}", f"-seed={seed}", f"-max_len={LONGEST}", f"-dict={dictionary}", f"-artifact_prefix={FOUND}/"]
    atheris.Setup([sys.argv[0], *words, "-print_final_stats=1", str(folder)], target.run)
    atheris.Fuzz()


def without_coverage(count: int, seed: int) -> None:
    """Random sessions and changed seeds."""
    from fuzz.target import run

    for number, data in enumerate(itertools.islice(inputs(seed, seeds()), count)):
        try:
            run(data)
        except BaseException:
            FOUND.mkdir(exist_ok=True)
            (FOUND / f"random-{seed}-{number}").write_bytes(data)
            print(f"fuzz: {data!r}", file=sys.stderr)
            raise
    print(f"{count} inputs, the invariant holds")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m fuzz", description="Fuzz the core.")
    parser.add_argument("--inputs", type=int, default=10_000_000, help="how many (default 10,000,000: a night)")
    parser.add_argument("--seed", type=int, default=1, help="of the random choices (default 1)")
    parser.add_argument("--without-coverage", action="store_true", help="random sessions, without atheris")
    options = parser.parse_args()
    (without_coverage if options.without_coverage else with_coverage)(options.inputs, options.seed)


if __name__ == "__main__":
    main()
