"""The front for programs with threads: it blocks.

The same names and arguments as those of ``duplexer.asyncio``::

    from duplexer.sync import connect

    with connect("ws://localhost:8765") as ws:
        ws.send("hello")
        print(ws.recv(timeout=10))
"""

from __future__ import annotations

from duplexer.sync.client import ClientConnection, connect, unix_connect
from duplexer.sync.connection import Connection, Pong
from duplexer.sync.server import Server, ServerConnection, broadcast, serve, unix_serve

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
