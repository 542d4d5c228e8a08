"""The bus between two of its ends."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from duplexer.asyncio.client import connect
from duplexer.core.prepared import Prepared
from duplexer.limits import Limits
from duplexer.workers.bus import Bus
from duplexer.workers.groups import Group
from tests.unit.asyncio.conftest import Serving

PATIENCE = 20.0


@asynccontextmanager
async def pair(limits: Limits | None = None) -> AsyncIterator[tuple[Bus, Bus]]:
    one, other = Bus(limits or Limits()), Bus(limits or Limits())
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
        assert "did not reach this one" in caplog.text


async def test_a_message_has_a_bound() -> None:
    async with pair(Limits(bus_message=100)) as (one, _):
        one.publish("room", Prepared(b"x" * 100))
        with pytest.raises(ValueError, match="bus_message"):
            one.publish("room", Prepared(b"x" * 101))
