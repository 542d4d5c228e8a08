"""The table of attacks: every row once, and every test that it names is there."""

from __future__ import annotations

import re
from pathlib import Path

TESTS = Path(__file__).parents[1]
PAGE = TESTS.parent / "docs/explanation/threat-model.md"
ROWS = re.findall(r"^\| (\d+) \| (.+?) \| (.+?) \| (.+?) \|$", PAGE.read_text(), re.MULTILINE)


def test_every_row_is_there_once() -> None:
    assert [int(row[0]) for row in ROWS] == list(range(1, 75))


def test_a_row_without_a_test_says_when_there_will_be_one() -> None:
    for number, _, what, tests in ROWS:
        assert ("comes with" in what) == (tests == "–"), number


def test_the_tests_are_there() -> None:
    named = set()
    for number, _, _, tests in ROWS:
        for name in re.findall(r"`(.+?)`", tests):
            path, _, function = name.partition("::")
            assert (TESTS / path).is_file(), f"row {number}: {path}"
            if function:
                pattern = rf"^(async )?def {function}\("
                found = re.search(pattern, (TESTS / path).read_text(), re.MULTILINE)
                assert found, f"row {number}: {name}"
                named.add(function)
    assert len(named) > 80
