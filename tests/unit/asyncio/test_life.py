"""Opening, deadlines and the end of a connection, on loopback."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from duplexer.asyncio.client import connect
from duplexer.core.closing import State
from duplexer.errors import ConnectionClosedError, ConnectionClosedOK
from duplexer.limits import Limits
from tests.unit.asyncio.conftest import REQUEST, Serving, dial, hang_up
from tests.wire.frames import TEXT, build, parse


async def test_a_breach_is_told_and_the_end_waited_for(serving: Serving) -> None:
    async with serving(close_timeout=5) as (_, uri):
        reader, writer = await dial(uri)
        writer.write(REQUEST)
        await reader.readuntil(b"\r\n\r\n")
        writer.write(build(TEXT, b"Hello", key=None) + b"x" * 10_000)
        (frame,) = parse(await reader.read())
        assert frame.payload[:2] == (1002).to_bytes(2, "big")
        await hang_up(writer)


async def test_closed_by_the_server(serving: Serving) -> None:
    async def leave(ws: Any) -> None:
        await ws.close(4000, "bye")

    async with serving(leave) as (_, uri), connect(uri, proxy=None) as ws:
        with pytest.raises(ConnectionClosedError):
            await ws.recv()
        await ws.wait_closed()
        assert (ws.close_code, ws.close_reason, ws.state) == (4000, "bye", State.CLOSED)
        with pytest.raises(ConnectionClosedError):
            await ws.send("x")


async def test_closed_by_us(serving: Serving) -> None:
    async with serving() as (_, uri):
        ws = await connect(uri, proxy=None)
        await ws.close()
        await ws.close()
        assert ws.close_code == 1000
        with pytest.raises(ConnectionClosedOK):
            await ws.recv()
        assert [message async for message in ws] == []


async def test_lost(serving: Serving) -> None:
    async with serving() as (server, uri), connect(uri, proxy=None) as ws:
        await ws.send("x")
        await ws.recv()
        waiting = asyncio.create_task(ws.recv())
        ping = await ws.ping()
        for peer in list(server.connections):
            peer.abort()
        with pytest.raises(ConnectionClosedError):
            await waiting
        ping.cancel()
        assert ws.close_code == 1006


async def test_a_peer_that_is_silent(serving: Serving) -> None:
    limits = Limits(ping_interval=0.05, ping_timeout=0.05, ping_jitter=0, close_timeout=1)
    ended = asyncio.Event()

    async def wait(ws: Any) -> None:
        await ws.wait_closed()
        ended.set()

    async with serving(wait, limits=limits) as (_, uri):
        reader, writer = await dial(uri)
        writer.write(REQUEST)
        await asyncio.wait_for(ended.wait(), 5)
        await reader.read()
        await hang_up(writer)
