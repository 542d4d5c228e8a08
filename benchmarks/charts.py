"""A row of the table as a drawing: a bar for each peer, in SVG.

A drawing has a background of its own, light or dark as the reader's system is set, so that it can
be read on a page of either kind. What it shows stands in its description too.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from html import escape

from benchmarks.results import Results, Row
from benchmarks.tables import number, times

WIDTH, LEFT, RIGHT = 760, 160, 150  # pixels; names to the left of the bars, figures to the right
TOP, STEP, BAR, BOTTOM = 70, 32, 20, 40
#: Where the largest is more than so many times the least, the scale is logarithmic.
MANY = 20

_STYLE = """\
<style>
.paper { fill: #ffffff; stroke: #d0d5da }
text { fill: #1f2328; font: 15px system-ui, sans-serif }
.title { font-weight: 600; font-size: 17px }
.scale { fill: #57606a; font-size: 14px }
.line { stroke: #d0d5da }
.bar { fill: #8c96a0 }
.own { fill: #0a6ebd }
.floor { fill: #c3c9cf }
.name-own { font-weight: 600 }
@media (prefers-color-scheme: dark) {
.paper { fill: #1b1f24; stroke: #444c56 }
text { fill: #e6edf3 }
.scale { fill: #a3acb6 }
.line { stroke: #444c56 }
.bar { fill: #7d8792 }
.own { fill: #58a6ff }
.floor { fill: #565f69 }
}
</style>"""


def draw(results: Results, row: Row, peers: Sequence[str]) -> str:
    """The SVG of one row, or nothing if there is nothing to show."""
    figures = {peer: figure for peer in peers if (figure := row.figure(peer)) is not None}
    if not figures:
        return ""
    height = TOP + STEP * len(figures) + BOTTOM
    bottom = height - BOTTOM
    position, ticks, scale = _axis(list(figures.values()))
    name = f"chart-{row.name}"
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}"',
        f' height="{height}" role="img" aria-labelledby="{name}-title {name}-desc">',
        f'<title id="{name}-title">{escape(row.title)}</title>',
        f'<desc id="{name}-desc">{escape(_description(results, row, figures))}</desc>',
        _STYLE,
        f'<rect class="paper" x=".5" y=".5" width="{WIDTH - 1}" height="{height - 1}" rx="8"/>',
        _text(16, 28, row.title, "title"),
        _text(16, 50, f"{row.unit}, {_better(row)} is better; {scale}", "scale"),
    ]
    for tick in ticks:
        x = position(tick)
        out.append(f'<path class="line" d="M{x:.1f},{TOP - 6} V{bottom}"/>')
        out.append(
            _text(x, bottom + 20, f"{tick:,.0f}" if tick >= 1 else f"{tick:g}", "scale", "middle")
        )
    for index, (peer, figure) in enumerate(figures.items()):
        y, length = TOP + STEP * index, max(position(figure) - LEFT, 1)
        kind = "own" if peer.startswith("duplexer") else "floor" if peer == "floor" else "bar"
        out += [
            _text(LEFT - 10, y + BAR - 5, peer, f"name-{kind}", "end"),
            f'<rect class="{kind}" x="{LEFT}" y="{y}" width="{length:.1f}" height="{BAR}"/>',
            _text(LEFT + length + 8, y + BAR - 5, _label(results, row, peer)),
        ]
    return "\n".join([*out, "</svg>"]) + "\n"


def _text(x: float, y: float, text: str, kind: str = "", anchor: str = "start") -> str:
    kind = f' class="{kind}"' if kind else ""
    return f'<text{kind} x="{x:.1f}" y="{y}" text-anchor="{anchor}">{escape(text)}</text>'


def _label(results: Results, row: Row, peer: str) -> str:
    figure, ratio = row.figure(peer), results.ratio(row, peer)
    assert figure is not None
    return number(figure) + (f" ({times(ratio)})" if ratio is not None else "")


def _better(row: Row) -> str:
    return "more" if row.more_is_better else "less"


def _description(results: Results, row: Row, figures: dict[str, float]) -> str:
    each = "; ".join(f"{peer} {_label(results, row, peer)}" for peer in figures)
    base = "the same on uvloop" if row.beside else results.against
    ratios = "" if row.more_is_better else f" In brackets the ratio to {base}."
    return f"Bars, in {row.unit}, {_better(row)} is better: {each}.{ratios}"


Position = Callable[[float], float]


def _axis(figures: Sequence[float]) -> tuple[Position, list[float], str]:
    """Where a figure stands, in pixels; the figures to mark; what the scale is called."""
    room, most, least = WIDTH - LEFT - RIGHT, max(figures), min(figures)
    if least <= 0 or most / least <= MANY:
        step = _round_step(most)
        ticks = [step * number for number in range(math.floor(most / step) + 1)]
        return lambda figure: LEFT + room * max(figure, 0) / most, ticks, "linear scale"
    # a bar needs a beginning: the power of ten below the least, but never right below it
    low = math.floor(math.log10(least / 1.5))
    decades = math.log10(most) - low
    ticks = [10.0**power for power in range(low, math.floor(math.log10(most)) + 1)]
    return (
        lambda figure: LEFT + room * (math.log10(figure) - low) / decades,
        ticks,
        "logarithmic scale",
    )


def _round_step(most: float) -> float:
    """1, 2 or 5 times a power of ten, so that there are three to six steps."""
    power: float = 10.0 ** math.floor(math.log10(most))
    return next(power * step for step in (0.2, 0.5, 1, 2) if most / (power * step) <= 6)
