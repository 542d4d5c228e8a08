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

import re
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from duplexer.policy.networks import Networks, parse_address

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from duplexer.http.headers import Headers

__all__ = ["Client", "TrustedProxies"]


#: None, a number, or one that is hidden (RFC 7239 6.3).
_PORT = re.compile(r"(?::(?:[0-9]{1,5}|_[A-Za-z0-9._-]+))?")


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
    address = parse_address(host)
    if address is None or not _PORT.fullmatch(rest):
        return None
    port = rest[1:]
    return str(address), int(port) if port.isdigit() else 0


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
    hops = []
    for line in headers.get_all("Forwarded"):
        for element in _split(line, ","):
            hop: dict[str, str] = {}
            for pair in _split(element, ";"):
                name, _, value = pair.strip(" \t").partition("=")
                if value[:1] == '"':
                    value = value[1:-1].replace("\\", "") if value[-1:] == '"' else ""
                name = name.lower()
                if name in hop:  # twice in one element: nobody's word (RFC 7239 4)
                    hop = {}
                    break
                hop[name] = value
            hops.append(hop)
    return hops


def _split(text: str, separator: str) -> list[str]:
    """``text`` at each ``separator`` outside quotes."""
    found, start, quoted, escaped = [], 0, False, False
    for i, char in enumerate(text):
        if escaped:
            escaped = False
        elif quoted and char == "\\":
            escaped = True
        elif char == '"':
            quoted = not quoted
        elif char == separator and not quoted:
            found.append(text[start:i])
            start = i + 1
    return [*found, text[start:]]
