"""Through a SOCKS proxy: SOCKS4, SOCKS4A, and SOCKS5 (RFC 1928) with a password (RFC 1929)."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

from duplexer.errors import InvalidProxyMessage, InvalidProxyReply, ProxyError

if TYPE_CHECKING:
    from collections.abc import Generator

    from duplexer.proxies.address import Proxy

__all__ = ["socks_tunnel"]


#: Replies of a SOCKS4 server, by its number.
REPLIES_4 = {
    91: "request rejected or failed",
    92: "it cannot reach the identd on this machine, which it wants to ask who we are",
    93: "the identd on this machine gave another user name than we did",
}
#: Replies of a SOCKS5 server (RFC 1928 6), by their number.
REPLIES_5 = {
    1: "general failure of the proxy",
    2: "connection not allowed by its rules",
    3: "network unreachable",
    4: "host unreachable",
    5: "connection refused by the server",
    6: "TTL expired: the server is too far away",
    7: "CONNECT is not supported",
    8: "this type of address is not supported",
}


def socks_tunnel(proxy: Proxy, host: str, port: int) -> Generator[bytes | None, bytes, None]:
    """Ask ``proxy`` for a tunnel: yields bytes to write, ``None`` to be sent what came.

    ``host`` is an IP address if the proxy cannot resolve names; ``b""`` tells that the proxy has
    closed. Raises :exc:`~duplexer.errors.ProxyError`.
    """
    wire = _Wire(str(proxy))
    if proxy.scheme.startswith("socks4"):
        yield from _socks4(wire, proxy, host, port)
    else:
        yield from _socks5(wire, proxy, host, port)
    if wire.received:
        # The target waits for us to speak: nobody has anything to say yet.
        raise InvalidProxyMessage(f"the proxy {proxy} sent more than its answer")


class _Wire:
    """What was received and not read yet. No message of SOCKS is longer than 262 bytes."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.received = b""

    def read(self, size: int) -> Generator[bytes | None, bytes, bytes]:
        while len(self.received) < size:
            data = yield None
            if not data:
                when = "in the middle of" if self.received else "without"
                raise InvalidProxyMessage(
                    f"the proxy {self.name} closed {when} an answer; is it a SOCKS proxy?"
                )
            self.received += data
        piece, self.received = self.received[:size], self.received[size:]
        return piece

    def check(self, version: int, wanted: int) -> None:
        if version != wanted:
            raise InvalidProxyMessage(
                f"the proxy {self.name} does not answer in SOCKS (0x{version:02x} in place of "
                f"0x{wanted:02x}); is the kind of proxy right?"
            )


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """``host`` as an IP address, if it is one; a zone means nothing on another machine."""
    try:
        return ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None


def _name(proxy: Proxy, host: str) -> bytes:
    name = host.encode("ascii")
    if not proxy.resolves:
        raise ValueError(f"{proxy.scheme} takes IP addresses alone, not {host!r}")
    if len(name) > 255:
        raise ProxyError(f"SOCKS has no room for a host name of {len(name)} bytes")
    return name


def _socks4(
    wire: _Wire, proxy: Proxy, host: str, port: int
) -> Generator[bytes | None, bytes, None]:
    address, name = _address(host), b""
    if address is None:
        name = _name(proxy, host) + b"\0"
        address = ipaddress.IPv4Address("0.0.0.1")  # what says that a name follows
    elif address.version == 6:
        raise ProxyError(f"SOCKS4 cannot reach the IPv6 address {host}; use socks5h://")
    user = (proxy.username or "").encode()
    yield b"\x04\x01" + port.to_bytes(2, "big") + address.packed + user + b"\0" + name
    answer = yield from wire.read(8)
    wire.check(answer[0], 0)
    if answer[1] != 90:
        raise InvalidProxyReply(answer[1], REPLIES_4.get(answer[1], "unknown"), wire.name)


def _socks5(
    wire: _Wire, proxy: Proxy, host: str, port: int
) -> Generator[bytes | None, bytes, None]:
    yield from _authenticate(wire, proxy)
    address = _address(host)
    if address is None:
        name = _name(proxy, host)
        target = b"\x03" + bytes([len(name)]) + name
    else:
        target = (b"\x01" if address.version == 4 else b"\x04") + address.packed
    yield b"\x05\x01\x00" + target + port.to_bytes(2, "big")
    answer = yield from wire.read(2)
    wire.check(answer[0], 5)
    if answer[1]:  # what follows tells nothing, and some leave it out
        raise InvalidProxyReply(answer[1], REPLIES_5.get(answer[1], "unknown"), wire.name)
    answer = yield from wire.read(2)
    size = {1: 4, 4: 16}.get(answer[1])
    if answer[1] == 3:
        size = (yield from wire.read(1))[0]
    if size is None:
        raise InvalidProxyMessage(
            f"the proxy {wire.name} answers with an unknown type of address: {answer[1]}"
        )
    yield from wire.read(size + 2)


def _authenticate(wire: _Wire, proxy: Proxy) -> Generator[bytes | None, bytes, None]:
    """Agree on a method (RFC 1928 3), and tell user name and password if they are wanted."""
    methods = b"\x00" if proxy.username is None else b"\x00\x02"
    yield b"\x05" + bytes([len(methods)]) + methods
    answer = yield from wire.read(2)
    wire.check(answer[0], 5)
    method = answer[1:]
    if method == b"\xff":
        why = (
            "it wants a user name and a password"
            if proxy.username is None
            else "it wants another kind of authentication than a user name and a password"
        )
        raise InvalidProxyReply(255, why, wire.name)
    if method not in methods:
        raise InvalidProxyMessage(f"the proxy {wire.name} chose a method that was not offered")
    if method == b"\x02":
        user, password = (proxy.username or "").encode(), (proxy.password or "").encode()
        yield b"\x01" + bytes([len(user)]) + user + bytes([len(password)]) + password
        answer = yield from wire.read(2)
        wire.check(answer[0], 1)
        if answer[1]:
            raise InvalidProxyReply(answer[1], "wrong user name or password", wire.name)
