"""What proxies in front of a server say of a client, and which of it to believe.

::

    client ──► proxy B ──► proxy A ──► server
                           A's address is the socket's
               B's address is what A says           X-Forwarded-For: client, B
    client's   is what B says                       if B is trusted as well

Each proxy appends whom it was called by: so the list is read from its end, for as long as it is
trusted proxies who speak. What is before that anybody can have written.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from duplexer.http.auth import read_quoted
from duplexer.policy.networks import Networks, parse_address

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from duplexer.http.headers import Headers

__all__ = ["Client", "TrustedProxies"]


class Client(NamedTuple):
    """Who speaks through the proxies, as far as they are believed; ``None`` where nobody says."""

    #: as a socket's: ``(address, port)``, port 0 if it is not known
    address: Any
    secure: bool | None = None  #: whether it came over TLS
    host: str | None = None  #: the Host that it asked for


class TrustedProxies:
    """Believe the proxies in ``networks``, and nobody else.

    ``networks``: ``["10.0.0.0/8", "::1", "unix"]``. ``header`` is the family of headers that your
    proxies write: ``"X-Forwarded"`` (-For, -Proto, -Host) or ``"Forwarded"`` (RFC 7239). The other
    one is not looked at, for a client may send it and a proxy that does not know it passes it on.

    ``believes`` says which parts your proxies set, always, overwriting what came: ``"for"``,
    ``"proto"``, ``"host"``. What they leave alone comes from the client.
    """

    def __init__(
        self,
        networks: Iterable[str],
        *,
        header: Literal["X-Forwarded", "Forwarded"] = "X-Forwarded",
        believes: Collection[str] = ("for",),
    ) -> None:
        if header not in ("X-Forwarded", "Forwarded"):
            raise ValueError(f"header must be 'X-Forwarded' or 'Forwarded', not {header!r}")
        unknown = set(believes) - {"for", "proto", "host"}
        if isinstance(believes, str) or unknown:
            raise ValueError("believes must be a collection of 'for', 'proto' and 'host'")
        self.networks = Networks(networks)
        self.header = header
        self.believes = frozenset(believes)

    def client(self, peer: Any, headers: Headers) -> Client:
        """Who it is that ``peer``, as its socket names it, speaks for with these ``headers``."""
        if peer not in self.networks:
            return Client(peer)
        hops = _forwarded(headers) if self.header == "Forwarded" else _x_forwarded(headers)
        address, said = peer, hops[-1] if hops else {}
        while hops and "for" in self.believes and address in self.networks:
            said = hops.pop()
            found = _node(said.get("for", ""))
            if found is None:
                break  # unknown, or hidden on purpose (RFC 7239 6.2, 6.3): the proxy stands for it
            address = found
        secure = host = None
        if "proto" in self.believes and "proto" in said:
            secure = said["proto"].lower() in ("https", "wss")
        if "host" in self.believes:
            host = said.get("host")
        return Client(address, secure, host)


def _node(text: str) -> tuple[str, int] | None:
    """``192.0.2.1``, ``192.0.2.1:80``, ``2001:db8::1`` or ``[2001:db8::1]:80``."""
    if text.startswith("["):
        host, _, rest = text[1:].partition("]")
    elif text.count(":") == 1:
        host, rest = text.partition(":")[0], text[text.index(":") :]
    else:
        host, rest = text, ""
    address, port = parse_address(host), _port(rest)
    return None if address is None or port is None else (str(address), port)


def _port(text: str) -> int | None:
    """``:80``; 0 for none, and for one that is hidden (RFC 7239 6.3)."""
    if not text or (text.startswith(":_") and len(text) > 2):
        return 0
    digits = text[1:]
    if text[0] != ":" or not (digits.isascii() and digits.isdigit()) or len(digits) > 5:
        return None
    return int(digits) if int(digits) < 65536 else None


def _x_forwarded(headers: Headers) -> list[dict[str, str]]:
    """One mapping for each hop; proxies that set a single value mean the client's."""
    parts = {part: _values(headers, f"X-Forwarded-{part}") for part in ("for", "proto", "host")}
    count = max(1, len(parts["for"]))
    hops: list[dict[str, str]] = [{} for _ in range(count)]
    for part, values in parts.items():
        for i in range(count):
            if values:
                # As many as there are hops, or fewer: then the last ones are the nearest hops'.
                hops[i][part] = values[max(0, len(values) - count + i)]
    return hops if any(parts.values()) else []


def _values(headers: Headers, name: str) -> list[str]:
    return [value.strip(" \t") for line in headers.get_all(name) for value in line.split(",")]


def _forwarded(headers: Headers) -> list[dict[str, str]]:
    """The elements of ``Forwarded``; one that cannot be read says nothing, and ends the trust."""
    return [hop for line in headers.get_all("Forwarded") for hop in _elements(line)]


def _elements(line: str) -> list[dict[str, str]]:
    """Those of one line, which says nothing at all if its quotes make no sense.

    For a client may have written its beginning, and a quote that is open there would take in what
    the proxy has appended.
    """
    hops: list[dict[str, str]] = []
    hop: dict[str, str] = {}
    is_twice, end = False, -1
    while end < len(line):
        pair = _pair(line, end + 1)
        if pair is None:
            return [{}]
        name, value, end = pair
        if name:
            is_twice = is_twice or name in hop
            hop[name] = value
        if line[end : end + 1] != ";":
            hops.append({} if is_twice else hop)  # nobody's word (RFC 7239 4)
            hop, is_twice = {}, False
    return hops


def _pair(line: str, start: int) -> tuple[str, str, int] | None:
    """Name and value of the pair that begins there, and where it ends; ``None`` for odd quotes."""
    end = _end(line, start, '=",;')
    name, value = line[start:end].strip(" \t").lower(), ""
    if line[end : end + 2] == '="':
        quoted = read_quoted(line, end + 2)
        if quoted is None:
            return None
        value, start = quoted
        end = _end(line, start, '",;')
        if line[start:end].strip(" \t"):
            return None
    elif line[end : end + 1] == "=":
        start = end + 1
        end = _end(line, start, '",;')
        value = line[start:end].strip(" \t")
    return None if line[end : end + 1] == '"' else (name, value, end)


def _end(line: str, start: int, stops: str) -> int:
    """Where the first of ``stops`` is, or the end of the line."""
    return next((i for i in range(start, len(line)) if line[i] in stops), len(line))
