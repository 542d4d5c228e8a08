"""A bad network on real sockets."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest

from duplexer.asyncio.client import connect
from duplexer.asyncio.server import serve
from duplexer.errors import ConnectionClosedError, InvalidHandshake
from duplexer.testing.links import Link
from duplexer.testing.relay import Relay
from duplexer.testing.script import drop, send
from duplexer.testing.scripted import ScriptedServer


async def shout(ws: Any) -> None:
    async for message in ws:
        await ws.send(message.upper())


@pytest.fixture
def shouting() -> Any:
    return serve(shout, "127.0.0.1", 0, ping_interval=None)


def uri_of(server: Any) -> str:
    return f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/a?b"


@pytest.mark.parametrize("faults", [{}, {"split": (1, 5)}, {"delay": 0.001, "jitter": 0.001}])
async def test_everything_arrives(shouting: Any, faults: Any) -> None:
    async with shouting as server:
        with Relay(uri_of(server), Link(**faults)) as relay:
            assert relay.uri == f"ws://127.0.0.1:{relay.port}/a?b"
            async with connect(relay.uri, proxy=None) as ws:
                for message in ("hello", "", "x" * 3000):
                    await ws.send(message)
                assert [await ws.recv() for _ in range(3)] == ["HELLO", "", "X" * 3000]
            assert ws.close_code == 1000


async def test_back_pressure(shouting: Any) -> None:
    async with shouting as server:
        async with Relay(uri_of(server), Link(capacity=1000)) as relay:
            async with connect(relay.uri, proxy=None, compression=None) as ws:
                sending = asyncio.create_task(ws.send("x" * 1_000_000))
                assert await ws.recv() == "X" * 1_000_000
                await sending


async def test_reset(shouting: Any) -> None:
    async with shouting as server:
        with Relay(uri_of(server)) as relay:
            async with connect(relay.uri, proxy=None) as ws:
                await ws.send("hello")
                await ws.recv()
                relay.link.reset()
                with pytest.raises(ConnectionClosedError) as caught:
                    await ws.recv()
                assert isinstance(caught.value.__cause__, ConnectionResetError)
            async with asyncio.timeout(40):
                while server.connections:  # noqa: ASYNC110
                    await asyncio.sleep(0.001)


async def test_stall_and_resume(shouting: Any) -> None:
    async with shouting as server:
        with Relay(uri_of(server)) as relay:
            async with connect(relay.uri, proxy=None) as ws:
                relay.link.to_server.stall()
                await ws.send("hello")
                receiving = asyncio.ensure_future(asyncio.create_task(ws.recv()))  # type: ignore[arg-type]
                await asyncio.wait([receiving], timeout=0.05)
                assert not receiving.done()
                relay.link.resume()
                assert await receiving == "HELLO"


async def test_a_black_hole(shouting: Any) -> None:
    async with shouting as server:
        with Relay(uri_of(server)) as relay:
            async with connect(
                relay.uri, proxy=None, ping_interval=0.05, ping_timeout=0.05, close_timeout=0.1
            ) as ws:
                relay.link.drop()
                with pytest.raises(ConnectionClosedError) as caught:
                    await ws.recv()
                assert "ping_timeout" in str(caught.value.__cause__)


@pytest.mark.parametrize("cut", ["end", "reset"])
async def test_cut(shouting: Any, cut: Any) -> None:
    async with shouting as server:
        link = Link()
        link.to_client.cut_after, link.to_client.cut = 1000, cut
        with Relay(uri_of(server), link) as relay:
            async with connect(relay.uri, proxy=None, compression=None) as ws:
                await ws.send("x" * 5000)
                with pytest.raises(ConnectionClosedError):
                    await ws.recv()


async def test_an_end_is_passed_on() -> None:
    with ScriptedServer([send("last words"), drop()]) as server, Relay(server.uri) as relay:
        async with connect(relay.uri, proxy=None) as ws:
            assert await ws.recv() == "last words"
            with pytest.raises(ConnectionClosedError) as caught:
                await ws.recv()
            assert caught.value.__cause__ is None


async def test_there_is_no_server() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with Relay(f"ws://127.0.0.1:{port}/") as relay:
        with pytest.raises((OSError, InvalidHandshake)):
            await connect(relay.uri, proxy=None)


async def test_nothing_is_left(shouting: Any) -> None:
    async with shouting as server:
        with Relay(uri_of(server)) as relay:
            ws = await connect(relay.uri, proxy=None)
        with pytest.raises(ConnectionClosedError):
            await ws.recv()
        assert not relay.carried
