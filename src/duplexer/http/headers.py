"""HTTP headers: the multidict, and the grammars of the values that a handshake reads.

Peer data is only ever cut by ``split``, ``partition``, ``strip`` and ``translate``, each of which
passes over its input once: no regular expressions, nothing super-linear.
"""

from __future__ import annotations

import binascii
from collections.abc import Iterable, Mapping, MutableMapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Union

from duplexer.errors import HttpError, InvalidHeaderFormat, InvalidHeaderValue

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "ExtensionItem",
    "ExtensionParameter",
    "Headers",
    "HeadersLike",
    "MultipleValuesError",
    "build_authorization_basic",
    "build_extension",
    "build_host",
    "build_subprotocol",
    "build_www_authenticate_basic",
    "has_token",
    "is_token",
    "is_valid_value",
    "parse_authorization_basic",
    "parse_connection",
    "parse_extension",
    "parse_subprotocol",
    "parse_upgrade",
    "shown",
    "valid_host",
    "validate_subprotocols",
]

ExtensionParameter = tuple[str, str | None]
ExtensionItem = tuple[str, list[ExtensionParameter]]
HeadersLike = Union["Headers", Mapping[str, str], Iterable[tuple[str, str]]]

_ALPHANUMERIC = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
#: ``tchar`` of RFC 9110 5.6.2, as a table for ``bytes.translate`` to delete.
TOKEN_BYTES = _ALPHANUMERIC + b"!#$%&'*+-.^_`|~"
#: What a header's value is made of (RFC 9110 5.5): HTAB, SP, VCHAR and obs-text.
VALUE_BYTES = bytes([0x09, *range(0x20, 0x7F), *range(0x80, 0x100)])
#: ``reg-name`` of RFC 3986 3.2.2 without percent-encoding, which no real host needs.
_HOST_BYTES = _ALPHANUMERIC + b"-._~!$&'()*+,;="
_IPV6_BYTES = b"0123456789ABCDEFabcdef:."

#: Names that are usual in handshakes: they need no check, and all connections share their strings.
_USUAL_NAMES = """
    Accept Accept-Encoding Accept-Language Authorization Cache-Control Connection Content-Length
    Content-Type Cookie DNT Date Expect Forwarded From Host If-Modified-Since If-None-Match
    Keep-Alive Origin Pragma Priority Proxy-Authorization Range Referer Sec-CH-UA Sec-CH-UA-Mobile
    Sec-CH-UA-Platform Sec-Fetch-Dest Sec-Fetch-Mode Sec-Fetch-Site Sec-Fetch-User Sec-GPC
    Sec-WebSocket-Accept Sec-WebSocket-Extensions Sec-WebSocket-Key Sec-WebSocket-Key1
    Sec-WebSocket-Key2 Sec-WebSocket-Origin Sec-WebSocket-Protocol Sec-WebSocket-Version Server
    Set-Cookie TE Transfer-Encoding Upgrade Upgrade-Insecure-Requests User-Agent Via
    X-Forwarded-For X-Forwarded-Host X-Forwarded-Port X-Forwarded-Proto X-Real-IP X-Request-ID
""".split()  # noqa: SIM905 - fifty lines otherwise
_LOWER: dict[str, str] = {}
for _name in _USUAL_NAMES:
    _LOWER[_name] = _LOWER[_name.lower()] = _name.lower()
del _name


def shown(text: str, limit: int = 100) -> str:
    """``text`` from a peer, fit for a log line or an answer: escaped, at most ``limit`` long."""
    escaped = ascii(text[: limit + 1])[1:-1]
    return escaped if len(escaped) <= limit else escaped[: limit - 3] + "..."


def is_token(text: str) -> bool:
    """Whether ``text`` is a ``token`` of RFC 9110 5.6.2."""
    return bool(text) and text.isascii() and not text.encode("ascii").translate(None, TOKEN_BYTES)


