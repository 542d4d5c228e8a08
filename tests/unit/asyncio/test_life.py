"""Opening, deadlines and the end of a connection, on loopback."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from duplexer.asyncio.client import connect
from duplexer.core.closing import State
from duplexer.errors import ConnectionClosedError, ConnectionClosedOK, HttpError
from duplexer.limits import Limits
from tests.unit.asyncio.conftest import Serving
from tests.wire.frames import TEXT, build, parse

REQUEST = (
    b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


async def dial(uri: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", int(uri.rpartition(":")[2].rstrip("/")))


async def hang_up(writer: asyncio.StreamWriter) -> None:
    writer.close()
    await writer.wait_closed()


async def test_frames_that_come_with_the_request(serving: Serving) -> None:
    async with serving() as (_, uri):
        reader, writer = await dial(uri)
        writer.write(REQUEST + build(TEXT, b"Hello"))
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101 ")
        assert parse(await reader.readexactly(7))[0].payload == b"Hello"
        await hang_up(writer)


async def test_a_breach_is_told_and_the_end_waited_for(serving: Serving) -> None:
    async with serving(close_timeout=5) as (_, uri):
        reader, writer = await dial(uri)
        writer.write(REQUEST)
        await reader.readuntil(b"\r\n\r\n")
        writer.write(build(TEXT, b"Hello", key=None) + b"x" * 10_000)
        (frame,) = parse(await reader.read())
        assert frame.payload[:2] == (1002).to_bytes(2, "big")
        await hang_up(writer)


@pytest.mark.parametrize("sync", [True, False])
async def test_a_hook_may_refuse(serving: Serving, sync: bool) -> None:
    def refuse(connection: Any, request: Any) -> None:
        raise HttpError(402, "pay first")

    async def refuse_later(connection: Any, request: Any) -> None:
        await asyncio.sleep(0)
        refuse(connection, request)

    async with serving(process_request=refuse if sync else refuse_later) as (_, uri):
        reader, writer = await dial(uri)
        writer.write(REQUEST)
        answer = await reader.read()
        assert answer.startswith(b"HTTP/1.1 402 ") and b"pay first" in answer
        await hang_up(writer)


async def test_slow_requests_are_not_waited_for(serving: Serving) -> None:
    async with serving(open_timeout=0.05) as (_, uri):
        reader, writer = await dial(uri)
        writer.write(REQUEST[:10])
        assert (await reader.read()).startswith(b"HTTP/1.1 408 ")
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
