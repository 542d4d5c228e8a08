"""The messages that are sent: as large as wanted, and each unlike the others."""

from __future__ import annotations

import json
import random

__all__ = ["make_messages"]

MEMORY = 16 << 20  #: bytes, for all of them
FEWEST = 4
LETTERS = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"
_TO_LETTERS = bytes(LETTERS[byte % len(LETTERS)] for byte in range(256))
_NAMES = ("BTC-USD", "ETH-EUR", "SOL-USD", "ADA-GBP")


def make_messages(
    size: int, *, text: bool, payload: str, in_flight: int, seed: int = 0
) -> list[str] | list[bytes]:
    """Messages of ``size`` bytes; their number is a power of two.

    There are twice as many as can be in flight, so that no two of those are alike, if they have
    room in 16 MiB and ``size`` leaves as many possibilities. ``payload`` is ``random`` or ``json``
    (an array of records, as compressible as such things are).
    """
    source = random.Random(seed)  # noqa: S311 - nobody has to guess it
    wanted = max(256, 2 * in_flight)
    while wanted > FEWEST and wanted * size > MEMORY:
        wanted //= 2
    number = 1 << (wanted - 1).bit_length()
    bodies = [
        _json(source, size, each) if payload == "json" else _random(source, size, each, text)
        for each in range(number)
    ]
    return [body.decode() for body in bodies] if text else bodies


def _random(source: random.Random, size: int, number: int, text: bool) -> bytes:
    # The first bytes count, so that even short messages differ; the others are noise.
    count = number.to_bytes(4, "little")[: min(size, 4)]
    if text:
        count = bytes(LETTERS[number >> shift & 63] for shift in (0, 6, 12, 18))[:size]
        return count + source.randbytes(size - len(count)).translate(_TO_LETTERS)
    return count + source.randbytes(size - len(count))


def _json(source: random.Random, size: int, number: int) -> bytes:
    # Valid JSON from 2 bytes on; blanks fill what is left.
    if size < len(f"[{number}]"):
        return f"{number:0{size}d}"[-size:].encode() if size else b""
    parts = [f"[{number}"]
    left = size - len(parts[0]) - 1
    while True:
        trade = {
            "type": "trade",
            "symbol": source.choice(_NAMES),
            "price": source.randrange(9_000_000) / 100,
            "size": source.randrange(500),
            "side": source.choice(("buy", "sell")),
        }
        item = "," + json.dumps(trade, separators=(",", ":"))
        if len(item) > left:
            break
        parts.append(item)
        left -= len(item)
    return ("".join(parts) + " " * left + "]").encode()
