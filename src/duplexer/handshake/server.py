"""The server's side of the opening handshake (RFC 6455 4.2), and of that of the HyBi drafts.

``accept`` looks at a request and either gives an :class:`Agreement` with the 101 to send, or
raises :exc:`HttpError` with the answer that the request deserves. What is usual is recognised by
comparing whole values; only what is unusual is parsed.
"""

from __future__ import annotations

import binascii
import dataclasses
import hashlib
import re
from typing import TYPE_CHECKING, Final, TypeAlias

from duplexer.errors import (
    HttpError,
    InvalidHeader,
    InvalidHeaderValue,
    InvalidOrigin,
    InvalidUpgrade,
    NegotiationError,
)
from duplexer.handshake.negotiate import (
    Agreement,
    accept_extensions,
    read_subprotocols,
    select_subprotocol,
)
from duplexer.http.headers import (
    Headers,
    is_valid_value,
    parse_connection,
    parse_upgrade,
    shown,
    valid_host,
    validate_subprotocols,
)
from duplexer.http.messages import SERVER, Response, is_upgrade, make_response

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from duplexer.core.dialect import Dialect
    from duplexer.core.extension import Extension, ServerExtensionFactory
    from duplexer.errors import (
        InvalidHandshake,
    )
    from duplexer.http.messages import Request

__all__ = [
    "ANY_ORIGIN",
    "SAME_HOST",
    "Origins",
    "ServerOptions",
    "accept",
    "accept_key",
    "check_host",
    "check_origin",
    "is_upgrade",
    "negotiate",
    "refuse",
    "validate_hosts",
    "validate_origins",
]

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

#: The default for ``origins``: pages of the site that the request was sent to, and clients that
#: are no browsers and send no ``Origin``.
SAME_HOST: Final = "same-host"

#: For ``origins``: every page of the web may connect, with its visitor's cookies.
ANY_ORIGIN: Final = "any-origin"

#: ``None`` is ``ANY_ORIGIN``, as in ``websockets``.
Origins: TypeAlias = "str | Sequence[str | re.Pattern[str] | None] | None"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ServerOptions:
    """What a server agrees to. Raises :exc:`TypeError` or :exc:`ValueError` for what is invalid."""

    #: in order of preference; having none in common with the client is then an error
    subprotocols: Sequence[str] | None = None
    #: chooses among the client's offers instead; ``None`` goes on without
    select_subprotocol: Callable[[Sequence[str]], str | None] | None = None
    #: whose pages may connect: ``SAME_HOST``; a list of origins, patterns, ``SAME_HOST`` and
    #: ``None`` for requests without an Origin; or ``ANY_ORIGIN``
    origins: Origins = SAME_HOST
    #: what ``Host`` may say; ``None`` for anything. See ``check_host``
    allowed_hosts: Sequence[str] | None = None
    extensions: Sequence[ServerExtensionFactory] = ()
    #: the value of ``Server`` in our answers, ``None`` for sending none
    server_header: str | None = SERVER

    def __post_init__(self) -> None:
        if self.subprotocols is not None:
            validate_subprotocols(self.subprotocols)
        validate_origins(self.origins)
        validate_hosts(self.allowed_hosts)
        if self.server_header is not None and not is_valid_value(self.server_header):
            raise ValueError(f"invalid server_header: {self.server_header!r}")


def accept_key(key: str) -> str:
    """The value of ``Sec-WebSocket-Accept`` that answers ``key`` (RFC 6455 4.2.2)."""
    digest = hashlib.sha1(key.encode("latin-1") + GUID, usedforsecurity=False).digest()
    return binascii.b2a_base64(digest, newline=False).decode("ascii")


def refuse(error: HttpError, server_header: str | None = SERVER) -> Response:
    """The answer to a request that is refused; the connection has to be closed after it.

    Bytes that follow a refused upgrade are of unknown meaning (RFC 9931), and caches must not keep
    what was said about one request (RFC 6455 10.3).
    """
    # Who sends Upgrade has to nominate it in Connection (RFC 9110 7.8).
    upgrade = any(name.lower() == "upgrade" for name, _ in error.headers)
    connection = "close, Upgrade" if upgrade else "close"
    headers = Headers({"Connection": connection, "Cache-Control": "no-store"})
    if server_header is not None:
        headers["Server"] = server_header
    headers.update(error.headers)
    return make_response(error.status, f"{error.text}\n".encode(), headers=headers)


