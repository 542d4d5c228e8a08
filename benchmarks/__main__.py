"""The command: ``python -m benchmarks --help``."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

from benchmarks.build import BuildError, build
from benchmarks.measure import MeasurementError, Settings, measure
from benchmarks.peers import PEERS, Peer, versions
from benchmarks.results import Results, as_markdown, as_text
from benchmarks.scenarios import SCENARIOS, Scenario

Named = TypeVar("Named", Peer, Scenario)


def main() -> int:
    parser = _parser()
    given = parser.parse_args()
    try:
        binaries = build()
    except BuildError as error:
        print(error, file=sys.stderr)
        return 1
    if given.build:
        print(binaries.load)
        return 0
    scenarios, peers = _chosen(given.only, SCENARIOS, parser), _chosen(given.peers, PEERS, parser)
    notes = []
    if not binaries.deflate and any(scenario.deflate for scenario in scenarios):
        notes.append("missing: the rows with deflate (the load was built without zlib.h)")
        scenarios = [scenario for scenario in scenarios if not scenario.deflate]
    notes += [f"not installed: {peer.name} ({peer.missing()})" for peer in peers if peer.missing()]
    peers = [peer for peer in peers if not peer.missing()]
    if not peers or not scenarios:
        parser.error("; ".join(["nothing to measure", *notes]))
    against = _chosen([given.against], peers, parser)[0] if given.against else peers[0]
    cpus = _cpus(given.cpus)
    settings = Settings(binaries, given.loop, given.seconds, given.warm_up, *cpus)
    described = {"loop": given.loop, "rounds": given.rounds, "seconds": given.seconds, "cpus": cpus}
    results = Results(peers, scenarios, against, described, notes)
    try:
        _measure_all(results, settings, given.rounds)
    except KeyboardInterrupt:
        results.notes.append("interrupted: not everything was measured")
    print(as_text(results))
    if given.json:
        given.json.write_text(json.dumps(results.as_json(), indent=1) + "\n")
    if given.markdown:
        given.markdown.write_text(as_markdown(results))
    return 1 if any(cell.error for cell in results.cells.values()) else 0


def _measure_all(results: Results, settings: Settings, rounds: int) -> None:
    """Round by round, A B C A B C: what slows the machine for a while slows everyone."""
    for scenario in results.scenarios:
        for number in range(1 if scenario.seconds else rounds):
            for peer in results.peers:
                cell = results.cell(scenario, peer)
                if cell.error or not peer.can(scenario):
                    continue
                try:
                    figures = measure(scenario, peer, settings)
                except MeasurementError as error:
                    cell.error = str(error)
                    progress = cell.error
                else:
                    cell.rounds.append(figures)
                    progress = f"{figures[scenario.figure]:.2f} {scenario.unit}"
                print(f"{scenario.name} {number + 1} {peer.name}: {progress}", file=sys.stderr)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description="Compare duplexer with its peers."
    )
    add = parser.add_argument
    add("--only", action="append", metavar="SCENARIO", help=_names(SCENARIOS))
    add("--peers", action="append", metavar="PEER", help=_names(PEERS))
    add("--against", metavar="PEER", help="the peer to show ratios to (the first)")
    add("--rounds", type=int, default=3, help="the least of which is shown (%(default)s)")
    add("--seconds", type=float, default=2.0, help="measured in each round (%(default)s)")
    add("--warm-up", type=float, default=0.5, help="seconds before that (%(default)s)")
    add("--loop", choices=("uvloop", "asyncio"), default=_default_loop(), help="(%(default)s)")
    add("--cpus", metavar="SERVER,LOAD", help="where to pin them ('none': nowhere; 0,1)")
    add("--json", type=Path, metavar="FILE", help="write every figure of every round")
    add("--markdown", type=Path, metavar="FILE", help="write the table")
    add("--build", action="store_true", help="compile the load, say where it is, and end")
    return parser


def _names(entries: Sequence[Named]) -> str:
    return "any of: " + ", ".join(entry.name for entry in entries) + " (all; may be repeated)"


def _chosen(
    wanted: Sequence[str] | None, entries: Sequence[Named], parser: argparse.ArgumentParser
) -> list[Named]:
    """Those wanted, in the order of the table; names may also be separated by commas."""
    if wanted is None:
        return list(entries)
    names = [name for text in wanted for name in text.split(",")]
    unknown = set(names) - {entry.name for entry in entries}
    if unknown:
        parser.error(f"unknown: {', '.join(sorted(unknown))}; {_names(entries)}")
    return [entry for entry in entries if entry.name in names]


def _default_loop() -> str:
    return "uvloop" if versions("uvloop") else "asyncio"


def _cpus(text: str | None) -> tuple[int | None, int | None]:
    if text == "none":
        return None, None
    if text is not None:
        server, _, load = text.partition(",")
        return int(server), int(load)
    allowed = sorted(os.sched_getaffinity(0))
    return (allowed[0], allowed[1]) if len(allowed) > 1 else (None, None)


if __name__ == "__main__":
    sys.exit(main())