def is_valid_value(text: str) -> bool:
    """Whether ``text`` can be a header's value: Latin-1 without control characters except HTAB."""
    if text.isascii() and text.isprintable():
        return True
    try:
        return not text.encode("latin-1").translate(None, VALUE_BYTES)
    except UnicodeEncodeError:
        return False


def valid_host(host: str) -> bool:
    """Whether ``host`` can be the value of ``Host``: ``name[:port]`` or ``[IPv6][:port]``.

    The empty string is valid (RFC 9112 3.2), though no WebSocket request may have it.
    """
    if not host.isascii():
        return False
    if host.startswith("["):
        name, bracket, port = host[1:].partition("]")
        if not bracket or not name or name.encode("ascii").translate(None, _IPV6_BYTES):
            return False
        if not port:
            return True
        if port[0] != ":":
            return False
        port = port[1:]
    else:
        name, colon, port = host.partition(":")
        if name.encode("ascii").translate(None, _HOST_BYTES) or (colon and not name):
            return False
    return not port or (port.isdigit() and len(port) <= 5)


class MultipleValuesError(LookupError):
    """``headers[name]`` was asked for a header that is there several times; see ``get_all``."""

    def __str__(self) -> str:
        return repr(self.args[0]) if len(self.args) == 1 else super().__str__()


def add_line(index: dict[str, str | list[str]], line: str) -> None:
    """Read ``name: value`` into ``index``; the caller has checked the characters of the value.

    Raises :exc:`HttpError` 400 where the name is no token, which also covers obs-fold (the line
    starts with a space) and a space before the colon (RFC 9112 5.1, 5.2).
    """
    name, colon, value = line.partition(":")
    if not colon:
        raise HttpError(400, f"header line without a colon: {shown(line)}")
    lower = _LOWER.get(name)
    if lower is None:
        if not is_token(name):
            raise HttpError(400, f"malformed header name: {shown(name)}")
        lower = name.lower()
    value = value.strip(" \t")
    if lower not in index:
        index[lower] = value
    else:
        _add_again(index, lower, value)


def index_lines(lines: list[str]) -> dict[str, str | list[str]]:
    """The index of ``lines``, whose characters were checked; raises as ``add_line``."""
    index: dict[str, str | list[str]] = {}
    for line in lines:
        # A usual name followed by colon and space leaves the value ready, most of the time.
        name, colon, value = line.partition(": ")
        lower = _LOWER.get(name)
        if lower is None or not colon or lower in index:
            add_line(index, line)
        else:
            index[lower] = value.strip(" \t")
    return index


def _add_again(index: dict[str, str | list[str]], lower: str, value: str) -> None:
    earlier = index[lower]
    if isinstance(earlier, list):
        earlier.append(value)
    else:
        index[lower] = [earlier, value]


