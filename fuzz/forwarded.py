"""What proxies say of a client in headers, after what that client has written there itself.

Oracle: whoever is named is the one that a trusted proxy has named, or that proxy; never one of
those that stand before, however they are written. The same for the scheme and the host. So many
steps a byte.
"""

from __future__ import annotations

import ipaddress

from _steps import is_linear

from duplexer.http.headers import Headers, is_valid_value
from duplexer.policy.forwarded import Client, TrustedProxies
from duplexer.policy.rates import address_key

EVERYTHING = ("for", "proto", "host")
NETWORKS = ["10.0.0.0/8", "fd00::/8", "unix"]
PEER = ("10.0.0.1", 1)
STRANGER = ("203.0.113.77", 1)
CLIENT = ("2001:db8:ffff::9", 443)
X_FORWARDED = TrustedProxies(NETWORKS, believes=EVERYTHING)
FORWARDED = TrustedProxies(NETWORKS, header="Forwarded", believes=EVERYTHING)
#: How two kinds of proxies write the same.
SAID = (
    'for="[2001:db8:ffff::9]:443";proto=https;host="example.com:443"',
    'For="[2001:db8:ffff::9]:443"; Host="example.com:443"; Proto=https, for=10.0.0.2',
)


def any_lines(text: str) -> None:
    """Nothing but what somebody sends."""
    names = ("X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "Forwarded")
    lines = text.split("\n")[:25]  # Limits.max_headers
    headers = Headers([(name, line) for line in lines for name in names])
    for trusted in (X_FORWARDED, FORWARDED):
        for peer in (PEER, ""):
            found = trusted.client(peer, headers)
            if found.address != peer:
                address, port = found.address
                assert str(ipaddress.ip_address(address)) == address and 0 <= port < 65536
                assert address_key(found.address)
            assert found.secure in (True, False, None)
            assert (found.host or "").replace("\\", "") in text.replace("\\", "")
        assert trusted.client(STRANGER, headers) == Client(STRANGER)


def appended(text: str) -> None:
    """A trusted proxy adds to it, in the same line or in one of its own."""
    lines = text.split("\n")
    said = SAID[len(text) % 2]
    for told in ([*lines, said], [*lines[:-1], f"{lines[-1]}, {said}"]):
        found = FORWARDED.client(PEER, Headers([("Forwarded", line) for line in told]))
        if len(told) > len(lines):
            assert found == Client(CLIENT, True, "example.com:443")
        # A line that cannot be read says nothing: then the proxy is all there is.
        assert found.address in (CLIENT, PEER)
        assert found.secure in (True, None) and found.host in ("example.com:443", None)
    for hops in ("[2001:db8:ffff::9]:443", "[2001:db8:ffff::9]:443,fd00::2"):
        pairs = [("X-Forwarded-For", line) for line in lines]
        for headers in (pairs + [("X-Forwarded-For", hops)], [(pairs[0][0], f"{text}, {hops}")]):
            if all(is_valid_value(value) for _, value in headers):
                assert X_FORWARDED.client(PEER, Headers(headers)).address == CLIENT


def target(data: bytes) -> None:
    text = data.decode("latin-1")
    text = "\n".join(line.strip(" \t") for line in text.split("\n") if is_valid_value(line))
    any_lines(text)
    appended(text)
    is_linear(any_lines, text)
