"""What those next to us say with lengths of their own: a proxy before the first byte, and workers.

Oracle: a PROXY header, or InvalidMessage; parcels that are the same when they are packed again, or
ValueError; the same however they are cut; nothing is taken that follows.
"""

# ruff: noqa: PT017
from __future__ import annotations

import ipaddress

from duplexer.carriers.preamble import Preamble
from duplexer.errors import InvalidMessage
from duplexer.workers.parcels import Unpacker, pack

LIMIT = 600


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


def parcels(data: bytes, step: int) -> list[tuple[int, bytes, bytes]] | None:
    unpacker = Unpacker(LIMIT)
    found: list[tuple[int, bytes, bytes]] = []
    try:
        for at in range(0, len(data), step):
            found += unpacker.feed(data[at : at + step])
    except ValueError as error:
        assert str(error)
        return None
    packed = b"".join(pack(*parcel) for parcel in found)
    assert data.startswith(packed) and all(len(name) + len(rest) < LIMIT for _, name, rest in found)
    return found


def target(data: bytes) -> None:
    step = len(data) or 1
    assert read(data, 1) == read(data, step)
    assert parcels(data, 1) == parcels(data, step)
