"""Connections that are finished between two messages, and servers that leave that way."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from duplexer.asyncio.client import connect
from duplexer.asyncio.connection import Listener
from duplexer.carriers.readiness import Readiness
from duplexer.errors import ConnectionClosed, InvalidStatus
from duplexer.limits import Limits
from tests.unit.asyncio.conftest import REQUEST, Serving, dial, hang_up

PATIENCE = 20.0
QUICK = Limits(handler_timeout=0.05, close_timeout=0.05)


async def until(is_so: Callable[[], Any]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not is_so():  # noqa: ASYNC110 - nothing tells of these
            await asyncio.sleep(0)


async def get(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, path: str) -> bytes:
    """The status line and headers of a plain request's answer."""
    writer.write(f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
    return await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), PATIENCE)


async def test_each_connection_is_told_and_the_server_ends(serving: Serving) -> None:
    async with serving() as (server, uri):
        clients = [await connect(uri, proxy=None) for _ in range(7)]
        await asyncio.wait_for(server.drain(0.05, reason="new version"), PATIENCE)
        assert server.leaving and not server.connections and not server.sockets
        for ws in clients:
            await asyncio.wait_for(ws.wait_closed(), PATIENCE)
            assert (ws.close_code, ws.close_reason) == (1012, "new version")
        with pytest.raises(OSError):
            await connect(uri, proxy=None)


async def test_a_message_at_work_is_finished_and_the_rest_left(serving: Serving) -> None:
    begun, go_on, handled = asyncio.Event(), asyncio.Event(), []

    async def slow(ws: Any) -> None:
        async for message in ws:
            begun.set()
            await go_on.wait()
            handled.append(message)
            await ws.send(message)

    async with serving(slow) as (server, uri), connect(uri, proxy=None) as ws:
        await ws.send("first")
        await asyncio.wait_for(begun.wait(), PATIENCE)
        (connection,) = server.connections
        draining = asyncio.create_task(server.drain(0.0))
        await until(lambda: connection.finishing is not None)
        await ws.send("too late")
        go_on.set()
        answers = []
        with pytest.raises(ConnectionClosed) as closed:
            while True:
                answers.append(await asyncio.wait_for(ws.recv(), PATIENCE))
        assert answers == handled == ["first"]
        assert closed.value.rcvd is not None and closed.value.rcvd.code == 1012
        await asyncio.wait_for(draining, PATIENCE)


async def test_what_waited_for_the_handler_is_handled(serving: Serving) -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def slow(ws: Any) -> None:
        async for message in ws:
            begun.set()
            await go_on.wait()
            await ws.send(message)

    async with serving(slow) as (server, uri), connect(uri, proxy=None) as ws:
        await ws.send("1")
        await asyncio.wait_for(begun.wait(), PATIENCE)
        (connection,) = server.connections
        for message in ("2", "3"):
            await ws.send(message)
        await asyncio.wait_for(await ws.ping(), PATIENCE)  # so they have come
        connection.finish(1012, "")
        go_on.set()
        answers = [message async for message in until_closed(ws)]
        assert answers == ["1", "2", "3"]


async def until_closed(ws: Any) -> Any:
    try:
        while True:
            yield await asyncio.wait_for(ws.recv(), PATIENCE)
    except ConnectionClosed:
        return


async def test_a_message_in_pieces_is_read_to_its_end(serving: Serving) -> None:
    begun, pieces = asyncio.Event(), []

    async def stream(ws: Any) -> None:
        async for piece in ws.recv_streaming():
            pieces.append(piece)
            begun.set()
        await ws.send("got it")
        await ws.wait_closed()

    async with serving(stream) as (server, uri), connect(uri, proxy=None) as ws:
        more = asyncio.Event()

        async def parts() -> Any:
            yield "one "
            await more.wait()
            yield "two"

        sending = asyncio.create_task(ws.send(parts()))
        await asyncio.wait_for(begun.wait(), PATIENCE)
        draining = asyncio.create_task(server.drain(0.0))
        (connection,) = server.connections
        await until(lambda: connection.finishing is not None)
        more.set()
        await asyncio.wait_for(sending, PATIENCE)
        assert await asyncio.wait_for(ws.recv(), PATIENCE) == "got it"
        await ws.close()
        await asyncio.wait_for(draining, PATIENCE)
    assert "".join(pieces) == "one two"


async def test_a_handler_that_only_sends_is_closed_at_once(serving: Serving) -> None:
    ended = asyncio.Event()

    async def clock(ws: Any) -> None:
        try:
            while True:
                await ws.send("tick")
                await asyncio.sleep(0)
        finally:
            ended.set()

    limits = Limits(handler_timeout=None)  # it is not for that
    async with serving(clock, limits=limits) as (server, uri), connect(uri, proxy=None) as ws:
        await ws.recv()
        await asyncio.wait_for(server.drain(0.0), PATIENCE)
        assert ended.is_set()


