"""An echo server that five thousand connections are about to use, a tenth of them badly.

Each line on its standard input is answered with a line of JSON: how it is. It ends cleanly when
that input ends.
"""

from __future__ import annotations

import asyncio
import gc
from typing import Any

from duplexer import Limits
from duplexer.asyncio.server import ServerConnection, serve
from tests.soak.talk import descriptors, orders, resident, tell

LIMITS = Limits(
    open_timeout=3,
    close_timeout=2,
    ping_interval=4,
    ping_timeout=8,
    send_timeout=4,
    max_message=64 * 1024,
    write_high=64 * 1024,
    message_rate=50,
    message_burst=100,
)


async def echo(ws: ServerConnection) -> None:
    async for message in ws:
        await ws.send(message)


def state(server: Any) -> dict[str, Any]:
    gc.collect()
    return {
        "connections": len(server.connections),
        "opening": len(server.opening),
        "descriptors": descriptors(),
        "tasks": len(asyncio.all_tasks()),
        "resident": resident(),
    }


async def main() -> None:
    lines = await orders()
    async with serve(echo, "127.0.0.1", 0, backlog=4096, limits=LIMITS) as server:
        tell(server.sockets[0].getsockname()[1])
        while await lines.readline():
            tell(state(server))


if __name__ == "__main__":
    asyncio.run(main())
