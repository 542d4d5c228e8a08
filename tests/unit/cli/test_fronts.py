"""The same few calls do the same by every front."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest

import duplexer
from duplexer.cli.fronts import FRONTS, connections
from duplexer.driver.retry import Retry
from duplexer.errors import ConnectionClosedOK, InvalidStatus


@contextlib.asynccontextmanager
async def server(handler: Any, **kwargs: Any) -> Any:
    async with duplexer.serve(handler, "127.0.0.1", 0, **kwargs) as running:
        port = running.sockets[0].getsockname()[1]
        yield f"ws://127.0.0.1:{port}/", running


async def echo(ws: Any) -> None:
    async for message in ws:
        await ws.send(message)


@pytest.mark.parametrize("front", FRONTS)
async def test_a_conversation(front: str) -> None:
    async with server(echo) as (uri, running):
        source = connections(front, uri, again=False, proxy=None)
        async with contextlib.aclosing(source):
            ws = await anext(source)
            await ws.send("text")
            await ws.send(b"bytes")
            assert [await ws.recv(), await ws.recv()] == ["text", b"bytes"]
            assert 0 < await (await ws.ping()) < 60
            assert ws.remote_address[1] == running.sockets[0].getsockname()[1]
            await ws.close(4000, "enough")
            with pytest.raises(duplexer.ConnectionClosedError):
                await ws.recv()
            assert "4000" in ws.explain()
            with pytest.raises(StopAsyncIteration):
                await anext(source)


@pytest.mark.parametrize("front", FRONTS)
async def test_a_refusal_is_the_callers(front: str) -> None:
    async with server(echo, process_request=lambda ws, request: ws.respond(403, "no")) as (uri, _):
        source = connections(front, uri, again=False, proxy=None)
        with pytest.raises(InvalidStatus):
            await anext(source)


@pytest.mark.parametrize("front", FRONTS)
async def test_one_after_the_other(front: str) -> None:
    async def goodbye(ws: Any) -> None:
        await ws.close(1001)

    async with server(goodbye) as (uri, _):
        source = connections(front, uri, again=True, proxy=None, retry=Retry(base=0.001, cap=0.001))
        async with contextlib.aclosing(source):
            for _ in range(3):
                ws = await anext(source)
                with pytest.raises(ConnectionClosedOK):
                    await ws.recv()


@pytest.mark.parametrize("front", FRONTS)
async def test_who_leaves_leaves_nothing_open(front: str) -> None:
    async with server(echo) as (uri, running):
        source = connections(front, uri, again=True, proxy=None, retry=Retry())
        ws = await anext(source)
        await ws.send("x")
        assert await ws.recv() == "x"
        await source.aclose()
        running.close()
        await running.wait_closed()
        assert not running.connections
