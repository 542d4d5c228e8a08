"""How long to wait before connecting again."""

from __future__ import annotations

import itertools
import random

import pytest

from duplexer.driver.backoff import FIRST, LONGEST, backoff


def test_each_ceiling_is_twice_the_one_before(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[float, float]] = []
    monkeypatch.setattr(random, "uniform", lambda a, b: asked.append((a, b)) or b)
    assert list(itertools.islice(backoff(), 9)) == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    assert {low for low, _ in asked} == {0}


def test_delays_are_spread() -> None:
    first = [next(backoff()) for _ in range(500)]
    assert all(0 <= delay <= FIRST for delay in first)
    assert min(first) < 0.1 * FIRST and max(first) > 0.9 * FIRST
    late = [next(itertools.islice(backoff(), 50, None)) for _ in range(200)]
    assert all(0 <= delay <= LONGEST for delay in late) and max(late) > LONGEST / 2
