"""The exact timer and the loop's own: they call back, once, and not before the time."""

from __future__ import annotations

import asyncio
import sys
from time import perf_counter_ns

import pytest

from duplexer.cli.load import timer as module
from duplexer.cli.load.timer import Timer, timer


@pytest.mark.every_loop
@pytest.mark.parametrize("platform", [sys.platform, "elsewhere"])
async def test_it_calls_back_when_the_time_has_come(
    monkeypatch: pytest.MonkeyPatch, platform: str
) -> None:
    monkeypatch.setattr(module.sys, "platform", platform)
    times: list[int] = []
    rung = asyncio.Event()

    def ring() -> None:
        times.append(perf_counter_ns())
        rung.set()

    clock = timer(ring)
    assert (type(clock) is Timer) == (platform == "elsewhere" or sys.platform != "linux")
    async with asyncio.timeout(20):
        for delay in (0, 3_000_000, -5):
            rung.clear()
            when = perf_counter_ns() + delay
            clock.at(when + 60_000_000_000)  # the later call is the one that counts
            clock.at(when)
            await rung.wait()
            assert times[-1] >= when - 1_000_000  # uvloop counts milliseconds
    assert len(times) == 3
    clock.close()
    clock.close()


async def test_the_past_is_now() -> None:
    rung = asyncio.Event()
    clock = timer(rung.set)
    clock.at(0)
    async with asyncio.timeout(20):
        await rung.wait()
    clock.close()


async def test_without_a_timerfd_it_is_the_loops(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_callback: object) -> Timer:
        raise OSError(38, "not implemented")

    monkeypatch.setattr(module, "FileTimer", refuse)
    assert type(timer(lambda: None)) is Timer
