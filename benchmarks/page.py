"""The page of the documentation: drawn from the record of what was measured, and nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from benchmarks.charts import draw
from benchmarks.results import Results, Row
from benchmarks.tables import as_markdown, described, versions

PAGE, FOLDER, RECORD = "benchmarks.md", "benchmarks", "results.json"

_HEAD = """\
# Benchmarks

What duplexer costs, beside every other library that was installed. `make bench` has measured this,
and wrote this page and the drawings; [how it is measured](measuring.md), and how to do it again,
stands in `benchmarks/README.md`.

In short: one process for each server, pinned to a processor of its own, and one thread in C on
another that puts the load on it and compares every byte that comes back. Rounds of all libraries
take turns, and each figure is the **least** of its rounds. **µs** of a server is the processor time
that it spent for one message, the kernel's part included; of a client, the median time of a round
trip. **bytes** is what the server's memory grew by for each connection. *floor* is a server in C
that does what the wire asks for and nothing else. `×` is the ratio to {against}, *noise* how far a
usual round lies above the least: smaller differences mean nothing. Compare ratios; the times are
those of one machine.
"""


def write(docs: Path, newer: Results | None = None) -> None:
    """Take up what was measured now, if anything was, and draw the page from all there is."""
    folder = docs / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    record = Results.load(folder / RECORD)
    if newer is not None:
        record.merge(newer)
        record.save(folder / RECORD)
    drawn = drawings(record)
    for path in folder.glob("*.svg"):
        if path.name not in drawn:
            path.unlink()
    for name, text in drawn.items():
        (folder / name).write_text(text, encoding="utf-8")
    (docs / PAGE).write_text(text_of(record), encoding="utf-8")


def drawings(record: Results) -> dict[str, str]:
    """The names of the files and what is in them."""
    drawn = {f"{row.name}.svg": draw(record, row, record.peers) for row in record.rows.values()}
    return {name: text for name, text in drawn.items() if text}


def text_of(record: Results) -> str:
    """The page."""
    if not record.runs:
        return f"{_HEAD.format(against='duplexer')}\nNothing has been measured yet.\n"
    marks = _marks(record)
    parts = [_HEAD.format(against=record.against), _measured(record, marks)]
    for group, rows in record.groups.items():
        parts.append(f"## {group}")
        if any(row.beside for row in rows):
            parts.append("Here `×` is the ratio to the same library on uvloop.")
        if any(row.cells for row in rows):
            parts.append(as_markdown(record, rows, marks))
        parts += [_picture(row) for row in rows]
    notes = [*record.runs[record.main_run]["notes"], *record.failures()]
    if notes:
        parts += ["## Not in the tables", "\n".join(f"* {note}" for note in notes)]
    return "\n\n".join(part.strip() for part in parts) + "\n"


def _picture(row: Row) -> str:
    if not row.figures:
        return f"*{row.title}*: {row.missing or 'not measured'}."
    return f"![{row.title}: a bar for each library]({FOLDER}/{row.name}.svg)"


def _marks(record: Results) -> dict[str, str]:
    """A letter for each run but the main one, to be put behind what was measured then."""
    others = sorted(set(record.runs) - {record.main_run})
    return {date: f" ({chr(ord('a') + index)})" for index, date in enumerate(others)}


def _measured(record: Results, marks: Mapping[str, str]) -> str:
    """When and on what; of other runs only the versions that were different."""
    run = record.runs[record.main_run]
    entries = [f"Measured: {described(record.main_run, run)}.\n{versions(run)}."]
    for date, mark in marks.items():
        other = record.runs[date]
        changed = dict(other["versions"].items() - run["versions"].items())
        changed = {name: changed[name] for name in sorted(changed)}
        differs = f"; {versions({'versions': changed})}" if changed else ""
        entries.append(f"*{mark.strip()}* {described(date, other)}{differs}.")
    return "\n\n".join(entries)
