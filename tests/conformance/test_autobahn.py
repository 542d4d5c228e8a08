"""The Autobahn cases, in both roles of every front: nothing fails, nothing is less than strict.

Sections 12 and 13 (compression) send 25 messages a case in place of 1000; AUTOBAHN=full in the
environment sends them all.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import duplexer

SECTIONS = {
    "protocol": ("1.*", "2.*", "3.*", "4.*", "5.*", "6.*", "7.*", "10.*"),
    "limits": ("9.*",),
    "compression": ("12.*", "13.*"),
}
CASES = {"protocol": 247, "compression": 216, "limits": 54}
#: What the suite itself asks for nothing in.
UNDEFINED = {"7.1.6", "7.13.1", "7.13.2"}
FULL = os.environ.get("AUTOBAHN") == "full"


def every_row() -> Iterator[Any]:
    for front in ("asyncio", "sync", "trio"):
        for sections in SECTIONS:
            # What the fronts share, asyncio shows in both builds.
            twice = front == "asyncio" or sections == "protocol"
            yield pytest.param(front, sections, marks=[pytest.mark.both_builds] * twice)


@pytest.mark.timeout(3600 if FULL else 240)
@pytest.mark.parametrize(("front", "sections"), [*every_row()])
@pytest.mark.parametrize("role", ["server", "client"])
def test_autobahn(role: str, front: str, sections: str) -> None:
    count = "1000" if FULL else "25"
    command = [sys.executable, "-m", "tests.conformance.suite", role, front, count]
    done = subprocess.run(
        [*command, *SECTIONS[sections]],
        capture_output=True,
        check=False,
        text=True,
        cwd=Path(__file__).parents[2],
        env={**os.environ, "PYTHONPATH": str(Path(duplexer.__file__).parents[1])},
    )
    assert (done.returncode, done.stderr) == (0, "")
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(rows) == CASES[sections]
    wrong = [
        row
        for row in rows
        if (row["behavior"], row["close"]) not in {("OK", "OK"), ("NON-STRICT", "OK")}
        and row["case"] not in UNDEFINED
    ]
    assert wrong == []
    assert {row["case"] for row in rows if row["behavior"] == "NON-STRICT"} == set()
