"""``make bench-asgi``: the table of what a message costs under uvicorn."""

from __future__ import annotations

import subprocess
import sys

import pytest

from benchmarks.asgi import PROTOCOLS, SCENARIOS, table
from tests.docs.pages import ROOT, environment


def test_every_protocol_is_measured() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.asgi", "--time"],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert not done.stderr and not done.returncode, done.stderr
    rows = [line.split(" | ")[0] for line in done.stdout.splitlines()[2:]]
    names = ("application", *PROTOCOLS)
    assert rows == [f"| {scenario}: {name}" for scenario in SCENARIOS for name in names]


@pytest.mark.parametrize(("scenario", "messages"), SCENARIOS.items())
def test_what_the_application_costs_is_taken_off(scenario: str, messages: int) -> None:
    costs = {"application": 100.0, "duplexer": 150.0, "websockets-sansio": 600.0, "wsproto": 1100.0}
    found = {f"{each} {name}": cost for each in SCENARIOS for name, cost in costs.items()}
    lines = [line for line in table(found, "instructions") if f"{scenario}: " in line]
    assert lines[1].endswith(f"| {50 / messages:,.0f} | 1.0 |")
    assert lines[2].endswith(f"| {500 / messages:,.0f} | 10.0 |")
