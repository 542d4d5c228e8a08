"""The table, for a terminal and for a page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.results import Results, Row


def line(results: Results, row: Row, peers: Sequence[str], marks: Mapping[str, str]) -> list[str]:
    """The cells and the noise. `marks` of runs are put behind what was measured in them."""
    noise = "" if row.noise is None else f"{row.noise:.0%}"
    return [*(_text(results, row, peer, marks) for peer in peers), noise]


def _text(results: Results, row: Row, peer: str, marks: Mapping[str, str]) -> str:
    cell = row.cells.get(peer)
    if cell is None:
        return "–"
    figure, ratio = row.figure(peer), results.ratio(row, peer)
    text = "failed" if figure is None else number(figure)
    if ratio is not None:
        text += f" {times(ratio)}"
    return text + marks.get(cell.run, "")


def as_text(results: Results) -> str:
    """For a terminal: all rows."""
    peers, rows = results.peers, results.rows.values()
    table = [
        ["", *peers, "noise"],
        *([f"{row.title} ({row.unit})", *line(results, row, peers, {})] for row in rows),
    ]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    shown = [
        "  ".join(
            text.ljust(width) if column == 0 else text.rjust(width)
            for column, (text, width) in enumerate(zip(cells, widths, strict=True))
        ).rstrip()
        for cells in table
    ]
    shown.insert(1, "  ".join("-" * width for width in widths))
    date, run = next(iter(results.runs.items()))
    below = [
        f"the least of the rounds; ratios: to {results.against}{_loops(results)}",
        described(date, run),
        versions(run),
        *run["notes"],
        *(f"{row.title}: {row.missing}" for row in results.rows.values() if row.missing),
        *results.failures(),
    ]
    return "\n".join([*shown, "", *below])


def _loops(results: Results) -> str:
    if any(row.beside for row in results.rows.values()):
        return ", and on asyncio's own loop to the same library on uvloop"
    return ""


def as_markdown(results: Results, rows: Sequence[Row], marks: Mapping[str, str]) -> str:
    """For a page, which is narrow: a line for each peer, a column for each of some rows."""
    peers = [peer for peer in results.peers if any(peer in row.cells for row in rows)]
    columns = [[rows[0].unit, *peers, "*noise*"]]
    columns += [[row.name, *line(results, row, peers, marks)] for row in rows if row.cells]
    head, *rest = (f"| {' | '.join(cells)} |" for cells in zip(*columns, strict=True))
    rule = "|---|" + "---:|" * (len(columns) - 1)
    return "\n".join([head, rule, *rest])


def described(date: str, run: Mapping[str, Any]) -> str:
    """When, where and how often a run measured."""
    known, settings = run["machine"], run["settings"]
    return (
        f"{date[:10]}, {known['processor']}, {known['processors']} processors, {known['kernel']}; "
        f"{settings['loop']}, {settings['rounds']} × {settings['seconds']:g} s"
    )


def versions(run: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {version}" for name, version in run["versions"].items())


def times(ratio: float) -> str:
    digits = 2 if ratio < 10 else 1 if ratio < 100 else 0
    return f"×{ratio:,.{digits}f}"


def number(value: float) -> str:
    """Two or three digits that mean something."""
    if value >= 1000:
        return f"{value:,.0f}"
    if value >= 100:
        return f"{value:.0f}"
    return f"{value:.1f}" if value >= 2 else f"{value:.2f}"
