"""Frames for scripts, against those that the wire tests have of their own."""

from __future__ import annotations

import pytest

from duplexer.testing.frames import BINARY, TEXT, encode, parse
from tests.wire.frames import build


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65535, 65536])
@pytest.mark.parametrize("mask", [None, b"\x01\x02\x03\x04"])
def test_there_and_back(size: int, mask: bytes | None) -> None:
    payload = bytes(i % 251 for i in range(size))
    wire = encode(BINARY, payload, mask=mask)
    assert wire == build(BINARY, payload, key=mask)
    frame = parse(wire + b"more")
    assert frame == (BINARY, payload, True, 0, mask is not None, len(wire))


def test_less_than_a_frame() -> None:
    for mask in (None, b"abcd"):
        for size in (3, 200, 70_000):
            wire = encode(TEXT, bytes(size), mask=mask)
            for stop in [*range(15), len(wire) - 1]:
                if stop < len(wire):
                    assert parse(wire[:stop]) is None


def test_what_must_not_be() -> None:
    frame = parse(encode(11, b"x", fin=False, rsv=5))
    assert frame is not None
    assert (frame.opcode, frame.fin, frame.rsv) == (11, False, 5)
