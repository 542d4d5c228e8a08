"""What tests/contract/test_dispatch.py cannot ask of every front."""

from __future__ import annotations

import trio

from duplexer.trio.client import connect
from duplexer.trio.server import serve


def test_cancelling_it_cancels_those_at_work() -> None:
    cancelled = []

    async def main() -> None:
        begun, outcome = trio.Event(), trio.Event()

        async def handle(message: str) -> None:
            begun.set()
            try:
                await trio.sleep_forever()
            except trio.Cancelled:
                cancelled.append(message)
                raise

        async def handler(ws) -> None:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(lambda: ws.dispatch(handle, concurrency=2))
                await begun.wait()
                nursery.cancel_scope.cancel()
            outcome.set()

        with trio.fail_after(30):
            async with serve(handler, "127.0.0.1", 0) as server:
                port = server.sockets[0].getsockname()[1]
                async with connect(f"ws://127.0.0.1:{port}", proxy=None) as ws:
                    await ws.send("a")
                    await outcome.wait()

    trio.run(main)
    assert cancelled == ["a"]
