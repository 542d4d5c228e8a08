"""The patches that switch mechanisms off, and the tables that are made with them."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from benchmarks.scenarios import SCENARIOS
from benchmarks.without import page
from benchmarks.without.building import check
from benchmarks.without.mechanisms import ALL, HERE, MECHANISMS

PATCHES = sorted(HERE.glob("*.patch"))


@pytest.mark.parametrize("patch", PATCHES, ids=lambda patch: patch.stem)
def test_patch_applies(patch: Path) -> None:
    assert check(patch) == ""


def test_patch_that_does_not_apply(tmp_path: Path) -> None:
    shutil.copytree(page.ROOT / "src", tmp_path / "src", ignore=shutil.ignore_patterns("*.so"))
    assert check(HERE / "cork.patch", tmp_path) == ""
    pump = tmp_path / "src" / "duplexer" / "asyncio" / "pump.py"
    pump.write_text(pump.read_text().replace("self.dirty", "self.soiled"))
    assert "does not apply" in check(HERE / "cork.patch", tmp_path)


def test_each_patch_has_a_mechanism() -> None:
    assert {one.patch for one in MECHANISMS if one.patch} == set(PATCHES)


def test_rows_are_those_of_the_benchmarks() -> None:
    known = {row.name for row in SCENARIOS} | {""}
    for one in MECHANISMS:
        assert {*one.rows, one.counted} <= known


def test_page_is_drawn_from_the_record(tmp_path: Path) -> None:
    drawn = tmp_path / "page.md"
    shutil.copy(page.PAGE, drawn)
    page.write(page.Record.load(), drawn)
    assert drawn.read_text() == page.PAGE.read_text()


def test_tables(tmp_path: Path) -> None:
    drawn = tmp_path / "page.md"
    drawn.write_text(f"before\n{page.BEGIN}\nold\n{page.END}\nafter\n")
    record = page.Record(
        times={"ping": {ALL: [5.0, 4.0], "tcp": [8.0, 6.0]}},
        counts={"ping": {ALL: {"calls": 2.0, "faults": 0}, "tcp": {"calls": 3.0, "faults": 0}}},
    )
    path = tmp_path / "record.json"
    record.save(path)
    page.write(page.Record.load(path), drawn)
    text = drawn.read_text()
    assert text.startswith("before\n")
    assert text.endswith("\nafter\n")
    assert "old" not in text
    assert "| ping | 4.0 µs | 6.0 | **×1.50** | 15% |" in text
    assert "| `tcp` | ping | – | 2.00 → 3.00 | 0 |" in text
