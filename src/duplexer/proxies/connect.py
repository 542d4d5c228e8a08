"""Through an HTTP proxy by CONNECT (RFC 9110 9.3.6), for ``ws:`` as well as for ``wss:``."""

from __future__ import annotations

import dataclasses
import urllib.parse
from typing import TYPE_CHECKING

from duplexer.errors import InvalidMessage, InvalidProxy, InvalidProxyStatus, ProxyError
from duplexer.http.h1 import ResponseReader
from duplexer.http.headers import Headers, build_authorization_basic
from duplexer.http.messages import USER_AGENT

if TYPE_CHECKING:
    from collections.abc import Generator

    from duplexer.http.uri import URI
    from duplexer.limits import Limits

__all__ = ["Proxy", "parse_proxy", "redacted", "tunnel"]


@dataclasses.dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy's address."""

    scheme: str
    host: str
    port: int
    username: str | None = None
    password: str | None = dataclasses.field(default=None, repr=False)


_PORTS = {
    "http": 80,
    "https": 443,
    "socks4": 1080,
    "socks4a": 1080,
    "socks5": 1080,
    "socks5h": 1080,
}


def parse_proxy(text: str) -> Proxy:
    """Read the URL of a proxy; :exc:`~duplexer.errors.InvalidProxy` if it is not one."""
    shown = redacted(text)
    if not text.isprintable() or " " in text:
        raise InvalidProxy(ascii(shown)[1:-1], "it has characters that no URL has")
    try:
        parts = urllib.parse.urlsplit(text)
    except ValueError:  # its text may have the password in it
        raise InvalidProxy(shown, "it is malformed") from None
    try:
        port = parts.port
    except ValueError:
        port = 0
    if parts.scheme not in _PORTS:
        raise InvalidProxy(shown, f"scheme must be one of {', '.join(_PORTS)}")
    if not parts.hostname:
        raise InvalidProxy(shown, "it has no host")
    if parts.path not in ("", "/") or parts.query or parts.fragment:
        raise InvalidProxy(shown, "it has more than scheme, user, host and port")
    if port == 0:
        raise InvalidProxy(shown, "the port is not a number from 1 to 65535")
    if (parts.username is None) != (parts.password is None):
        raise InvalidProxy(shown, "a user name needs a password, even an empty one")
    username = password = None
    if parts.username is not None and parts.password is not None:
        username = urllib.parse.unquote(parts.username)
        password = urllib.parse.unquote(parts.password)
        if ":" in username:
            raise InvalidProxy(shown, "a user name cannot contain a colon (RFC 7617 2)")
    return Proxy(parts.scheme, parts.hostname, port or _PORTS[parts.scheme], username, password)


def redacted(text: str) -> str:
    """An address as it may be shown: without user name and password."""
    scheme, slashes, rest = text.rpartition("//")
    userinfo, at, address = rest.rpartition("@")
    return f"{scheme}{slashes}***@{address}" if at and userinfo else text


def tunnel(proxy: Proxy, uri: URI, limits: Limits) -> Generator[bytes | None, bytes, None]:
    """Ask ``proxy`` for a tunnel to ``uri``: yields bytes to write, ``None`` to be sent what came.

    Credentials go to the proxy alone. Raises :exc:`~duplexer.errors.ProxyError`.
    """
    host = f"[{uri.host}]" if ":" in uri.host else uri.host
    target = f"{host}:{uri.port}"
    headers = Headers({"Host": target, "User-Agent": USER_AGENT})
    if proxy.username is not None and proxy.password is not None:
        headers["Proxy-Authorization"] = build_authorization_basic(proxy.username, proxy.password)
    yield f"CONNECT {target} HTTP/1.1\r\n".encode() + headers.serialize()
    reader = ResponseReader(limits, connect=True)
    response = None
    try:
        while response is None:
            data = yield None
            response = reader.feed(data) if data else reader.feed_eof()
    except InvalidMessage as exc:
        raise ProxyError(f"the proxy's answer cannot be read: {exc}") from exc
    if not 200 <= response.status_code < 300:
        raise InvalidProxyStatus(response)
    if reader.rest:
        # The target waits for us to speak: nobody has anything to say yet.
        raise ProxyError("the proxy sent more than its answer")