class Headers(MutableMapping[str, str]):
    """Headers of a message: a mapping whose keys ignore case and may have several values.

    * ``headers[name]`` gives the only value, raises :exc:`KeyError` without one and
      :exc:`MultipleValuesError` with several;
    * ``headers[name] = value`` *adds* a value, after those that are there;
    * ``del headers[name]`` removes all values (and takes time proportional to all headers).

    Order and case of what was set or received are kept. Names and values are checked when they
    are set: :exc:`ValueError` tells which one is wrong. Text is Latin-1 on the wire.
    """

    # Either ``_raw`` (the lines as received, complete and checked) or ``_list`` holds the headers;
    # ``_dict`` is an index that can be made again at any time. So a connection that is only kept
    # for its request holds one bytes object, see ``compact``.
    __slots__ = ("_dict", "_list", "_raw")

    def __init__(self, headers: HeadersLike | None = None, /, **others: str) -> None:
        self._raw: bytes = b""
        self._list: list[tuple[str, str]] | None = []
        self._dict: dict[str, str | list[str]] | None = {}
        if headers is not None or others:
            self.update(headers if headers is not None else (), **others)

    @classmethod
    def from_lines(cls, raw: bytes, index: dict[str, str | list[str]] | None = None) -> Headers:
        """Headers from ``name: value`` lines joined by CRLF that *were checked already*."""
        self = cls.__new__(cls)
        self._raw = raw
        self._list = None
        self._dict = index
        return self

    def _items(self) -> list[tuple[str, str]]:
        if self._list is not None:
            return self._list
        items = []
        if self._raw:
            for line in self._raw.decode("latin-1").split("\r\n"):
                name, _, value = line.partition(":")
                items.append((name, value.strip(" \t")))
        self._list = items
        self._raw = b""
        return items

    def index(self) -> dict[str, str | list[str]]:
        """Lower-case name → its value, or the list of its values. To be read, not changed."""
        if self._dict is not None:
            return self._dict
        if self._list is None:
            lines = self._raw.decode("latin-1").split("\r\n") if self._raw else []
            index = index_lines(lines)
        else:
            index = {}
            for name, value in self._list:
                _add(index, name, value)
        self._dict = index
        return index

    def compact(self) -> None:
        """Keep these headers in as little memory as possible, until they are next looked at."""
        if self._list is not None:
            self._raw = self.serialize()[:-4]
            self._list = None
        self._dict = None

    def serialize(self) -> bytes:
        """All lines, and the empty line that ends them."""
        if self._list is None:
            return self._raw + b"\r\n\r\n" if self._raw else b"\r\n"
        return str(self).encode("latin-1")

    def copy(self) -> Headers:
        copy = self.from_lines(self._raw)
        if self._list is not None:
            copy._list = self._list.copy()
        return copy

    __copy__ = copy

    def __str__(self) -> str:
        return "".join([f"{name}: {value}\r\n" for name, value in self._items()]) + "\r\n"

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._items()!r})"

    # -- a mapping -------------------------------------------------------------------------------

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name.lower() in self.index()

    def __iter__(self) -> Iterator[str]:
        return iter(self.index())

    def __len__(self) -> int:
        return len(self.index())

    def __getitem__(self, name: str) -> str:
        value = self.index()[name.lower()]
        if isinstance(value, list):
            raise MultipleValuesError(name)
        return value

    def __setitem__(self, name: str, value: str) -> None:
        if not isinstance(name, str) or not is_token(name):
            raise ValueError(f"invalid header name: {name!r}")
        if not isinstance(value, str):
            raise TypeError(f"value of header {name} must be a str, not {type(value).__name__}")
        if not is_valid_value(value):
            raise ValueError(f"invalid value of header {name}: {value!r}")
        value = value.strip(" \t")
        items, index = self._items(), self.index()
        items.append((name, value))
        _add(index, name, value)

    def __delitem__(self, name: str) -> None:
        lower = name.lower()
        del self.index()[lower]
        self._list = [item for item in self._items() if item[0].lower() != lower]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Headers):
            return NotImplemented
        return self.index() == other.index()

    __hash__ = None  # type: ignore[assignment]

    def clear(self) -> None:
        self._raw = b""
        self._list = []
        self._dict = {}

    def update(self, headers: HeadersLike = (), /, **others: str) -> None:  # type: ignore[override]
        """Add all of ``headers`` (also those with several values) and of the keyword arguments."""
        if isinstance(headers, Headers):
            headers = list(headers.raw_items())
        super().update(headers, **others)

    # -- several values --------------------------------------------------------------------------

    def get_all(self, name: str) -> list[str]:
        """All values of ``name`` in the order of the wire; an empty list without any."""
        value = self.index().get(name.lower())
        if value is None:
            return []
        return value.copy() if isinstance(value, list) else [value]

    def replace(self, name: str, value: str) -> None:
        """Set ``name`` to this one value, in place of all that it had."""
        if name in self:
            del self[name]
        self[name] = value

    def raw_items(self) -> Iterator[tuple[str, str]]:
        """All ``(name, value)`` pairs in order, the names as they were written."""
        return iter(self._items())


def _add(index: dict[str, str | list[str]], name: str, value: str) -> None:
    lower = _LOWER.get(name) or name.lower()
    if lower not in index:
        index[lower] = value
    else:
        _add_again(index, lower, value)


