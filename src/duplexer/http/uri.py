"""WebSocket addresses: ``ws://host:port/path?query`` and ``wss://...`` (RFC 6455 3, RFC 3986).

Nothing is repaired that could be meant in two ways: an address that programs read differently is
how a request ends up on another host than the one that was checked.
"""

from __future__ import annotations

import binascii
import dataclasses

from duplexer.errors import InvalidURI
from duplexer.http.headers import build_host

__all__ = ["URI", "parse_uri"]

_UNRESERVED = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-._~"
#: Bytes of a path or query that are sent as they are; every other one is percent-encoded.
_AS_IS = frozenset(_UNRESERVED + b"!$&'()*+,;=:@/?[]%")
_ENCODED = [chr(byte) if byte in _AS_IS else f"%{byte:02X}" for byte in range(256)]
_HOST_CHARS = frozenset("0123456789abcdefghijklmnopqrstuvwxyz-._")
#: Where IDNA 2003, which Python has, and IDNA 2008, which browsers use, name different hosts.
_DEVIATIONS = frozenset("\u00df\u03c2\u200c\u200d")


@dataclasses.dataclass(frozen=True, slots=True)
class URI:
    """A parsed address. ``str()`` and ``repr()`` never show user name and password."""

    secure: bool  #: whether it is ``wss``
    host: str  #: lower case, ASCII; an IPv6 address has no brackets
    port: int  #: always set, if need be to the scheme's own
    path: str  #: percent-encoded; may be empty
    query: str  #: percent-encoded, without the question mark; may be empty
    username: str | None = dataclasses.field(default=None, repr=False)
    password: str | None = dataclasses.field(default=None, repr=False)

    @property
    def resource_name(self) -> str:
        """What the request asks for (RFC 6455 3): ``/`` for an empty path, ``?`` only if needed."""
        path = self.path or "/"
        return f"{path}?{self.query}" if self.query else path

    @property
    def host_header(self) -> str:
        """The value of ``Host``: with the port unless it is the scheme's own."""
        return build_host(self.host, self.port, self.secure)

    @property
    def userinfo(self) -> tuple[str, str] | None:
        """User name and password, percent-decoded, if the address has them."""
        if self.username is None or self.password is None:
            return None
        return self.username, self.password

    #: The name that the ``websockets`` package gives it.
    user_info = userinfo

    @property
    def origin(self) -> tuple[bool, str, int]:
        """What must stay the same for credentials to follow a redirect."""
        return self.secure, self.host, self.port

    @property
    def shown(self) -> str:
        """The address for logs and errors: without its query, which may hold tokens."""
        return str(dataclasses.replace(self, query=""))

    def __str__(self) -> str:
        scheme = "wss" if self.secure else "ws"
        return f"{scheme}://{self.host_header}{self.resource_name}"


def redact(text: str) -> str:
    """``text``, which need not be an address at all, without user, password and query."""
    scheme, slashes, rest = text.partition("://")
    if not slashes:
        scheme, rest = "", text
    before, at, after = rest.rpartition("@")
    if at and before:
        rest = f"***@{after}"
    rest, mark, query = rest.partition("?")
    return scheme + slashes + rest + ("?***" if query else mark)


def parse_uri(text: str) -> URI:
    """Read a WebSocket address.

    Raises :exc:`InvalidURI`, whose text tells what is wrong and shows neither password nor query.
    """
    try:
        return _parse(text)
    except _Bad as bad:
        raise InvalidURI(ascii(redact(text))[1:-1], str(bad)) from None


class _Bad(ValueError):
    pass


def _parse(text: str) -> URI:
    for position, char in enumerate(text):
        if char <= " " or "\x7f" <= char <= "\xa0" or "\ud800" <= char <= "\udfff":
            raise _Bad(f"character U+{ord(char):04X} at {position} must be percent-encoded")
    scheme, slashes, rest = text.partition("://")
    scheme = scheme.lower()
    if not slashes or scheme not in ("ws", "wss"):
        hint = {"http": "; write ws://", "https": "; write wss://"}.get(scheme, "")
        raise _Bad(f"scheme isn't ws or wss{hint}")
    if "#" in rest:
        raise _Bad("fragment identifier is meaningless; a literal # is written %23")
    authority, path, query = _split(rest)
    secure = scheme == "wss"
    userinfo, at, hostport = authority.rpartition("@")
    username, password = _userinfo(userinfo) if at else (None, None)
    host, port = _host_and_port(hostport)
    return URI(
        secure,
        host,
        port or (443 if secure else 80),
        _encode(path),
        _encode(query),
        username,
        password,
    )


