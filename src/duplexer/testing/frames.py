"""Frames for scripts, written down once more so that a test does not depend on what it tests.

Anything can be said, and what is heard is taken as it comes (RFC 6455 5.2).
"""

from __future__ import annotations

import struct
from typing import NamedTuple

__all__ = ["CLOSE", "CONT", "PING", "PONG", "TEXT", "BINARY", "Frame", "encode", "parse"]

CONT, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10


class Frame(NamedTuple):
    """A frame; ``size`` is what it took on the wire."""

    opcode: int
    payload: bytes
    fin: bool
    rsv: int
    masked: bool
    size: int


def _xor(data: bytes, key: bytes) -> bytes:
    n = len(data)
    pattern = (key * (n // 4 + 1))[:n]
    return (int.from_bytes(data, "big") ^ int.from_bytes(pattern, "big")).to_bytes(n, "big")


def encode(
    opcode: int, payload: bytes, *, fin: bool = True, rsv: int = 0, mask: bytes | None = None
) -> bytes:
    """A frame on the wire; ``mask`` is its key of four bytes."""
    n = len(payload)
    bit = 0 if mask is None else 0x80
    head = bytes([(0x80 if fin else 0) | rsv << 4 | opcode])
    if n < 126:
        head += bytes([bit | n])
    elif n < 65536:
        head += bytes([bit | 126]) + struct.pack("!H", n)
    else:
        head += bytes([bit | 127]) + struct.pack("!Q", n)
    return head + payload if mask is None else head + mask + _xor(payload, mask)


def parse(data: bytes | bytearray) -> Frame | None:
    """The frame that ``data`` begins with; ``None`` while there is less than one."""
    if len(data) < 2:
        return None
    n = data[1] & 0x7F
    at = 2
    if n >= 126:
        at = 4 if n == 126 else 10
        n = int.from_bytes(data[2:at], "big")
    masked = bool(data[1] & 0x80)
    start = at + 4 if masked else at
    if len(data) < start + n:
        return None
    payload = bytes(data[start : start + n])
    if masked:
        payload = _xor(payload, bytes(data[at:start]))
    return Frame(data[0] & 0x0F, payload, bool(data[0] & 0x80), data[0] >> 4 & 7, masked, start + n)
