"""The report: medians, ratios to a baseline taken round by round, and goals, as Markdown tables."""

import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import median

from benchmarks.figures import Figure, Sample
from benchmarks.targets import GENERATOR_CORE, SERVER_CORE, STOCK, Target

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


def against(results: Results, baseline: Target, *, goals: bool) -> Cell:
    def cell(target: Target, figure: Figure) -> str:
        ratio = results.ratio(target, figure, baseline)
        if ratio is None:
            return "-"
        return number(ratio) + (goal(results, target, figure, ratio) if goals else "")

    return cell


def goal(results: Results, target: Target, figure: Figure, ratio: float) -> str:
    """The goal behind a ratio, and whether it is met."""
    if figure.key in target.at_least:
        wanted = target.at_least[figure.key]
        return f" ({'meets' if ratio >= wanted else '**misses**'} {wanted:g})"
    if figure.key in target.at_most:
        limit = target.at_most[figure.key]
        value = results.median(target, figure)
        met = value is not None and value <= limit
        return f" ({'meets' if met else '**misses**'} {limit:g} {figure.unit})"
    return ""


def failures(results: Results) -> str:
    """Why the failed ones failed, each reason once per target."""
    reasons: dict[tuple[str, str], list[str]] = {}
    for (name, key), reason in results.failures.items():
        reasons.setdefault((name, reason), []).append(key)
    return "\n".join(f"- {name}, {', '.join(keys)}: {reason}" for (name, reason), keys in reasons.items())


def header(rounds: int, seconds: float, load: float) -> str:
    cores = f"server on core {SERVER_CORE}, generator on core {GENERATOR_CORE}"
    return (
        f"## Benchmark\n\n{rounds} interleaved rounds of {seconds:g} s per figure, medians; {cores}, loopback; messages of"
        f" 1 KB unless said.\n{platform.python_implementation()} {platform.python_version()},"
        f" {platform.system()} {platform.release()}, {platform.machine()}. Only ratios hold from machine to machine.\n"
        f"Load average before the run {load:.2f}{': the machine was not quiet' if load > 0.5 else ''}."
    )


def legend(targets: Sequence[Target]) -> str:
    return "\n".join(f"- **{target.name}**: {target.note}" for target in targets if target.note)


def markdown(results: Results, rounds: int, seconds: float, load: float) -> str:
    """The whole report. Goals are multiples of the stock package as an ordinary client meets it."""
    loads = [figure for figure in results.figures if not figure.lower_is_better]
    parts = [header(rounds, seconds, load), legend(results.targets)]
    parts.append(table(results, "Figures", plain(results, "value"), results.figures, units=True))
    for baseline in results.targets:
        if baseline.is_baseline:
            cell = against(results, baseline, goals=baseline is STOCK)
            parts.append(table(results, f"As multiples of {baseline.name}", cell, results.figures))
    if loads:
        parts.append(table(results, "Server CPU, microseconds per message", plain(results, "cpu", 1e6), loads))
        parts.append(table(results, "Generator at work, percent of the time", plain(results, "busy", 100), loads))
    if results.failures:
        parts.append("### Failed\n\n" + failures(results))
    return "\n\n".join(parts) + "\n"
