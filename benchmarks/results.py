"""What was measured, on what: a run of the command, and the record that runs are kept in."""

from __future__ import annotations

import datetime as dt
import json
import os
import platform
import re
import ssl
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.peers import PEERS, Peer, versions
from benchmarks.scenarios import SCENARIOS, Scenario

Json = dict[str, Any]


@dataclass
class Cell:
    """All rounds of one peer in one scenario; `run` says when."""

    run: str
    values: list[float] = field(default_factory=list)
    error: str | None = None
    rounds: list[Json] = field(default_factory=list)
    """Everything that was printed; not in the record."""


@dataclass
class Row:
    """A scenario, and a cell for each peer that was measured in it."""

    name: str
    group: str
    title: str
    unit: str
    beside: str | None = None
    more_is_better: bool = False
    load: str = ""
    """What was asked of the load, or of the clients."""
    missing: str | None = None
    """Why nothing was measured."""
    cells: dict[str, Cell] = field(default_factory=dict)

    @classmethod
    def of(cls, scenario: Scenario, missing: str | None = None) -> Row:
        name, group, title, unit = scenario.name, scenario.group, scenario.title, scenario.unit
        load = " ".join(scenario.load) or f"client --size {scenario.message_size}"
        better = scenario.processes > 1
        return cls(name, group, title, unit, scenario.beside, better, load, missing)

    def figure(self, peer: str) -> float | None:
        """The least of the rounds: whatever else runs on a machine can only add to it."""
        cell = self.cells.get(peer)
        if cell is None or cell.error or not cell.values:
            return None
        return max(cell.values) if self.more_is_better else min(cell.values)

    @property
    def figures(self) -> dict[str, float]:
        """Of those peers that have one."""
        found = {peer: self.figure(peer) for peer in self.cells}
        return {peer: figure for peer, figure in found.items() if figure is not None}

    @property
    def noise(self) -> float | None:
        """How far a usual round is from the figure: the median of that over the peers."""
        away = [
            abs(statistics.median(self.cells[peer].values) / figure - 1)
            for peer, figure in self.figures.items()
            if len(self.cells[peer].values) > 1 and figure > 0
        ]
        return statistics.median(away) if away else None

    def is_same(self, other: Row) -> bool:
        """Whether figures of both may stand side by side."""
        return (self.load, self.unit) == (other.load, other.unit)


@dataclass
class Results:
    """A table, and what is needed to read it."""

    against: str = ""
    runs: dict[str, Json] = field(default_factory=dict)
    """Each with its date: machine, versions, settings and notes."""
    rows: dict[str, Row] = field(default_factory=dict)

    @property
    def peers(self) -> list[str]:
        """Those with a cell, in the order of the table."""
        found = {name for row in self.rows.values() for name in row.cells}
        known = [peer.name for peer in PEERS if peer.name in found]
        return known + sorted(found - set(known))

    @property
    def groups(self) -> dict[str, list[Row]]:
        groups: dict[str, list[Row]] = {}
        for row in self.rows.values():
            groups.setdefault(row.group, []).append(row)
        return groups

    def ratio(self, row: Row, peer: str) -> float | None:
        """What the cell is to the one that it is compared with."""
        if row.more_is_better or (not row.beside and peer == self.against):
            return None
        other = self.rows.get(row.beside or row.name)
        base = other.figure(peer if row.beside else self.against) if other else None
        figure = row.figure(peer)
        return figure / base if base and figure is not None else None

    @property
    def main_run(self) -> str:
        """The date of the run that most of the table is from."""
        dates = [cell.run for row in self.rows.values() for cell in row.cells.values()]
        return max(self.runs, key=lambda date: (dates.count(date), date))

    def failures(self) -> list[str]:
        return [
            f"{row.name}, {peer}: {cell.error}"
            for row in self.rows.values()
            for peer, cell in row.cells.items()
            if cell.error
        ]

    def merge(self, newer: Results) -> None:
        """Take over what was measured now; keep what was not, unless there is no such row now."""
        self.against = self.against or newer.against
        rows: dict[str, Row] = {}
        for scenario in SCENARIOS:
            before, now = self.rows.get(scenario.name), newer.rows.get(scenario.name)
            current = Row.of(scenario)
            if before is not None and not before.is_same(current):
                before = None
            kept = before.cells if before is not None else {}
            row = now or before
            if row is None:
                continue
            current.cells = _ordered(kept | (now.cells if now else {}))
            current.missing = None if current.cells else row.missing
            rows[scenario.name] = current
        self.rows = rows
        used = {cell.run for row in rows.values() for cell in row.cells.values()}
        runs = self.runs | newer.runs
        self.runs = {date: runs[date] for date in sorted(runs) if date in used}

    def as_json(self, rounds: bool = False) -> Json:
        """With every figure of every `rounds`, or only with what the table shows."""
        rows = {}
        for row in self.rows.values():
            described = {name: value for name, value in vars(row).items() if value}
            described.pop("name")
            described["cells"] = {
                peer: {
                    name: value
                    for name, value in vars(cell).items()
                    if value and (rounds or name != "rounds")
                }
                for peer, cell in row.cells.items()
            }
            rows[row.name] = described
        return {"against": self.against, "runs": self.runs, "rows": rows}

    @classmethod
    def from_json(cls, written: Json) -> Results:
        rows = {}
        for name, described in written["rows"].items():
            cells = {peer: Cell(**cell) for peer, cell in described["cells"].items()}
            rows[name] = Row(name, **{**described, "cells": cells})
        return cls(written["against"], written["runs"], rows)

    @classmethod
    def load(cls, path: Path) -> Results:
        """The record in `path`; an empty one if there is none."""
        return cls.from_json(json.loads(path.read_text())) if path.exists() else cls()

    def save(self, path: Path) -> None:
        """A few lines for each cell, so that a difference shows what has changed."""
        text = json.dumps(self.as_json(), indent=1, ensure_ascii=False)
        path.write_text(narrow(text) + "\n", encoding="utf-8")


def start(peers: Sequence[Peer], against: str, settings: Json, notes: Iterable[str]) -> Results:
    """Results of a run that begins now, without rows."""
    found = {"Python": platform.python_version(), "OpenSSL": ssl.OPENSSL_VERSION.split()[1]}
    found |= versions("uvloop", "aiofastnet", "isal", "zlib-ng")
    for peer in peers:
        found |= peer.versions()
    run = {"machine": machine(), "versions": found, "settings": settings, "notes": list(notes)}
    return Results(against, {dt.datetime.now(dt.UTC).isoformat(timespec="seconds"): run})


def machine() -> Json:
    model = platform.machine()
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    return {
        "processor": model,
        "processors": os.cpu_count(),
        "kernel": f"{platform.system()} {platform.release()}",
        "load": round(os.getloadavg()[0], 2),
    }


def _ordered(cells: dict[str, Cell]) -> dict[str, Cell]:
    order = [peer.name for peer in PEERS]
    return {name: cells[name] for name in order if name in cells}


def narrow(text: str) -> str:
    """JSON with lists of numbers on one line."""
    return re.sub(r"\[\s+([-\d.,\s]+?)\s+\]", lambda found: f"[{' '.join(found[1].split())}]", text)
