"""More than one process behind one listening socket: the parent holds them together, each worker serves.

The socket is opened once, by the parent, and handed on by ``fork``: a port in use is known at once, port 0 is one port, and a
client that waits to be let in is not lost with a worker that dies. What processes share else stands here as well: whose turn it
is to print, and how many messages are still wanted.
"""

import mmap
import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Final, NoReturn

_NUMBER: Final = 8  # octets
CRASHED: Final = 70  #: the exit code of a worker that failed, and of all then: sysexits.h's EX_SOFTWARE


class Workers:
    """The worker processes of one server.

    A worker that is killed, or ends with exit code 0 of itself, is replaced. One that ends with another exit code ends them all.

    Arguments:
        work: what each does, given a descriptor that is at its end once the worker is to end; returns an exit code.
        say: what takes a line about a worker that was lost.

    To be made while the process has one thread: a fork takes no more along.
    """

    def __init__(self, work: Callable[[int], int], say: Callable[[str], None]) -> None:
        self._work = work
        self._say = say
        self._alive: set[int] = set()
        self._lifeline, self._held = os.pipe()  # the workers see its end, too, when the parent is killed
        self._code = 0
        self._ending = False

    def start(self, count: int) -> None:
        """Start ``count`` workers."""
        for _ in range(count):
            self._start_one()

    def wait(self) -> int:
        """Return when the last worker has ended: with 0, or the exit code that ended them all."""
        while self._alive:
            process, status = os.wait()
            if process in self._alive:
                self._alive.remove(process)
                self._lost(process, os.waitstatus_to_exitcode(status))
        self.stop()
        os.close(self._lifeline)
        return self._code

    def stop(self) -> None:
        """Have all workers end. May be called from a signal handler."""
        if not self._ending:
            self._ending = True
            os.close(self._held)

    def _lost(self, process: int, code: int) -> None:
        if code > 0 and self._code == 0:
            self._code = code
            self.stop()
        elif not self._ending:
            self._say(f"worker {process} {f'was ended by signal {-code}' if code else 'has ended'}: another one takes its place")
            self._start_one()

    def _start_one(self) -> None:
        process = os.fork()
        if process == 0:
            self._be_worker()
        self._alive.add(process)

    def _be_worker(self) -> NoReturn:
        """Work, and end the process without going back into what the parent was doing."""
        code = CRASHED
        try:
            if not self._ending:
                os.close(self._held)
            code = self._work(self._lifeline)
        except BaseException:
            import traceback

            traceback.print_exc()
        finally:
            os._exit(code)


class Turn(AbstractContextManager[None]):
    """A lock that processes share who were forked from the one that made it. The system frees it when its holder dies."""

    def __init__(self) -> None:
        from tempfile import mkstemp

        self._file, path = mkstemp(prefix="pysmtpd-")
        os.unlink(path)

    def __enter__(self) -> None:
        from fcntl import LOCK_EX, lockf

        lockf(self._file, LOCK_EX)

    def __exit__(self, *_: object) -> None:
        from fcntl import LOCK_UN, lockf

        lockf(self._file, LOCK_UN)


class Quota:
    """How many messages are still wanted, by all processes together.

    Arguments:
        limit: how many; None for any number.
        turn: the lock that keeps processes from counting at the same time.
    """

    def __init__(self, limit: int | None, turn: AbstractContextManager[None]) -> None:
        self._turn = turn
        self._left: mmap.mmap | None = None
        if limit is not None:
            self._left = mmap.mmap(-1, _NUMBER)  # memory that a fork shares
            self._change(self._left, limit)

    def take(self) -> bool:
        """Count one message; False when no more are wanted."""
        with self._turn:
            return self._left is None or self._change(self._left, -1)

    def give_back(self) -> None:
        """Count one message less: it was not accepted after all."""
        with self._turn:
            if self._left is not None:
                self._change(self._left, 1)

    @property
    def used_up(self) -> bool:
        """Whether no more are wanted."""
        with self._turn:
            return self._left is not None and not any(self._left[:_NUMBER])

    def _change(self, left: mmap.mmap, difference: int) -> bool:
        number = int.from_bytes(left[:_NUMBER], "little") + difference
        if number < 0:
            return False
        left[:_NUMBER] = number.to_bytes(_NUMBER, "little")
        return True
