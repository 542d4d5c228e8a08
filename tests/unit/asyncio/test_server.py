"""``serve`` and ``broadcast``, in short. Behaviour is in tests/contract/."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from duplexer.asyncio.client import connect
from duplexer.asyncio.connection import Listener
from duplexer.asyncio.server import broadcast, serve
from duplexer.errors import ConnectionClosedError, InvalidStatus
from duplexer.limits import Limits
from tests.unit.asyncio.conftest import Serving


@pytest.mark.parametrize(
    ("kwargs", "error"),
    [
        ({"compression": "gzip"}, ValueError),
        ({"origins": "http://a"}, TypeError),
        ({"subprotocols": ["a b"]}, ValueError),
        ({"max_size": 0}, ValueError),
        ({"server_header": "a\r\nb"}, ValueError),
    ],
)
def test_arguments(kwargs: Any, error: Any) -> None:
    with pytest.raises(error):
        serve(lambda ws: None, "127.0.0.1", 0, **kwargs)


async def test_a_handler_is_needed() -> None:
    with pytest.raises(TypeError, match="handler"):
        await serve(5, "127.0.0.1", 0)  # type: ignore[arg-type]


async def test_the_handlers_end_is_the_connections(serving: Serving) -> None:
    async def nothing(ws: Any) -> None:
        pass

    async with serving(nothing) as (_, uri), connect(uri, proxy=None) as ws:
        assert [message async for message in ws] == []
        assert ws.close_code == 1000


async def test_a_handler_that_fails(serving: Serving, caplog: pytest.LogCaptureFixture) -> None:
    async def fail(ws: Any) -> None:
        raise RuntimeError("the secret")

    async with serving(fail) as (_, uri), connect(uri, proxy=None) as ws:
        with pytest.raises(ConnectionClosedError):
            await ws.recv()
        assert (ws.session.close_rcvd.code, ws.session.close_rcvd.reason) == (1011, "")
    assert "the secret" in caplog.text


async def test_a_listener(serving: Serving) -> None:
    seen: list[Any] = []

    class Echo(Listener):
        def on_open(self, ws: Any) -> None:
            seen.append("open")

        def on_message(self, ws: Any, message: Any) -> None:
            ws.send_nowait(message)

        def on_close(self, ws: Any, exc: Any) -> None:
            seen.append(exc.rcvd.code)

    async with serving(Echo) as (_, uri):
        async with connect(uri, proxy=None) as ws:
            await ws.send("x")
            assert await ws.recv() == "x"
    assert seen == ["open", 1000]


async def test_broadcast(serving: Serving) -> None:
    async with serving() as (server, uri):
        clients = [await connect(uri, proxy=None) for _ in range(5)]
        for client in clients:
            await client.send("here")
            await client.recv()
        broadcast(server.connections, "Hello")
        assert [await client.recv() for client in clients] == ["Hello"] * 5
        await asyncio.gather(*[client.close() for client in clients])


async def test_no_more_than_so_many(serving: Serving) -> None:
    async with serving(limits=Limits(max_connections=1)) as (_, uri):
        async with connect(uri, proxy=None):
            with pytest.raises(InvalidStatus, match="503"):
                await connect(uri, proxy=None)


async def test_closing_says_goodbye(serving: Serving) -> None:
    async with serving() as (server, uri):
        ws = await connect(uri, proxy=None)
        assert server.is_serving()
        server.close()
        await server.wait_closed()
        await ws.wait_closed()
        assert ws.close_code == 1001 and not server.connections
