"""URLs as browsers read them: the URL Standard, as far as it is about ``http`` and ``ws``.

Where ``http.uri`` refuses what could be meant in two ways, this repairs as the standard says:
spaces are taken off, backslashes are slashes, ``127.1`` is ``127.0.0.1``. What comes out is
unambiguous, and ``http.uri`` has it for the connection.
"""

from __future__ import annotations

import dataclasses
import ipaddress
import re

from duplexer.browser.exceptions import DOMException
from duplexer.browser.idl import usv_string

__all__ = ["URLRecord", "parse_url", "websocket_url"]

_PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443}
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]*):")
_TRIMMED = "".join(map(chr, range(0x21)))
_NEWLINES = str.maketrans("", "", "\t\n\r")
_SLASHES = "/\\"

#: ASCII that is percent-encoded in each part of a URL, beside controls and all that is not ASCII.
_IN_FRAGMENT = frozenset(' "<>`')
_IN_QUERY = frozenset(" \"#<>'")
_IN_PATH = frozenset(' "#<>?^`{}')
_IN_USERINFO = _IN_PATH | frozenset("/:;=@[\\]|")

_FORBIDDEN_IN_HOST = frozenset(" #/:<>?@[\\]^|%\x7f" + _TRIMMED)
#: Where IDNA 2003, which Python has, and the standard's UTS 46 name different hosts.
_DEVIATIONS = frozenset("\u00df\u03c2\u200c\u200d")


@dataclasses.dataclass(frozen=True, slots=True)
class URLRecord:
    """A parsed URL. ``repr()`` does not show the password."""

    scheme: str
    username: str  #: percent-encoded
    password: str = dataclasses.field(repr=False)  #: percent-encoded
    host: str  #: ASCII; an IPv6 address has its brackets
    port: int | None  #: ``None`` for the scheme's own
    path: str  #: begins with a slash
    query: str | None
    fragment: str | None

    @property
    def origin(self) -> str:
        """Scheme, host and port."""
        port = "" if self.port is None else f":{self.port}"
        return f"{self.scheme}://{self.host}{port}"

    @property
    def address(self) -> str:
        """The URL without credentials and fragment."""
        return self.origin + self.path + ("" if self.query is None else f"?{self.query}")

    @property
    def href(self) -> str:
        """The whole URL."""
        credentials = self.username + (f":{self.password}" if self.password else "")
        before, slashes, after = self.address.partition("//")
        url = before + slashes + (f"{credentials}@" if credentials else "") + after
        return url if self.fragment is None else f"{url}#{self.fragment}"


class _Failure(ValueError):
    """The standard's "failure"."""


def websocket_url(url: str, base_url: str | None = None) -> URLRecord:
    """The record of a WebSocket's URL; ``http`` and ``https`` count as ``ws`` and ``wss``.

    Raises "SyntaxError" for what is no URL, has another scheme, or a fragment.
    """
    try:
        base = None if base_url is None else parse_url(str(base_url))
        record = parse_url(str(url), base)
    except ValueError as failure:
        raise DOMException(f"{_shown(url)} is no URL: {failure}", "SyntaxError") from None
    if record.fragment is not None:
        raise DOMException(
            f"the URL has a fragment, #{record.fragment}; a literal # is written %23", "SyntaxError"
        )
    scheme = {"http": "ws", "https": "wss"}.get(record.scheme, record.scheme)
    return dataclasses.replace(record, scheme=scheme)


def _shown(url: str) -> str:
    # Without what may be a password.
    before, at, after = str(url).rpartition("@")
    return ascii(f"{before.partition('//')[0]}//***@{after}" if at and before else after)


def parse_url(text: str, base: URLRecord | None = None) -> URLRecord:
    """The URL parser, for the schemes ``http``, ``https``, ``ws`` and ``wss`` alone.

    Raises ``ValueError``.
    """
    text = usv_string(text).strip(_TRIMMED).translate(_NEWLINES)
    found = _SCHEME.match(text)
    if found is None:
        if base is None:
            raise _Failure("it has no scheme, and there is no base_url")
        return _relative(text, base)
    scheme, rest = found[1].lower(), text[found.end() :]
    if scheme not in _PORTS:
        raise _Failure(f"its scheme is {scheme}, and not ws, wss, http or https")
    if base is not None and base.scheme == scheme and rest[:2] != "//":
        return _relative(rest, base)
    return _absolute(scheme, rest.lstrip(_SLASHES))


def _relative(text: str, base: URLRecord) -> URLRecord:
    if text[:1] and text[0] in _SLASHES:
        if text[1:2] and text[1] in _SLASHES:
            return _absolute(base.scheme, text.lstrip(_SLASHES))
        path, query, fragment = _tail(text)
        segments: list[str] = []
    else:
        path, query, fragment = _tail(text)
        if not path:
            query = base.query if query is None else query
            return dataclasses.replace(base, query=query, fragment=fragment)
        segments = base.path.split("/")[1:-1]
    return dataclasses.replace(base, path=_resolved(path, segments), query=query, fragment=fragment)


def _absolute(scheme: str, text: str) -> URLRecord:
    end = next((at for at, char in enumerate(text) if char in "/\\?#"), len(text))
    userinfo, _, host_and_port = text[:end].rpartition("@")
    username, _, password = userinfo.partition(":")
    if not host_and_port:
        raise _Failure("it has no host")
    host, port = _host_and_port(host_and_port)
    path, query, fragment = _tail(text[end:])
    return URLRecord(
        scheme,
        _encode(username, _IN_USERINFO),
        _encode(password, _IN_USERINFO),
        host,
        None if port == _PORTS[scheme] else port,
        _resolved(path, []),
        query,
        fragment,
    )


