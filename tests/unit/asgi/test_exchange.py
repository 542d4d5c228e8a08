"""Receiving and sending on an open connection: without losing, reordering or waiting needlessly."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest

from duplexer.asyncio.client import connect
from tests.unit.asgi.conftest import PATIENCE, Recorder, Running, echo, until


@pytest.mark.every_loop
@pytest.mark.parametrize("message", ["tëxt", b"bytes", "", b"", "x" * 70_000])
async def test_echo(running: Running, message: str | bytes) -> None:
    async with running(echo) as site, connect(site.uri, proxy=None) as ws:
        for _ in range(3):
            await ws.send(message)
        assert [await ws.recv() for _ in range(3)] == [message] * 3


async def test_events(running: Running) -> None:
    app = Recorder()
    async with running(app) as site:
        async with connect(site.uri, proxy=None) as ws:
            await ws.send("a")
            await ws.send(b"b")
        await site.idle()
    assert app.events == [
        {"type": "websocket.connect"},
        {"type": "websocket.receive", "text": "a"},
        {"type": "websocket.receive", "bytes": b"b"},
        {"type": "websocket.disconnect", "code": 1000, "reason": ""},
    ]


async def test_what_is_sent_in_one_turn_leaves_in_one_write(running: Running) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        await receive()
        for number in range(20):
            await send({"type": "websocket.send", "text": str(number)})
        await receive()

    async with running(app) as site, connect(site.uri, proxy=None) as ws:
        protocol, writes = site.protocol, []
        write = protocol.write
        protocol.write = lambda data: (writes.append(data), write(data))
        await ws.send("go")
        assert [await ws.recv() for _ in range(20)] == [str(number) for number in range(20)]
        assert len(writes) == 1


async def test_what_has_come_is_received_without_giving_up_the_turn(running: Running) -> None:
    turns: list[int] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        turn = 0

        def count() -> None:
            nonlocal turn
            if len(turns) < 10:
                turn += 1
                loop.call_soon(count)

        loop = asyncio.get_running_loop()
        await receive()
        await send({"type": "websocket.accept"})
        await receive()
        count()
        while len(turns) < 10:
            await receive()
            turns.append(turn)

    async with running(app) as site, connect(site.uri, proxy=None) as ws:
        for number in range(11):
            ws.send_nowait(str(number))
        async with asyncio.timeout(PATIENCE):
            await ws.wait_closed()
    assert turns == [1] * 10


@pytest.mark.every_loop
async def test_several_may_wait(running: Running) -> None:
    """Each gets one message, in the order in which they began to wait."""
    got: list[tuple[int, Any]] = []
    waiting = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})

        async def take(number: int) -> None:
            event = await receive()
            got.append((number, event.get("text", event["type"])))

        async with asyncio.TaskGroup() as group:
            for number in range(5):
                group.create_task(take(number))
            await asyncio.sleep(0)
            waiting.set()

    async with running(app) as site, connect(site.uri, proxy=None) as ws:
        await waiting.wait()
        await ws.send("a")
        await until(lambda: len(got) == 1)
        await ws.send("b")
        await ws.send("c")
        await until(lambda: len(got) == 3)
        await ws.close()
        await site.idle()
    end = "websocket.disconnect"
    assert got == [(0, "a"), (1, "b"), (2, "c"), (3, end), (4, end)]


async def test_cancelled_while_others_wait(running: Running) -> None:
    got: list[Any] = []
    waiting = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        tasks = [asyncio.create_task(receive()) for _ in range(4)]
        await asyncio.sleep(0)
        tasks[0].cancel()
        tasks[2].cancel()
        waiting.set()
        done = await asyncio.gather(*tasks, return_exceptions=True)
        got.extend(each if isinstance(each, dict) else type(each) for each in done)

    async with running(app) as site, connect(site.uri, proxy=None) as ws:
        await waiting.wait()
        await ws.send("a")
        await ws.send("b")
        await until(lambda: got)
    cancelled = asyncio.CancelledError
    texts = [{"type": "websocket.receive", "text": text} for text in "ab"]
    assert got == [cancelled, texts[0], cancelled, texts[1]]


async def test_a_wait_that_is_cut_short_loses_nothing(running: Running) -> None:
    got: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        while len(got) < 5:
            try:
                async with asyncio.timeout(0.001):
                    got.append(await receive())
            except TimeoutError:
                await send({"type": "websocket.send", "text": "?"})
        await send({"type": "websocket.close"})

    async with running(app) as site, connect(site.uri, proxy=None) as ws:
        sent = 0
        async for _ in ws:
            if sent < 5:
                await ws.send(str(sent))
                sent += 1
    assert [event["text"] for event in got] == list("01234")


async def test_reading_stops_while_the_application_is_behind(running: Running) -> None:
    go = asyncio.Event()
    got: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        await go.wait()
        while (event := await receive())["type"] == "websocket.receive":
            got.append(event["text"])

    async with running(app, ws_max_queue=4) as site, connect(site.uri, proxy=None) as ws:
        protocol = site.protocol
        for number in range(100):
            await ws.send(str(number))
        await until(lambda: protocol.read_paused)
        go.set()
        await until(lambda: len(got) == 100)
        assert not protocol.read_paused
    assert got == [str(number) for number in range(100)]


async def test_sending_waits_for_a_slow_peer(running: Running) -> None:
    sent = 0

    async def app(scope: Any, receive: Any, send: Any) -> None:
        nonlocal sent
        await receive()
        await send({"type": "websocket.accept"})
        while sent < 400:
            await send({"type": "websocket.send", "bytes": bytes(65536)})
            sent += 1
        await send({"type": "websocket.close"})

    async with running(app, ws_per_message_deflate=False) as site:
        reader, writer = await site.raw()
        await until(lambda: site.state.connections and getattr(site.protocol, "write_paused", 0))
        assert sent < 400  # 26 MB are more than the kernel holds
        async with asyncio.timeout(PATIENCE):
            data = await reader.readuntil(b"\r\n\r\n")
            data = await reader.readexactly(400 * (65536 + 10) + 4)
        assert data[-4:] == b"\x88\x02\x03\xe8"
        writer.close()
        await writer.wait_closed()


async def test_a_peer_that_leaves_ends_the_wait(running: Running) -> None:
    failures: list[BaseException] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        try:
            while True:
                await send({"type": "websocket.send", "bytes": bytes(65536)})
        except OSError as exc:
            failures.append(exc)

    async with running(app) as site:
        _, writer = await site.raw()
        await until(lambda: site.state.connections and getattr(site.protocol, "write_paused", 0))
        writer.transport.abort()
        await until(lambda: failures)
    assert type(failures[0]).__name__ == "ClientDisconnected"


async def test_who_does_nothing_but_send_hears_that_nobody_is_there(running: Running) -> None:
    failures: list[BaseException] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        site.protocol.transport.get_extra_info("socket").shutdown(socket.SHUT_RDWR)
        try:
            for _ in range(5_000):
                await send({"type": "websocket.send", "bytes": b"x" * 1000})
        except OSError as exc:
            failures.append(exc)

    async with running(app, ws_per_message_deflate=False) as site:
        await site.ask()
        await site.idle()
    assert [type(exc).__name__ for exc in failures] == ["ClientDisconnected"]


@pytest.mark.parametrize(
    "event",
    [
        {},
        {"bytes": None, "text": None},
        {"bytes": "text"},
        {"text": b"bytes"},
    ],
)
async def test_messages_that_are_none(running: Running, event: dict[str, Any]) -> None:
    failures: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        try:
            await send({"type": "websocket.send", **event})
        except RuntimeError as exc:
            failures.append(str(exc))
        await send({"type": "websocket.send", "text": "still here", "bytes": None})

    async with running(app) as site, connect(site.uri, proxy=None) as ws:
        assert await ws.recv() == "still here"
    assert "'websocket.send' must have 'bytes', or 'text' that is a str" in failures[0]
