"""The front for trio: nurseries, ``move_on_after``, any stream in and any listener in.

The same names and arguments as those of ``duplexer.asyncio``::

    from duplexer.trio import connect

    async with connect("ws://localhost:8765") as ws:
        await ws.send("hello")
        print(await ws.recv())
"""

from __future__ import annotations

from duplexer.trio.client import ClientConnection, connect, unix_connect
from duplexer.trio.connection import Connection, Pong
from duplexer.trio.server import Server, ServerConnection, broadcast, serve, unix_serve

__all__ = [
    "ClientConnection",
    "Connection",
    "Pong",
    "Server",
    "ServerConnection",
    "broadcast",
    "connect",
    "serve",
    "unix_connect",
    "unix_serve",
]
