"""Other people's servers and clients, each behind the same few functions.

A server echoes; to the text ``close CODE REASON`` it answers with that Close, to ``ping me`` with
a Ping and then what the Pong carried, to ``fragments`` with a message in three pieces.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import subprocess
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiohttp
import aiohttp.web
import picows
import picows.websockets
import pytest
import websockets
import websockets.asyncio.client
import websockets.asyncio.server
from websockets.extensions.permessage_deflate import (
    ClientPerMessageDeflateFactory,
    ServerPerMessageDeflateFactory,
)

ROOT = Path(__file__).parents[2]
MAX_SIZE = 64 << 20

# -- websockets ------------------------------------------------------------------------------------


async def _reply(ws: Any, message: str | bytes) -> None:
    if isinstance(message, str) and message.startswith("close "):
        _, code, *reason = message.split(" ")
        await ws.close(int(code), " ".join(reason))
    elif message == "ping me":
        await (await ws.ping(b"from a server"))
        await ws.send("pong from a server")
    elif message == "fragments":
        await ws.send(iter(["one ", "€ ", "three"]))
    else:
        await ws.send(message)


async def _websockets_handler(ws: Any) -> None:
    async for message in ws:
        await _reply(ws, message)


@contextlib.asynccontextmanager
async def websockets_server(deflate: dict[str, Any] | None) -> AsyncIterator[int]:
    factory = [] if deflate is None else [ServerPerMessageDeflateFactory(**deflate)]
    async with websockets.asyncio.server.serve(
        _websockets_handler,
        "127.0.0.1",
        0,
        compression=None,
        extensions=factory,
        subprotocols=["chat"],  # type: ignore[list-item]
        max_size=MAX_SIZE,
    ) as server:
        yield server.sockets[0].getsockname()[1]


@contextlib.asynccontextmanager
async def websockets_client(url: str, deflate: dict[str, Any] | None) -> AsyncIterator[Any]:
    factory = [] if deflate is None else [ClientPerMessageDeflateFactory(**deflate)]
    async with websockets.asyncio.client.connect(
        url,
        compression=None,
        extensions=factory,
        subprotocols=["other", "chat"],  # type: ignore[list-item]
        max_size=MAX_SIZE,
        proxy=None,
    ) as ws:
        yield ws


# -- picows, its interface like that of websockets -------------------------------------------------


@contextlib.asynccontextmanager
async def picows_server(deflate: dict[str, Any] | None) -> AsyncIterator[int]:
    server = await picows.websockets.serve(
        _websockets_handler,
        "127.0.0.1",
        0,
        compression=None if deflate is None else "deflate",
        subprotocols=["chat"],
        max_size=MAX_SIZE,
    )
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await server.wait_closed()


@contextlib.asynccontextmanager
async def picows_client(url: str, deflate: dict[str, Any] | None) -> AsyncIterator[Any]:
    async with picows.websockets.connect(
        url,
        compression=None if deflate is None else "deflate",
        subprotocols=["other", "chat"],
        max_size=MAX_SIZE,
        proxy=None,
    ) as ws:
        yield ws


# -- aiohttp ---------------------------------------------------------------------------------------


_DEFLATE = aiohttp.web.AppKey("deflate", bool)


async def _aiohttp_handler(request: Any) -> Any:
    deflate = request.app[_DEFLATE]
    ws = aiohttp.web.WebSocketResponse(
        compress=deflate, max_msg_size=MAX_SIZE, protocols=["chat"], autoping=False
    )
    await ws.prepare(request)
    async for message in ws:
        if message.type is aiohttp.WSMsgType.PING:
            await ws.pong(message.data)
        elif message.type is aiohttp.WSMsgType.PONG:
            await ws.send_str("pong " + message.data.decode())
        elif message.type is aiohttp.WSMsgType.BINARY:
            await ws.send_bytes(message.data)
        elif message.data.startswith("close "):
            _, code, *reason = message.data.split(" ")
            await ws.close(code=int(code), message=" ".join(reason).encode())
        elif message.data == "ping me":
            await ws.ping(b"from a server")
        else:
            await ws.send_str(message.data)
    return ws


@contextlib.asynccontextmanager
async def aiohttp_server(deflate: dict[str, Any] | None) -> AsyncIterator[int]:
    app = aiohttp.web.Application()
    app[_DEFLATE] = deflate is not None
    app.router.add_get("/", _aiohttp_handler)
    runner = aiohttp.web.AppRunner(app, shutdown_timeout=1)
    await runner.setup()
    site = aiohttp.web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


class AiohttpClient:
    """What the tests want of a client, with aiohttp's words."""

    def __init__(self, ws: Any) -> None:
        self.ws = ws
        self.subprotocol = ws.protocol
        self.close_reason = ""

    async def send(self, message: str | bytes) -> None:
        await (self.ws.send_str if isinstance(message, str) else self.ws.send_bytes)(message)

    async def recv(self) -> Any:
        return (await self.ws.receive()).data

    async def ping(self, data: bytes) -> Any:
        await self.ws.ping(data)
        return asyncio.sleep(0)

    async def wait_closed(self) -> None:
        message = await self.ws.receive()
        assert message.type is aiohttp.WSMsgType.CLOSE
        self.close_reason = message.extra

    async def close(self, code: int, reason: str) -> None:
        await self.ws.close(code=code, message=reason.encode())

    @property
    def close_code(self) -> Any:
        return self.ws.close_code


