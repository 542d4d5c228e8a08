"""aiohttp: a handler on its web server. It has no broadcast: receivers are sent to in turn."""

from __future__ import annotations

import socket
import ssl

from aiohttp import WSMessage, WSMsgType, web

from benchmarks.echo.servers import serving

publishing: set[web.WebSocketResponse] = set()


async def echo(request: web.Request) -> web.WebSocketResponse:
    connection = web.WebSocketResponse()
    await connection.prepare(request)
    async for message in connection:
        await send(connection, message)
    return connection


async def publish(request: web.Request) -> web.WebSocketResponse:
    connection = web.WebSocketResponse()
    await connection.prepare(request)
    publishing.add(connection)
    try:
        async for message in connection:
            for receiver in tuple(publishing):
                await send(receiver, message)
    finally:
        publishing.discard(connection)
    return connection


async def send(connection: web.WebSocketResponse, message: WSMessage) -> None:
    if message.type is WSMsgType.TEXT:
        await connection.send_str(message.data)
    else:
        await connection.send_bytes(message.data)


async def serve(sock: socket.socket, tls: ssl.SSLContext | None) -> web.AppRunner:
    application = web.Application()
    application.add_routes([web.get("/", echo), web.get("/broadcast", publish)])
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.SockSite(runner, sock, backlog=1024, ssl_context=tls).start()
    return runner


if __name__ == "__main__":
    serving.run(serve)
