"""The address of a proxy."""

from __future__ import annotations

import dataclasses
import urllib.parse

from duplexer.errors import InvalidProxy, InvalidURI
from duplexer.http.uri import parse_uri

__all__ = ["Proxy", "parse_proxy", "redacted"]

_PORTS = {
    "http": 80,
    "https": 443,
    "socks4": 1080,
    "socks4a": 1080,
    "socks5": 1080,
    "socks5h": 1080,
}


@dataclasses.dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy's address. ``str()`` and ``repr()`` never show the password."""

    scheme: str  #: ``http``, ``https``, ``socks4``, ``socks4a``, ``socks5`` or ``socks5h``
    host: str  #: an IPv6 address has no brackets
    port: int
    username: str | None = None
    password: str | None = dataclasses.field(default=None, repr=False)

    @property
    def secure(self) -> bool:
        """Whether it is spoken to over TLS."""
        return self.scheme == "https"

    @property
    def resolves(self) -> bool:
        """Whether it takes names of hosts; ``socks4`` and ``socks5`` want IP addresses."""
        return self.scheme not in ("socks4", "socks5")

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        userinfo = "" if self.username is None else "***@"
        return f"{self.scheme}://{userinfo}{host}:{self.port}"


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
    username, password = _credentials(parts, shown)
    host = _host(parts.hostname, shown)
    return Proxy(parts.scheme, host, port or _PORTS[parts.scheme], username, password)


def _host(text: str, shown: str) -> str:
    """``text`` as other proxies may have to be told it: the same rules as for a server."""
    try:
        return parse_uri(f"ws://[{text}]/" if ":" in text else f"ws://{text}/").host
    except InvalidURI as exc:
        raise InvalidProxy(shown, exc.msg) from None


def _credentials(parts: urllib.parse.SplitResult, shown: str) -> tuple[str | None, str | None]:
    """User name and password, if they are such as this kind of proxy can be told."""
    if parts.username is None:
        return None, None
    username = urllib.parse.unquote(parts.username)
    password = urllib.parse.unquote(parts.password or "")
    if not (username + password).replace(" ", "").isprintable():
        raise InvalidProxy(shown, "user name and password cannot have control characters")
    if parts.scheme.startswith("socks4"):
        if password:
            raise InvalidProxy(shown, "SOCKS4 knows user names, but no passwords; use socks5h://")
        return username, ""
    if parts.password is None:
        raise InvalidProxy(shown, "a user name needs a password, even an empty one")
    if parts.scheme.startswith("http"):
        if ":" in username:
            raise InvalidProxy(shown, "a user name cannot contain a colon (RFC 7617 2)")
    elif not username or max(len(username.encode()), len(password.encode())) > 255:
        raise InvalidProxy(
            shown, "user names have 1 to 255 bytes and passwords up to 255 (RFC 1929 2)"
        )
    return username, password


def redacted(text: str) -> str:
    """An address as it may be shown: without user name, password and query."""
    # Not from the last slashes on: a password that nobody has percent-encoded may have some.
    scheme, separator, rest = text.partition("://")
    if not separator:
        scheme, rest = "", text
    userinfo, at, address = rest.rpartition("@")
    if at and userinfo:
        rest = f"***@{address}"
    rest, mark, query = rest.partition("?")
    return scheme + separator + rest + ("?***" if query else mark)
