"""The record of what was measured, and the part of the documentation that is made from it."""

from __future__ import annotations

import json
import statistics
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.measure import ROOT
from benchmarks.results import narrow
from benchmarks.tables import described, number, times
from benchmarks.without.mechanisms import ALL, MECHANISMS, Mechanism

RECORD = ROOT / "docs" / "benchmarks" / "without.json"
PAGE = ROOT / "docs" / "explanation" / "hot-path.md"
BEGIN = "<!-- python -m benchmarks.without: from here ... -->"
END = "<!-- ... to here -->"


@dataclass
class Record:
    runs: dict[str, dict[str, Any]] = field(default_factory=dict)
    """What was timed, and what was counted, with: date, machine, settings."""
    times: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    """Row → mechanism → the value of each round."""
    counts: dict[str, dict[str, dict[str, float]]] = field(default_factory=dict)
    """Row → mechanism → what was counted → for one message."""

    @classmethod
    def load(cls, path: Path = RECORD) -> Record:
        return cls(**json.loads(path.read_text())) if path.exists() else cls()

    def save(self, path: Path = RECORD) -> None:
        text = narrow(json.dumps(asdict(self), indent=1))
        path.write_text(text + "\n", encoding="utf-8")

    def ratio(self, row: str, name: str) -> float | None:
        """What it costs without the mechanism, to what it costs with it."""
        values = self.times.get(row, {})
        if not values.get(name) or not values.get(ALL):
            return None
        return min(values[name]) / min(values[ALL])

    def noise(self, row: str) -> float:
        """How far a usual round lies above the least one: the median over all builds."""
        found = [
            statistics.median(values) / min(values) - 1
            for values in self.times[row].values()
            if len(values) > 1
        ]
        return statistics.median(found) if found else 0.0


def write(record: Record, path: Path = PAGE) -> None:
    """Put the tables into the page, between the marks."""
    before, _, rest = path.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    path.write_text(f"{before}{BEGIN}\n\n{text_of(record)}\n\n{END}{after}", encoding="utf-8")


def text_of(record: Record) -> str:
    """Both tables, and when they were made."""
    if not record.times:
        return "Nothing has been measured yet."
    parts = [_times(record)]
    if record.counts:
        parts += ["Counted for one message, with the mechanism → without it:", _counts(record)]
    facts = [f"{kind} {described(run['date'], run)}" for kind, run in record.runs.items()]
    if facts:
        parts.append(f"Measured: {'; '.join(facts)}.")
    return "\n\n".join(parts)


def _times(record: Record) -> str:
    lines = ["| without it | row | with | without | | noise |", "|---|---|---:|---:|---:|---:|"]
    for mechanism in MECHANISMS:
        label = f"`{mechanism.name}`: {mechanism.title}"
        for row in mechanism.rows:
            ratio = record.ratio(row, mechanism.name)
            if ratio is None:
                continue
            unit = "bytes" if row.startswith("idle") else "µs"
            values = record.times[row]
            before, after = (number(min(values[name])) for name in (ALL, mechanism.name))
            cells = [label, row, f"{before} {unit}", after, f"**{times(ratio)}**"]
            noise = f"{record.noise(row):.0%}" if len(values[ALL]) > 1 else ""
            lines.append(f"| {' | '.join([*cells, noise])} |")
            label = ""
    return "\n".join(lines)


def _counts(record: Record) -> str:
    lines = [
        "| without it | row | instructions | system calls | page faults |",
        "|---|---|---:|---:|---:|",
    ]
    for mechanism in MECHANISMS:
        cells = [_change(record, mechanism, kind) for kind in ("instructions", "calls", "faults")]
        if any(cell != "–" for cell in cells):
            name, row = mechanism.name, mechanism.counted
            lines.append(f"| `{name}` | {row} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _change(record: Record, mechanism: Mechanism, kind: str) -> str:
    row = record.counts.get(mechanism.counted, {})
    counts = [row.get(name, {}).get(kind) for name in (ALL, mechanism.name)]
    if any(count is None for count in counts):
        return "–"
    before, after = (_rounded(count) for count in counts if count is not None)
    return before if before == after else f"{before} → {after}"


def _rounded(count: float) -> str:
    if count >= 100:
        return f"{count:,.0f}"
    return "0" if count < 0.005 else f"{count:.2f}"
