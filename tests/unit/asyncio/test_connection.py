"""What the user of a connection calls, in short. Behaviour is in tests/contract/."""

from __future__ import annotations

import enum
from typing import Any

import pytest

from duplexer.asyncio.client import connect
from duplexer.core.prepared import Prepared
from duplexer.errors import ConcurrencyError
from tests.naming import shown
from tests.unit.asyncio.conftest import Serving


class Colour(enum.StrEnum):
    RED = "red"


async def pieces() -> Any:
    yield "a"
    yield "b"


@pytest.mark.parametrize(
    ("message", "echoed"),
    [
        ("x", "x"),
        (b"x", b"x"),
        (bytearray(b"x"), b"x"),
        (memoryview(b"abcdef").cast("B", (2, 3)), b"abcdef"),
        (Colour.RED, "red"),
        (["a", "b"], "ab"),
        ([b"a", b"b"], b"ab"),
        (pieces, "ab"),
        (Prepared("x" * 1000), "x" * 1000),
    ],
    ids=shown,
)
async def test_send(serving: Serving, message: Any, echoed: Any) -> None:
    async with serving() as (_, uri), connect(uri, proxy=None) as ws:
        await ws.send(message() if message is pieces else message)
        assert await ws.recv() == echoed


@pytest.mark.parametrize("message", [None, 5, {"a": 1}, object()])
async def test_what_cannot_be_sent(serving: Serving, message: Any) -> None:
    async with serving() as (_, uri), connect(uri, proxy=None) as ws:
        with pytest.raises(TypeError):
            await ws.send(message)
        await ws.send("still open")
        assert await ws.recv() == "still open"


async def test_streaming(serving: Serving) -> None:
    async with serving() as (_, uri), connect(uri, proxy=None) as ws:
        await ws.send("ü" * 100_000)
        received = [piece async for piece in ws.recv_streaming()]
        assert "".join(received) == "ü" * 100_000


async def test_ping(serving: Serving) -> None:
    async with serving() as (_, uri), connect(uri, proxy=None) as ws:
        waiter = await ws.ping("Hello")
        with pytest.raises(ConcurrencyError):
            await ws.ping(b"Hello")
        assert 0 < await waiter < 10
        assert ws.latency > 0
        with pytest.raises(ValueError, match="125"):
            await ws.ping("x" * 126)
        await ws.pong("unasked")


async def test_what_it_tells(serving: Serving) -> None:
    async with serving() as (server, uri), connect(uri, proxy=None) as ws:
        await ws.send("x")
        await ws.recv()
        (peer,) = server.connections
        assert ws.local_address == peer.remote_address
        assert ws.remote_address == peer.local_address
        assert ws.buffered_amount == 0
        assert str(ws.id) in repr(ws) and "OPEN" in repr(ws)
        ws.anything = 1
