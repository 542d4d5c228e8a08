"""Scripts on real sockets."""

from __future__ import annotations

import asyncio
import socket
import ssl
from typing import Any

import pytest
import trustme

from duplexer.asyncio.client import connect
from duplexer.asyncio.server import serve
from duplexer.errors import ConnectionClosedError, InvalidHandshake, InvalidStatus
from duplexer.testing import scripted
from duplexer.testing.script import (
    ScriptMismatch,
    close,
    drop,
    expect,
    expect_end,
    refuse,
    reset,
    send,
    stall,
    wait,
)
from duplexer.testing.scripted import ScriptedClient, ScriptedServer


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scripted, "PATIENCE", 0.2)


async def shout(ws: Any) -> None:
    async for message in ws:
        await ws.send(message.upper())


def uri_of(server: Any) -> str:
    return f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/"


async def test_a_server() -> None:
    with ScriptedServer([expect("hello"), wait(0.001), send("world")]) as server:
        async with connect(server.uri, proxy=None) as ws:
            await ws.send("hello")
            assert await ws.recv() == "world"
        assert ws.close_code == 1000
    assert server.mismatch is None


async def test_one_script_for_each_connection() -> None:
    async with ScriptedServer([send("1"), drop()], [send("2"), close(1001)]) as server:
        seen = []
        async for ws in connect(server.uri, proxy=None):
            seen.append(await ws.recv())
            await ws.wait_closed()
            if len(seen) == 2:
                break
    assert seen == ["1", "2"]


async def test_again_and_again() -> None:
    with ScriptedServer([send("1")], [send("2")], repeat=True) as server:
        for wanted in "1222":
            async with connect(server.uri, proxy=None) as ws:
                assert await ws.recv() == wanted


async def test_one_connection_too_many() -> None:
    with pytest.raises(ScriptMismatch, match="connection 2 of the scripted server: there are"):
        with ScriptedServer([send("1")]) as server:
            async with connect(server.uri, proxy=None):
                pass
            with pytest.raises((OSError, InvalidHandshake)):
                await connect(server.uri, proxy=None)


async def test_one_connection_too_few() -> None:
    with pytest.raises(ScriptMismatch, match="no client has come"):
        with ScriptedServer([send("1")]):
            pass


async def test_a_mismatch() -> None:
    with pytest.raises(ScriptMismatch, match="text 'hullo' came") as caught:
        async with ScriptedServer([expect("hello")]) as server:
            async with connect(server.uri, proxy=None) as ws:
                await ws.send("hullo")
                await ws.recv()
    assert isinstance(caught.value.__cause__, ConnectionClosedError)


async def test_what_has_not_happened() -> None:
    with pytest.raises(ScriptMismatch, match=r"(?s)this has not happened.*> expect\('hello'\)"):
        with ScriptedServer([expect("hello")]) as server:
            ws = await connect(server.uri, proxy=None)
    await ws.wait_closed()


@pytest.mark.parametrize("step", [reset(), drop()], ids=repr)
async def test_ends(step: Any) -> None:
    with ScriptedServer([send("x"), step]) as server:
        async with connect(server.uri, proxy=None) as ws:
            assert await ws.recv() == "x"
            with pytest.raises(ConnectionClosedError):
                await ws.recv()


async def test_stalled() -> None:
    with ScriptedServer([stall()]) as server:
        async with connect(server.uri, proxy=None, close_timeout=0.05) as ws:
            await ws.send("x")


async def test_refused() -> None:
    with ScriptedServer([refuse(503)]) as server:
        with pytest.raises(InvalidStatus):
            await connect(server.uri, proxy=None)


async def test_tls() -> None:
    authority = trustme.CA()
    ours, theirs = ssl.create_default_context(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.configure_trust(ours)
    authority.issue_cert("127.0.0.1").configure_cert(theirs)
    with ScriptedServer([send("secret")], ssl=theirs) as server:
        assert server.uri.startswith("wss://")
        async with connect(server.uri, ssl=ours, proxy=None) as ws:
            assert await ws.recv() == "secret"
    async with serve(shout, "127.0.0.1", 0, ssl=theirs) as shouting:
        uri = uri_of(shouting).replace("ws:", "wss:")
        async with ScriptedClient(uri, [send("a"), expect("A"), close()], ssl=ours):
            pass
    with pytest.raises(TypeError, match="ssl="):
        ScriptedClient("wss://localhost/", [])


async def test_a_client() -> None:
    paths: list[str] = []

    async def handler(ws: Any) -> None:
        paths.append((ws.request.path, ws.request.headers.get("X-A")))  # type: ignore[arg-type]
        await shout(ws)

    async with serve(handler, "127.0.0.1", 0) as server:
        script = [send("hello"), expect("HELLO"), close()]
        async with ScriptedClient(uri_of(server) + "room?x", script, headers={"X-A": "1"}):
            pass
        with pytest.raises(ScriptMismatch, match="text 'HELLO' came"):
            async with ScriptedClient(uri_of(server), [send("hello"), expect("hello")]):
                pass
    assert paths[0] == ("/room?x", "1")


async def test_nobody_is_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(ScriptMismatch, match="the connection failed"):
        async with ScriptedClient(f"ws://127.0.0.1:{port}/", [close()]):
            pass


def test_without_a_loop() -> None:
    """Any client will do: here it is one of plain sockets."""
    with ScriptedServer([expect_end()]) as server:
        host, _, port = server.uri.removeprefix("ws://").rstrip("/").partition(":")
        with socket.create_connection((host, int(port))) as sock:
            sock.sendall(
                b"GET / HTTP/1.1\r\nHost: a\r\nSec-WebSocket-Key: x\r\nUpgrade: websocket\r\n\r\n"
            )
            assert sock.recv(12) == b"HTTP/1.1 101"


def test_under_trio() -> None:
    trio: Any = pytest.importorskip("trio", reason="needs trio")

    async def run() -> None:
        async with ScriptedServer([expect_end()]) as server:
            port = int(server.uri.rstrip("/").rpartition(":")[2])
            stream = await trio.open_tcp_stream("127.0.0.1", port)
            await stream.send_all(b"GET / HTTP/1.1\r\nSec-WebSocket-Key: x\r\n\r\n")
            assert (await stream.receive_some()).startswith(b"HTTP/1.1 101")
            await stream.aclose()

    trio.run(run)


async def test_the_loop_goes_on_while_a_script_is_waited_for() -> None:
    async with ScriptedServer([expect("hello"), close()]) as server:
        ws = await connect(server.uri, proxy=None)
        asyncio.get_running_loop().call_soon(ws.send_nowait, "hello")
    await ws.wait_closed()


def test_no_script() -> None:
    with pytest.raises(TypeError, match="needs a script"):
        ScriptedServer()
