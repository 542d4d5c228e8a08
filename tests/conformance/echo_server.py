"""The server that the Autobahn cases are run against: ``python -m tests.conformance.echo_server``.

Prints its port. Ends when its standard input does.
"""

from __future__ import annotations

import asyncio
import sys

from duplexer.asyncio.server import ServerConnection, serve
from duplexer.extensions.deflate import ServerPerMessageDeflateFactory
from duplexer.limits import Limits

#: Section 9 sends messages of 16 MiB, and sections 12 and 13 are about compressing everything.
LIMITS = Limits(max_message=16 * 1024 * 1024, deflate_min=0)


async def echo(ws: ServerConnection) -> None:
    async for message in ws:
        await ws.send(message)


async def main() -> None:
    # Whatever the client asks for is agreed to, where the defaults would narrow the windows.
    extensions = [ServerPerMessageDeflateFactory(limits=LIMITS)]
    async with serve(
        echo, "127.0.0.1", 0, extensions=extensions, limits=LIMITS, server_header="duplexer"
    ) as server:
        sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
        sys.stdout.flush()
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main())
