"""Who waits for what: each thing that one can wait for is said."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from typing import Any

import pytest

from duplexer.testing.links import Link
from duplexer.testing.pairs import connect_to, pair, serve
from duplexer.testing.waiting import Waits, report, waiting_for
from tests.unit.testing.conftest import turns, until


async def end(*tasks: asyncio.Task[Any]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_a_message() -> None:
    async with pair() as (client, server):
        await server.send("hello")
        await turns()
        assert "1 messages have come, and nobody calls recv()" in waiting_for(client)
        await client.recv()
        task = asyncio.create_task(client.recv())  # type: ignore[arg-type]
        await turns()
        assert waiting_for(client).splitlines() == [
            "recv() waits for a message.",
            "Last frame received: text, 5 bytes.",
            "Nothing was sent.",
        ]
        assert "recv()" not in waiting_for(server)
        await end(task)


async def test_a_reader() -> None:
    async with pair(compression=None, link=Link(capacity=1000)) as (client, server):

        async def pour() -> None:
            while True:
                await client.send(bytes(10_000))

        task = asyncio.create_task(pour())
        await until(lambda: client.write_paused and server.read_paused)
        await turns()
        assert "send() waits: " in waiting_for(client)
        assert "Reading is paused" in waiting_for(server)
        assert "bytes are under way to it" in waiting_for(server)
        await end(task)
        client.abort()
        server.abort()


@pytest.mark.parametrize(
    ("fault", "said"), [("stall", "link to it is stalled: 7 bytes"), ("drop", "link drops")]
)
async def test_a_link(fault: str, said: str) -> None:
    link = Link()
    async with pair(link=link) as (client, server):
        getattr(link.to_server, fault)()
        await client.send("x")
        await turns()
        assert said in waiting_for(server)
        assert "link" not in waiting_for(client)


async def test_the_closing_handshake() -> None:
    link = Link()
    async with pair(link=link) as (client, server):
        link.to_server.stall()
        task = asyncio.create_task(client.close(4000, "enough"))
        await turns()
        text = waiting_for(client)
        assert "it has sent 4000" in text and "the peer no Close yet" in text
        assert "wait_closed() waits" in text
        link.to_server.resume()
        link.to_client.stall()
        await until(lambda: server.close_code is not None)
        link.to_client.resume()
        await task
        assert waiting_for(client).startswith("It is closed.")


async def test_the_opening_handshake() -> None:
    link = Link()
    reached, release = asyncio.Event(), asyncio.Event()

    async def hook(connection: Any, request: Any) -> None:
        reached.set()
        await release.wait()

    async def handler(ws: Any) -> None:
        pass

    async with serve(handler, link=link, process_request=hook) as server:
        link.to_server.stall()
        opening = asyncio.ensure_future(server.connect("/here").__aenter__())
        await until(lambda: server.server.opening)
        (connection,) = server.server.opening
        assert "waits for the client's request" in waiting_for(connection)
        assert "waits for the server's answer" in report()
        link.to_server.resume()
        await reached.wait()
        assert "the request for /here has come" in waiting_for(connection)
        release.set()
        await (await opening).close()


async def test_failed() -> None:
    async with pair() as (client, server):
        server.transport.write(b"\xff\xff")
        server.transport.pause_reading()
        await until(lambda: client.close_code is not None)
        assert "has failed, and waits for the peer to end TCP" in waiting_for(client)
        assert "Cause: ProtocolError" in waiting_for(client)
        server.transport.resume_reading()


async def test_report() -> None:
    async def inner(ws: Any) -> None:
        await ws.recv()

    served: list[Any] = []

    async def handler(ws: Any) -> None:
        served.append(ws)
        await inner(ws)

    async def numbers(ws: Any) -> AsyncIterator[Any]:
        yield await ws.recv()

    async def collect(ws: Any) -> None:
        async for _ in numbers(ws):
            pass

    class Hanging(Waits):
        def waiting(self) -> str | None:
            return "A script waits for rain."

    class Content(Waits):
        def waiting(self) -> str | None:
            return None

    scripts = [Hanging(), Content()]
    release = threading.Event()

    def blocked() -> None:
        release.wait()

    thread = threading.Thread(target=blocked, name="blocked")
    thread.start()
    async with connect_to(handler) as ws:
        task = asyncio.create_task(collect(ws), name="the collector")
        await turns()
        text = report()
        ends = [ws, *served]
        for part in (
            "<ClientConnection",
            "<ServerConnection",
            "Task the collector\n",
            "in collect: async for _ in numbers(ws):",
            "in numbers: yield await ws.recv()",
            "in inner: await ws.recv()",
            "Thread blocked\n",
            "in blocked: release.wait()",
            "A script waits for rain.",
        ):
            assert part in text, text
        assert all(f"{each!r}\n    recv() waits for a message." in text for each in ends)
        assert len(ends) == 2
        await end(task)
    release.set()
    thread.join()
    del scripts
    told = report()  # of other tests' connections too, if one has left some
    assert not [each for each in ends if repr(each) in told]
