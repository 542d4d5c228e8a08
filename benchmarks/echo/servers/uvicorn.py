"""uvicorn: an ASGI application; ``--ws`` picks the implementation underneath."""

from __future__ import annotations

import argparse
import asyncio
import socket
import ssl
from typing import Any

import uvicorn

from benchmarks.echo.servers import serving

publishing: set[Any] = set()


async def application(scope: Any, receive: Any, send: Any) -> None:
    await receive()
    await send({"type": "websocket.accept"})
    receivers = None
    if scope["path"] == "/broadcast":
        receivers = publishing
        publishing.add(send)
    try:
        while (event := await receive())["type"] == "websocket.receive":
            event["type"] = "websocket.send"
            for deliver in (send,) if receivers is None else tuple(receivers):
                await deliver(event)
    finally:
        publishing.discard(send)


async def serve(sock: socket.socket, tls: ssl.SSLContext | None) -> asyncio.Task[None]:
    parser = argparse.ArgumentParser()
    parser.add_argument("--ws", help="as uvicorn's")
    ws = parser.parse_known_args()[0].ws
    config = uvicorn.Config(application, ws=ws, lifespan="off", access_log=False, log_config=None)
    config.load()
    config.ssl = tls  # it would make a context of its own from files
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve(sockets=[sock]))
    while not server.started:  # noqa: ASYNC110  uvicorn has no event for it
        await asyncio.sleep(0.01)
    return task


if __name__ == "__main__":
    serving.run(serve)
