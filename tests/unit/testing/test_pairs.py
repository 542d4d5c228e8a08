"""Pairs of the asyncio front, in memory."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from duplexer.asyncio.client import ClientConnection
from duplexer.asyncio.connection import Listener
from duplexer.asyncio.server import ServerConnection
from duplexer.core.closing import State
from duplexer.errors import ConnectionClosedError, InvalidStatus
from duplexer.limits import Limits
from duplexer.testing.links import Link
from duplexer.testing.pairs import connect_to, pair, serve
from tests.unit.testing.conftest import until


async def shout(ws: Any) -> None:
    async for message in ws:
        await ws.send(message.upper())


async def test_both_ends() -> None:
    async with pair(subprotocols=["chat"], additional_headers={"X-A": "1"}) as (client, server):
        assert isinstance(client, ClientConnection) and isinstance(server, ServerConnection)
        assert client.subprotocol == server.subprotocol == "chat"
        assert server.request is not None and server.request.headers["X-A"] == "1"
        assert [extension.name for extension in client.extensions] == ["permessage-deflate"]
        await client.send("hello")
        assert await server.recv() == "hello"
        await server.send(b"x" * 500_000)
        assert await client.recv() == b"x" * 500_000
        assert await (await client.ping()) >= 0
    assert client.close_code == server.close_code == 1000
    assert client.state is server.state is State.CLOSED


async def test_arguments_of_both_and_of_one() -> None:
    limits = Limits(ping_interval=3)
    async with pair(
        limits=limits, compression=None, client={"max_size": 10}, server={"server_header": "Mine"}
    ) as (client, server):
        assert client.limits == limits.replace(max_message=10) and server.limits == limits
        assert client.response is not None and client.response.headers["Server"] == "Mine"
        assert client.extensions == ()


async def test_leaving_by_an_error_tells_the_peer() -> None:
    with pytest.raises(ZeroDivisionError):
        async with pair() as (_, server):
            raise ZeroDivisionError
    assert server.close_code == 1011


async def test_a_handler() -> None:
    async with connect_to(shout, "/room?x=1") as ws:
        await ws.send("hello")
        assert await ws.recv() == "HELLO"
        assert ws.request is not None and ws.request.path == "/room?x=1"


async def test_a_listener() -> None:
    class Shout(Listener):
        def on_message(self, ws: Any, message: Any) -> None:
            ws.send_nowait(message.upper())

    async with connect_to(Shout) as ws:
        await ws.send("hello")
        assert await ws.recv() == "HELLO"


async def test_hooks_of_the_server() -> None:
    def refuse(connection: Any, request: Any) -> Any:
        return connection.respond(403, "not you") if request.path == "/secret" else None

    async with serve(shout, process_request=refuse) as server:
        with pytest.raises(InvalidStatus) as caught:
            await server.connect("/secret")
        assert caught.value.response.status_code == 403
        async with server.connect() as one, server.connect() as other:
            assert len(server.connections) == 2
            await one.send("a")
            await other.send("b")
            assert [await one.recv(), await other.recv()] == ["A", "B"]
    with pytest.raises(ConnectionRefusedError):
        await server.connect()


async def test_reconnecting() -> None:
    async def once(ws: Any) -> None:
        await ws.send("hello")

    seen = []
    async with serve(once) as server:
        async for ws in server.connect():
            seen.append(await ws.recv())
            if len(seen) == 3:
                break
        await ws.close()
    assert seen == ["hello"] * 3


async def test_a_handler_that_fails(caplog: pytest.LogCaptureFixture) -> None:
    async def fail(ws: Any) -> None:
        raise ZeroDivisionError

    async with connect_to(fail) as ws:
        with pytest.raises(ConnectionClosedError):
            await ws.recv()
    assert ws.close_code == 1011
    assert "connection handler failed" in caplog.text


async def test_a_link_that_fails() -> None:
    link = Link()
    async with pair(link=link) as (client, server):
        await client.send("lost")
        link.reset()
        for end in (client, server):
            with pytest.raises(ConnectionClosedError) as caught:
                await end.recv()
            assert isinstance(caught.value.__cause__, ConnectionResetError)


@pytest.mark.parametrize("how", ["stall", "drop"])
async def test_leaving_does_not_wait_for_a_broken_link(how: str) -> None:
    link = Link()
    async with pair(link=link, close_timeout=None) as (client, server):
        getattr(link, how)()
        await client.send("lost")
    assert client.state is server.state is State.CLOSED


@pytest.mark.parametrize("split", [1, 2, 7, (1, 100)])
async def test_any_pieces_will_do(split: Any) -> None:
    async with connect_to(shout, link=Link(split=split)) as ws:
        for message in ("hello", "", "x" * 3000):
            await ws.send(message)
        assert [await ws.recv() for _ in range(3)] == ["HELLO", "", "X" * 3000]


async def test_a_slow_reader_holds_its_writer_up() -> None:
    async with pair(compression=None, link=Link(capacity=1000), ping_interval=None) as ends:
        client, server = ends

        async def pour() -> None:
            for _ in range(100):
                await client.send(bytes(10_000))

        pouring = asyncio.create_task(pour())
        await until(lambda: client.write_paused)
        for _ in range(100):
            assert await server.recv() == bytes(10_000)
        await pouring


async def test_wrong_arguments() -> None:
    with pytest.raises(TypeError, match="host has no meaning"):
        async with serve(shout, host="localhost"):
            pass
    with pytest.raises(TypeError, match="handler must be"):
        async with connect_to("no handler"):  # type: ignore[arg-type]
            pass
