"""duplexer: the WebSocket system for Python.

The names here are those of the asyncio front; ``duplexer.asyncio`` has the rest of it. They are
imported when they are first used, so that ``import duplexer`` costs next to nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from duplexer._pure import choose_build
from duplexer._version import VERSION as __version__

choose_build()

if TYPE_CHECKING:
    from duplexer.asyncio.client import ClientConnection, connect, unix_connect
    from duplexer.asyncio.connection import Connection, Listener
    from duplexer.asyncio.server import Server, ServerConnection, broadcast, serve, unix_serve
    from duplexer.carriers.static import StaticFiles
    from duplexer.core.closing import State
    from duplexer.core.prepared import Prepared
    from duplexer.errors import (
        Close,
        CloseCode,
        ConcurrencyError,
        ConnectionClosed,
        ConnectionClosedError,
        ConnectionClosedOK,
        InvalidHandshake,
        InvalidState,
        InvalidStatus,
        InvalidURI,
        ProtocolError,
        WebSocketException,
    )
    from duplexer.http.headers import Headers
    from duplexer.http.messages import Request, Response
    from duplexer.limits import Limits

#: Public name → module that has it.
_HOMES = {
    "ClientConnection": "asyncio.client",
    "Close": "errors",
    "CloseCode": "errors",
    "ConcurrencyError": "errors",
    "Connection": "asyncio.connection",
    "ConnectionClosed": "errors",
    "ConnectionClosedError": "errors",
    "ConnectionClosedOK": "errors",
    "Headers": "http.headers",
    "InvalidHandshake": "errors",
    "InvalidState": "errors",
    "InvalidStatus": "errors",
    "InvalidURI": "errors",
    "Limits": "limits",
    "Listener": "asyncio.connection",
    "Prepared": "core.prepared",
    "ProtocolError": "errors",
    "Request": "http.messages",
    "Response": "http.messages",
    "Server": "asyncio.server",
    "ServerConnection": "asyncio.server",
    "State": "core.closing",
    "StaticFiles": "carriers.static",
    "WebSocketException": "errors",
    "broadcast": "asyncio.server",
    "connect": "asyncio.client",
    "serve": "asyncio.server",
    "unix_connect": "asyncio.client",
    "unix_serve": "asyncio.server",
}

__all__ = ["__version__", *_HOMES]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(f"{__name__}.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))
