"""An echo server of the asyncio front, for tests of its modules."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import pytest

from duplexer.asyncio.server import Server, serve

Serving = Callable[..., AbstractAsyncContextManager[tuple[Server, str]]]

REQUEST = (
    b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


async def dial(uri: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", int(uri.rpartition(":")[2].rstrip("/")))


async def hang_up(writer: asyncio.StreamWriter) -> None:
    writer.close()
    await writer.wait_closed()


async def echo(ws: Any) -> None:
    async for message in ws:
        await ws.send(message)


@pytest.fixture
def serving() -> Serving:
    """A server on a port of this machine, with its address."""

    @asynccontextmanager
    async def start(handler: Any = echo, **kwargs: Any) -> AsyncIterator[tuple[Server, str]]:
        async with serve(handler, "127.0.0.1", 0, **kwargs) as server:
            port = server.sockets[0].getsockname()[1]
            yield server, f"ws://127.0.0.1:{port}/"

    return start
