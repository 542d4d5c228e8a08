"""The bus between two of its ends."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from duplexer.asyncio.client import connect
from duplexer.core.prepared import Prepared
from duplexer.limits import Limits
from duplexer.policy.guard import Guard
from duplexer.workers.bus import Bus
from duplexer.workers.groups import Group
from tests.unit.asyncio.conftest import Serving

PATIENCE = 20.0


@asynccontextmanager
async def pair(limits: Limits | None = None) -> AsyncIterator[tuple[Bus, Bus]]:
    limits = limits or Limits()
    one, other = Bus(limits, Guard(limits)), Bus(limits)
    first, second = socket.socketpair()
    await one.join(first)
    await other.join(second)
    try:
        yield one, other
    finally:
        one.close()
        other.close()
        async with asyncio.timeout(PATIENCE):
            while one.links or other.links:  # noqa: ASYNC110 - nothing tells of it
                await asyncio.sleep(0)


async def test_it_is_heard_there(serving: Serving) -> None:
    async def enter(ws: object) -> None:
        Group("room").add(ws)  # type: ignore[arg-type]
        await ws.send("in")  # type: ignore[attr-defined]
        await ws.wait_closed()  # type: ignore[attr-defined]

    async with serving(enter) as (_, uri), pair() as (one, _other):
        async with connect(uri, proxy=None) as ws:
            assert await ws.recv() == "in"
            for message in ("text", b"\0\1", "x" * 300_000):
                one.publish("room", Prepared(message))
                assert await asyncio.wait_for(ws.recv(), PATIENCE) == message
            one.publish("another room", Prepared("not here"))
            one.publish("room", Prepared("last"))
            assert await asyncio.wait_for(ws.recv(), PATIENCE) == "last"


async def test_what_is_not_taken_is_dropped_counted_and_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    limits = Limits(bus_queue=200_000)
    async with pair(limits) as (one, other):
        (link,) = other.links
        link._transport.pause_reading()
        for _ in range(100):
            one.publish("room", Prepared(b"x" * 50_000))
        assert 0 < one.dropped < 100
        dropped = one.dropped
        assert caplog.text.count("broadcasts to it are dropped") == 1
        link._transport.resume_reading()
        (here,) = one.links
        async with asyncio.timeout(PATIENCE):
            while here._transport.get_write_buffer_size():  # noqa: ASYNC110
                await asyncio.sleep(0)
            one.publish("room", Prepared(b"y"))
            while not other.lost:  # noqa: ASYNC110
                await asyncio.sleep(0)
        assert other.lost == dropped == one.dropped
        assert one.guard is not None and one.guard.struck == {"bus_queue": dropped}
        assert "did not reach this one" in caplog.text


async def test_a_message_has_a_bound() -> None:
    async with pair(Limits(bus_message=100)) as (one, _):
        one.publish("room", Prepared(b"x" * 100))
        with pytest.raises(ValueError, match="bus_message"):
            one.publish("room", Prepared(b"x" * 101))


async def test_a_question_and_its_answer() -> None:
    async with pair(Limits(bus_timeout=PATIENCE)) as (one, other):
        other.answers["0"] = lambda: f"answered in {threading.current_thread().name}"
        for _ in range(2):
            ((answer,), silent) = await one.ask("0")
            assert answer.startswith("answered in ")
            assert answer != f"answered in {threading.current_thread().name}"
            assert silent == 0
            one.publish("room", Prepared("in between"))
    assert await one.ask("0") == ([], 0)  # nobody else is there


async def test_who_has_no_answer_is_counted(caplog: pytest.LogCaptureFixture) -> None:
    async with pair(Limits(bus_message=10, bus_timeout=PATIENCE)) as (one, other):
        assert await one.ask("unknown") == ([], 1)
        other.answers = {"long": lambda: "x" * 11, "wrong": lambda: str(1 // 0), "0": lambda: "x"}
        assert await one.ask("long") == ([], 1)
        assert "Limits.bus_message" in caplog.text
        assert await one.ask("wrong") == ([], 1)
        assert "ZeroDivisionError" in caplog.text
        assert await one.ask("0") == (["x"], 0)


async def test_who_is_late_is_left_out_and_asked_once() -> None:
    async with pair(Limits(bus_timeout=0.01)) as (one, other):
        calls = []

        def answer() -> str:
            calls.append(1)
            return f"answer {len(calls)}"

        other.answers["0"] = answer
        (link,) = other.links
        link._transport.pause_reading()
        assert await one.ask("0") == ([], 1)
        assert await asyncio.gather(one.ask("0"), one.ask("0")) == [([], 1)] * 2
        link._transport.resume_reading()
        async with asyncio.timeout(PATIENCE):
            while not calls or next(iter(one.links))._asked:  # noqa: ASYNC110
                await asyncio.sleep(0)
        assert calls == [1]
        one.limits = Limits(bus_timeout=PATIENCE)
        assert await one.ask("0") == (["answer 2"], 0)


async def test_who_ends_is_not_waited_for() -> None:
    async with pair(Limits(bus_timeout=3600)) as (one, other):
        (link,) = other.links
        link._transport.pause_reading()
        asking = asyncio.ensure_future(one.ask("0"))
        await asyncio.sleep(0)
        link._transport.abort()
        assert await asyncio.wait_for(asking, PATIENCE) == ([], 0)
