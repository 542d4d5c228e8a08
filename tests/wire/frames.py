"""Frames of RFC 6455 5.2, built and taken apart without any of the code under test."""

from __future__ import annotations

import struct
from typing import NamedTuple

#: The masking key of the examples in RFC 6455 5.7.
KEY = bytes.fromhex("37fa213d")

CONT, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
NAMES = {CONT: "cont", TEXT: "text", BINARY: "binary", CLOSE: "close", PING: "ping", PONG: "pong"}
OPCODES = {name: number for number, name in NAMES.items()}


class Frame(NamedTuple):
    """A frame; ``rsv`` has RSV1 in bit 2, ``key`` is ``None`` if it is not masked."""

    opcode: int
    payload: bytes
    fin: bool = True
    rsv: int = 0
    key: bytes | None = None


def xor(data: bytes, key: bytes) -> bytes:
    """RFC 6455 5.3, one byte at a time."""
    return bytes([byte ^ key[i % 4] for i, byte in enumerate(data)])


def build(
    opcode: int,
    payload: bytes = b"",
    *,
    fin: bool = True,
    rsv: int = 0,
    key: bytes | None = KEY,
    form: int = 0,
    length: int | None = None,
) -> bytes:
    """A frame as bytes. ``form`` (7, 16, 64) and ``length`` say other than the payload does."""
    n = len(payload) if length is None else length
    form = form or (7 if n < 126 else 16 if n < 65536 else 64)
    mask_bit = 0 if key is None else 0x80
    out = bytes([fin << 7 | rsv << 4 | opcode])
    if form == 7:
        out += bytes([mask_bit | n])
    elif form == 16:
        out += bytes([mask_bit | 126]) + struct.pack("!H", n)
    else:
        out += bytes([mask_bit | 127]) + struct.pack("!Q", n)
    return out + (payload if key is None else key + xor(payload, key))


def close_body(code: int, reason: str = "") -> bytes:
    """The payload of a Close."""
    return code.to_bytes(2, "big") + reason.encode()


def parse(data: bytes) -> list[Frame]:
    """All frames in ``data``, which must end where a frame does."""
    frames = []
    i = 0
    while i < len(data):
        b0, b1 = data[i], data[i + 1]
        i += 2
        n = b1 & 0x7F
        if n == 126:
            (n,) = struct.unpack_from("!H", data, i)
            i += 2
        elif n == 127:
            (n,) = struct.unpack_from("!Q", data, i)
            i += 8
        key = None
        if b1 & 0x80:
            key = data[i : i + 4]
            i += 4
        payload = data[i : i + n]
        i += n
        assert i <= len(data), "the last frame is cut off"
        frames.append(
            Frame(b0 & 15, xor(payload, key) if key else payload, b0 >= 128, b0 >> 4 & 7, key)
        )
    return frames


def joined(taken: bytes | list[bytes]) -> bytes:
    """What ``Cork.take()`` gave, in one piece."""
    return taken if isinstance(taken, bytes) else b"".join(taken)
