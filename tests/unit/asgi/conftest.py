"""uvicorn's HTTP with our WebSockets behind it, without the waits of uvicorn's own server."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from duplexer.asgi.uvicorn import WebSocketProtocol

PATIENCE = 30.0  #: seconds for what takes milliseconds: only a failure waits so long

REQUEST = (
    b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


async def until(condition: Callable[[], Any]) -> None:
    """Wait until ``condition()`` is true."""
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110 - it says nothing when it comes true
            await asyncio.sleep(0.002)


@dataclasses.dataclass
class Site:
    """What runs: its address, and what uvicorn knows of its connections."""

    port: int
    state: ServerState

    @property
    def uri(self) -> str:
        return f"ws://127.0.0.1:{self.port}/"

    @property
    def protocol(self) -> Any:
        """The only connection."""
        (protocol,) = self.state.connections
        return protocol

    async def raw(
        self, request: bytes = REQUEST
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection that has sent ``request`` and nothing else."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(request)
        return reader, writer

    async def ask(self, request: bytes = REQUEST) -> bytes:
        """All that comes back for ``request``."""
        reader, writer = await self.raw(request)
        async with asyncio.timeout(PATIENCE):
            answer = await reader.read()
        writer.close()
        await writer.wait_closed()
        return answer

    async def idle(self) -> None:
        """Wait until nobody is connected and no application runs."""
        await until(lambda: not self.state.connections and not self.state.tasks)


Running = Callable[..., AbstractAsyncContextManager[Site]]


@pytest.fixture
def running() -> Running:
    @contextlib.asynccontextmanager
    async def start(
        app: Any,
        protocol: type[WebSocketProtocol] = WebSocketProtocol,
        app_state: dict[str, Any] | None = None,
        ssl: Any = None,
        **options: Any,
    ) -> AsyncIterator[Site]:
        config = Config(app, ws=protocol, lifespan="off", log_config=None, **options)
        config.load()
        state = ServerState()
        state.default_headers = config.encoded_headers

        def connect() -> HttpToolsProtocol:
            return HttpToolsProtocol(config=config, server_state=state, app_state=app_state or {})

        loop = asyncio.get_running_loop()
        if config.uds is None:
            server = await loop.create_server(connect, "127.0.0.1", 0, ssl=ssl)
            port = server.sockets[0].getsockname()[1]
        else:
            server = await loop.create_unix_server(connect, config.uds)
            port = 0
        site = Site(port, state)
        try:
            yield site
        finally:
            server.close()
            for connection in list(state.connections):
                connection.shutdown()
            await site.idle()

    return start


async def echo(scope: Any, receive: Any, send: Any) -> None:
    await receive()
    await send({"type": "websocket.accept"})
    while (event := await receive())["type"] == "websocket.receive":
        await send({**event, "type": "websocket.send"})


class Recorder:
    """An application that accepts, and keeps what it receives: ``events``, to the end."""

    def __init__(self) -> None:
        self.scope: dict[str, Any] = {}
        self.events: list[dict[str, Any]] = []
        self.ended = False
        self.send: Any = None
        self.receive: Any = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.scope, self.send, self.receive = scope, send, receive
        self.events.append(await receive())
        await send({"type": "websocket.accept"})
        while self.events[-1]["type"] != "websocket.disconnect":
            self.events.append(await receive())
        self.ended = True
