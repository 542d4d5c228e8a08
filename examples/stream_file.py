"""A big file as one message, without ever holding all of it.

python examples/stream_file.py FILE COPY
"""

import asyncio
import hashlib
import sys
from collections.abc import Iterator
from pathlib import Path

from duplexer import Limits, ServerConnection, connect, serve

# `max_message` bounds streamed messages too, and `message_timeout` those that are not.
LIMITS = Limits(max_message=10 * 1024**3)


def pieces(path: str) -> Iterator[bytes]:
    with Path(path).open("rb") as file:
        while piece := file.read(256 * 1024):
            yield piece


async def main(source: str, copy: str) -> None:
    async def receive(ws: ServerConnection) -> None:
        digest = hashlib.sha256()
        with await asyncio.to_thread(Path(copy).open, "wb") as file:
            # Pieces as they arrive. While we are busy the sender has to wait: nothing piles up.
            async for piece in ws.recv_streaming():
                file.write(piece)
                digest.update(piece)
        await ws.send(digest.hexdigest())

    async with serve(receive, "localhost", 0, limits=LIMITS) as server:
        port = server.sockets[0].getsockname()[1]
        async with connect(f"ws://localhost:{port}", compression=None) as ws:
            await ws.send(pieces(source))  # an iterable: one message, a fragment for each piece
            print(await ws.recv())


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
