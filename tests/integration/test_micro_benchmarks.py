"""Counting instructions: a real count, and what becomes of it beside a record."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.micro import record
from benchmarks.micro.pieces import PIECES

ROOT = Path(__file__).parent.parent.parent


def micro(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "benchmarks.micro", *arguments],
        cwd=ROOT,
        env=os.environ,
        capture_output=True,
        text=True,
        timeout=55,
        check=False,
    )


@pytest.mark.parametrize("name", PIECES)
def test_every_piece_does_its_work_again_and_again(name: str) -> None:
    call = PIECES[name].make()
    for _ in range(3):
        call()


def test_against_a_record(tmp_path: Path) -> None:
    if shutil.which("valgrind") is None:
        pytest.skip("needs valgrind")
    file = tmp_path / "record.json"
    options = ("--only", "mask-short,accept-key", "--file", str(file))
    first = micro(*options, "--record")
    assert first.returncode == 0, first.stderr
    written = json.loads(file.read_text())
    assert set(written["instructions"]) == {"mask-short", "accept-key"}
    assert {"Python", "compiler", "Cython", "kernels", "libc"} <= set(written["facts"])
    assert all(value > 100 for value in written["instructions"].values())

    written["instructions"]["accept-key"] *= 0.9  # as if it had been less
    file.write_text(json.dumps(written))
    second = micro(*options)
    assert second.returncode == 1, second.stdout
    assert "more than 3% above the record: accept-key\n" in second.stdout
    unchanged = next(line for line in second.stdout.splitlines() if line.startswith("mask-short"))
    assert abs(float(unchanged.split()[-1].rstrip("%"))) <= 1

    written["facts"]["compiler"] = "another"
    recorded = record.Counts(written["facts"], written["instructions"])
    now = record.load(file)
    assert now is not None
    (difference,) = record.Comparison(recorded, now).differences
    assert difference.startswith("compiler: ") and difference.endswith("recorded with another")


def test_what_cannot_be_compared_does_not_fail(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    from benchmarks.micro.__main__ import verdict

    before = record.Counts({"compiler": "old"}, {"accept-key": 100.0})
    after = record.Counts({"compiler": "new"}, {"accept-key": 200.0})
    assert verdict(record.Comparison(before, after), 0.03) == 0
    assert "NOT COMPARABLE" in capsys.readouterr().out
    same = record.Counts({"compiler": "old"}, {"accept-key": 200.0})
    assert verdict(record.Comparison(before, same), 0.03) == 1
    assert verdict(record.Comparison(same, before), 0.03) == 0


def test_times() -> None:
    done = micro("--time", "--only", "mask-short")
    assert done.returncode == 0 and done.stdout.rstrip().endswith(" ns")


def test_the_record_has_every_piece() -> None:
    recorded = record.load(record.RECORD)
    assert recorded is not None
    assert list(recorded.instructions) == list(PIECES)
