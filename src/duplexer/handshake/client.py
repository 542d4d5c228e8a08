"""The client's side of the opening handshake (RFC 6455 4.1)."""

from __future__ import annotations

import binascii
import os
from typing import TYPE_CHECKING

from duplexer.errors import InvalidHeader, InvalidHeaderValue, InvalidStatus, InvalidUpgrade
from duplexer.handshake.negotiate import (
    Agreement,
    check_extensions,
    check_subprotocol,
    offer_extensions,
)
from duplexer.handshake.server import accept_key
from duplexer.http.headers import (
    Headers,
    build_authorization_basic,
    build_subprotocol,
    parse_connection,
    parse_upgrade,
    shown,
    valid_host,
    validate_subprotocols,
)
from duplexer.http.messages import USER_AGENT, Request

if TYPE_CHECKING:
    from collections.abc import Sequence

    from duplexer.core.dialect import Dialect
    from duplexer.core.extension import ClientExtensionFactory
    from duplexer.http.headers import (
        HeadersLike,
    )
    from duplexer.http.messages import Response
    from duplexer.http.uri import URI

__all__ = ["ClientHandshake"]

#: Headers that are the handshake's own, and what to use instead of giving them.
_RESERVED = {
    "connection": "it is always Upgrade",
    "content-length": "a handshake has no body",
    "sec-websocket-accept": "only servers send it",
    "sec-websocket-extensions": "use extensions= or compression=",
    "sec-websocket-key": "it is made for each connection",
    "sec-websocket-protocol": "use subprotocols=",
    "sec-websocket-version": "it follows from the dialect",
    "transfer-encoding": "a handshake has no body",
    "upgrade": "it is always websocket",
}


class ClientHandshake:
    """One attempt to open a connection: ``request`` goes out, ``check`` reads the answer.

    ``additional_headers`` may replace ``Host``, ``User-Agent``, ``Origin`` and ``Authorization``.
    ``user_agent_header=None`` sends none; ``key`` is for tests. Raises :exc:`TypeError` or
    :exc:`ValueError` before anything is sent where an argument does not fit into the request.
    """

    def __init__(
        self,
        uri: URI,
        *,
        dialect: Dialect,
        origin: str | None = None,
        subprotocols: Sequence[str] | None = None,
        extensions: Sequence[ClientExtensionFactory] = (),
        additional_headers: HeadersLike | None = None,
        user_agent_header: str | None = USER_AGENT,
        key: str | None = None,
    ) -> None:
        self.uri = uri
        self.dialect = dialect
        self.subprotocols = tuple(subprotocols or ())
        self.extensions = tuple(extensions)
        if key is None:
            key = binascii.b2a_base64(os.urandom(16), newline=False).decode("ascii")
        self.key = key
        if subprotocols:
            validate_subprotocols(subprotocols)
        own = _own_headers(additional_headers)
        headers = Headers()
        if "Host" not in own:
            headers["Host"] = uri.host_header
        headers["Upgrade"] = "websocket"
        headers["Connection"] = "Upgrade"
        headers["Sec-WebSocket-Key"] = key
        headers["Sec-WebSocket-Version"] = str(dialect.version)
        if origin is not None:
            if "Origin" in own:
                raise ValueError("Origin is given twice: as origin= and in additional_headers")
            # Its name in the drafts that came before version 13.
            headers["Origin" if dialect.version == 13 else "Sec-WebSocket-Origin"] = origin
        if subprotocols:
            headers["Sec-WebSocket-Protocol"] = build_subprotocol(subprotocols)
        offer = offer_extensions(self.extensions)
        if offer:
            headers["Sec-WebSocket-Extensions"] = offer
        if uri.userinfo is not None and "Authorization" not in own:
            headers["Authorization"] = build_authorization_basic(*uri.userinfo)
        headers.update(own)
        if user_agent_header is not None and "User-Agent" not in own:
            headers["User-Agent"] = user_agent_header
        self.request = Request(uri.resource_name, headers)
        self.request.serialize()  # raises for a resource name that was made by hand

    def check(self, response: Response) -> Agreement:
        """Whether the server agreed, and to what.

        Raises :exc:`InvalidStatus` (the response is in it), :exc:`InvalidUpgrade`,
        :exc:`InvalidHeader` or :exc:`NegotiationError`; the connection is then to be dropped.
        """
        if response.status_code != 101:
            raise InvalidStatus(response)
        index = response.headers.index()
        _check_upgrade(index.get("upgrade"), index.get("connection"))
        _check_accept(index.get("sec-websocket-accept"), self.key)
        header = index.get("sec-websocket-extensions")
        extensions = () if header is None else check_extensions(header, self.extensions)
        subprotocol = check_subprotocol(index.get("sec-websocket-protocol"), self.subprotocols)
        return Agreement(response, subprotocol, extensions, self.dialect)


def _own_headers(additional: HeadersLike | None) -> Headers:
    own = Headers(additional)
    for name in own:
        if name in _RESERVED:
            raise ValueError(f"{name} cannot be in additional_headers: {_RESERVED[name]}")
        if name in {"host", "origin", "user-agent", "authorization"} and len(own.get_all(name)) > 1:
            raise ValueError(f"{name} is several times in additional_headers")
    if "Host" in own and not (own["Host"] and valid_host(own["Host"])):
        raise ValueError(f"invalid Host in additional_headers: {own['Host']!r}")
    return own


def _values(value: str | list[str] | None) -> list[str]:
    if value is None:
        return []
    return [value] if isinstance(value, str) else value


def _check_upgrade(upgrade: str | list[str] | None, connection: str | list[str] | None) -> None:
    """Upgrade is "websocket" and Connection has "upgrade", in any case (RFC 6455 4.1)."""
    protocols = [protocol for value in _values(upgrade) for protocol in parse_upgrade(value)]
    # More than one protocol: what the bytes after the head would be is anybody's guess.
    if len(protocols) != 1 or protocols[0].lower() != "websocket":
        raise InvalidUpgrade("Upgrade", shown(", ".join(protocols)) if protocols else None)
    options = [option for value in _values(connection) for option in parse_connection(value)]
    if "upgrade" not in [option.lower() for option in options]:
        raise InvalidUpgrade("Connection", shown(", ".join(options)) if options else None)


def _check_accept(accept: str | list[str] | None, key: str) -> None:
    name = "Sec-WebSocket-Accept"
    if accept is None:
        raise InvalidHeader(name)
    if isinstance(accept, list):
        raise InvalidHeader(name, f"multiple values: {shown(', '.join(accept))}")
    # The server proves that it has read this very request; there is no secret in it.
    if accept != accept_key(key):
        raise InvalidHeaderValue(name, shown(accept))
