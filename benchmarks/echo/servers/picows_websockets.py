"""picows.websockets: picows behind the interface of websockets."""

from __future__ import annotations

import socket

from picows.websockets.asyncio.server import Server, ServerConnection, broadcast
from picows.websockets.asyncio.server import serve as picows_serve

from benchmarks.echo.servers import serving

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
    server: Server = await picows_serve(handler, sock=sock)
    return server


if __name__ == "__main__":
    serving.run(serve)
