"""The server that the Autobahn cases are run against.

``python -m tests.conformance.echo_server FRONT``. Prints its port. Ends when its
standard input does.
"""

from __future__ import annotations

import asyncio
import functools
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import trio

from duplexer.asyncio import server as asyncio_server
from duplexer.extensions.deflate import ServerPerMessageDeflateFactory
from duplexer.limits import Limits
from duplexer.sync import server as sync_server
from duplexer.trio import server as trio_server

#: Section 9 sends messages of 16 MiB. (12 and 13 are about compressing, so that all are.)
LIMITS = Limits(max_message=16 * 1024 * 1024)


async def echo(ws: Any) -> None:
    async for message in ws:
        await ws.send(message, compress=True)


def echo_blocking(ws: Any) -> None:
    for message in ws:
        ws.send(message, compress=True)


def serving(serve: Callable[..., Any], handler: Any) -> Any:
    # Whatever the client asks for is agreed to, where the defaults would narrow the windows.
    extensions = [ServerPerMessageDeflateFactory(limits=LIMITS)]
    return serve(
        handler, "127.0.0.1", 0, extensions=extensions, limits=LIMITS, server_header="duplexer"
    )


def tell_port(server: Any) -> None:
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()


async def main(serve: Callable[..., Any], at_end: Callable[[], Awaitable[Any]]) -> None:
    async with serving(serve, echo) as server:
        tell_port(server)
        await at_end()


if __name__ == "__main__":
    if sys.argv[1] == "sync":
        with serving(sync_server.serve, echo_blocking) as server:
            tell_port(server)
            sys.stdin.read()
    elif sys.argv[1] == "trio":
        read = functools.partial(trio.to_thread.run_sync, sys.stdin.read)
        trio.run(main, trio_server.serve, read)
    else:
        asyncio.run(
            main(asyncio_server.serve, functools.partial(asyncio.to_thread, sys.stdin.read))
        )
