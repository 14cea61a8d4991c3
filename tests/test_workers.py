"""Processes that share a socket, a lock and a count."""

import os
import signal
import sys
from contextlib import nullcontext

from pysmtpd.workers import Quota, Turn, Workers


def report(line):
    os.write(2, f"{line}\n".encode())


class Crew:
    """Workers in a process of their own, since they are forked, and what they write."""

    def __init__(self, work, count):
        self.output, write_end = os.pipe()
        self.process = os.fork()
        if self.process == 0:
            os.close(self.output)
            os.dup2(write_end, 1)
            os.dup2(write_end, 2)
            os.close(write_end)
            sys.stderr = os.fdopen(2, "w", buffering=1, closefd=False)
            workers = Workers(work, report)
            signal.signal(signal.SIGTERM, lambda *_: workers.stop())
            workers.start(count)
            os._exit(workers.wait())
        os.close(write_end)
        self._file = os.fdopen(self.output)

    def line(self):
        return self._file.readline().strip()

    def wait(self):
        rest = self._file.read()  # to the end: until no process has the other one open
        self._file.close()
        return os.waitstatus_to_exitcode(os.waitpid(self.process, 0)[1]), rest


def serve(lifeline):
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.write(1, b"%d\n" % os.getpid())
    return len(os.read(lifeline, 1))  # 0, at its end


def test_all_end_when_they_are_to():
    crew = Crew(serve, 3)
    assert len({crew.line() for _ in range(3)}) == 3
    os.kill(crew.process, signal.SIGTERM)
    assert crew.wait() == (0, "")


def test_all_end_when_their_parent_is_killed():
    crew = Crew(serve, 2)
    crew.line(), crew.line()
    os.kill(crew.process, signal.SIGKILL)
    assert crew.wait() == (-signal.SIGKILL, "")


def test_one_that_is_killed_is_replaced():
    crew = Crew(serve, 2)
    first, second = int(crew.line()), int(crew.line())
    os.kill(first, signal.SIGKILL)
    said = [crew.line(), crew.line()]
    assert f"worker {first} was ended by signal 9: another one takes its place" in said
    [new] = [int(line) for line in said if line.isdigit()]
    assert new not in (first, second)
    os.kill(crew.process, signal.SIGTERM)
    assert crew.wait() == (0, "")


def test_one_that_ends_of_itself_with_a_code_ends_all_with_it(tmp_path):
    def end_or_serve(lifeline):
        try:
            os.mkdir(tmp_path / "first")
        except FileExistsError:
            return serve(lifeline)
        return 42

    assert Crew(end_or_serve, 2).wait()[0] == 42


def test_one_that_fails_says_why_and_ends_all():
    def fail(lifeline):
        raise ZeroDivisionError("oops")

    code, said = Crew(fail, 2).wait()
    assert code == 70
    assert "ZeroDivisionError: oops" in said


def test_processes_take_turns_and_count_together(tmp_path):
    turn = Turn()
    quota = Quota(500, turn)
    children = []
    for name in "abc":
        child = os.fork()
        if child == 0:
            with open(tmp_path / name, "w") as file:
                while quota.take():
                    file.write("x")
            os._exit(0)
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0, 0, 0]
    assert sum(len((tmp_path / name).read_text()) for name in "abc") == 500
    assert quota.used_up
    quota.give_back()
    assert not quota.used_up
    assert quota.take()
    assert not quota.take()


def test_a_turn_ends_with_the_process_that_has_it():
    turn = Turn()
    child = os.fork()
    if child == 0:
        turn.__enter__()
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    with turn:
        pass


def test_any_number_is_no_limit():
    quota = Quota(None, nullcontext())
    assert all(quota.take() for _ in range(10))
    assert not quota.used_up
