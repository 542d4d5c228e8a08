"""What tests/contract/test_dispatch.py cannot ask of every front."""

from __future__ import annotations

import asyncio

from duplexer import connect, serve


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
