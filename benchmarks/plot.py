"""The plot: each load as a group of bars, ratios to a baseline on a logarithmic scale, as SVG."""

from html import escape
from math import floor, log10

from benchmarks.report import Results, number
from benchmarks.serving import Target

OURS = ("tclsh", "tkinter", "Server", "aio.Server", "serve")
LEFT, WIDTH, RIGHT, BAR, GAP = 150, 520, 60, 14, 34


def plot(results: Results, baseline: Target) -> str:
    """The drawing; nothing where the baseline was not measured."""
    groups = []
    for figure in results.figures:
        if figure.is_load:
            ratios = [(target.name, results.ratio(target, figure, baseline)) for target in results.targets]
            groups.append((figure.title, [(name, ratio) for name, ratio in ratios if ratio]))
    known = [ratio for _, bars in groups for _, ratio in bars]
    if not known:
        return ""
    low, high = floor(log10(min(known))), log10(max(known))

    def x(ratio: float) -> float:
        return LEFT + WIDTH * (log10(ratio) - low) / max(high - low, 1)

    y = 10
    parts = []
    for title, bars in groups:
        y += GAP
        parts.append(f'<text x="8" y="{y - 8}" font-weight="bold">{escape(title)}</text>')
        for name, ratio in bars:
            fill = "#b33" if name in OURS else "#bbb" if name == "canned" else "#57a"
            parts.append(f'<text x="{LEFT - 6}" y="{y + 11}" text-anchor="end">{escape(name)}</text>')
            parts.append(f'<rect x="{LEFT}" y="{y}" width="{x(ratio) - LEFT:.1f}" height="{BAR - 2}" fill="{fill}"/>')
            parts.append(f'<text x="{x(ratio) + 4:.1f}" y="{y + 11}">{number(ratio)}</text>')
            y += BAR
    line = f'<line x1="{x(1):.1f}" x2="{x(1):.1f}" y1="30" y2="{y}" stroke="#000" stroke-dasharray="3"/>'
    caption = f'<text x="8" y="16">Multiples of {escape(baseline.name)}, logarithmic; ours in red</text>'
    size = f'width="{LEFT + WIDTH + RIGHT}" height="{y + 10}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" font-size="11">'
    return "\n".join([head, '<rect width="100%" height="100%" fill="#fff"/>', caption, *parts, line, "</svg>", ""])
