"""The command: ``python -m benchmarks.without --help``."""

from __future__ import annotations

import argparse
import datetime as dt
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from benchmarks.__main__ import cpus_for, default_loop
from benchmarks.build import BuildError, build
from benchmarks.measure import MeasurementError, Settings, measure
from benchmarks.peers import PEERS
from benchmarks.results import machine
from benchmarks.scenarios import SCENARIOS, Scenario
from benchmarks.without import counting, page
from benchmarks.without.building import build_all
from benchmarks.without.mechanisms import ALL, MECHANISMS, Mechanism

OURS = next(peer for peer in PEERS if peer.name == "duplexer")


def main() -> int:
    given = _parser().parse_args()
    record = page.Record.load()
    if given.draw:
        page.write(record)
        return 0
    names = given.only.split(",") if given.only else [one.name for one in MECHANISMS]
    chosen = [one for one in MECHANISMS if one.name in names]
    rows = [row for row in SCENARIOS if not given.rows or row.name in given.rows.split(",")]
    try:
        binaries, folders = build(), build_all(chosen)
    except BuildError as error:
        print(error, file=sys.stderr)
        return 1
    settings = Settings(binaries, given.loop, given.seconds, given.warm_up, cpus_for(None))
    kinds = given.count.split(",") if given.count else []
    if kinds and (missing := counting.missing()):
        print("not installed:", *missing, file=sys.stderr)
        return 1
    for row in rows:
        if kinds:
            users = [one for one in chosen if one.counted == row.name]
            _count(row, users, folders, settings, kinds, record)
        else:
            users = [one for one in chosen if row.name in one.rows]
            _time(row, users, folders, settings, given.rounds, record)
    described = {"loop": given.loop, "rounds": given.rounds, "seconds": given.seconds}
    if kinds:
        described |= {"rounds": 1, "seconds": counting.LONG}
    date = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
    run = {"date": date, "machine": machine(), "settings": described}
    record.runs["counted" if kinds else "timed"] = run
    record.save()
    page.write(record)
    print(page.text_of(record))
    return 0


def _time(
    row: Scenario,
    users: Sequence[Mechanism],
    folders: dict[str, Path],
    settings: Settings,
    rounds: int,
    record: page.Record,
) -> None:
    """Round by round, with and without, so that what slows the machine slows all of them."""
    values: dict[str, list[float]] = {}
    for _ in range(1 if row.seconds else rounds):
        for name, environment in _builds(users, folders):
            with _environment(environment):
                figures = measure(row, OURS, settings)
            values.setdefault(name, []).append(round(figures[row.figure], 4))
    if users:
        record.times.setdefault(row.name, {}).update(values)
        best = "  ".join(f"{name} {min(found):.4g}" for name, found in values.items())
        print(f"{row.name}: {best}", file=sys.stderr)


def _count(
    row: Scenario,
    users: Sequence[Mechanism],
    folders: dict[str, Path],
    settings: Settings,
    kinds: Sequence[str],
    record: page.Record,
) -> None:
    for name, environment in _builds(users, folders):
        cell = record.counts.setdefault(row.name, {}).setdefault(name, {})
        for kind in kinds:
            if not row.load and kind != "calls":
                continue  # of a client nothing else is counted
            with _environment(environment):
                try:
                    cell[kind] = round(counting.COUNTS[kind](row, OURS, settings), 3)
                except MeasurementError as error:
                    print(f"{row.name}, {name}, {kind}: {error}", file=sys.stderr)
        print(f"{row.name}, {name}: {cell}", file=sys.stderr)


def _builds(
    users: Sequence[Mechanism], folders: dict[str, Path]
) -> Iterator[tuple[str, dict[str, str]]]:
    """What to measure in one round, and the environment that makes Python take it."""
    if users:
        yield ALL, {"PYTHONPATH": str(folders[ALL])}
    for one in users:
        yield one.name, {"PYTHONPATH": str(folders[one.name]), **one.environment}


@contextmanager
def _environment(changed: dict[str, str]) -> Iterator[None]:
    before = dict(os.environ)
    os.environ.update({"PYTHONHASHSEED": "0", **changed})
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.without",
        description="Measure duplexer without one mechanism of the hot path at a time.",
    )
    add = parser.add_argument
    add("--only", metavar="NAME,NAME", help="any of: " + ", ".join(one.name for one in MECHANISMS))
    add("--rows", metavar="ROW,ROW", help="only these rows of the benchmarks")
    add("--rounds", type=int, default=4, help="the least of which is shown (%(default)s)")
    add("--seconds", type=float, default=0.4, help="measured in each round (%(default)s)")
    add("--warm-up", type=float, default=0.1, help="seconds before that (%(default)s)")
    add("--loop", choices=("uvloop", "asyncio"), default=default_loop(), help="(%(default)s)")
    kinds = ",".join(counting.COUNTS)
    add("--count", nargs="?", const=kinds, metavar="KIND,KIND", help=f"no times: count {kinds}")
    add("--draw", action="store_true", help="measure nothing, draw the page from its record")
    return parser


if __name__ == "__main__":
    sys.exit(main())
