"""What more processes bring: `pysmtpd serve` with one worker and with more, on the same work; each 250 is looked for.

usage: python -m benchmarks.workers [--workers 1,2] [--rounds 3] [--seconds 3]

Server and generator share the processors, so the figure is what a machine of that size gets, not the server's alone; the more a
message costs the server, the closer it is to the number of processors.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from benchmarks import generator
from benchmarks.generator import Load, body_of, lock_step

SESSIONS = 20
LIMIT = 60.0  # seconds

#: What is measured -> the options of the server, given a folder for its store; and how many messages are in that.
WORK: dict[str, tuple[Callable[[Path], list[str]], Callable[[Path], int] | None]] = {
    "taken, and no more": (lambda _: ["-q"], None),
    "printed": (lambda _: [], None),
    "JSON lines": (lambda box: ["-q", "--jsonl", str(box)], lambda box: box.read_bytes().count(b"\n")),
    "Maildir": (lambda box: ["-q", "--maildir", str(box)], lambda box: len(os.listdir(box / "new"))),
}


def rate(work: str, workers: int, seconds: float) -> float:
    """Return messages per second. Raises AssertionError when the store has not what was accepted."""
    options, count = WORK[work]
    with tempfile.TemporaryDirectory() as folder:
        box = Path(folder, "box")
        words = ["-l", "127.0.0.1:0", "--port-file", "/dev/stderr", "--workers", str(workers), *options(box)]
        with subprocess.Popen(
            [sys.executable, "-m", "pysmtpd", "serve", *words], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        ) as server:
            assert server.stderr is not None
            port = int(server.stderr.readline())
            tally = Load(port, lock_step(SESSIONS, body_of(1024)), patience=LIMIT).run(seconds, seconds + LIMIT)
            server.terminate()
        assert count is None or count(box) == tally.delivered, f"{tally.delivered} accepted, {count(box)} stored"
    return tally.counted / tally.seconds


def numbers(text: str) -> list[int]:
    """Read the option --workers."""
    return [int(word) for word in text.split(",")]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=numbers, default=[1, 2])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3.0)
    options = parser.parse_args()
    generator.SPIN = 0.1  # its processor is the server's as well
    print(f"messages per second, {SESSIONS} sessions in lock-step, 1 kB each, {os.cpu_count()} processors")
    for work in WORK:
        samples: dict[int, list[float]] = {workers: [] for workers in options.workers}
        for _ in range(options.rounds):
            for workers in options.workers:
                samples[workers].append(rate(work, workers, options.seconds))
        medians = {workers: statistics.median(values) for workers, values in samples.items()}
        base = medians[options.workers[0]]
        figures = ", ".join(f"{workers}: {value:,.0f} ({value / base:.2f})" for workers, value in medians.items())
        print(f"{work:<20} workers {figures}", flush=True)


if __name__ == "__main__":
    main()
