"""The opening of a connection, on loopback: all at once, in pieces, late, or not at all."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

import pytest

from duplexer.asyncio.server import Server
from duplexer.carriers.routes import text
from duplexer.errors import HttpError
from tests.unit.asyncio.conftest import REQUEST, Serving, dial, hang_up
from tests.wire.frames import TEXT, build, parse


async def until_left(server: Server) -> None:
    async with asyncio.timeout(40):
        while server.opening:  # noqa: ASYNC110 - nobody is told
            await asyncio.sleep(0.001)


async def test_frames_that_come_with_the_request(serving: Serving) -> None:
    async with serving() as (_, uri):
        reader, writer = await dial(uri)
        writer.write(REQUEST + build(TEXT, b"Hello"))
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101 ")
        assert parse(await reader.readexactly(7))[0].payload == b"Hello"
        await hang_up(writer)


@pytest.mark.parametrize("sync", [True, False])
async def test_a_hook_may_refuse(serving: Serving, sync: bool) -> None:
    def refuse(connection: Any, request: Any) -> None:
        raise HttpError(402, "pay first")

    async def refuse_later(connection: Any, request: Any) -> None:
        await asyncio.sleep(0)
        refuse(connection, request)

    async with serving(process_request=refuse if sync else refuse_later) as (_, uri):
        reader, writer = await dial(uri)
        writer.write(REQUEST)
        answer = await reader.read()
        assert answer.startswith(b"HTTP/1.1 402 ") and b"pay first" in answer
        await hang_up(writer)


async def test_slow_requests_are_not_waited_for(serving: Serving) -> None:
    async with serving(open_timeout=0.05) as (_, uri):
        reader, writer = await dial(uri)
        writer.write(REQUEST[:10])
        assert (await reader.read()).startswith(b"HTTP/1.1 408 ")
        await hang_up(writer)


@pytest.mark.parametrize("size", [1, 100, 1000])
async def test_however_the_request_is_cut(serving: Serving, size: int) -> None:
    async with serving() as (server, uri):
        reader, writer = await dial(uri)
        for start in range(0, len(REQUEST), size):
            writer.write(REQUEST[start : start + size])
            await asyncio.sleep(0)
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")
        (connection,) = server.connections
        assert connection.request.path == "/" and connection.response.status_code == 101
        await hang_up(writer)


@pytest.mark.parametrize("sent", [b"", REQUEST[:10]])
async def test_who_leaves_before_it_is_done(serving: Serving, sent: bytes) -> None:
    async with serving() as (server, uri):
        reader, writer = await dial(uri)
        writer.write(sent)
        writer.write_eof()
        assert await reader.read() == b""
        await hang_up(writer)
        await until_left(server)


async def test_who_says_nothing_is_not_waited_for(serving: Serving) -> None:
    async with serving(open_timeout=0.05) as (server, uri):
        reader, writer = await dial(uri)
        assert await reader.read() == b""
        await hang_up(writer)
        await until_left(server)


@pytest.mark.parametrize("hook", ["process_request", "authenticate", "process_response"])
async def test_what_a_hook_waits_for_has_the_time_of_the_handshake(
    serving: Serving, hook: str
) -> None:
    cancelled = asyncio.Event()

    async def hang(connection: Any, *_: Any) -> None:
        connection.count_from(time.monotonic() - 3600)  # all of it is over
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            cancelled.set()

    async with serving(open_timeout=3600, **{hook: hang}) as (server, uri):
        reader, writer = await dial(uri)
        writer.write(REQUEST.replace(b"\r\n\r\n", b"\r\nAuthorization: Bearer x\r\n\r\n"))
        async with asyncio.timeout(40):
            answer = await reader.read()
            await cancelled.wait()
        assert answer.startswith(b"HTTP/1.1 503 ") and b"Retry-After:" in answer
        await hang_up(writer)
        await until_left(server)
        assert server.struck == {"open_timeout": 1}


async def test_plain_http_may_take_longer(serving: Serving) -> None:
    go_on = asyncio.Event()

    async def hold(connection: Any, request: Any) -> Any:
        connection.count_from(time.monotonic() - 3600)
        connection.loop.call_later(0, go_on.set)
        await go_on.wait()
        await asyncio.sleep(0)
        return connection.respond(200, "at last")

    async with serving(open_timeout=3600, process_request=hold) as (_, uri):
        reader, writer = await dial(uri)
        writer.write(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        async with asyncio.timeout(40):
            assert (await reader.read()).startswith(b"HTTP/1.1 200 ")
        await hang_up(writer)


async def test_what_a_thread_gave_is_awaited_in_the_loop(serving: Serving) -> None:
    threads = []

    def page(request: Any) -> Any:
        async def later() -> Any:
            await asyncio.sleep(0)
            threads.append(threading.get_ident())
            return text("later")

        threads.append(threading.get_ident())
        return later()

    page.blocking = True  # type: ignore[attr-defined]
    async with serving(http={"/page": page}) as (_, uri):
        reader, writer = await dial(uri)
        writer.write(b"GET /page HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        async with asyncio.timeout(40):
            assert (await reader.read()).endswith(b"\r\n\r\nlater")
        await hang_up(writer)
    assert threads[1] == threading.get_ident() != threads[0]


async def test_a_peer_that_leaves_ends_what_a_hook_waits_for(serving: Serving) -> None:
    begun, cancelled = asyncio.Event(), asyncio.Event()

    async def hang(connection: Any, request: Any) -> None:
        begun.set()
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            cancelled.set()

    async with serving(process_request=hang, open_timeout=3600) as (server, uri):
        _, writer = await dial(uri)
        writer.write(REQUEST)
        async with asyncio.timeout(40):
            await begun.wait()
            await hang_up(writer)
            await cancelled.wait()
        await until_left(server)


async def test_what_comes_while_a_hook_is_waited_for_is_kept(serving: Serving) -> None:
    kept, go_on = asyncio.Event(), asyncio.Event()

    async def wait(connection: Any, request: Any) -> None:
        connection.loop.call_soon(kept.set)
        await go_on.wait()

    async with serving(process_request=wait) as (_, uri):
        reader, writer = await dial(uri)
        writer.write(REQUEST)
        async with asyncio.timeout(40):
            await kept.wait()
            writer.write(build(TEXT, b"Hello"))
            await writer.drain()
            go_on.set()
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")
            assert parse(await reader.readexactly(7))[0].payload == b"Hello"
        await hang_up(writer)
