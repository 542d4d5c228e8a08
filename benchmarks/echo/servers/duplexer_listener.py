"""duplexer: callbacks in place of a coroutine."""

from __future__ import annotations

import socket
import ssl
from typing import Any

from benchmarks.echo.servers import serving
from duplexer.asyncio.connection import Listener
from duplexer.asyncio.server import Server, ServerConnection, broadcast
from duplexer.asyncio.server import serve as duplexer_serve

publishing: set[ServerConnection] = set()


class Echo(Listener):
    """An instance for each connection."""

    publishing = False

    def on_open(self, ws: Any) -> None:
        if ws.request.path == "/broadcast":
            self.publishing = True
            publishing.add(ws)

    def on_message(self, ws: Any, message: str | bytes) -> None:
        if self.publishing:
            broadcast(publishing, message)
        else:
            ws.send_nowait(message)

    def on_close(self, ws: Any, exc: BaseException | None) -> None:
        publishing.discard(ws)


async def serve(sock: socket.socket, tls: ssl.SSLContext | None) -> Server:
    return await duplexer_serve(Echo, sock=sock, ssl=tls)


if __name__ == "__main__":
    serving.run(serve)
