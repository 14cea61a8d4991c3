"""The figures: each a name, a unit, and how one sample of it is taken from one target."""

import socket
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from statistics import median

from benchmarks.connections import handshakes, hold, time_to_greeting
from benchmarks.generator import (
    LAST_LINE,
    Load,
    LoadError,
    Tally,
    Work,
    body_of,
    connection_each,
    lock_step,
    many_recipients,
    pipelined,
)
from benchmarks.serving import Server, Target, TargetError, run_and_leave, serving
from benchmarks.targets import PEERS

KILOBYTE = body_of(1_000)
MEGABYTE = body_of(1_000_000)
BULK = body_of(10_000_000)
HUGE = body_of(20_000_000)
WARM_UP = 0.1  # seconds of lock-step before the clock starts
LIMIT = 60.0  # seconds that one sample may take beyond its duration


@dataclass(frozen=True)
class Sample:
    """One measurement."""

    value: float
    cpu: float | None = None  # server CPU seconds per message
    busy: float | None = None  # share of the time that the generator had work to do
    memory: float | None = None  # octets the server and its children had at most


@dataclass(frozen=True)
class Figure:
    """One row of work. `measure` takes a target and the seconds to spend."""

    key: str
    title: str
    unit: str
    measure: Callable[[Target, float], Sample]
    lower_is_better: bool = False
    asks_for: str = ""  # an attribute a target must have
    is_load: bool = False  # messages are sent for a while: there are CPU, memory and the generator's share

    def applies_to(self, target: Target) -> bool:
        """Quick acknowledgements change nothing but loads; and not every target has a start-up program, say."""
        return (self.is_load or not target.quick_acks) and bool(not self.asks_for or getattr(target, self.asks_for))


def check_delivery(server: Server, expected: int, body: bytes, recipients: int) -> None:
    """Every 250 stands for a message that reached the callback, the last one whole and with all its recipients."""
    if server.target.is_silent:
        return
    answer = server.delivered()
    if int(answer[0]) != expected:
        raise TargetError(f"{expected} messages were accepted, {answer[0]} delivered")
    if server.target.owner == "canned":
        return
    lines, seen, last = int(answer[1]), int(answer[2]), answer[3].strip("{}")
    sent = body.count(b"\n") - 1
    if lines < sent or seen != recipients or last != LAST_LINE:
        raise TargetError(f"sent {sent} lines, the callback saw {lines} for {seen} recipients, ending {last!r}")


def load(server: Server, work: Work, body: bytes, seconds: float, recipients: int = 1, warm_up: float = 0.0) -> Tally:
    """Warm the server up, with `warm_up` seconds of the work itself, too; run the work, check that it was done."""
    quick = server.target.quick_acks
    warm = Load(server.port, lock_step(1, KILOBYTE)).run(WARM_UP, LIMIT).delivered
    if warm_up:
        warm += Load(server.port, work, patience=LIMIT).run(warm_up, LIMIT).delivered
    tally = Load(server.port, work, quick=quick, patience=LIMIT, meter=server.cpu).run(seconds, seconds + LIMIT)
    check_delivery(server, warm + tally.delivered, body, recipients)
    return tally


def measure_load(work: Work, body: bytes, scale: float = 1.0, recipients: int = 1) -> Callable[[Target, float], Sample]:
    """Messages per second, or `scale` of them."""

    def measure(target: Target, seconds: float) -> Sample:
        with serving(target) as server:
            tally = load(server, work, body, seconds, recipients)
            memory = server.memory("VmHWM")
        return Sample(scale * tally.counted / tally.seconds, tally.metered / tally.counted, tally.busy, memory)

    return measure


def load_figure(key: str, title: str, work: Work, body: bytes = KILOBYTE, *, megabytes: float = 0, recipients: int = 1) -> Figure:
    unit, scale = ("MB/s", megabytes) if megabytes else ("msg/s", 1.0)
    return Figure(key, title, unit, measure_load(work, body, scale, recipients), is_load=True)


@dataclass(frozen=True)
class Part:
    """A work whose cost is compared with that of a larger one: how much it is, in units of what grows."""

    work: Work
    body: bytes
    units: float
    recipients: int = 1


def growth(small: Part, large: Part) -> Callable[[Target, float], Sample]:
    """How many times more server CPU one unit costs where there are many: 1 when the cost is linear.

    The first messages, which are kept, take fresh memory, at a page fault for each 4 kB: they do not count.
    """

    def measure(target: Target, seconds: float) -> Sample:
        costs = []
        for part in (small, large):
            with serving(target) as server:
                tally = load(server, part.work, part.body, seconds, part.recipients, warm_up=seconds / 2)
            costs.append(tally.metered / tally.counted / part.units)
        return Sample(costs[1] / costs[0])

    return measure


