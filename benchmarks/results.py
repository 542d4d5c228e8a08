"""What was measured, on what; and how it is shown."""

from __future__ import annotations

import datetime as dt
import os
import platform
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.measure import Figures
from benchmarks.peers import Peer, versions
from benchmarks.scenarios import Scenario


@dataclass
class Cell:
    """All rounds of one peer in one scenario."""

    rounds: list[Figures] = field(default_factory=list)
    error: str | None = None

    def values(self, scenario: Scenario) -> list[float]:
        return [figures[scenario.figure] for figures in self.rounds if scenario.figure in figures]

    def least(self, scenario: Scenario) -> float | None:
        return None if self.error else min(self.values(scenario), default=None)


@dataclass
class Results:
    """A table of cells, and what is needed to read it."""

    peers: Sequence[Peer]
    scenarios: Sequence[Scenario]
    against: Peer
    settings: dict[str, Any]
    notes: list[str] = field(default_factory=list)
    cells: dict[tuple[str, str], Cell] = field(default_factory=dict)

    def cell(self, scenario: Scenario, peer: Peer) -> Cell:
        return self.cells.setdefault((scenario.name, peer.name), Cell())

    def noise(self, scenario: Scenario) -> float | None:
        """How far a usual round lies above the least one: the median of that over the peers."""
        above = []
        for peer in self.peers:
            values = self.cell(scenario, peer).values(scenario)
            if len(values) > 1 and min(values) > 0:
                above.append(statistics.median(values) / min(values) - 1)
        return statistics.median(above) if above else None

    def as_json(self) -> dict[str, Any]:
        return {
            "machine": machine(),
            "versions": self.versions(),
            "settings": self.settings,
            "notes": self.footnotes(),
            "against": self.against.name,
            "scenarios": [
                {
                    "name": scenario.name,
                    "title": scenario.title,
                    "unit": scenario.unit,
                    "noise": self.noise(scenario),
                    "peers": {peer.name: self._cell_json(scenario, peer) for peer in self.peers},
                }
                for scenario in self.scenarios
            ],
        }

    def _cell_json(self, scenario: Scenario, peer: Peer) -> dict[str, Any]:
        cell = self.cell(scenario, peer)
        return {"least": cell.least(scenario), "error": cell.error, "rounds": cell.rounds}

    def versions(self) -> dict[str, str]:
        found = {"Python": platform.python_version(), **versions("uvloop", "aiofastnet")}
        for peer in self.peers:
            found |= peer.versions()
        return found

    def footnotes(self) -> list[str]:
        failed = [
            f"{scenario.name}, {peer.name}: {cell.error}"
            for scenario in self.scenarios
            for peer in self.peers
            if (cell := self.cell(scenario, peer)).error
        ]
        return [*self.notes, *failed]

    def rows(self) -> list[list[str]]:
        """The table, its head first."""
        rows = [["least of the rounds", *(peer.name for peer in self.peers), "noise"]]
        for scenario in self.scenarios:
            noise = self.noise(scenario)
            cells = [self._text(scenario, peer) for peer in self.peers]
            last = "" if noise is None else f"{noise:.0%}"
            rows.append([f"{scenario.title} ({scenario.unit})", *cells, last])
        return rows

    def _text(self, scenario: Scenario, peer: Peer) -> str:
        cell = self.cell(scenario, peer)
        value, base = cell.least(scenario), self.cell(scenario, self.against).least(scenario)
        if value is None:
            return "failed" if cell.error else "–"
        if not base or peer is self.against:
            return _number(value)
        return f"{_number(value)} ×{value / base:.2f}"


def machine() -> dict[str, Any]:
    model = platform.machine()
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    return {
        "processor": model,
        "cores": os.cpu_count(),
        "kernel": f"{platform.system()} {platform.release()}",
        "load": os.getloadavg()[0],
        "date": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
    }


def as_text(results: Results) -> str:
    """For a terminal."""
    rows = results.rows()
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        "  ".join(
            text.ljust(width) if column == 0 else text.rjust(width)
            for column, (text, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]
    lines.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join([*lines, "", *_below(results)])


def as_markdown(results: Results) -> str:
    """For a document."""
    head, *rows = (f"| {' | '.join(row)} |" for row in results.rows())
    rule = "|---|" + "---:|" * (len(results.peers) + 1)
    return "\n".join([head, rule, *rows, "", *(f"- {line}" for line in _below(results)), ""])


def _below(results: Results) -> Iterable[str]:
    known, settings = machine(), results.settings
    yield f"ratios: to {results.against.name}"
    yield ", ".join(f"{name} {version}" for name, version in results.versions().items())
    yield f"{known['processor']}, {known['cores']} cores, {known['kernel']}, {known['date']}"
    yield f"loop {settings['loop']}, {settings['rounds']} rounds of {settings['seconds']:g} s"
    yield from results.footnotes()


def _number(value: float) -> str:
    if value >= 1000:
        return f"{value:,.0f}"
    if value >= 100:
        return f"{value:.0f}"
    return f"{value:.1f}" if value >= 2 else f"{value:.2f}"
