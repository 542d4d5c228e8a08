"""The record of instructions, kept in git; what has changed since."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.micro.counting import Counts
from benchmarks.micro.pieces import PIECES

RECORD = Path(__file__).parent / "record.json"


def load(path: Path) -> Counts | None:
    if not path.exists():
        return None
    written = json.loads(path.read_text(encoding="utf-8"))
    return Counts(written["facts"], written["instructions"])


def save(path: Path, counts: Counts) -> None:
    written = {"facts": counts.facts, "instructions": counts.instructions}
    path.write_text(json.dumps(written, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


@dataclass(frozen=True)
class Comparison:
    recorded: Counts
    now: Counts

    @property
    def differences(self) -> list[str]:
        """Facts that differ: then the counts cannot be compared."""
        before, now = self.recorded.facts, self.now.facts
        return [
            f"{name}: {now.get(name)}, recorded with {before.get(name)}"
            for name in now | before
            if now.get(name) != before.get(name)
        ]

    def change(self, name: str) -> float | None:
        before = self.recorded.instructions.get(name)
        return self.now.instructions[name] / before - 1 if before else None

    def grown(self, threshold: float) -> list[str]:
        """The pieces that take more than `threshold` more than recorded."""
        changes = {name: self.change(name) for name in self.now.instructions}
        return [name for name, change in changes.items() if change and change > threshold]

    def lines(self) -> Iterator[str]:
        titles = {name: f"{name}: {PIECES[name].title}" for name in self.now.instructions}
        wide = max(map(len, titles.values()), default=0)
        yield f"{'instructions of one call':<{wide}} {'recorded':>11} {'now':>11}  change"
        for name, now in self.now.instructions.items():
            before, change = self.recorded.instructions.get(name), self.change(name)
            was = f"{before:,.0f}" if before else "–"
            became = "new" if change is None else f"{change:+.1%}"
            yield f"{titles[name]:<{wide}} {was:>11} {now:>11,.0f}  {became}"
