"""The one place where the commands get the library from.

Stands in until ``duplexer.asyncio`` lands; then it goes.
"""

from __future__ import annotations

from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import Server, ServerConnection, broadcast
from websockets.asyncio.server import serve as _serve
from websockets.asyncio.server import unix_serve as _unix_serve
from websockets.datastructures import Headers
from websockets.exceptions import (
    ConnectionClosed,
    ConnectionClosedOK,
    InvalidHandshake,
    InvalidMessage,
    InvalidStatus,
    InvalidURI,
)
from websockets.http11 import Request, Response

__all__ = [
    "ClientConnection",
    "ConnectionClosed",
    "ConnectionClosedOK",
    "Headers",
    "InvalidHandshake",
    "InvalidMessage",
    "InvalidStatus",
    "InvalidURI",
    "Request",
    "Response",
    "Server",
    "ServerConnection",
    "broadcast",
    "connect",
    "explain",
    "serve",
    "unix_serve",
]


def _adapt(options: dict[str, Any]) -> dict[str, Any]:
    http = options.pop("http", None) or {}
    inner = options.pop("process_request", None)

    def process_request(connection: Any, request: Any) -> Any:
        route = http.get(request.path.partition("?")[0])
        if route is not None:
            return route(request)
        return inner(connection, request) if inner else None

    return {**options, "process_request": process_request}


def serve(handler: Any, host: str | None, port: int | None, **options: Any) -> Any:
    """Stand-in."""
    return _serve(handler, host, port, **_adapt(options))


def unix_serve(handler: Any, path: str, **options: Any) -> Any:
    """Stand-in."""
    return _unix_serve(handler, path, **_adapt(options))


def explain(ws: Any) -> str:
    """Stand-in."""
    exc = ws.protocol.close_exc
    who = "the peer" if exc.rcvd_then_sent or exc.sent is None else "us"
    return f"{exc}\nClosed by {who}."