@contextlib.asynccontextmanager
async def aiohttp_client(url: str, deflate: dict[str, Any] | None) -> AsyncIterator[Any]:
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(
            url,
            compress=0 if deflate is None else deflate.get("client_max_window_bits", 15),
            max_msg_size=MAX_SIZE,
            protocols=["other", "chat"],
        ) as ws,
    ):
        yield AiohttpClient(ws)


# -- ws, for node ----------------------------------------------------------------------------------


def ws_folder() -> Path:
    """Where the npm package is; installs it on first use."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("needs node and npm")
    folder = ROOT / "build/npm"
    if not (folder / "node_modules/ws/package.json").exists():
        folder.mkdir(parents=True, exist_ok=True)
        options = ["--silent", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", "."]
        done = subprocess.run(
            ["npm", "install", *options, "ws@8"], cwd=folder, capture_output=True, check=False
        )
        if done.returncode:
            pytest.skip("needs npm's registry")
    return folder


async def node(*arguments: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        "node",
        str(Path(__file__).with_name("peer_ws.mjs")),
        *arguments,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "WS_FOLDER": str(ws_folder())},
    )


#: The parameters of RFC 7692 under the names of `ws`.
_NAMES = {
    "server_no_context_takeover": "serverNoContextTakeover",
    "client_no_context_takeover": "clientNoContextTakeover",
    "server_max_window_bits": "serverMaxWindowBits",
    "client_max_window_bits": "clientMaxWindowBits",
}


def ws_options(deflate: dict[str, Any] | None) -> str:
    named = deflate and {_NAMES[name]: value for name, value in deflate.items()}
    return json.dumps({"deflate": False if deflate is None else named})


@contextlib.asynccontextmanager
async def ws_server(deflate: dict[str, Any] | None) -> AsyncIterator[int]:
    running = await node("server", ws_options(deflate))
    try:
        assert running.stdout is not None
        yield int(await running.stdout.readline())
    finally:
        running.kill()
        await running.wait()
        running._transport.close()  # type: ignore[attr-defined]


Factory = Callable[..., contextlib.AbstractAsyncContextManager[Any]]
SERVERS: dict[str, Factory] = {
    "websockets": websockets_server,
    "picows": picows_server,
    "aiohttp": aiohttp_server,
    "ws": ws_server,
}
CLIENTS: dict[str, Factory] = {
    "websockets": websockets_client,
    "picows": picows_client,
    "aiohttp": aiohttp_client,
}
