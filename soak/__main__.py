"""The command: `python -m soak [--seconds N] [--drivers A,B]`: an hour by default.

Clients of all sorts visit each driver; servers are killed and started again, children are killed, in the first half. In the
second half everything must be flat. At the end every message that was answered with 250 is in the store, once.
"""

import argparse
import random
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from soak.clients import Books, Surge, Visitor
from soak.servers import KINDS, Lines, Maildir, PythonServer, TclServer, descriptors, kill_child, memory

VISITORS = 4
GROWTH = 64 << 20  # octets of memory that a server may gain in the second half: large messages leave holes; leaked ones are more
PATIENCE = 15.0  # seconds until everything has returned


class Trial:
    """One driver's endurance."""

    def __init__(self, driver: str, folder: Path, seed: int) -> None:
        self.driver = driver
        self.folder = folder
        self.books = Books()
        self.faults: list[str] = []
        self._choose = random.Random(seed)  # noqa: S311 # repeatable on purpose
        self._stopping = threading.Event()
        self._surge = Surge(VISITORS)
        self._visitors = [
            Visitor(lambda: self.server.address, self.books, seed * 100 + number, self._surge) for number in range(VISITORS)
        ]
        self._stored: list[str] = []
        self._kind, store = KINDS[driver]
        self.server: TclServer | PythonServer
        self.start()
        self._store: Lines | Maildir = store(folder)

    def start(self) -> None:
        self.server = self._kind(self.driver, self.folder)
        self.server.live()  # it is in its event loop, and has what it needs for that
        self.descriptors = descriptors(self.server.pid)

    def run(self, seconds: float) -> list[str]:
        """Go through it all; return what is wrong in the end."""
        threads = [threading.Thread(target=visitor.run, args=(self._stopping,)) for visitor in self._visitors]
        for thread in threads:
            thread.start()
        pause = min(max(seconds / 60, 1.0), 30.0)
        for _ in self._pauses(pause, seconds / 2):
            self.fault()
        self.before = self.level()
        for _ in self._pauses(pause, seconds / 2):
            pass
        self.after = self.level()
        self._stopping.set()
        for thread in threads:
            thread.join()
        wrong = self.left()
        return [*wrong, *self.books.errors(self._stored + self._store.collect())]

    def _pauses(self, pause: float, seconds: float) -> Iterator[None]:
        """For so many seconds, or until it is to stop: after each pause collect what has been stored."""
        end = time.monotonic() + seconds
        while not self._stopping.wait(min(pause, max(end - time.monotonic(), 0.0))) and time.monotonic() < end:
            self._stored += self._store.collect()
            yield

    def fault(self) -> None:
        """Kill the child, or else the server: whoever was accepted before that is in the store."""
        if self._choose.randrange(2) and kill_child(self.server.pid):
            self.faults.append("child killed")
        else:
            self.server.kill()
            self.start()
            self.faults.append("server killed")

    def level(self) -> int:
        """The most that the server holds in memory after a surge, of two."""
        held = 0
        try:
            for _ in range(2):
                with self._surge():
                    held = max(held, memory(self.server.pid))
            return held
        except threading.BrokenBarrierError:  # a client failed, and says why
            return 0

    def left(self) -> list[str]:
        """What has not returned to what it was, and what went wrong on the way."""
        wrong = [f"a client: {visitor.failure!r}" for visitor in self._visitors if visitor.failure is not None]
        deadline = time.monotonic() + PATIENCE
        while (live := self.server.live()) or descriptors(self.server.pid) > self.descriptors:
            if time.monotonic() > deadline:
                wrong.append(f"{live} sessions, {descriptors(self.server.pid)} descriptors left, of {self.descriptors} at first")
                break
            time.sleep(0.01)
        if self.after - self.before > GROWTH:
            wrong.append(f"memory grew from {self.before >> 20} to {self.after >> 20} MiB")
        if code := self.server.end():
            wrong.append(f"exit code {code}")
        if complaints := self.server.complaints():
            wrong.append(f"on stderr: {complaints[-500:]}")
        return wrong

    def summary(self) -> str:
        books = self.books
        faults = ", ".join(f"{self.faults.count(fault)} times {fault}" for fault in sorted(set(self.faults)))
        return (
            f"{self.driver}: {sum(books.visits.values())} visits; {len(books.accepted)} messages accepted,"
            f" {len(books.refused)} refused, {len(books.unknown)} cut off; {faults or 'no faults'};"
            f" {self.before >> 20} MiB, then {self.after >> 20} MiB"
        )


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m soak", description="Endurance of every driver.")
    parser.add_argument("--seconds", type=float, default=3600.0, help="how long (default: an hour)")
    parser.add_argument("--drivers", default=",".join(KINDS), help=f"which, of {', '.join(KINDS)}")
    parser.add_argument("--seed", type=int, default=1, help="of the random choices (default 1)")
    options = parser.parse_args()
    outcomes: dict[str, list[str]] = {}
    with tempfile.TemporaryDirectory() as folder:
        trials = []
        for driver in options.drivers.split(","):
            place = Path(folder, driver)
            place.mkdir()
            trials.append(Trial(driver, place, options.seed))

        def go(trial: Trial) -> None:
            try:
                outcomes[trial.driver] = trial.run(options.seconds)
            except BaseException as error:
                outcomes[trial.driver] = [repr(error)]

        threads = [threading.Thread(target=go, args=(trial,)) for trial in trials]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for trial in trials:
            wrong = outcomes[trial.driver]
            print(trial.summary() if hasattr(trial, "after") else f"{trial.driver}: broken off")
            print("\n".join(f"  {line}" for line in wrong[:20]) or "  nothing lost, nothing doubled, nothing left")
    return int(any(outcomes.values()))


if __name__ == "__main__":
    sys.exit(main())
