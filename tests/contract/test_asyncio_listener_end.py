"""What a listener is given of a connection that has ended."""

from __future__ import annotations

import asyncio
import socket
import struct

from duplexer.asyncio.connection import Connection, Listener
from duplexer.asyncio.server import serve
from duplexer.dialects.hybi import frame
from duplexer.errors import ConnectionClosed
from duplexer.limits import Limits

REQUEST = (
    b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


def test_it_gets_all_that_was_read_before_the_end() -> None:
    class Counting(Listener):
        def __init__(self) -> None:
            self.count = 0
            self.closed = asyncio.Event()

        def on_message(self, ws: Connection, message: str | bytes) -> None:
            self.count += 1
            ws.transport.abort()  # the connection ends with most of the read still to be parsed

        def on_close(self, ws: Connection, exc: ConnectionClosed) -> None:
            self.closed.set()

    async def main() -> int:
        listener = Counting()
        limits = Limits(frames_per_turn=10, queue_messages=None)
        async with serve(listener, "127.0.0.1", 0, limits=limits) as server:
            with socket.create_connection(server.sockets[0].getsockname()) as client:
                client.sendall(REQUEST + frame(b"x", 2, mask=b"mask") * 100)
                async with asyncio.timeout(40):
                    await listener.closed.wait()
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        return listener.count

    assert asyncio.run(main()) == 100
