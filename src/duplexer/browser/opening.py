"""Opening a connection: what the constructors of ``WebSocket`` and ``WebSocketStream`` share."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from duplexer.asyncio.client import connect
from duplexer.browser.exceptions import DOMException
from duplexer.browser.url import websocket_url
from duplexer.errors import InvalidURI, NegotiationError
from duplexer.http.headers import Headers, build_authorization_basic, validate_subprotocols
from duplexer.limits import DEFAULT_LIMITS

if TYPE_CHECKING:
    from duplexer.asyncio.client import ClientConnection

__all__ = ["BROWSER_LIMITS", "Opening"]

#: As everywhere, but that ``send()`` cannot wait here: it may have more buffered.
BROWSER_LIMITS = DEFAULT_LIMITS.replace(write_hard=16 * 1024 * 1024)

#: Arguments of ``connect`` that have another name here, or no meaning.
_NOT_HERE = {
    "additional_headers": "headers",
    "subprotocols": "protocols",
    "listener": "addEventListener",
    "create_connection": "",
    "process_exception": "",
}

#: A host and its port → where to connect to: a host, or a pair of host and port.
Resolver = Callable[[str, int], Any] | Mapping[str, Any]


class Opening:
    """One connection that is to be opened: the arguments, checked, and how to do it.

    Raises "SyntaxError" for an address or protocols that are none, ``TypeError`` and ``ValueError``
    for other arguments that do not fit.
    """

    def __init__(
        self, url: Any, protocols: str | Iterable[str], options: Mapping[str, Any], api: str
    ) -> None:
        arguments = dict(options)
        for name in arguments.keys() & _NOT_HERE.keys():
            cure = f"; use {_NOT_HERE[name]}" if _NOT_HERE[name] else ""
            raise TypeError(f"{api}() got an unexpected keyword argument {name!r}{cure}")
        self.url = websocket_url(url, arguments.pop("base_url", None))
        self.protocols = _checked(protocols)
        self.resolver: Resolver | None = arguments.pop("resolver", None)
        headers = Headers(arguments.pop("headers", None))
        if (self.url.username or self.url.password) and "Authorization" not in headers:
            headers["Authorization"] = _authorization(self.url.username, self.url.password)
        arguments["additional_headers"] = headers
        arguments["subprotocols"] = self.protocols or None
        arguments.setdefault("limits", BROWSER_LIMITS)
        self._arguments = arguments
        self._refused: InvalidURI | None = None
        try:
            self._connect = connect(self.url.address, **arguments)
        except InvalidURI as exc:
            self._refused = exc  # a host or a port that is in order, but that nobody can have

    async def connect(self) -> ClientConnection:
        """Open it; raises whatever goes wrong."""
        if self._refused is not None:
            raise self._refused
        opening = self._connect
        if self.resolver is not None:
            where = await self._resolve(self.resolver)
            if where:
                opening = connect(self.url.address, **{**self._arguments, **where})
        connection = await opening
        if self.protocols and connection.subprotocol is None:
            # RFC 6455 would let it pass; the standard does not (WebSockets, 2.2).
            connection.abort()
            raise NegotiationError(
                f"the server has chosen none of the protocols {', '.join(self.protocols)}"
            )
        return connection

    async def _resolve(self, resolver: Resolver) -> dict[str, Any]:
        host, port = self._connect.uri.host, self._connect.uri.port
        found = resolver.get(host) if isinstance(resolver, Mapping) else resolver(host, port)
        if inspect.isawaitable(found):
            found = await found
        if found is None:
            return {}
        if isinstance(found, str):
            return {"host": found}
        return {"host": found[0], "port": found[1]}


def extensions_of(connection: ClientConnection) -> str:
    """The extensions that the server has agreed to, as it has written them."""
    assert connection.response is not None
    return ", ".join(connection.response.headers.get_all("Sec-WebSocket-Extensions"))


def _checked(protocols: str | Iterable[str]) -> list[str]:
    names = [protocols] if isinstance(protocols, str) else list(protocols)
    try:
        validate_subprotocols(names)
    except ValueError as exc:
        raise DOMException(str(exc), "SyntaxError") from None
    return names


def _authorization(username: str, password: str) -> str:
    try:
        return build_authorization_basic(unquote(username), unquote(password))
    except ValueError as exc:
        raise DOMException(str(exc), "SyntaxError") from None
