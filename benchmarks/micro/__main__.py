"""The command: ``python -m benchmarks.micro --help``."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.build import BuildError
from benchmarks.micro import record
from benchmarks.micro.counting import CountingError, Counts, count
from benchmarks.micro.pieces import PIECES
from benchmarks.micro.worker import run


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.micro",
        description="Count the instructions of each piece, and compare them with the record.",
    )
    add = parser.add_argument
    add("--only", metavar="PIECE,PIECE", help="any of: " + ", ".join(PIECES))
    add("--record", action="store_true", help="write the record anew")
    add("--file", type=Path, metavar="FILE", default=record.RECORD, help="the record")
    add("--threshold", type=float, default=3.0, help="percent that none may grow by (%(default)s)")
    add("--time", action="store_true", help="no counts: nanoseconds of a call, the least of 7")
    given = parser.parse_args()
    names = given.only.split(",") if given.only else list(PIECES)
    if unknown := set(names) - set(PIECES):
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    if given.time:
        print_times(names)
        return 0
    try:
        now = count(names)
    except (BuildError, CountingError) as error:
        print(f"cannot count instructions: {error}", file=sys.stderr)
        return 1
    recorded = record.load(given.file)
    comparison = record.Comparison(recorded or Counts(now.facts, {}), now)
    print(*comparison.lines(), sep="\n")
    if given.record:
        kept = {} if comparison.differences else comparison.recorded.instructions
        counts = kept | now.instructions
        record.save(given.file, Counts(now.facts, {n: counts[n] for n in PIECES if n in counts}))
        return 0
    return verdict(comparison, given.threshold / 100)


def verdict(comparison: record.Comparison, threshold: float) -> int:
    """Say what the table means; 1 for a failure."""
    grown = comparison.grown(threshold)
    if comparison.differences:
        print("\nNOT COMPARABLE: the record was made with something else. Nothing fails.")
        print(*comparison.differences, sep="\n")
        return 0
    if grown:
        print(f"\nmore than {threshold:.0%} above the record: {', '.join(grown)}")
        print("If that is meant: make bench-micro ARGS=--record, and say why in the commit.")
    return 1 if grown else 0


def print_times(names: Sequence[str]) -> None:
    for name in names:
        piece = PIECES[name]
        call = piece.make()
        run(call, 20)
        took = []
        for _ in range(7):
            began = time.perf_counter()
            run(call, 4 * piece.calls)
            took.append((time.perf_counter() - began) / (4 * piece.calls))
        print(f"{name + ': ' + piece.title:<60} {min(took) * 1e9:>12,.0f} ns")


if __name__ == "__main__":
    sys.exit(main())
