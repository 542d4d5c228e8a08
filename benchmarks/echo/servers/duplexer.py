"""duplexer: an ordinary coroutine handler, and its ``broadcast``."""

from __future__ import annotations

import socket

from benchmarks.echo.servers import serving
from duplexer.asyncio.server import Server, ServerConnection, broadcast
from duplexer.asyncio.server import serve as duplexer_serve

publishing: set[ServerConnection] = set()


async def handler(connection: ServerConnection) -> None:
    if connection.request is not None and connection.request.path == "/broadcast":
        await publish(connection)
        return
    async for message in connection:
        await connection.send(message)


async def publish(connection: ServerConnection) -> None:
    publishing.add(connection)
    try:
        async for message in connection:
            broadcast(publishing, message)
    finally:
        publishing.discard(connection)


async def serve(sock: socket.socket) -> Server:
    return await duplexer_serve(handler, sock=sock)


if __name__ == "__main__":
    serving.run(serve)