# -- lists of tokens (RFC 9110 5.6.1) ------------------------------------------------------------


def _fail(name: str, error: str, header: str, item: str) -> InvalidHeaderFormat:
    return InvalidHeaderFormat(name, error, shown(header), max(header.find(item), 0))


def _parse_tokens(name: str, header: str, *, protocol: bool = False) -> list[str]:
    """The tokens of a comma-separated list, at least one; empty elements are skipped."""
    tokens = []
    for piece in header.split(","):
        item = piece.strip(" \t")
        if item:
            if not is_token(item) and not (protocol and _is_protocol(item)):
                raise _fail(name, "expected a token", header, item)
            tokens.append(item)
    if not tokens:
        raise InvalidHeaderFormat(name, "expected a value", shown(header), len(header))
    return tokens


def _is_protocol(text: str) -> bool:
    """``name/version`` of the Upgrade header (RFC 9110 7.8)."""
    name, _, version = text.partition("/")
    return is_token(name) and is_token(version)


def has_token(header: str, token: str) -> bool:
    """Whether the comma-separated ``header`` has the lower-case ``token``, in any case."""
    return any(item.strip(" \t") == token for item in header.lower().split(","))


def parse_connection(header: str) -> list[str]:
    """The options of a ``Connection`` header. Raises :exc:`InvalidHeaderFormat`."""
    return _parse_tokens("Connection", header)


def parse_upgrade(header: str) -> list[str]:
    """The protocols of an ``Upgrade`` header. Raises :exc:`InvalidHeaderFormat`."""
    return _parse_tokens("Upgrade", header, protocol=True)


def parse_subprotocol(header: str) -> list[str]:
    """The names in ``Sec-WebSocket-Protocol`` (RFC 6455 11.3.4).

    Raises :exc:`InvalidHeaderFormat` for what is no token, and where there is none at all.
    """
    return _parse_tokens("Sec-WebSocket-Protocol", header)


def build_subprotocol(subprotocols: Sequence[str]) -> str:
    """The value of ``Sec-WebSocket-Protocol`` that offers ``subprotocols``."""
    return ", ".join(subprotocols)


def validate_subprotocols(subprotocols: Sequence[str]) -> None:
    """Check that all are tokens and unique (RFC 6455 4.1).

    Raises :exc:`TypeError` or :exc:`ValueError`, which name the culprit.
    """
    if isinstance(subprotocols, (str, bytes)) or not isinstance(subprotocols, Sequence):
        raise TypeError("subprotocols must be a list of str")
    for subprotocol in subprotocols:
        if not isinstance(subprotocol, str):
            raise TypeError(f"subprotocol must be a str, not {type(subprotocol).__name__}")
        if not is_token(subprotocol):
            raise ValueError(f"invalid subprotocol: {subprotocol!r}")
    if len(set(subprotocols)) != len(subprotocols):
        raise ValueError(f"duplicate subprotocol in {subprotocols!r}")


# -- Sec-WebSocket-Extensions (RFC 6455 9.1) -----------------------------------------------------

_EXTENSIONS = "Sec-WebSocket-Extensions"


def _unquote(value: str) -> str | None:
    """The content of a quoted-string, or ``None`` if it is not one that holds a token."""
    if len(value) < 3 or value[-1] != '"':
        return None
    content = value[1:-1]
    if "\\" in content:
        # Each backslash makes the character after it literal; two in a row are one literal
        # backslash, which no token may hold. So removing single ones is all there is to do.
        if "\\\\" in content or content[-1] == "\\":
            return None
        content = content.replace("\\", "")
    return content if is_token(content) else None


def parse_extension(header: str) -> list[ExtensionItem]:
    """The offers of ``Sec-WebSocket-Extensions``: ``[(name, [(parameter, value or None)])]``.

    A quoted value must hold a token (RFC 6455 9.1), so a comma or semicolon inside quotes makes
    the header malformed whichever way it is read: the list may be split before quotes are looked
    at. Raises :exc:`InvalidHeaderFormat`.
    """
    if len(header) <= 128:
        return [(name, list(params)) for name, params in _parse_extension_cached(header)]
    return _parse_extension(header)


