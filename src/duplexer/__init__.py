"""duplexer: the WebSocket system for Python.

The names here are those of the asyncio front; ``duplexer.asyncio`` has the rest of it. They are
imported when they are first used, so that ``import duplexer`` costs next to nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from duplexer._pure import choose_build
from duplexer._version import VERSION

choose_build()

__version__ = VERSION

if TYPE_CHECKING:
    from duplexer.asyncio.client import (
        ClientConnection as ClientConnection,
    )
    from duplexer.asyncio.client import (
        connect as connect,
    )
    from duplexer.asyncio.client import (
        unix_connect as unix_connect,
    )
    from duplexer.asyncio.connection import (
        Connection as Connection,
    )
    from duplexer.asyncio.connection import (
        Listener as Listener,
    )
    from duplexer.asyncio.server import (
        Server as Server,
    )
    from duplexer.asyncio.server import (
        ServerConnection as ServerConnection,
    )
    from duplexer.asyncio.server import (
        broadcast as broadcast,
    )
    from duplexer.asyncio.server import (
        serve as serve,
    )
    from duplexer.asyncio.server import (
        unix_serve as unix_serve,
    )
    from duplexer.carriers.static import (
        StaticFiles as StaticFiles,
    )
    from duplexer.core.closing import (
        State as State,
    )
    from duplexer.core.heartbeat import (
        Heartbeat as Heartbeat,
    )
    from duplexer.core.prepared import (
        Prepared as Prepared,
    )
    from duplexer.driver.logs import (
        AccessLog as AccessLog,
    )
    from duplexer.driver.logs import (
        JsonFormatter as JsonFormatter,
    )
    from duplexer.driver.metrics import (
        Metrics as Metrics,
    )
    from duplexer.driver.observing import (
        Observer as Observer,
    )
    from duplexer.driver.retry import (
        Retry as Retry,
    )
    from duplexer.driver.retry import (
        Retrying as Retrying,
    )
    from duplexer.driver.retry import (
        RetryState as RetryState,
    )
    from duplexer.driver.sendqueue import (
        OnFull as OnFull,
    )
    from duplexer.driver.sendqueue import (
        SendQueue as SendQueue,
    )
    from duplexer.driver.tickets import (
        Tickets as Tickets,
    )
    from duplexer.driver.tracing import (
        Tracing as Tracing,
    )
    from duplexer.errors import (
        Close as Close,
    )
    from duplexer.errors import (
        CloseCode as CloseCode,
    )
    from duplexer.errors import (
        ConcurrencyError as ConcurrencyError,
    )
    from duplexer.errors import (
        ConnectionClosed as ConnectionClosed,
    )
    from duplexer.errors import (
        ConnectionClosedError as ConnectionClosedError,
    )
    from duplexer.errors import (
        ConnectionClosedOK as ConnectionClosedOK,
    )
    from duplexer.errors import (
        InvalidHandshake as InvalidHandshake,
    )
    from duplexer.errors import (
        InvalidState as InvalidState,
    )
    from duplexer.errors import (
        InvalidStatus as InvalidStatus,
    )
    from duplexer.errors import (
        InvalidURI as InvalidURI,
    )
    from duplexer.errors import (
        PeerTimeout as PeerTimeout,
    )
    from duplexer.errors import (
        ProtocolError as ProtocolError,
    )
    from duplexer.errors import (
        WebSocketException as WebSocketException,
    )
    from duplexer.handshake.server import (
        ANY_ORIGIN as ANY_ORIGIN,
    )
    from duplexer.handshake.server import (
        SAME_HOST as SAME_HOST,
    )
    from duplexer.http.headers import (
        Headers as Headers,
    )
    from duplexer.http.messages import (
        Request as Request,
    )
    from duplexer.http.messages import (
        Response as Response,
    )
    from duplexer.limits import (
        Limits as Limits,
    )
    from duplexer.policy.authentication import (
        Grant as Grant,
    )
    from duplexer.policy.basic import (
        Basic as Basic,
    )
    from duplexer.policy.bearer import (
        Bearer as Bearer,
    )
    from duplexer.policy.forwarded import (
        TrustedProxies as TrustedProxies,
    )
    from duplexer.policy.router import (
        Router as Router,
    )

#: Public name → module that has it.
_HOMES = {
    "AccessLog": "driver.logs",
    "ANY_ORIGIN": "handshake.server",
    "Basic": "policy.basic",
    "Bearer": "policy.bearer",
    "ClientConnection": "asyncio.client",
    "Close": "errors",
    "CloseCode": "errors",
    "ConcurrencyError": "errors",
    "Connection": "asyncio.connection",
    "ConnectionClosed": "errors",
    "ConnectionClosedError": "errors",
    "ConnectionClosedOK": "errors",
    "Grant": "policy.authentication",
    "Headers": "http.headers",
    "Heartbeat": "core.heartbeat",
    "InvalidHandshake": "errors",
    "InvalidState": "errors",
    "InvalidStatus": "errors",
    "InvalidURI": "errors",
    "JsonFormatter": "driver.logs",
    "Limits": "limits",
    "Listener": "asyncio.connection",
    "Metrics": "driver.metrics",
    "Observer": "driver.observing",
    "OnFull": "driver.sendqueue",
    "PeerTimeout": "errors",
    "Prepared": "core.prepared",
    "ProtocolError": "errors",
    "Request": "http.messages",
    "Response": "http.messages",
    "Retry": "driver.retry",
    "RetryState": "driver.retry",
    "Retrying": "driver.retry",
    "Router": "policy.router",
    "SAME_HOST": "handshake.server",
    "SendQueue": "driver.sendqueue",
    "Server": "asyncio.server",
    "ServerConnection": "asyncio.server",
    "State": "core.closing",
    "StaticFiles": "carriers.static",
    "Tickets": "driver.tickets",
    "Tracing": "driver.tracing",
    "TrustedProxies": "policy.forwarded",
    "WebSocketException": "errors",
    "broadcast": "asyncio.server",
    "connect": "asyncio.client",
    "serve": "asyncio.server",
    "unix_connect": "asyncio.client",
    "unix_serve": "asyncio.server",
}

__all__ = ["__version__", *_HOMES]  # noqa: PLE0604 - names all the same


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
