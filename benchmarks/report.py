"""The report: medians, ratios to a baseline taken round by round, and goals, as Markdown tables."""

import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import median

from benchmarks.figures import Figure, Sample
from benchmarks.serving import GENERATOR_CORE, SERVER_CORE, Target

Cell = Callable[[Target, Figure], str]


@dataclass
class Results:
    """Samples by target and figure, one per round; None where a round failed, with the last reason."""

    targets: Sequence[Target]
    figures: Sequence[Figure]
    samples: dict[tuple[str, str], list[Sample | None]] = field(default_factory=dict)
    failures: dict[tuple[str, str], str] = field(default_factory=dict)

    def add(self, target: Target, figure: Figure, sample: Sample | None) -> None:
        self.samples.setdefault((target.name, figure.key), []).append(sample)

    def fail(self, target: Target, figure: Figure, reason: str) -> None:
        self.failures[target.name, figure.key] = reason
        self.add(target, figure, None)

    def of(self, target: Target, figure: Figure) -> list[Sample | None]:
        return self.samples.get((target.name, figure.key), [])

    def median(self, target: Target, figure: Figure, part: str = "value") -> float | None:
        values = [getattr(sample, part) for sample in self.of(target, figure) if sample is not None]
        known = [value for value in values if value is not None]
        return median(known) if known else None

    def ratio(self, target: Target, figure: Figure, baseline: Target) -> float | None:
        """The median of each round's own ratio: what slows the machine for a while slows both of a pair."""
        pairs = zip(self.of(target, figure), self.of(baseline, figure), strict=False)
        ratios = [ours.value / theirs.value for ours, theirs in pairs if ours is not None and theirs is not None]
        return median(ratios) if ratios else None


def number(value: float) -> str:
    """Three significant digits, never in exponents."""
    if value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def table(results: Results, title: str, cell: Cell, figures: Sequence[Figure], *, units: bool = False) -> str:
    """One Markdown table: a line per target, a column per figure."""
    heads = [f"{figure.title}, {figure.unit}" if units else figure.title for figure in figures]
    lines = [f"### {title}", "", f"| | {' | '.join(heads)} |", f"| --- |{' ---: |' * len(figures)}"]
    for target in results.targets:
        cells = [cell(target, figure) for figure in figures]
        lines.append(f"| {target.name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def plain(results: Results, part: str, scale: float = 1.0) -> Cell:
    def cell(target: Target, figure: Figure) -> str:
        value = results.median(target, figure, part)
        if value is not None:
            return number(scale * value)
        return "failed" if (target.name, figure.key) in results.failures else "-"

    return cell


def against(results: Results, baseline: Target) -> Cell:
    def cell(target: Target, figure: Figure) -> str:
        ratio = results.ratio(target, figure, baseline)
        if ratio is None:
            return "-"
        wanted = target.at_least.get(baseline.name, {}).get(figure.key)
        return number(ratio) + ("" if wanted is None else verdict(ratio >= wanted, f"{wanted:g}"))

    return cell


def values(results: Results) -> Cell:
    """The figures themselves, with the goals that are in their own units."""
    plainly = plain(results, "value")

    def cell(target: Target, figure: Figure) -> str:
        wanted = target.at_most.get(figure.key)
        value = results.median(target, figure)
        met = "" if wanted is None or value is None else verdict(value <= wanted, f"{wanted:g}")
        return plainly(target, figure) + met

    return cell


def verdict(met: bool, goal: str) -> str:
    return f" ({'meets' if met else '**misses**'} {goal})"


def reach(results: Results) -> str:
    """How far the generator was from being the limit: what it reached against canned replies beside the fastest server."""
    canned = next((target for target in results.targets if target.owner == "canned"), None)
    lines = []
    for figure in results.figures:
        best = max((results.median(t, figure) or 0, t.name) for t in results.targets if t is not canned)
        limit = results.median(canned, figure) if canned is not None else None
        if figure.is_load and limit and best[0]:
            lines.append(f"{figure.title}: {number(limit / best[0])} times {best[1]}")
    if not lines:
        return ""
    return "The generator is not the limit: against canned replies it reached, of the fastest server, " + "; ".join(lines) + "."


def failures(results: Results) -> str:
    """Why the failed ones failed, each reason once per target."""
    reasons: dict[tuple[str, str], list[str]] = {}
    for (name, key), reason in results.failures.items():
        reasons.setdefault((name, reason), []).append(key)
    return "\n".join(f"- {name}, {', '.join(keys)}: {reason}" for (name, reason), keys in reasons.items())


def header(rounds: int, seconds: float, load: float) -> str:
    cores = f"server on core {SERVER_CORE}, generator on core {GENERATOR_CORE}"
    machine = f"{platform.python_implementation()} {platform.python_version()}, {platform.system()} {platform.release()}"
    return "\n".join(
        [
            "## Benchmark",
            "",
            f"{rounds} interleaved rounds of {seconds:g} s per figure, medians; {cores}, loopback; messages of 1 KB unless said;",
            "10,000 idle connections, 900 where Tcl waits for them with select().",
            f"{machine}, {platform.machine()}. Only ratios hold from machine to machine.",
            f"Load average before the run {load:.2f}{': the machine was not quiet' if load > 0.5 else ''}.",
        ]
    )


def legend(targets: Sequence[Target]) -> str:
    return "\n".join(f"- **{target.name}**: {target.note}" for target in targets if target.note)


def markdown(results: Results, rounds: int, seconds: float, load: float) -> str:
    """The whole report: loads by server, then what is measured once, ratios, CPU, memory."""
    loads = [figure for figure in results.figures if figure.is_load]
    others = [figure for figure in results.figures if not figure.is_load]
    parts = [header(rounds, seconds, load), legend(results.targets)]
    for title, figures in (("Loads", loads), ("Connections, starts, and how cost grows", others)):
        if figures:
            parts.append(table(results, title, values(results), figures, units=True))
    for baseline in results.targets:
        if baseline.is_baseline:
            goals = {figure for target in results.targets for figure in target.at_least.get(baseline.name, {})}
            compared = [figure for figure in results.figures if figure.is_load or figure.key in goals]
            if compared:
                parts.append(table(results, f"As multiples of {baseline.name}", against(results, baseline), compared))
    if loads:
        parts.append(table(results, "Server CPU, microseconds per message", plain(results, "cpu", 1e6), loads))
        parts.append(table(results, "Peak memory, MB", plain(results, "memory", 1e-6), loads))
        parts.append(table(results, "Generator at work, percent of the time", plain(results, "busy", 100), loads))
        parts.append(reach(results))
    if results.failures:
        parts.append("### Not measured\n\n" + failures(results))
    return "\n\n".join(part for part in parts if part) + "\n"
