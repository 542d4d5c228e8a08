"""A server behind a bad network: ``python -m tests.soak.network SEED``.

Prints the port of a relay in front of an echo server. The relay cuts connections (in good order or
by a reset), stalls them, in one direction or both, loses everything without a word (half-open),
cuts bytes into tiny pieces, or never lets the handshake through; which, and when, follows from the
seed and the number of the connection. When standard input ends, it waits until every connection
has ended, and prints what is left as JSON.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import random
import socket
import struct
import sys
from pathlib import Path
from typing import Any

from duplexer.asyncio.server import serve
from tests.soak.script import LIMITS, PATIENCE

RESET = struct.pack("ii", 1, 0)  # SO_LINGER: what closes with this resets


class Weather:
    """What happens to one connection."""

    def __init__(self, seed: str) -> None:
        chance = random.Random(seed)
        self.kind = chance.choice(
            [
                "calm",
                "pieces",
                "fin",
                "reset",
                "stall",
                "stall-one-way",
                "half-open",
                "mute",
                "shut",
            ]
        )
        self.after = chance.uniform(0.2, 3.0)  # seconds
        self.lasts = chance.uniform(0.5, 4.0)
        self.way = chance.randrange(2)


class Relay:
    """Carries bytes between clients and the server, as the weather lets it."""

    def __init__(self, seed: str, target: int) -> None:
        self.seed = seed
        self.target = target
        self.count = 0
        self.tasks: set[asyncio.Task[None]] = set()

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.tasks.add(task)
        self.count += 1
        weather = Weather(f"{self.seed}/{self.count}")
        try:
            if weather.kind == "shut":
                return
            there_reader, there_writer = await asyncio.open_connection("127.0.0.1", self.target)
            try:
                ways = ((reader, there_writer), (there_reader, writer))
                carrying = [
                    asyncio.ensure_future(self.carry(*way, weather, number))
                    for number, way in enumerate(ways)
                ]
                cutting = asyncio.ensure_future(self.cut(weather, writer, there_writer))
                await asyncio.wait(carrying, return_when=asyncio.FIRST_COMPLETED)
                for each in [*carrying, cutting]:
                    each.cancel()
                await asyncio.gather(*carrying, cutting, return_exceptions=True)
            finally:
                await self.close(there_writer)
        finally:
            await self.close(writer)
            self.tasks.discard(task)

    async def carry(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        weather: Weather,
        way: int,
    ) -> None:
        loop = asyncio.get_running_loop()
        breaks_at = loop.time() + (0 if weather.kind == "mute" else weather.after)
        stalled = False
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                if loop.time() >= breaks_at:
                    if weather.kind in ("half-open", "mute"):
                        continue
                    one_way = weather.kind == "stall-one-way" and way == weather.way
                    if not stalled and (weather.kind == "stall" or one_way):
                        stalled = True
                        await asyncio.sleep(weather.lasts)
                step = 7 if weather.kind == "pieces" else len(data)
                for start in range(0, len(data), step):
                    writer.write(data[start : start + step])
                    await writer.drain()

    async def cut(self, weather: Weather, *writers: asyncio.StreamWriter) -> None:
        await asyncio.sleep(weather.after)
        for writer in writers:
            if weather.kind == "fin":
                writer.close()
            elif weather.kind == "reset":
                sock: socket.socket = writer.get_extra_info("socket")
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                writer.transport.abort()

    async def close(self, writer: asyncio.StreamWriter) -> None:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def echo(ws: Any) -> None:
    async for message in ws:
        await ws.send(message)


def descriptors() -> int:
    gc.collect()
    return len(list(Path("/proc/self/fd").iterdir()))


async def main(seed: str) -> None:
    loop = asyncio.get_running_loop()
    before = None
    async with serve(echo, "127.0.0.1", 0, limits=LIMITS) as server:
        relay = Relay(seed, server.sockets[0].getsockname()[1])
        listening = await asyncio.start_server(relay.accept, "127.0.0.1", 0, backlog=1024)
        before = descriptors()
        sys.stdout.write(f"{listening.sockets[0].getsockname()[1]}\n")
        sys.stdout.flush()
        await loop.run_in_executor(None, sys.stdin.read)
        deadline = loop.time() + PATIENCE
        while (  # noqa: ASYNC110 - three sets of others
            relay.tasks or server.connections or server.opening
        ) and loop.time() < deadline:
            await asyncio.sleep(0.05)
        left = {
            "accepted": relay.count,
            "relayed": len(relay.tasks),
            "connections": len(server.connections) + len(server.opening),
            "descriptors": descriptors() - before,
        }
        listening.close()
    left["tasks"] = len(asyncio.all_tasks()) - 1
    sys.stdout.write(json.dumps(left) + "\n")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