@lru_cache(maxsize=64)
def _parse_extension_cached(header: str) -> tuple[tuple[str, tuple[ExtensionParameter, ...]], ...]:
    # Browsers send one of a handful of values.
    return tuple((name, tuple(params)) for name, params in _parse_extension(header))


def _parse_extension(header: str) -> list[ExtensionItem]:
    offers = []
    for element in header.split(","):
        item = element.strip(" \t")
        if not item:
            continue
        name, *pieces = item.split(";")
        name = name.strip(" \t")
        if not is_token(name):
            raise _fail(_EXTENSIONS, "expected a token", header, item)
        offers.append((name, [_parse_parameter(header, piece) for piece in pieces]))
    if not offers:
        raise InvalidHeaderFormat(_EXTENSIONS, "expected a value", shown(header), len(header))
    return offers


def _parse_parameter(header: str, piece: str) -> ExtensionParameter:
    name, equals, value = piece.partition("=")
    name = name.strip(" \t")
    if not is_token(name):
        raise _fail(_EXTENSIONS, "expected a parameter", header, piece)
    if not equals:
        return name, None
    value = value.strip(" \t")
    if value.startswith('"'):
        content = _unquote(value)
        if content is None:
            raise _fail(_EXTENSIONS, "expected a quoted token", header, piece)
        return name, content
    if not is_token(value):
        raise _fail(_EXTENSIONS, "expected a value", header, piece)
    return name, value


def build_extension(
    extensions: Iterable[tuple[str, Iterable[ExtensionParameter]]],
) -> str:
    """The value of ``Sec-WebSocket-Extensions`` with these names and parameters."""
    return ", ".join(
        [
            "; ".join([name, *[p if v is None else f"{p}={v}" for p, v in params]])
            for name, params in extensions
        ]
    )


# -- Host and Basic authentication ---------------------------------------------------------------


def build_host(host: str, port: int, secure: bool, *, always_include_port: bool = False) -> str:
    """The value of ``Host``: brackets around IPv6, the port unless it is the scheme's own."""
    if ":" in host:
        host = f"[{host.partition('%')[0]}]"  # a zone means nothing on another machine (RFC 6874)
    if always_include_port or port != (443 if secure else 80):
        return f"{host}:{port}"
    return host


def build_authorization_basic(username: str, password: str) -> str:
    """The value of ``Authorization`` for Basic authentication (RFC 7617), in UTF-8."""
    if ":" in username:
        raise ValueError("a user name for Basic authentication cannot contain a colon")
    pair = f"{username}:{password}".encode()
    return "Basic " + binascii.b2a_base64(pair, newline=False).decode("ascii")


def build_www_authenticate_basic(realm: str) -> str:
    """The value of ``WWW-Authenticate`` that asks for Basic authentication (RFC 7617)."""
    if not is_valid_value(realm):
        raise ValueError(f"invalid realm: {realm!r}")
    quoted = realm.replace("\\", "\\\\").replace('"', '\\"')
    return f'Basic realm="{quoted}", charset="UTF-8"'


def parse_authorization_basic(header: str) -> tuple[str, str]:
    """User name and password from ``Authorization`` (RFC 7617).

    Raises :exc:`InvalidHeaderValue`; its text never repeats what may be a password.
    """
    scheme, _, credentials = header.partition(" ")
    if scheme.lower() != "basic":
        raise InvalidHeaderValue("Authorization", f"unsupported scheme: {shown(scheme, 20)}")
    try:
        pair = binascii.a2b_base64(credentials.strip(" \t").encode("ascii"), strict_mode=True)
        username, colon, password = pair.decode().partition(":")
    except (ValueError, UnicodeError):
        raise InvalidHeaderValue("Authorization", "malformed Basic credentials") from None
    if not colon:
        raise InvalidHeaderValue("Authorization", "malformed Basic credentials")
    return username, password
