"""A coroutine for each connection, and ``broadcast``: the libraries with that interface.

They differ in the module that ``serve`` is imported from, which ``--library`` names.
"""

from __future__ import annotations

import argparse
import importlib
import socket
import ssl
from typing import Any

from benchmarks.echo.servers import serving

publishing: set[Any] = set()


async def echo(connection: Any) -> None:
    async for message in connection:
        await connection.send(message)


async def serve(sock: socket.socket, tls: ssl.SSLContext | None) -> object:
    parser = argparse.ArgumentParser()
    parser.add_argument("--library")
    name = parser.parse_known_args()[0].library
    library = importlib.import_module(f"{name}.asyncio.server")
    broadcast = library.broadcast

    async def publish(connection: Any) -> None:
        publishing.add(connection)
        try:
            async for message in connection:
                broadcast(publishing, message)
        finally:
            publishing.discard(connection)

    async def handler(connection: Any) -> None:
        await (publish if connection.request.path == "/broadcast" else echo)(connection)

    return await library.serve(handler, sock=sock, ssl=tls)


if __name__ == "__main__":
    serving.run(serve)
