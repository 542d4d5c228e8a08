"""``connect``: arguments, what is retried. What it does is in tests/contract/."""

from __future__ import annotations

import asyncio
import ssl
from typing import Any

import pytest

from duplexer.asyncio.client import ClientConnection, connect, process_exception
from duplexer.errors import InvalidStatus, InvalidURI, SecurityError
from duplexer.http.headers import Headers
from duplexer.http.messages import Response
from tests.unit.asyncio.conftest import Serving


@pytest.mark.parametrize(
    ("uri", "kwargs", "error"),
    [
        ("http://a/", {}, InvalidURI),
        ("ws://a/#b", {}, InvalidURI),
        ("ws://a/", {"ssl": ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)}, ValueError),
        ("ws://a/", {"compression": "gzip"}, ValueError),
        ("ws://a/", {"subprotocols": ["a b"]}, ValueError),
        ("ws://a/", {"additional_headers": {"Upgrade": "x"}}, ValueError),
        ("ws://a/", {"additional_headers": {"X": "a\r\nb"}}, ValueError),
        ("ws://a/", {"max_size": 0}, ValueError),
        ("ws://a/", {"open_timeout": "1"}, TypeError),
    ],
)
def test_arguments_are_checked_before_anything_is_sent(uri: str, kwargs: Any, error: Any) -> None:
    with pytest.raises(error):
        connect(uri, **kwargs)


def refused(status: int) -> InvalidStatus:
    return InvalidStatus(Response(status, "", Headers()))


def test_what_is_tried_again() -> None:
    again = [OSError(), TimeoutError(), EOFError(), *map(refused, (500, 502, 503, 504))]
    assert [process_exception(error) for error in again] == [None] * len(again)
    final = [ValueError(), SecurityError(), refused(404), ssl.SSLCertVerificationError()]
    assert [process_exception(error) for error in final] == final


async def test_await_context_and_iteration(serving: Serving) -> None:
    async with serving() as (_, uri):
        connection = await connect(uri, proxy=None)
        assert isinstance(connection, ClientConnection)
        await connection.close()
        async with connect(uri, proxy=None) as ws:
            await ws.send("Hello")
            assert await ws.recv() == "Hello"
        count = 0
        async for ws in connect(uri, proxy=None):
            count += 1
            await ws.close()
            if count == 2:
                break
        assert count == 2


async def test_nobody_answers() -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    with pytest.raises(TimeoutError, match="opening handshake"):
        await connect(f"ws://127.0.0.1:{port}/", proxy=None, open_timeout=0.1)
    server.close()
    await server.wait_closed()
    await asyncio.sleep(0.01)
    with pytest.raises(OSError):
        await connect(f"ws://127.0.0.1:{port}/", proxy=None)