# -- the checks of RFC 6455 4.2.1 ----------------------------------------------------------------


def accept(
    request: Request,
    options: ServerOptions,
    *,
    secure: bool,
    dialects: Sequence[Dialect],
    host: str | None = None,
) -> Agreement:
    """Check a handshake and agree to it.

    ``secure``: whether it came over TLS. ``dialects``: what the server speaks, preferred first.
    ``host``: what the client asked a proxy for, if that is not what ``Host`` says.

    Raises :exc:`HttpError` 400, 403, 405, 426 or 505; ``__cause__`` says more where there is more
    to say (:exc:`InvalidOrigin`, :exc:`InvalidUpgrade`, :exc:`NegotiationError` ...).
    """
    index = request.headers.index()
    try:
        if request.method != "GET" or request.version != "HTTP/1.1" or request.body:
            _check_request(request)
        upgrade = index.get("upgrade")
        connection = index.get("connection")
        if upgrade != "websocket" or connection not in _USUAL_CONNECTIONS:
            _check_upgrade(upgrade, connection, dialects)
        if not index.get("host"):
            raise HttpError(400, "empty Host header")
        if options.allowed_hosts is not None:
            check_host(request, options.allowed_hosts)
        dialect = _check_version(index.get("sec-websocket-version"), dialects)
        key = _check_key(index.get("sec-websocket-key"), dialect)
        subprotocol, extensions, answer = negotiate(request, options, secure, dialect, host)
    except (InvalidHeader, NegotiationError) as exc:
        raise _http_error(exc) from exc
    raw = (
        "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "
        f"{accept_key(key)}{answer}"
    )
    if options.server_header is not None:
        raw += f"\r\nServer: {options.server_header}"
    # Every part was checked when it was set, or is made of tokens.
    response = Response(101, "Switching Protocols", Headers.from_lines(raw.encode("latin-1")))
    return Agreement(response, subprotocol, extensions, dialect)


_USUAL_CONNECTIONS = ("Upgrade", "upgrade", "keep-alive, Upgrade", "Keep-Alive, Upgrade")


def negotiate(
    request: Request,
    options: ServerOptions,
    secure: bool,
    dialect: Dialect,
    host: str | None = None,
) -> tuple[str | None, tuple[Extension, ...], str]:
    """Origin, subprotocol and extensions, which do not depend on the carrier (RFC 8441 5).

    Gives the lines for the answer as well, each after a CRLF. Raises :exc:`InvalidHeader`,
    :exc:`NegotiationError`.
    """
    index = request.headers.index()
    version = dialect.version
    # Drafts 4 to 10 called it Sec-WebSocket-Origin; clients of that time may send both, and what
    # they send as Origin then is not always one.
    origin = None if version == 13 else index.get("sec-websocket-origin")
    if origin is None:
        origin = index.get("origin")
    if (origin is not None or options.origins != SAME_HOST) and options.origins is not None:
        named = index.get("host") if host is None else host
        check_origin(origin, named, options.origins, secure=secure)
    answer = ""
    extensions: tuple[Extension, ...] = ()
    header = index.get("sec-websocket-extensions")
    # Extensions as we know them are those of the RFC; earlier offers may be ignored.
    if header is not None and version == 13:
        chosen, extensions = accept_extensions(header, options.extensions)
        if chosen:
            answer = f"\r\nSec-WebSocket-Extensions: {chosen}"
    subprotocol: str | None = None
    header = index.get("sec-websocket-protocol")
    if header is not None or options.subprotocols or options.select_subprotocol is not None:
        offers = read_subprotocols(header) if header is not None else []
        subprotocol = select_subprotocol(offers, options.subprotocols, options.select_subprotocol)
        if subprotocol is not None:
            answer += f"\r\nSec-WebSocket-Protocol: {subprotocol}"
    return subprotocol, extensions, answer


def _http_error(exc: InvalidHandshake) -> HttpError:
    if isinstance(exc, InvalidOrigin):
        return HttpError(403, f"Cannot open a WebSocket connection: {exc}; see origins=.")
    return HttpError(400, f"Cannot open a WebSocket connection: {exc}.")


def _check_request(request: Request) -> None:
    if request.method != "GET":
        raise HttpError(
            405,
            f"Cannot open a WebSocket connection with {shown(request.method, 20)}, only with GET.",
            [("Allow", "GET")],
        )
    if request.version != "HTTP/1.1":
        raise HttpError(
            400,
            f"Cannot open a WebSocket connection over {request.version}: it takes HTTP/1.1. "
            "Behind nginx, set proxy_http_version 1.1.",
        )
    raise HttpError(400, "Cannot open a WebSocket connection: the request has a body.")


