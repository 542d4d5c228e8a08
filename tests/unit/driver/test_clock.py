"""How long the machine has been suspended."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import pytest

from duplexer.driver import clock


def test_nobody_suspends_the_machine_within_a_moment() -> None:
    first = clock.suspended()
    assert abs(clock.suspended() - first) < 0.5


@pytest.mark.skipif(not hasattr(time, "CLOCK_BOOTTIME"), reason="needs CLOCK_BOOTTIME")
def test_on_linux_it_is_a_clock_that_nobody_sets(monkeypatch: pytest.MonkeyPatch) -> None:
    before = clock.suspended()
    real = time.clock_gettime(time.CLOCK_BOOTTIME)
    monkeypatch.setattr(time, "time", lambda: 0.0)
    monkeypatch.setattr(time, "clock_gettime", lambda which: real + 3600.0)
    assert clock.suspended() - before == pytest.approx(3600, abs=60)


@pytest.mark.parametrize(
    ("platform", "names", "expected"),
    [
        ("linux", ["CLOCK_BOOTTIME", "CLOCK_MONOTONIC"], "CLOCK_BOOTTIME"),
        ("linux", ["CLOCK_MONOTONIC"], None),
        ("darwin", ["CLOCK_MONOTONIC"], "CLOCK_MONOTONIC"),
        ("darwin", [], None),
        ("win32", [], None),
        ("freebsd14", ["CLOCK_MONOTONIC"], None),
    ],
)
def test_each_system_has_its_clock(
    platform: str, names: list[str], expected: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(time, "clock_gettime", lambda which: asked.append(which) or 5.0)
    for number, name in enumerate(("CLOCK_BOOTTIME", "CLOCK_MONOTONIC")):
        monkeypatch.setattr(time, name, number, raising=False)
    monkeypatch.setattr(time, "time", lambda: 7.0)
    read = clock._clock_for(platform, SimpleNamespace(**dict.fromkeys(names)))
    assert read() == (7.0 if expected is None else 5.0)
    assert asked == ([] if expected is None else [getattr(time, expected)])
