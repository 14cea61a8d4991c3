"""The figures: each a name, a unit, and how one sample of it is taken from one target."""

import socket
import time
from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.generator import (
    LAST_LINE,
    Load,
    LoadError,
    Tally,
    Work,
    body_of,
    connection_each,
    lock_step,
    pipelined,
)
from benchmarks.targets import Server, Target, TargetError, serving, start_and_leave

KILOBYTE = body_of(1_000)
BULK_SIZE = 10_000_000
BULK = body_of(BULK_SIZE)
WARM_UP = 0.1  # seconds of lock-step before the clock starts
TRACE_LINES = 10  # header lines a server may put above the body it hands to its callback
LIMIT = 60.0  # seconds that one sample may take beyond its duration


@dataclass(frozen=True)
class Sample:
    """One measurement."""

    value: float
    cpu: float | None = None  # server CPU seconds per message
    busy: float | None = None  # share of the time that the generator had work to do


@dataclass(frozen=True)
class Figure:
    """One row of work. `measure` takes a target and the seconds to spend."""

    key: str
    title: str
    unit: str
    measure: Callable[[Target, float], Sample]
    lower_is_better: bool = False

    def applies_to(self, target: Target) -> bool:
        """Not every target has a start-up program of its own."""
        return self.key != "startup" or bool(target.startup)


def check_delivery(server: Server, expected: int, body: bytes) -> None:
    """Every 250 stands for a message that reached the callback, the last one whole and with one recipient."""
    answer = server.delivered()
    if int(answer[0]) != expected:
        raise TargetError(f"{expected} messages were accepted, {answer[0]} delivered")
    if server.target.owner == "canned":
        return
    lines, recipients, last = int(answer[1]), int(answer[2]), answer[3].strip("{}")
    sent = body.count(b"\n") - 1
    if not sent <= lines <= sent + TRACE_LINES or recipients != 1 or last != LAST_LINE:
        raise TargetError(f"sent {sent} lines, the callback saw {lines} for {recipients} recipients, ending {last!r}")


def load(server: Server, work: Work, body: bytes, seconds: float) -> tuple[Tally, float]:
    """Warm the server up, run the work, check that it was done; returns the tally and the CPU per message."""
    quick = server.target.quick_acks
    warm = Load(server.port, lock_step(1, KILOBYTE)).run(WARM_UP, LIMIT)
    before = server.cpu()
    tally = Load(server.port, work, quick=quick, patience=LIMIT).run(seconds, seconds + LIMIT)
    used = server.cpu() - before
    check_delivery(server, warm.delivered + tally.delivered, body)
    return tally, used / tally.delivered


def measure_load(work: Work, body: bytes, scale: float = 1.0) -> Callable[[Target, float], Sample]:
    """Messages per second, or `scale` of them."""

    def measure(target: Target, seconds: float) -> Sample:
        with serving(target) as server:
            tally, cpu = load(server, work, body, seconds)
        return Sample(scale * tally.counted / tally.seconds, cpu, tally.busy)

    return measure


def measure_startup(target: Target, _seconds: float) -> Sample:
    """Milliseconds of a program that loads the package, listens and leaves."""
    return Sample(1000 * start_and_leave(target))


def measure_greeting(target: Target, _seconds: float) -> Sample:
    """Milliseconds from spawning the server until a client has its greeting: no lazy start can hide here."""
    began = time.perf_counter()
    with serving(target) as server, socket.create_connection(("127.0.0.1", server.port), timeout=10) as client:
        if not client.recv(100).startswith(b"220"):
            raise LoadError("no greeting")
        return Sample(1000 * (time.perf_counter() - began))


FIGURES = (
    Figure("lockstep1", "1 session, lock-step", "msg/s", measure_load(lock_step(1, KILOBYTE), KILOBYTE)),
    Figure("lockstep20", "20 sessions, lock-step", "msg/s", measure_load(lock_step(20, KILOBYTE), KILOBYTE)),
    Figure("pipelined20", "20 sessions, pipelined", "msg/s", measure_load(pipelined(20, KILOBYTE), KILOBYTE)),
    Figure("connections", "a connection each, 4 slots", "msg/s", measure_load(connection_each(4, KILOBYTE), KILOBYTE)),
    Figure("bulk", "10 MB bodies", "MB/s", measure_load(lock_step(1, BULK), BULK, BULK_SIZE / 1e6)),
    Figure("startup", "require, start, exit", "ms", measure_startup, lower_is_better=True),
    Figure("greeting", "spawn to greeting", "ms", measure_greeting, lower_is_better=True),
)