def _values(value: str | list[str] | None) -> list[str]:
    if value is None:
        return []
    return [value] if isinstance(value, str) else value


def _check_upgrade(
    upgrade: str | list[str] | None,
    connection: str | list[str] | None,
    dialects: Sequence[Dialect],
) -> None:
    """Connection has the token "upgrade" and Upgrade "websocket", in any case (RFC 6455 4.2.1)."""
    options = [option for value in _values(connection) for option in parse_connection(value)]
    protocols = [protocol for value in _values(upgrade) for protocol in parse_upgrade(value)]
    error: InvalidUpgrade | None = None
    if "websocket" not in [protocol.lower() for protocol in protocols]:
        error = InvalidUpgrade("Upgrade", shown(", ".join(protocols)) if protocols else None)
    elif "upgrade" not in [option.lower() for option in options]:
        error = InvalidUpgrade("Connection", shown(", ".join(options)) if options else None)
    if error is not None:
        raise HttpError(
            426,
            f"Cannot open a WebSocket connection: {error}. A proxy on the way may have removed it: "
            'nginx needs "proxy_set_header Upgrade $http_upgrade" and '
            '"proxy_set_header Connection upgrade".',
            _upgrade_headers(dialects),
        ) from error


def _upgrade_headers(dialects: Sequence[Dialect]) -> list[tuple[str, str]]:
    """What a 426 has to say (RFC 9110 15.5.22, RFC 6455 4.4)."""
    versions = ", ".join(
        str(dialect.version) for dialect in dialects if dialect.version is not None
    )
    headers = [("Upgrade", "websocket")]
    return [*headers, ("Sec-WebSocket-Version", versions)] if versions else headers


def _check_version(value: str | list[str] | None, dialects: Sequence[Dialect]) -> Dialect:
    if value == "13":
        version = 13
    else:
        name = "Sec-WebSocket-Version"
        if value is None:
            raise InvalidHeader(name)
        if isinstance(value, list):
            raise InvalidHeaderValue(name, f"several headers: {shown(', '.join(value))}")
        # 0 to 255 without leading zeros (RFC 6455 4.1, 4.3).
        if not (value.isascii() and value.isdigit()) or len(value) > 3 or str(int(value)) != value:
            raise InvalidHeaderValue(name, shown(value))
        version = int(value)
    for dialect in dialects:
        if dialect.version == version:
            return dialect
    raise HttpError(
        426,
        f"Cannot open a WebSocket connection: version {version} is not spoken here.",
        _upgrade_headers(dialects),
    )


def _check_key(key: str | list[str] | None, dialect: Dialect) -> str:
    """The key is the base64 form of 16 bytes (RFC 6455 4.2.1)."""
    name = "Sec-WebSocket-Key"
    if key is None:
        raise InvalidHeader(name)
    if isinstance(key, list):
        raise InvalidHeaderValue(name, f"several headers: {shown(', '.join(key))}")
    if not key or (dialect.version == 13 and not _is_key(key)):
        raise InvalidHeaderValue(name, shown(key) + " (not the base64 form of 16 bytes)")
    return key


def _is_key(key: str) -> bool:
    # The last of the 22 digits has four bits to spare, which clients do not always leave at zero;
    # nor does the example of RFC 6455 1.2.
    if len(key) != 24 or not key.endswith("=="):
        return False
    try:
        return len(binascii.a2b_base64(key, strict_mode=True)) == 16
    except ValueError:
        return False


# -- Host ----------------------------------------------------------------------------------------


def validate_hosts(hosts: Sequence[str] | None) -> None:
    """Raise :exc:`TypeError` or :exc:`ValueError` for what no ``Host`` could ever be."""
    if isinstance(hosts, str):
        raise TypeError(f"allowed_hosts must be a list, not a str: {hosts!r}")
    for host in hosts or ():
        if not isinstance(host, str):
            raise TypeError(f"an allowed host must be a str, not {type(host).__name__}")
        name = host.removeprefix("*.")
        if not name or not valid_host(name) or "*" in name or host != host.lower():
            raise ValueError(
                "an allowed host is a name in lower case, an address (IPv6 in brackets), or "
                f"'*.' and a name, each with or without a port: not {host!r}"
            )


