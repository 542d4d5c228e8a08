"""Callbacks in place of a coroutine: the cheapest way to handle messages.

python examples/listener.py [PORT]
"""

import asyncio
import contextlib
import sys

from duplexer import Connection, ConnectionClosed, Listener, serve


class Counter(Listener):
    """Answers every message with its number. `serve` makes one for each connection."""

    def __init__(self) -> None:
        self.count = 0

    def on_open(self, ws: Connection) -> None:
        ws.send_nowait("welcome")

    def on_message(self, ws: Connection, message: str | bytes) -> None:
        self.count += 1  # do not block here: the event loop waits for you
        try:
            ws.send_nowait(str(self.count))
        except BufferError:  # it sends much and reads nothing
            ws.abort()

    def on_close(self, ws: Connection, exc: ConnectionClosed) -> None:
        print(f"{self.count} messages, then: {exc}", flush=True)


async def main(port: int) -> None:
    async with serve(Counter, "localhost", port) as server:
        print(f"listening on ws://localhost:{port}", flush=True)
        await server.serve_forever()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 8765))
