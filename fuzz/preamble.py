"""What a proxy says before the first byte, and in the headers after it, of any bytes.

Oracle: a PROXY header, or InvalidMessage; the same however it is cut; nothing is taken that
follows. In headers: an answer, and never an address that no trusted proxy has named.
"""

# ruff: noqa: PT017
from __future__ import annotations

import ipaddress

from duplexer.carriers.preamble import Preamble
from duplexer.errors import InvalidMessage
from duplexer.http.headers import Headers
from duplexer.policy.forwarded import TrustedProxies

LIMIT = 600
PEER = ("10.0.0.1", 1)
FAMILIES = [
    TrustedProxies(["10.0.0.0/8"], header=header, believes=("for", "proto", "host"))
    for header in ("X-Forwarded", "Forwarded")
]


def read(data: bytes, step: int) -> tuple[object, ...]:
    preamble, taken = Preamble(LIMIT), 0
    try:
        while not preamble.done and taken < len(data):
            piece = data[taken : taken + min(step, preamble.wants)]
            preamble.feed(piece)
            taken += len(piece)
    except InvalidMessage as error:
        assert str(error) and error.explain()
        return ("invalid",)
    assert taken <= LIMIT
    if preamble.source is not None:
        address, port = preamble.source
        assert str(ipaddress.ip_address(address)) == address and 0 <= port < 65536
    return preamble.done, preamble.source, taken


def forwarded(text: str) -> None:
    for trusted in FAMILIES:
        headers = Headers([(f"{trusted.header}-For", text), ("Forwarded", text)])
        address, port = trusted.client(PEER, headers).address
        assert str(ipaddress.ip_address(address)) == address and 0 <= port < 100_000
        assert trusted.client(("192.0.2.1", 1), headers) == (("192.0.2.1", 1), None, None)


def target(data: bytes) -> None:
    whole = read(data, len(data) or 1)
    assert read(data, 1) == whole
    forwarded("".join(char for char in data.decode("latin-1") if char.isprintable()))
