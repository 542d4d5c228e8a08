"""``connect``. What it does is in tests/contract/."""

from __future__ import annotations

import asyncio
import socket

import pytest

from duplexer.asyncio.client import ClientConnection, connect
from duplexer.driver.retry import Retry, Retrying
from tests.unit.asyncio.conftest import Serving


async def test_await_context_and_iteration(serving: Serving) -> None:
    async with serving() as (_, uri):
        connection = await connect(uri, proxy=None)
        assert isinstance(connection, ClientConnection)
        await connection.close()
        async with connect(uri, proxy=None) as ws:
            await ws.send("Hello")
            assert await ws.recv() == "Hello"
        count = 0
        async for ws in connect(uri, proxy=None):
            count += 1
            await ws.close()
            if count == 2:
                break
        assert count == 2


async def test_nobody_answers() -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    with pytest.raises(TimeoutError, match="opening handshake"):
        await connect(f"ws://127.0.0.1:{port}/", proxy=None, open_timeout=0.1)
    server.close()
    await server.wait_closed()
    await asyncio.sleep(0.01)
    with pytest.raises(OSError):
        await connect(f"ws://127.0.0.1:{port}/", proxy=None)


async def test_awaited_twice_at_once_each_counts_for_itself() -> None:
    attempts: dict[Retrying, list[int]] = {}
    both = asyncio.Event()

    async def before(retrying: Retrying) -> None:
        attempts.setdefault(retrying, []).append(retrying.attempt)
        if len(attempts) == 2:
            both.set()
        await both.wait()  # neither connects before the other has begun

    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    retry = Retry(base=0.01, cap=0.01, attempts=3, before=before)
    connector = connect(f"ws://127.0.0.1:{port}/", proxy=None, retry=retry)

    async def fail() -> None:
        with pytest.raises(OSError):
            await connector

    async with asyncio.timeout(40):
        await asyncio.gather(fail(), fail())
    assert [*attempts.values()] == [[1, 2, 3], [1, 2, 3]]
    assert connector.retrying is [*attempts][1]