def _split(rest: str) -> tuple[str, str, str]:
    """Authority, path and query."""
    rest, _, query = rest.partition("?")
    authority, slash, path = rest.partition("/")
    if "\\" in authority:
        raise _Bad("backslash in the host; browsers would read a slash")
    return authority, slash + path, query


def _encode(text: str) -> str:
    return "".join([_ENCODED[byte] for byte in text.encode("utf-8")])


def _userinfo(text: str) -> tuple[str, str]:
    if "@" in text:
        raise _Bad("an @ in user name or password is written %40")
    username, colon, password = text.partition(":")
    if not colon:
        raise _Bad("username provided without password")
    username, password = _decode(username), _decode(password)
    if ":" in username:
        raise _Bad("a user name cannot contain a colon (RFC 7617 2)")
    return username, password


def _decode(text: str) -> str:
    """Undo percent-encoding (RFC 3986 2.1)."""
    first, *pieces = text.split("%")
    decoded = bytearray(first.encode("utf-8"))
    try:
        for piece in pieces:
            if len(piece) < 2:
                raise ValueError
            decoded += binascii.unhexlify(piece[:2].encode("ascii"))
            decoded += piece[2:].encode("utf-8")
        return decoded.decode("utf-8")
    except ValueError:
        raise _Bad("malformed percent-encoding in user name or password") from None


def _host_and_port(text: str) -> tuple[str, int | None]:
    if text.startswith("["):
        inside, bracket, after = text[1:].partition("]")
        if not bracket or (after and not after.startswith(":")):
            raise _Bad("malformed IPv6 address")
        return _ipv6(inside), _port(after[1:])
    host, _, port = text.partition(":")
    if ":" in port:
        raise _Bad("an IPv6 address needs brackets")
    if not host:
        raise _Bad("hostname isn't provided")
    return _hostname(host), _port(port)


def _port(text: str) -> int | None:
    if not text:
        return None
    if not (text.isascii() and text.isdigit()) or len(text) > 5 or not 1 <= int(text) <= 65535:
        raise _Bad(f"port isn't a number from 1 to 65535: {text[:20]}")
    return int(text)


def _ipv6(text: str) -> str:
    import ipaddress  # only here: most addresses have a name

    address, percent, zone = text.partition("%")
    zone = zone.removeprefix("25")  # as RFC 6874 writes the percent sign
    try:
        canonical = str(ipaddress.IPv6Address(address))
    except ValueError:
        raise _Bad("malformed IPv6 address") from None
    if not percent:
        return canonical
    if not zone or not zone.isascii() or not zone.replace("-", "").replace("_", "").isalnum():
        raise _Bad("malformed zone of an IPv6 address")
    return f"{canonical}%{zone}"


def _hostname(host: str) -> str:
    if len(host) > 254:
        raise _Bad("hostname is too long")
    if not host.isascii():
        if not _DEVIATIONS.isdisjoint(host):
            raise _Bad("this host name is ambiguous; write its ASCII form, which starts with xn--")
        try:
            host = host.encode("idna").decode("ascii")
        except UnicodeError as exc:
            raise _Bad("hostname cannot be converted to ASCII (IDNA)") from exc
    host = host.lower()
    if not _HOST_CHARS.issuperset(host):
        raise _Bad("hostname has characters that no host name may have")
    labels = host.removesuffix(".").split(".")
    if len(host) > 254 or any(not label or len(label) > 63 for label in labels):
        raise _Bad("hostname has an empty or too long label")
    if _is_number(labels[-1]):
        # 127.1, 0x7f000001 and 2130706433 are all 127.0.0.1 to some programs and names to others.
        if len(labels) != 4 or host.endswith(".") or not all(_is_octet(s) for s in labels):
            raise _Bad("an IPv4 address is four decimal numbers without leading zeros")
    return host


def _is_number(label: str) -> bool:
    return label.isdigit() or (
        label.startswith("0x") and frozenset("0123456789abcdef").issuperset(label[2:])
    )


def _is_octet(label: str) -> bool:
    return label.isdigit() and len(label) <= 3 and str(int(label)) == label and int(label) <= 255
