"""What tests/contract/test_dispatch.py cannot ask of every front."""

from __future__ import annotations

import asyncio

from duplexer import connect, serve


async def test_a_connection_that_finishes_waits_for_all_that_are_at_work() -> None:
    begun: list[str] = []
    go, all_begun = asyncio.Event(), asyncio.Event()
    ours = []

    async def handler(ws):
        ours.append(ws)

        async def handle(message: str) -> None:
            begun.append(message)
            if len(begun) == 3:
                all_begun.set()
            await go.wait()
            await ws.send(f"done {message}")

        await ws.dispatch(handle, concurrency=5)

    async with serve(handler, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with asyncio.timeout(30), connect(f"ws://127.0.0.1:{port}", proxy=None) as ws:
            for message in "abc":
                await ws.send(message)
            await all_begun.wait()
            ours[0].finish(1012, "restart")
            for _ in range(10):
                await asyncio.sleep(0)
            assert ours[0].session.is_open
            go.set()
            assert sorted([await ws.recv() for _ in range(3)]) == ["done a", "done b", "done c"]
            await ws.wait_closed()
            assert ws.close_code == 1012


async def test_cancelling_it_cancels_those_at_work() -> None:
    cancelled = []
    begun = asyncio.Event()
    outcome = asyncio.Event()

    async def handle(message: str) -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(message)
            raise

    async def handler(ws):
        task = asyncio.create_task(ws.dispatch(handle, concurrency=2))
        await begun.wait()
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        outcome.set()

    async with serve(handler, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with asyncio.timeout(30), connect(f"ws://127.0.0.1:{port}", proxy=None) as ws:
            await ws.send("a")
            await outcome.wait()
    assert cancelled == ["a"]
