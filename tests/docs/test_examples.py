"""Every example runs, and does what its first lines say."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trustme

from duplexer import InvalidStatus, ServerConnection, connect, serve
from tests.docs.pages import ROOT, TIMEOUT, environment, free_port, stop, wait_for_port

EXAMPLES = ROOT / "examples"


async def start(name: str, *arguments: object) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        str(EXAMPLES / name),
        *map(str, arguments),
        env=environment(),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def run(name: str, *arguments: object) -> str:
    """Run an example to its end; what it prints."""
    process = await start(name, *arguments)
    async with asyncio.timeout(TIMEOUT):
        output, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()
    assert not errors, errors.decode()
    return output.decode()


@contextlib.asynccontextmanager
async def running(name: str) -> AsyncIterator[str]:
    """Run an example that serves; gives its address."""
    port = free_port()
    process = await start(name, port)
    try:
        await wait_for_port(port, process)
        yield f"ws://localhost:{port}"
    finally:
        await stop(process)


def test_every_example_has_a_test() -> None:
    text = Path(__file__).read_text(encoding="utf-8")
    for example in EXAMPLES.glob("*.py"):
        assert f'"{example.name}"' in text, example.name


async def test_echo() -> None:
    async with running("echo_server.py") as uri:
        assert await run("echo_client.py", uri, "hello", "wörld") == "hello\nwörld\n"


async def test_server_leaves_on_ctrl_c_while_a_client_is_there() -> None:
    async with contextlib.AsyncExitStack() as stack:
        async with running("echo_server.py") as uri:
            ws = await stack.enter_async_context(connect(uri))
        async with asyncio.timeout(TIMEOUT):
            await ws.wait_closed()
        assert ws.close_code == 1001


async def test_chat() -> None:
    async with (
        running("chat_server.py") as uri,
        connect(uri) as ada,
        asyncio.timeout(TIMEOUT),
    ):
        await ada.send("Ada")
        assert await ada.recv() == "* Ada is here"
        async with connect(uri) as bob:
            await bob.send("Bob")
            assert await ada.recv() == await bob.recv() == "* Bob is here"
            await bob.send("hello")
            assert await ada.recv() == await bob.recv() == "Bob: hello"
        assert await ada.recv() == "* Bob has left"


async def test_reconnecting() -> None:
    visits = 0

    async def handler(ws):  # type: ignore[no-untyped-def]
        nonlocal visits
        visits += 1
        await ws.send(f"visit {visits}")
        if visits == 1:
            await ws.close(1012, "back soon")

    async with serve(handler, "localhost", 0) as server:
        process = await start(
            "reconnecting_client.py", f"ws://localhost:{server.sockets[0].getsockname()[1]}"
        )
        async with asyncio.timeout(TIMEOUT):
            output, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()
    assert output == b"visit 1\nvisit 2\n"
    assert b"lost: The peer closed the connection: 1012 (service restart) back soon." in errors


async def test_tls(tmp_path: Path) -> None:
    authority = trustme.CA()
    leaf = authority.issue_cert("localhost")
    files = [tmp_path / name for name in ("server.crt", "server.key", "ca.crt")]
    leaf.cert_chain_pems[0].write_to_path(files[0])
    leaf.private_key_pem.write_to_path(files[1])
    authority.cert_pem.write_to_path(files[2])
    assert await run("tls.py", *files) == "hello, you\n"


async def test_subprotocols() -> None:
    assert await run("subprotocols.py") == 'sum.v2 {"sum": 6}\nsum.v1 6\n'


async def http(uri: str, request: str, *headers: str) -> bytes:
    _, _, address = uri.partition("//")
    host, _, port = address.partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    head, _, body = request.partition("\n")
    lines = "".join(f"{each}\r\n" for each in headers)
    writer.write(
        f"{head} HTTP/1.1\r\nHost: {address}\r\nConnection: close, Upgrade\r\n"
        f"Content-Length: {len(body)}\r\n{lines}\r\n{body}".encode()
    )
    async with asyncio.timeout(TIMEOUT):
        answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return answer


async def test_same_port() -> None:
    async with running("same_port.py") as uri:
        assert (await http(uri, "GET /healthz")).endswith(b"\r\n\r\nok\n")
        assert b"<title>" in await http(uri, "GET /")
        assert b" 404 " in (await http(uri, "GET /nothing"))[:20]
        async with connect(uri) as ws, asyncio.timeout(TIMEOUT):
            assert b'"listeners": 1' in await http(uri, "GET /stats")
            assert b" 202 " in (await http(uri, "POST /hook\nnews"))[:20]
            assert await ws.recv() == "news"


async def test_rooms() -> None:
    async with running("rooms.py") as uri, asyncio.timeout(TIMEOUT):
        async with (
            connect(f"{uri}/rooms/tea", auth="token-of-ada") as ada,
            connect(f"{uri}/rooms/tea", subprotocols=["bearer", "token-of-bob"]) as bob,
        ):
            await bob.send("hello")
            assert await bob.recv() == "Bob: hello"
            await ada.send("hello, Bob")
            assert await bob.recv() == "Ada: hello, Bob"
        with pytest.raises(InvalidStatus, match="401"):
            await connect(f"{uri}/rooms/tea")
        async with connect(f"{uri}/count") as ws:
            assert (await ws.recv()).isdigit()
        assert (await http(uri, "GET /healthz")).endswith(b"\r\n\r\nok\n")


async def test_stream_file(tmp_path: Path) -> None:
    data = bytes(range(256)) * 20_000
    (tmp_path / "source").write_bytes(data)
    printed = await run("stream_file.py", tmp_path / "source", tmp_path / "copy")
    assert printed.strip() == hashlib.sha256(data).hexdigest()
    assert (tmp_path / "copy").read_bytes() == data


async def test_listener() -> None:
    async with running("listener.py") as uri, connect(uri) as ws, asyncio.timeout(TIMEOUT):
        assert await ws.recv() == "welcome"
        for number in (1, 2):
            await ws.send("?")
            assert await ws.recv() == str(number)


async def test_prepared() -> None:
    lines = (await run("prepared.py")).splitlines()
    assert sorted(lines) == ["ordered: article 42", "ordered: article 7", "ordered: article 999"]


async def test_threads() -> None:
    assert await run("threads.py", free_port()) == "hello\nb'\\x00\\x01'\n"


async def test_trio() -> None:
    assert await run("trio_echo.py", free_port()) == "hello\nnothing more\n"


async def test_browser_client() -> None:
    async with running("echo_server.py") as uri:
        printed = await run("browser_client.py", uri)
    assert printed == "message hello\nclose 1000 True\n"


async def test_staying_connected() -> None:
    """The first connection is cut before anything is acknowledged, the second one answers."""
    seen: list[object] = []

    async def handler(ws: ServerConnection) -> None:
        assert ws.request is not None
        seen.extend([ws.request.headers["Authorization"], await ws.recv()])
        if len(seen) == 2:
            ws.abort()
        else:
            await ws.send("done")

    async with serve(handler, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        printed = await run("staying_connected.py", f"ws://127.0.0.1:{port}")
    assert seen == ["Bearer token-1", "an order", "Bearer token-2", "an order"]
    states = ["connecting", "open", "lost", "connecting", "open"]
    assert printed == "".join(f"now {state}\n" for state in states) + "done\n"


async def is_ours(uri: str) -> bool:
    """Whether it is our WebSockets that uvicorn has: ours say what is wrong with a handshake."""
    answer = await http(uri, "GET /", "Upgrade: websocket", "Sec-WebSocket-Version: 12")
    return b"version 12 is not spoken here" in answer


async def test_fastapi() -> None:
    async with running("fastapi_rooms.py") as uri, asyncio.timeout(TIMEOUT):
        assert await is_ours(uri)
        with pytest.raises(InvalidStatus) as caught:
            await connect(f"{uri}/rooms/blue")
        assert caught.value.response.status_code == 401
        assert b"no such token" in caught.value.response.body
        room = f"{uri}/rooms/blue?token=open-sesame"
        async with connect(room) as ada, connect(room) as bob:
            await bob.send("hello")
            assert await ada.recv() == await bob.recv() == "blue: hello"


async def test_starlette() -> None:
    async with running("starlette_clock.py") as uri, asyncio.timeout(TIMEOUT):
        assert await is_ours(uri)
        assert b"the clock is at ws://localhost" in await http(uri, "GET /")
        async with connect(f"{uri}/clock", subprotocols=["clock"]) as ws:
            assert ws.subprotocol == "clock"
            await ws.send("0")
            times = [json.loads(await ws.recv())["now"] for _ in range(3)]
            assert times == sorted(times)


async def test_litestar() -> None:
    async with running("litestar_sum.py") as uri, asyncio.timeout(TIMEOUT):
        assert await is_ours(uri)
        async with connect(f"{uri}/sum") as ws:
            await ws.send('{"numbers": [1, 2, 3.5]}')
            assert json.loads(await ws.recv()) == {"sum": 6.5}


async def test_channels() -> None:
    async with running("channels_chat.py") as uri, asyncio.timeout(TIMEOUT):
        assert await is_ours(uri)
        room = f"{uri}/chat/kitchen"
        with pytest.raises(InvalidStatus):
            await connect(room, origin="https://elsewhere.example")
        page = {"origin": "http://localhost"}
        async with connect(room, **page) as ada, connect(room, **page) as bob:
            await bob.send('"hello"')
            said = {"room": "kitchen", "said": "hello"}
            assert json.loads(await ada.recv()) == json.loads(await bob.recv()) == said
