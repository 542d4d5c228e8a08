"""A clock that jumps. Real time is only ever looked at to see that it did not pass."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
import threading
import time
from typing import Any

import pytest

from duplexer.asyncio import life
from duplexer.core.closing import State
from duplexer.errors import ConnectionClosedError
from duplexer.testing.clock import virtual_clock
from duplexer.testing.links import Link
from duplexer.testing.pairs import pair

#: Seconds that no test waits for.
LONG = 86400.0


async def test_sleep_and_timers() -> None:
    order: list[str] = []
    loop = asyncio.get_running_loop()
    before = loop.time()
    with virtual_clock() as clock:
        loop.call_later(2 * LONG, order.append, "second")
        loop.call_later(LONG, order.append, "first")
        await asyncio.sleep(3 * LONG)
        assert order == ["first", "second"]
        assert clock.elapsed == pytest.approx(3 * LONG)
        assert loop.time() == clock.time() >= before + 3 * LONG
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(LONG):
                await loop.create_future()
    assert loop.time() >= before + 4 * LONG  # it never goes back
    await asyncio.sleep(0.001)


async def test_twice() -> None:
    loop = asyncio.get_running_loop()
    for _ in range(2):
        with virtual_clock() as clock:
            await asyncio.sleep(LONG)
            assert clock.elapsed == pytest.approx(LONG)
    with virtual_clock(), pytest.raises(RuntimeError, match="already"):
        virtual_clock()
    assert loop.time() > 2 * LONG


async def test_keepalive_of_a_healthy_connection() -> None:
    with virtual_clock() as clock:
        async with pair(link=Link(delay=0.25)) as (client, server):
            await asyncio.sleep(3600)
            assert client.state is server.state is State.OPEN
            assert client.latency == pytest.approx(0.5) == server.latency
    assert clock.elapsed >= 3600
    assert life.monotonic is time.monotonic


def test_it_does_not_matter_what_was_imported_before() -> None:
    code = """
import asyncio
from duplexer import testing

async def run():
    with testing.virtual_clock():
        async with testing.pair(link=testing.Link(delay=0.25)) as (client, server):
            await asyncio.sleep(60)
            print(round(client.latency, 6), round(server.latency, 6))

asyncio.run(run())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "0.5 0.5\n"


async def test_keepalive_of_a_dead_one() -> None:
    link = Link()
    with virtual_clock() as clock:
        async with pair(link=link, ping_interval=100, ping_timeout=50) as (client, server):
            link.drop()
            with pytest.raises(ConnectionClosedError) as caught:
                await client.recv()
            assert "ping_timeout" in str(caught.value.__cause__)
            assert 140 <= clock.elapsed <= 151
            await server.wait_closed()
            assert clock.elapsed <= 151


async def test_a_peer_that_never_finishes_closing() -> None:
    link = Link()
    with virtual_clock() as clock:
        async with pair(link=link, close_timeout=1000, ping_interval=None) as (client, _):
            link.to_server.drop()
            await client.close()
        assert clock.elapsed == pytest.approx(1000)


async def test_advance() -> None:
    done: list[str] = []

    async def work() -> None:
        await asyncio.sleep(10)
        done.append("ten")
        await asyncio.sleep(10)
        done.append("twenty")

    with virtual_clock() as clock:
        task = asyncio.create_task(work())
        await clock.advance(15)
        assert done == ["ten"] and clock.elapsed == pytest.approx(15)
        await clock.advance(5.1)
        assert done == ["ten", "twenty"] and task.done()


async def test_with_a_socket_time_flows() -> None:
    """A jump would be past what the peer is about to say; advancing is for who knows better."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        reader, writer = await asyncio.open_connection(sock=ours)
        with virtual_clock() as clock:
            timer = threading.Timer(0.02, theirs.send, [b"x"])
            timer.start()
            async with asyncio.timeout(30):
                assert await reader.readexactly(1) == b"x"
            assert 0 < clock.elapsed < 30
            asyncio.get_running_loop().call_later(LONG, theirs.send, b"y")
            await clock.advance(LONG)
            async with asyncio.timeout(30):
                assert await reader.readexactly(1) == b"y"
        timer.join()
        writer.close()
        await writer.wait_closed()


async def test_with_a_thread_time_flows() -> None:
    release = threading.Event()
    with virtual_clock() as clock:
        async with asyncio.timeout(30):
            waiting = asyncio.create_task(asyncio.to_thread(release.wait))
            await asyncio.sleep(0)
            asyncio.get_running_loop().call_later(0.01, release.set)
            assert await waiting
        assert clock.elapsed < 30
        await asyncio.sleep(LONG)
        assert clock.elapsed >= LONG


async def test_other_loops_keep_their_time() -> None:
    def elsewhere() -> float:
        async def run() -> float:
            started = time.monotonic()
            async with pair() as (client, _):
                await (await client.ping())
                return client.latency - (time.monotonic() - started)

        return asyncio.run(run())

    with virtual_clock():
        await asyncio.sleep(LONG)
        assert await asyncio.to_thread(elsewhere) <= 0


def test_loops_that_have_no_such_clock() -> None:
    uvloop: Any = pytest.importorskip("uvloop", reason="needs uvloop")

    async def run() -> None:
        with pytest.raises(TypeError, match="SelectorEventLoop"):
            virtual_clock()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run())
