"""The command: ``python -m benchmarks --help``."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

from benchmarks import page, tls
from benchmarks.build import BUILT, BuildError, build
from benchmarks.measure import ROOT, MeasurementError, Settings, measure
from benchmarks.peers import PEERS, Peer, versions
from benchmarks.results import Cell, Results, Row, start
from benchmarks.scenarios import SCENARIOS, Scenario
from benchmarks.tables import as_text

Named = TypeVar("Named", Peer, Scenario)


def main() -> int:
    parser = _parser()
    given = parser.parse_args()
    if given.draw:
        page.write(given.docs)
        return 0
    try:
        binaries = build()
    except BuildError as error:
        print(error, file=sys.stderr)
        return 1
    if given.build:
        print(binaries.load)
        return 0
    scenarios, peers = _chosen(given.only, SCENARIOS, parser), _chosen(given.peers, PEERS, parser)
    notes = [f"not measured: {peer.name} ({peer.missing()})" for peer in peers if peer.missing()]
    peers = [peer for peer in peers if not peer.missing()]
    if not peers:
        parser.error("; ".join(["nobody to measure", *notes]))
    against = _chosen([given.against], peers, parser)[0] if given.against else peers[0]
    cpus = cpus_for(given.cpus)
    certificate = tls.make(BUILT) if binaries.tls and not tls.missing() else None
    settings = Settings(binaries, given.loop, given.seconds, given.warm_up, cpus, certificate)
    described = {"loop": given.loop, "rounds": given.rounds, "seconds": given.seconds, "cpus": cpus}
    results = start(peers, against.name, described, notes)
    for scenario in scenarios:
        results.rows[scenario.name] = Row.of(scenario, _unmeasurable(scenario, settings))
    try:
        _measure_all(results, scenarios, peers, settings, given.rounds)
    except KeyboardInterrupt:
        print("interrupted: not everything was measured", file=sys.stderr)
    print(as_text(results))
    if given.json:
        given.json.write_text(json.dumps(results.as_json(rounds=True), indent=1) + "\n")
    if not given.no_page:
        page.write(given.docs, results)
    return 1 if results.failures() else 0


def _unmeasurable(scenario: Scenario, settings: Settings) -> str | None:
    """Why a row cannot be measured here, if it cannot."""
    if scenario.deflate and not settings.binaries.deflate:
        return "not measurable here: zlib.h is missing"
    if scenario.tls and settings.certificate is None:
        return f"not measurable here: {tls.missing() or 'openssl/ssl.h'} is missing"
    if scenario.loop == settings.loop:
        return f"not measured: all of this is on {settings.loop}"
    free = len(settings.cpus or os.sched_getaffinity(0))
    if scenario.processors > free:
        return f"not measurable here: it needs {scenario.processors} processors, there are {free}"
    return None


def _measure_all(
    results: Results,
    scenarios: Sequence[Scenario],
    peers: Sequence[Peer],
    settings: Settings,
    rounds: int,
) -> None:
    """Round by round, A B C A B C: what slows the machine for a while slows everyone."""
    date = next(iter(results.runs))
    for scenario in scenarios:
        row = results.rows[scenario.name]
        able = [peer for peer in peers if peer.can(scenario) and not row.missing]
        for number in range(1 if scenario.seconds else rounds):
            for peer in able:
                cell = row.cells.setdefault(peer.name, Cell(date))
                if cell.error:
                    continue
                try:
                    figures = measure(scenario, peer, settings)
                except MeasurementError as error:
                    cell.error = progress = str(error)
                else:
                    cell.rounds.append(figures)
                    cell.values.append(round(figures[scenario.figure], 4))
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
    add("--seconds", type=float, default=0.6, help="measured in each round (%(default)s)")
    add("--warm-up", type=float, default=0.2, help="seconds before that (%(default)s)")
    add("--loop", choices=("uvloop", "asyncio"), default=default_loop(), help="(%(default)s)")
    add("--cpus", metavar="N,N", help="where to pin server and load ('none': nowhere; all)")
    add("--json", type=Path, metavar="FILE", help="write every figure of every round")
    add("--docs", type=Path, metavar="DIR", default=ROOT / "docs", help="where the page is")
    add("--no-page", action="store_true", help="only print the table")
    add("--draw", action="store_true", help="measure nothing, draw the page from its record")
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


def default_loop() -> str:
    """The faster one, where it is installed."""
    return "uvloop" if versions("uvloop") else "asyncio"


def cpus_for(text: str | None) -> tuple[int, ...]:
    """The processors for server and load: those of ``text``, or those we may use if several."""
    if text == "none":
        return ()
    if text is not None:
        return tuple(int(number) for number in text.split(","))
    allowed = sorted(os.sched_getaffinity(0))
    return tuple(allowed) if len(allowed) > 1 else ()


if __name__ == "__main__":
    sys.exit(main())