def _tail(text: str) -> tuple[str, str | None, str | None]:
    """Path (as it is), query and fragment (encoded)."""
    text, hash_, fragment = text.partition("#")
    path, mark, query = text.partition("?")
    return (
        path,
        _encode(query, _IN_QUERY) if mark else None,
        _encode(fragment, _IN_FRAGMENT) if hash_ else None,
    )


def _resolved(path: str, segments: list[str]) -> str:
    """``path`` after ``segments``, without its ``.`` and ``..``."""
    dots = ""
    for piece in path.replace("\\", "/").removeprefix("/").split("/"):
        dots = piece.lower().replace("%2e", ".")
        if dots == "..":
            del segments[-1:]
        elif dots != ".":
            segments.append(_encode(piece, _IN_PATH))
    if dots in (".", ".."):
        segments.append("")
    return "/" + "/".join(segments)


def _encode(text: str, also: frozenset[str]) -> str:
    return "".join(
        char if " " <= char <= "~" and char not in also else _percent(char) for char in text
    )


def _percent(char: str) -> str:
    return "".join(f"%{byte:02X}" for byte in char.encode())


# -- the host -----------------------------------------------------------------------------------


def _host_and_port(text: str) -> tuple[str, int | None]:
    bracket = text.find("]") if "[" in text else -1  # without brackets, a colon is the port's
    if "[" in text and bracket < 0:
        raise _Failure("a bracket of its host is not closed")
    colon = text.find(":", bracket + 1)
    host, digits = (text, "") if colon < 0 else (text[:colon], text[colon + 1 :])
    if not host:
        raise _Failure("it has no host")
    if digits and not (digits.isascii() and digits.isdigit()):
        raise _Failure(f"its port is no number: {digits[:20]!r}")
    port = int(digits[-6:]) if digits else None
    if port is not None and (port > 65535 or digits[:-6].strip("0")):
        raise _Failure(f"its port is above 65535: {digits[:20]}")
    return _host(host), port


def _host(text: str) -> str:
    if text.startswith("["):
        if not text.endswith("]"):
            raise _Failure("something is between its IPv6 address and its port")
        return f"[{_ipv6(text[1:-1])}]"
    host = _to_ascii(_decode(text))
    if not _FORBIDDEN_IN_HOST.isdisjoint(host):
        wrong = next(char for char in host if char in _FORBIDDEN_IN_HOST)
        raise _Failure(f"no host may have {wrong!r} in it")
    labels = host.removesuffix(".").split(".")
    if labels[-1].isdigit() or _number(labels[-1]) is not None:
        return _ipv4(labels)
    return host


def _decode(text: str) -> str:
    if "%" not in text:
        return text
    decoded = re.sub(rb"%([0-9A-Fa-f]{2})", lambda found: bytes([int(found[1], 16)]), text.encode())
    return decoded.decode("utf-8", "replace")


def _to_ascii(host: str) -> str:
    if host.isascii() and "xn--" not in host.lower():
        return host.lower()
    try:
        import ada_url
    except ImportError:
        return _to_ascii_2003(host)
    # It gives the host of a URL, so that nothing that ends a host may be in it.
    if not _FORBIDDEN_IN_HOST.isdisjoint(host):
        raise _Failure("its host has a character that no host may have")
    try:
        return str(ada_url.URL(f"ws://{host}").hostname)
    except ValueError:
        raise _Failure("its host cannot be converted to ASCII (UTS 46)") from None


def _to_ascii_2003(host: str) -> str:
    if not _DEVIATIONS.isdisjoint(host):
        raise _Failure("its host needs newer rules than Python's own: install duplexer[browser]")
    try:
        return host.encode("idna").decode("ascii").lower()
    except UnicodeError:
        raise _Failure("its host cannot be converted to ASCII (IDNA)") from None


def _number(text: str) -> int | None:
    """A part of an IPv4 address: decimal, octal or hexadecimal."""
    digits, base = text, 10
    if text[:2] in ("0x", "0X"):
        digits, base = text[2:], 16
    elif len(text) > 1 and text.startswith("0"):
        digits, base = text[1:], 8
    if not digits:
        return None if not text else 0
    allowed = "0123456789abcdefABCDEF" if base == 16 else "01234567" if base == 8 else "0123456789"
    return int(digits, base) if all(char in allowed for char in digits) else None


def _ipv4(labels: list[str]) -> str:
    numbers = [_number(label) for label in labels]
    if len(numbers) > 4 or None in numbers:
        raise _Failure("its host ends in a number, but is no IPv4 address")
    *leading, last = [number for number in numbers if number is not None]
    if any(number > 255 for number in leading) or last >= 256 ** (4 - len(leading)):
        raise _Failure("a number of its IPv4 address is too big")
    for place, number in enumerate(leading):
        last += number << 8 * (3 - place)
    return str(ipaddress.IPv4Address(last))


def _ipv6(text: str) -> str:
    try:
        if "%" in text:
            raise ValueError  # a zone: none in URLs
        value = int(ipaddress.IPv6Address(text))
    except ValueError:
        raise _Failure("its IPv6 address is none") from None
    pieces = [f"{value >> shift & 0xFFFF:x}" for shift in range(112, -1, -16)]
    runs = re.finditer(r"(?:^|:)(?:0(?::|$))(?:0(?::|$))+", ":".join(pieces))
    longest = max(runs, key=lambda run: len(run[0].strip(":")), default=None)
    if longest is None:
        return ":".join(pieces)
    whole = ":".join(pieces)
    return f"{whole[: longest.start()]}::{whole[longest.end() :]}"
