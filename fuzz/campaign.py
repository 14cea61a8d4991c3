"""A campaign: processes that fuzz side by side, in laps, with one corpus in a folder that a later campaign goes on with.

A lap is a process of its own (lap.py). It begins with the corpus that all have made so far, whose inputs count as any other,
and takes over what the others add meanwhile. After a lap the inputs that are new in the corpus, because they have reached
something new, are played in every way.
"""

import re
import subprocess
import sys
import time
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from pathlib import Path
from threading import Lock

from fuzz import target
from fuzz.counts import counts_in
from fuzz.mutation import WORDS
from fuzz.seeds import FOUND, LONGEST, seeds

LAP = 250_000  # inputs, some two minutes of them
#: An input costs by the octet. In one lap of eight they may be as long as the longest seed, else no longer than this.
USUAL = 320
MINUTE = 60.0


class Campaign:
    """Arguments: the folder; how many inputs, those of a campaign that was cut off included; the seed; how many processes."""

    def __init__(self, folder: Path, inputs: int, seed: int, processes: int) -> None:
        self._folder = folder
        self._inputs = inputs
        self._seed = seed
        self._processes = processes
        self._corpus = folder / "corpus"
        self._prepare()
        self._counts = counts_in(folder)
        self._begun = self._claimed = sum(self._counts)
        self._laps = self._begun // LAP  # their seeds have been used
        self._lock = Lock()
        self._running: dict[int, subprocess.Popen[bytes]] = {}
        self._played: set[str] = set()
        self._stopped = False
        self._branches = 0

    def _prepare(self) -> None:
        FOUND.mkdir(exist_ok=True)
        self._folder.mkdir(parents=True, exist_ok=True)
        escaped = ["".join(f"\\x{octet:02x}" for octet in word) for word in WORDS if 1 < len(word) <= 60]
        (self._folder / "words").write_text("".join(f'"{word}"\n' for word in escaped))
        if not self._corpus.exists():
            self._corpus.mkdir()
            for number, data in enumerate(seeds()):
                (self._corpus / f"seed{number}").write_bytes(data)

    def run(self) -> None:
        """Play all the inputs; say each minute how many there were. Raises what ends a lap before its time."""
        started = time.monotonic()
        with ThreadPoolExecutor(self._processes) as pool:
            turns = {pool.submit(self._take_turns, place) for place in range(self._processes)}
            try:
                while turns:
                    done, turns = wait(turns, MINUTE, FIRST_EXCEPTION)
                    print(self._progress(time.monotonic() - started), flush=True)
                    for turn in done:
                        turn.result()
            finally:
                self._stop()
        (self._folder / "counts").unlink()  # the next campaign counts anew

    def _stop(self) -> None:
        with self._lock:
            self._stopped = True
            for process in self._running.values():
                process.terminate()

    def _progress(self, seconds: float) -> str:
        count = sum(self._counts)
        rate = (count - self._begun) / seconds
        parts = [
            f"{time.strftime('%H:%M')} {count:,} of {self._inputs:,} inputs, {rate:,.0f} a second",
            f"{self._branches} branches, {len(list(self._corpus.iterdir())):,} in the corpus",
        ]
        return "; ".join(parts)

    def _take_turns(self, place: int) -> None:
        while runs := self._claim():
            self._lap(place, runs)
            self._play_new_ones()

    def _claim(self) -> int:
        """Return how many inputs to play in the next lap; 0 for none."""
        with self._lock:
            if self._stopped:
                return 0
            runs = min(LAP, -(-self._inputs // self._processes), max(self._inputs - self._claimed, 0))
            self._claimed += runs
            return runs

    def _lap(self, place: int, runs: int) -> None:
        log = self._folder / f"lap{place}.log"
        with self._lock, log.open("wb") as out:
            longest = LONGEST if self._laps % 8 == 0 else USUAL
            words = [self._folder, place, self._seed + self._laps, runs, longest]
            command = [sys.executable, "-m", "fuzz.lap", *map(str, words)]
            process = subprocess.Popen(command, cwd=FOUND.parents[1], stdout=out, stderr=out)
            self._running[place] = process
            self._laps += 1
        status = process.wait()
        said = log.read_text(errors="replace")
        reached = re.findall(r" cov: (\d+)", said)
        if self._stopped:
            return
        if status or not reached:
            raise RuntimeError(f"a lap ended with status {status}:\n{said[-4000:]}")
        self._branches = max(self._branches, int(reached[-1]))

    def _play_new_ones(self) -> None:
        for file in self._corpus.iterdir():
            with self._lock:
                if file.name in self._played:
                    continue
                self._played.add(file.name)
            try:
                data = file.read_bytes()
            except FileNotFoundError:  # another lap has found a shorter one to the same effect
                continue
            try:
                target.run(data, in_every_way=True)
            except BaseException:
                (FOUND / f"new-{file.name}").write_bytes(data)
                raise
