"""Peers without manners: bytes as they stand, and TCP ended in every way there is."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import ssl
import struct
import sys
import textwrap
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import trustme

import duplexer
from duplexer.asyncio.server import Server, ServerConnection
from duplexer.handshake.server import accept_key

KEY = "dGhlIHNhbXBsZSBub25jZQ=="
REQUEST = (
    b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: " + KEY.encode() + b"\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
#: Read to its end it is a good-mannered client; the masking key is zero.
CLIENT_FRAMES = (
    bytes.fromhex("8185 00000000")
    + b"Hello"
    + bytes.fromhex(
        "0183 00000000 E282AC 8084 00000000 F09F98808982 00000000 686982FE 0080 00000000"
    )
    + bytes(128)
    + bytes.fromhex("8882 00000000 03E8")
)
SERVER_FRAMES = (
    bytes.fromhex("8105 48656C6C6F 0103 E282AC 8004 F09F9880 8902 6869 827E0080")
    + bytes(128)
    + bytes.fromhex("8802 03E8")
)


def response_to(request: bytes) -> bytes:
    """The 101 that a request deserves."""
    key = request.split(b"Sec-WebSocket-Key: ")[1].split(b"\r\n")[0].decode()
    return (
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Accept: {accept_key(key)}\r\n\r\n"
    ).encode()


def reset(sock: Any) -> None:
    """End TCP by RST: what was not read, or not sent yet, is lost."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


@contextlib.asynccontextmanager
async def raw_server(
    handler: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]], **kwargs: Any
) -> AsyncIterator[int]:
    """A TCP server; gives its port. Connections end with their handler."""
    tasks: set[asyncio.Task[Any]] = set()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await handler(reader, writer)
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.close()
            tasks.discard(task)

    server = await asyncio.start_server(handle, "127.0.0.1", 0, **kwargs)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        while tasks:  # noqa: ASYNC110 - they say nothing when they go
            await asyncio.sleep(0.01)
        await server.wait_closed()
        await asyncio.sleep(0.01)  # for the transports to close their sockets


def port_of(server: Server) -> int:
    return int(server.sockets[0].getsockname()[1])


class Counted(ServerConnection):
    """Tells how many there have been."""

    made = 0

    def connection_made(self, transport: Any) -> None:
        Counted.made += 1
        super().connection_made(transport)


@contextlib.asynccontextmanager
async def counted(server: Server) -> AsyncIterator[None]:
    """Waits until the connection that is made here has been accepted, and has ended."""
    before = Counted.made
    yield
    async with asyncio.timeout(10):
        while Counted.made == before:  # noqa: ASYNC110
            await asyncio.sleep(0)
    await idle(server)


async def idle(server: Server) -> None:
    """Wait until the server has no connection, finished or not."""
    async with asyncio.timeout(10):
        while server.connections or server.opening:  # noqa: ASYNC110 - it says nothing either
            await asyncio.sleep(0.01)


def certificates() -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Contexts of a server at localhost, and of a client that trusts it."""
    authority = trustme.CA()
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(server)
    client = ssl.create_default_context()
    authority.configure_trust(client)
    return server, client


@contextlib.asynccontextmanager
async def program(source: str, *prefix: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """A Python program with the build under test, killed at the end."""
    running = await asyncio.create_subprocess_exec(
        *prefix,
        sys.executable,
        "-c",
        textwrap.dedent(source),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(Path(duplexer.__file__).parents[1])},
    )
    try:
        yield running
    finally:
        if running.returncode is None:
            running.kill()
        await running.wait()
        running._transport.close()  # type: ignore[attr-defined]