def recipients_part(count: int) -> Part:
    return Part(many_recipients(count, KILOBYTE), KILOBYTE, count, count)


def sessions_part(count: int) -> Part:
    return Part(lock_step(count, KILOBYTE), KILOBYTE, 1)


def measure_idle(target: Target, _seconds: float) -> Sample:
    """Octets of memory per connection that has had its greeting and says nothing."""
    with serving(target) as server:
        before = server.memory()
        with hold(server.port, target.connections):
            return Sample((server.memory() - before) / target.connections)


def measure_idle_greeting(target: Target, _seconds: float) -> Sample:
    """Milliseconds until one more client has its greeting meanwhile."""
    with serving(target) as server, hold(server.port, target.connections):
        return Sample(1000 * median(time_to_greeting(server.port) for _ in range(9)))


def measure_handshakes(target: Target, seconds: float) -> Sample:
    """Sessions with STARTTLS per second of the server's CPU: the client's share of a handshake is as large."""
    with serving(target, BENCHMARK_TLS=str(PEERS)) as server:
        handshakes(server.port, WARM_UP)
        before = server.cpu()
        done = handshakes(server.port, seconds)
        return Sample(done / (server.cpu() - before))


def measure_import(target: Target, _seconds: float) -> Sample:
    """Milliseconds that the import takes beyond what the same Python needs to start."""
    assert target.imports is not None
    python, module = target.imports
    differences = [
        run_and_leave(target, [python, "-c", f"import {module}"]) - run_and_leave(target, [python, "-c", "pass"])
        for _ in range(7)
    ]
    return Sample(1000 * median(differences))


def measure_startup(target: Target, _seconds: float) -> Sample:
    """Milliseconds of a program that loads the package, listens and leaves."""
    return Sample(1000 * run_and_leave(target, target.startup))


def measure_greeting(target: Target, _seconds: float) -> Sample:
    """Milliseconds from spawning the server until a client has its greeting: no lazy start can hide here."""
    began = time.perf_counter()
    with serving(target) as server, closing(socket.create_connection(("127.0.0.1", server.port), timeout=10)) as client:
        if not client.recv(100).startswith(b"220"):
            raise LoadError("no greeting")
        return Sample(1000 * (time.perf_counter() - began))


FIGURES = (
    load_figure("lockstep1", "1 session, lock-step", lock_step(1, KILOBYTE)),
    load_figure("lockstep20", "20 sessions, lock-step", lock_step(20, KILOBYTE)),
    load_figure("pipelined20", "20 sessions, pipelined", pipelined(20, KILOBYTE)),
    load_figure("connections", "a connection each, 4 slots", connection_each(4, KILOBYTE)),
    load_figure("megabyte", "1 MB bodies", lock_step(1, MEGABYTE), MEGABYTE, megabytes=1),
    load_figure("bulk", "10 MB bodies", lock_step(1, BULK), BULK, megabytes=10),
    load_figure("recipients100", "100 recipients, pipelined", many_recipients(100, KILOBYTE), recipients=100),
    Figure("idle", "idle connections", "octets each", measure_idle, lower_is_better=True),
    Figure("idle_greeting", "greeting of one more", "ms", measure_idle_greeting, lower_is_better=True),
    Figure("handshakes", "STARTTLS sessions", "per CPU second", measure_handshakes, asks_for="has_tls"),
    Figure(
        "import",
        "import, beyond bare Python",
        "ms",
        measure_import,
        lower_is_better=True,
        asks_for="imports",
    ),
    Figure(
        "startup",
        "require, start, exit",
        "ms",
        measure_startup,
        lower_is_better=True,
        asks_for="startup",
    ),
    Figure("greeting", "spawn to greeting", "ms", measure_greeting, lower_is_better=True),
    Figure(
        "size",
        "an octet of 20 MB to one of 1 MB",
        "times the CPU",
        growth(Part(lock_step(1, MEGABYTE), MEGABYTE, 1), Part(lock_step(1, HUGE), HUGE, 20)),
        lower_is_better=True,
    ),
    Figure(
        "recipients",
        "a recipient of 2,000 to one of 200",
        "times the CPU",
        growth(recipients_part(200), recipients_part(2_000)),
        lower_is_better=True,
    ),
    Figure(
        "sessions",
        "a message on 200 sessions to one on 20",
        "times the CPU",
        growth(sessions_part(20), sessions_part(200)),
        lower_is_better=True,
    ),
)