async def test_a_listener(serving: Serving) -> None:
    heard = []

    class Echo(Listener):
        def on_message(self, ws: Any, message: Any) -> None:
            heard.append(message)
            ws.send_nowait(message)

    async with serving(Echo) as (server, uri), connect(uri, proxy=None) as ws:
        await ws.send("1")
        assert await ws.recv() == "1"
        (connection,) = server.connections
        connection.finish(1012, "")
        await ws.send("2")  # it has not read our Close yet
        assert [message async for message in until_closed(ws)] == []
        assert ws.close_code == 1012
        assert heard == ["1"]


async def test_finishing_what_is_no_connection_any_more(serving: Serving) -> None:
    async with serving() as (_, uri), connect(uri, proxy=None) as ws:
        await ws.close()
        ws.finish()
        assert ws.close_code == 1000


async def test_readiness_says_so_first(serving: Serving) -> None:
    async with serving(http={"/readyz": Readiness()}) as (server, uri):
        reader, writer = await dial(uri)
        assert b"200 OK" in await get(reader, writer, "/readyz")
        await hang_up(writer)
        draining = asyncio.create_task(server.drain(0.0, notice=3600))
        await until(lambda: server.leaving)
        reader, writer = await dial(uri)
        answer = await get(reader, writer, "/readyz")
        assert b"503 Service Unavailable" in answer and b"Connection: close" in answer
        await hang_up(writer)
        async with connect(uri, proxy=None) as ws:  # while it is only announced
            await ws.send("x")
            assert await ws.recv() == "x"
        server.close()  # which does not wait any longer
        draining.cancel()


async def test_handshakes_under_way_are_refused(serving: Serving) -> None:
    go_on = asyncio.Event()

    async def stay(ws: Any) -> None:
        async for _ in ws:
            await go_on.wait()

    async with serving(stay) as (server, uri), connect(uri, proxy=None) as ws:
        reader, writer = await dial(uri)
        await until(lambda: server.opening)
        await ws.send("x")
        draining = asyncio.create_task(server.drain(0.0))
        await until(lambda: not server.sockets)
        writer.write(REQUEST)
        answer = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), PATIENCE)
        assert b" 503 " in answer and b"Retry-After:" in answer
        await hang_up(writer)
        go_on.set()
        await asyncio.wait_for(draining, PATIENCE)


async def test_what_the_kernel_has_accepted_is_answered(serving: Serving) -> None:
    async with serving() as (server, uri):
        reader, writer = await dial(uri)
        writer.write(REQUEST)
        draining = asyncio.create_task(server.drain(0.0))
        try:
            answer = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), PATIENCE)
        except asyncio.IncompleteReadError as cut:  # closed properly, and not reset
            answer = cut.partial
        assert answer == b"" or b" 503 " in answer or b" 101 " in answer
        await hang_up(writer)
        await asyncio.wait_for(draining, PATIENCE)


async def test_a_handler_that_does_not_end_is_cancelled(
    serving: Serving, caplog: pytest.LogCaptureFixture
) -> None:
    cancelled = []

    async def stubborn(ws: Any) -> None:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            cancelled.append(ws)
            raise

    for leave in ("close", "drain"):
        async with serving(stubborn, limits=QUICK) as (server, uri):
            ws = await connect(uri, proxy=None)
            if leave == "close":
                server.close()
                await asyncio.wait_for(server.wait_closed(), PATIENCE)
            else:
                await asyncio.wait_for(server.drain(0.0), PATIENCE)
            await ws.wait_closed()
    assert len(cancelled) == 2
    assert "Limits.handler_timeout" in caplog.text


async def test_nor_is_one_waited_for_that_does_not_take_that(
    serving: Serving, caplog: pytest.LogCaptureFixture
) -> None:
    release = asyncio.Event()

    async def defiant(ws: Any) -> None:
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue

    async with serving(defiant, limits=QUICK) as (server, uri):
        ws = await connect(uri, proxy=None)
        server.close()
        await asyncio.wait_for(server.wait_closed(), PATIENCE)
        assert "go on though they were cancelled" in caplog.text
        release.set()
        await ws.wait_closed()
        await until(lambda: not server.connections)


async def test_draining_twice_and_closing_meanwhile(serving: Serving) -> None:
    async with serving() as (server, uri), connect(uri, proxy=None) as ws:
        both = [asyncio.create_task(server.drain(3600)) for _ in range(2)]
        await until(lambda: not server.most)
        server.close()
        await asyncio.wait_for(asyncio.gather(*both), PATIENCE)
        await ws.wait_closed()
        assert ws.close_code == 1001


async def test_serve_forever_ends(serving: Serving) -> None:
    async with serving() as (server, _):
        forever = asyncio.create_task(server.serve_forever())
        await asyncio.sleep(0)
        await asyncio.wait_for(server.drain(), PATIENCE)
        await asyncio.wait_for(forever, PATIENCE)


async def test_wrong_arguments(serving: Serving) -> None:
    async with serving() as (server, uri):
        for wrong in ({"over": -1}, {"notice": float("inf")}, {"code": 1006}):
            with pytest.raises(ValueError):
                await server.drain(**wrong)
        assert not server.leaving
        with pytest.raises(InvalidStatus):
            await connect(uri, proxy=None, origin="http://elsewhere")
