"""Servers in a thread."""

from __future__ import annotations

import asyncio
import socket
import threading
from typing import Any

import pytest

from duplexer.asyncio.client import connect
from duplexer.testing.serving import Servers


async def shout(ws: Any) -> None:
    async for message in ws:
        await ws.send(message.upper())


async def ask(uri: str) -> Any:
    async with connect(uri, proxy=None) as ws:
        await ws.send("hello")
        return await ws.recv()


async def test_several() -> None:
    with Servers() as servers:
        uris = [servers.serve(shout), servers.serve(shout, max_size=10)]
        assert [await ask(uri) for uri in uris] == ["HELLO", "HELLO"]
    with pytest.raises(OSError):
        await ask(uris[0])


def test_none() -> None:
    before = threading.active_count()
    with Servers():
        assert threading.active_count() == before


def test_from_a_plain_test() -> None:
    with Servers() as servers:
        assert asyncio.run(ask(servers.serve(shout))) == "HELLO"


async def test_a_handler_that_fails() -> None:
    async def fail(ws: Any) -> None:
        await ws.recv()
        raise ZeroDivisionError

    with pytest.raises(ExceptionGroup) as caught:
        with Servers() as servers:
            async with connect(servers.serve(fail), proxy=None) as ws:
                await ws.send("x")
                await ws.wait_closed()
    assert isinstance(caught.value.exceptions[0], ZeroDivisionError)
    with pytest.raises(KeyError):  # the test's own error comes first
        with Servers() as servers:
            async with connect(servers.serve(fail), proxy=None) as ws:
                await ws.send("x")
                await ws.wait_closed()
            raise KeyError


def test_wrong_arguments() -> None:
    with Servers() as servers, pytest.raises(TypeError):
        servers.serve(shout, no_such_argument=1)


def test_it_is_where_it_says() -> None:
    with Servers() as servers:
        port = int(servers.serve(shout).rstrip("/").rpartition(":")[2])
        socket.create_connection(("127.0.0.1", port)).close()
