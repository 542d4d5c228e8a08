"""Pairs of the trio front, in memory; the clock is trio's own."""

from __future__ import annotations

from typing import Any

import pytest

trio = pytest.importorskip("trio", reason="needs trio")
pytest.importorskip("trio.testing", reason="needs trio")

from duplexer.core.closing import State  # noqa: E402
from duplexer.errors import ConnectionClosedError, InvalidStatus  # noqa: E402
from duplexer.testing.hangs import guard  # noqa: E402
from duplexer.testing.links import Link  # noqa: E402
from duplexer.testing.trio import connect_to, link_streams, pair, serve  # noqa: E402
from duplexer.testing.waiting import waiting_for  # noqa: E402


def run(test: Any) -> None:
    """Runs a test by a clock that jumps."""
    trio.run(test, clock=trio.testing.MockClock(autojump_threshold=0))


async def shout(ws: Any) -> None:
    async for message in ws:
        await ws.send(message.upper())


def test_a_stream_does_what_streams_have_to() -> None:
    async def make() -> Any:
        return link_streams(Link())

    async def make_clogged() -> Any:
        ours, theirs = link_streams(Link(capacity=10))
        for end in (ours, theirs):
            end._out.put(bytes(100), trio.current_time())
        return ours, theirs

    async def check() -> None:
        await trio.testing.check_half_closeable_stream(make, make_clogged)

    with guard(40):
        trio.run(check)


def test_both_ends() -> None:
    async def test() -> None:
        async with pair(subprotocols=["chat"]) as (client, server):
            assert client.subprotocol == server.subprotocol == "chat"
            await client.send("hello")
            assert await server.recv() == "hello"
            async with trio.open_nursery() as nursery:
                nursery.start_soon(server.send, b"x" * 500_000)
                assert await client.recv() == b"x" * 500_000
        assert client.close_code == server.close_code == 1000

    run(test)


@pytest.mark.parametrize("split", [None, 1, (1, 9)])
def test_a_handler(split: Any) -> None:
    async def test() -> None:
        async with connect_to(shout, "/room", link=Link(split=split)) as ws:
            await ws.send("hello")
            assert await ws.recv() == "HELLO"
            assert ws.request is not None and ws.request.path == "/room"

    run(test)


def test_hooks_of_the_server() -> None:
    def refuse(connection: Any, request: Any) -> Any:
        return connection.respond(403, "not you") if request.path == "/secret" else None

    async def test() -> None:
        async with serve(shout, process_request=refuse) as server:
            with pytest.raises(InvalidStatus):
                async with server.connect("/secret"):
                    pass
            async with server.connect() as one, server.connect() as other:
                await one.send("a")
                await other.send("b")
                assert [await one.recv(), await other.recv()] == ["A", "B"]
                assert len(server.connections) == 2
        with pytest.raises(ConnectionRefusedError):
            async with server.connect():
                pass

    run(test)


def test_keepalive() -> None:
    async def test() -> None:
        link = Link(delay=0.25)
        async with pair(link=link) as (client, server):
            await trio.sleep(3600)
            assert client.state is server.state is State.OPEN
            assert client.latency == pytest.approx(0.5)
            started = trio.current_time()
            link.drop()
            with pytest.raises(ConnectionClosedError) as caught:
                await client.recv()
            assert "ping_timeout" in str(caught.value.__cause__)
            assert trio.current_time() - started <= 41

    run(test)


def test_a_link_that_fails() -> None:
    async def test() -> None:
        link = Link()
        async with pair(link=link) as (client, server):
            link.stall()
            await client.send("late")
            await trio.testing.wait_all_tasks_blocked()
            assert "link to it is stalled: 10 bytes" in waiting_for(server)
            with trio.move_on_after(1):
                await server.recv()
                pytest.fail("it has come through a link that is stalled")
            link.resume()
            assert await server.recv() == "late"
            link.reset()
            for end in (client, server):
                with pytest.raises(ConnectionClosedError):
                    await end.recv()

    run(test)


def test_leaving_does_not_wait_for_a_broken_link() -> None:
    async def test() -> None:
        link = Link()
        async with pair(link=link, close_timeout=None, ping_interval=None) as (client, server):
            link.drop()
        assert client.state is server.state is State.CLOSED

    run(test)