def check_host(request: Request, allowed: Sequence[str]) -> None:
    """Refuse requests to names that are not ours.

    A page can let its own name point to 127.0.0.1 once it is loaded ("DNS rebinding"): its Origin
    and its Host agree then, and only the name tells that it is not of this machine.

    What is ``allowed`` without a port is allowed at any; ``*.example.com`` is all names that end
    in ``.example.com``. Requests without Host, which no browser sends, pass. Raises
    :exc:`HttpError` 421 (RFC 9110 15.5.20).
    """
    for host in request.headers.get_all("Host"):
        lower = host.lower()
        name, port = _name_and_port(lower)
        if name in allowed or lower in allowed:
            continue
        if not any(each[0] == "*" and _is_below(name, port, each[1:]) for each in allowed):
            raise HttpError(421, f"There is no {shown(host)} here; see allowed_hosts=.")


def _is_below(name: str, port: str, domain: str) -> bool:
    """Whether ``name`` is a subdomain of ``domain``, ``.example.com`` or ``.example.com:80``."""
    parent, wanted = _name_and_port(domain)
    return len(name) > len(parent) and name.endswith(parent) and wanted in ("", port)


# -- Origin (RFC 6455 4.2.2, 10.2) ---------------------------------------------------------------


def validate_origins(origins: Origins) -> None:
    """Raise :exc:`TypeError` or :exc:`ValueError` for what no ``Origin`` could ever be."""
    if isinstance(origins, str):
        if origins not in (SAME_HOST, ANY_ORIGIN):
            raise TypeError(f"origins must be a list, not a str: {origins!r}")
        return
    for origin in origins or ():
        if origin is not None and not isinstance(origin, (str, re.Pattern)):
            raise TypeError(f"an origin must be a str, a pattern or None: {origin!r}")
        if origin in ("*", ANY_ORIGIN):
            raise ValueError("to let pages of all sites connect, say so: origins=ANY_ORIGIN")
        if isinstance(origin, str) and "/" in origin.partition("://")[2]:
            raise ValueError(f"an origin is a scheme, a host and a port, with no path: {origin!r}")


def check_origin(
    origin: str | list[str] | None,
    host: str | list[str] | None,
    origins: Origins,
    *,
    secure: bool,
) -> None:
    """Raise :exc:`InvalidOrigin` unless a page of ``origin`` may connect.

    ``host`` is the value of ``Host``, or of ``:authority`` in HTTP/2 and 3.
    """
    if origins is None or origins == ANY_ORIGIN:
        return
    if isinstance(origin, list):
        raise InvalidOrigin(f"several headers: {shown(', '.join(origin))}")
    if isinstance(origins, str):
        if origin is None or (isinstance(host, str) and _is_same_host(origin, host, secure)):
            return
        raise InvalidOrigin(f"{shown(origin)} (this is {shown(str(host))})")
    for allowed in origins:
        if allowed == SAME_HOST:
            if origin is None or (isinstance(host, str) and _is_same_host(origin, host, secure)):
                return
        elif allowed is None or isinstance(allowed, str):
            if origin == allowed:
                return
        elif origin is not None and allowed.fullmatch(origin):
            return
    raise InvalidOrigin(None if origin is None else shown(origin))


def _is_same_host(origin: str, host: str, secure: bool) -> bool:
    """Whether a page of ``origin`` and a request to ``host`` are of the same site.

    A page that came in the clear is never of a site that is asked over TLS: someone on the way may
    have written it. The other way round there is a proxy in front that ends TLS, as there is in
    front of most servers: the page's ``https`` then says which port ``Host`` leaves out.
    """
    scheme, slashes, authority = origin.partition("://")
    if scheme == "https":
        default = "443"
    elif scheme == "http" and not secure:
        default = "80"
    else:
        return False
    if authority == host:
        # Also means that ``authority`` is well formed, because ``Host`` was checked.
        return bool(slashes and host)
    name, port = _name_and_port(authority.lower())
    host_name, host_port = _name_and_port(host.lower())
    if authority.endswith(":") or not name:
        return False
    return name == host_name and (port or default) == (host_port or default)


def _name_and_port(authority: str) -> tuple[str, str]:
    """``name`` and ``port`` of ``name:port``; an IPv6 address has its brackets."""
    name, colon, port = authority.rpartition(":")
    if not colon or "]" in port:
        return authority, ""
    return name, port
