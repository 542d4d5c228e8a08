"""Two hundred clients of all fronts on a network that cuts, stalls and half-opens connections.

A minute; ``SOAK=600`` in the environment makes it ten. The seed is fixed: ``SOAK_SEED`` changes it.
"""

from __future__ import annotations

import collections
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import duplexer
from tests.soak.script import PATIENCE

SECONDS = float(os.environ.get("SOAK", "60"))
SEED = os.environ.get("SOAK_SEED", "6455")
CLIENTS = {"asyncio": 60, "uvloop": 60, "sync": 40, "trio": 40}


def start(module: str, *arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", f"tests.soak.{module}", *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
        env={**os.environ, "PYTHONPATH": str(Path(duplexer.__file__).parents[1])},
    )


@pytest.mark.timeout(SECONDS + 5 * PATIENCE)
def test_nobody_is_stuck_nothing_leaks_and_every_loss_has_a_cause() -> None:
    network = start("network", SEED)
    running = [network]
    try:
        assert network.stdin is not None and network.stdout is not None
        uri = f"ws://127.0.0.1:{int(network.stdout.readline())}/"
        for front, count in CLIENTS.items():
            running.append(start("clients", front, count, SEED, SECONDS, uri))
        reports: dict[str, Any] = {}
        for front, clients in zip(CLIENTS, running[1:], strict=True):
            out, _ = clients.communicate(timeout=SECONDS + 3 * PATIENCE)
            assert clients.returncode == 0, front
            reports[front] = json.loads(out)
        out, _ = network.communicate(timeout=2 * PATIENCE)
        left = json.loads(out)
    finally:
        for process in running:
            process.kill()
            process.wait()
    causes: collections.Counter[str] = collections.Counter()
    for front, report in reports.items():
        assert len(report["clients"]) == CLIENTS[front]
        for diary in report["clients"]:
            assert diary["wrong"] == []
            assert diary["unexplained"] == []
            assert diary["longest"] < PATIENCE, front
            assert diary["echoes"] > 0
            causes.update(diary["losses"])
        assert (report["left"], report["descriptors"]) == (0, 0), front
    # It was as bad as it was meant to be.
    assert len(causes) >= 3, causes
    assert sum(causes.values()) > SECONDS
    accepted = left.pop("accepted")
    assert accepted > sum(CLIENTS.values())
    assert set(left.values()) == {0}, left
