"""Clients that mean well: each sends a message from time to time, and waits for the same one.

``honest COUNT PORT``. Each line on the standard input ends a phase, and is answered with a line of
JSON on what happened in it; the end of the input ends it all.
"""

from __future__ import annotations

import asyncio
import random
import sys
from time import perf_counter
from typing import Any

from duplexer.asyncio.client import ClientConnection, connect
from duplexer.errors import ConnectionClosed
from tests.soak.talk import orders, tell

#: Seconds between two messages of one client.
PERIOD = 10.0
#: At a time while they connect.
AT_ONCE = 50


class Phase:
    def __init__(self) -> None:
        self.times: list[float] = []
        self.wrong = 0
        self.lost: list[str] = []

    def report(self) -> dict[str, Any]:
        times = sorted(self.times)
        return {
            "echoes": len(times),
            "p50": times[len(times) // 2] if times else None,
            "p99": times[len(times) * 99 // 100] if times else None,
            "wrong": self.wrong,
            "lost": self.lost,
        }


class Clients:
    def __init__(self, count: int, port: int) -> None:
        self.count = count
        self.port = port
        self.phase = Phase()
        self._gate = asyncio.Semaphore(AT_ONCE)

    async def open(self) -> list[ClientConnection]:
        return await asyncio.gather(*(self._open_one(i) for i in range(self.count)))

    async def _open_one(self, i: int) -> ClientConnection:
        async with self._gate:
            return await connect(
                f"ws://127.0.0.1:{self.port}/",
                proxy=None,
                local_addr=(f"127.1.{i // 250}.{i % 250 + 1}", 0),
                ping_interval=None,
            )

    async def use(self, ws: ClientConnection) -> None:
        # Each keeps to its own hour, so that no stall of one moment brings them into step.
        clock = asyncio.get_running_loop().time
        due = clock() + random.random() * PERIOD
        number = 0
        try:
            while True:
                await asyncio.sleep(due - clock())
                number += 1
                due += PERIOD
                text = f"{id(ws)} {number}"
                began = perf_counter()
                await ws.send(text)
                answer = await ws.recv()
                phase = self.phase
                phase.times.append(perf_counter() - began)
                phase.wrong += answer != text
        except ConnectionClosed as exc:
            self.phase.lost.append(str(exc))


async def main(count: int, port: int) -> None:
    lines = await orders()
    clients = Clients(count, port)
    connections = await clients.open()
    tasks = [asyncio.create_task(clients.use(ws)) for ws in connections]
    tell({"open": len(connections)})
    while await lines.readline():
        finished, clients.phase = clients.phase, Phase()
        tell(finished.report())
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    for ws in connections:
        await ws.close()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), int(sys.argv[2])))
