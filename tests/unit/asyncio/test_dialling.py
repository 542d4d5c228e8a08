"""Dialling through an HTTP proxy, one that the test plays."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from duplexer.asyncio.client import connect
from duplexer.errors import InvalidProxy, InvalidProxyStatus, ProxyError
from tests.unit.asyncio.conftest import Serving


@asynccontextmanager
async def proxy(answer: bytes) -> AsyncIterator[tuple[str, list[bytes]]]:
    """Its address, and the requests that it saw; it forwards after a 200."""
    requests: list[bytes] = []

    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
        writer.close()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        requests.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(answer)
        if answer.startswith(b"HTTP/1.1 200 OK\r\n\r\n") and answer.endswith(b"\r\n\r\n"):
            host, _, port = requests[-1].split()[1].decode().rpartition(":")
            onward = await asyncio.open_connection(host, int(port))
            await asyncio.gather(forward(reader, onward[1]), forward(onward[0], writer))
        writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    async with server:
        yield f"http://user:pass@127.0.0.1:{server.sockets[0].getsockname()[1]}", requests


async def test_through(serving: Serving) -> None:
    async with (
        serving() as (_, uri),
        proxy(b"HTTP/1.1 200 OK\r\n\r\n") as (address, requests),
        connect(uri, proxy=address) as ws,
    ):
        await ws.send("Hello")
        assert await ws.recv() == "Hello"
        assert requests[0].startswith(b"CONNECT 127.0.0.1:")
        assert b"Proxy-Authorization: Basic dXNlcjpwYXNz\r\n" in requests[0]
    await asyncio.sleep(0.05)


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (b"HTTP/1.1 407 No\r\nContent-Length: 0\r\n\r\n", InvalidProxyStatus),
        (b"", ProxyError),
        (b"SSH-2.0\r\n", ProxyError),
        (b"HTTP/1.1 200 OK\r\n\r\nhello", ProxyError),
    ],
)
async def test_refused(answer: bytes, error: type[Exception]) -> None:
    async with proxy(answer) as (address, _):
        with pytest.raises(error):
            await connect("ws://example.invalid/", proxy=address)
    await asyncio.sleep(0.01)


@pytest.mark.parametrize("address", ["ftp://a", "http://["])
async def test_what_cannot_be_gone_through(address: str) -> None:
    with pytest.raises(InvalidProxy) as raised:
        await connect("ws://example.invalid/", proxy=address)
    assert "secret" not in str(raised.value)


async def test_nobody_there() -> None:
    server = await asyncio.start_server(lambda r, w: None, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    with pytest.raises(ProxyError, match="failed to connect"):
        await connect("ws://example.invalid/", proxy=f"http://127.0.0.1:{port}")
