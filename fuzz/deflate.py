"""Compressed messages of any bytes, and what we compress ourselves.

The first byte chooses the agreement, the second the sizes of the pieces. Oracle: bytes within the
room, or a ProtocolError; the same whether in pieces or not, and the same as Python's zlib makes of
it; and what we compress comes back. A sender that refers to more than the agreed window is refused
only when the bytes are no longer there (zlib looks it up in the output it is still making), so how
long they are there, and with it the pieces, may decide between refusing and the same bytes.
"""

# ruff: noqa: PT017
from __future__ import annotations

import zlib

from duplexer.errors import ProtocolError
from duplexer.extensions.deflate import LARGEST_WINDOW, PerMessageDeflate

ROOM = 5000


def inflate(extension: PerMessageDeflate, pieces: list[bytes]) -> bytes | None:
    out = b""
    try:
        for piece in pieces:
            out += extension.decode(piece, False, ROOM - len(out))
            assert len(out) <= ROOM
        out += extension.decode(b"", True, ROOM - len(out))
    except ProtocolError as error:
        assert error.name in ("deflate-corrupt", "message-too-big")
        return None
    assert len(out) <= ROOM
    return out


def reference(data: bytes, wbits: int) -> bytes | None:
    """What zlib makes of a message in one stream; ``None`` where that says nothing."""
    context = zlib.decompressobj(-wbits)
    try:
        out = context.decompress(data + b"\x00\x00\xff\xff", ROOM + 1)
    except zlib.error:
        return None
    return None if context.eof or context.unconsumed_tail else out


def target(data: bytes) -> None:
    if len(data) < 2:
        return
    flags, size, data = data[0], data[1] % 64 + 1, data[2:]
    takeover, wbits = flags & 1, 8 + (flags >> 1) % 8
    make = lambda: PerMessageDeflate(not takeover, not takeover, wbits, wbits)  # noqa: E731
    split = [data[i : i + size] for i in range(0, len(data), size)]
    whole, pieces = inflate(make(), [data]), inflate(make(), split)
    if whole != pieces:
        assert wbits < LARGEST_WINDOW and None in (whole, pieces)
        widest = lambda: PerMessageDeflate(not takeover, not takeover, LARGEST_WINDOW, wbits)  # noqa: E731
        assert (whole or pieces) == inflate(widest(), [data]) == inflate(widest(), split)
    expected = reference(data, wbits)
    # We refuse what zlib passes: a message that ends within a block.
    if whole is not None and expected is not None:
        assert whole == expected
    sender, receiver = make(), make()
    for message in (data, data[::-1], data):
        wire = sender.encode(message, True, True)
        assert inflate(receiver, [wire]) == (message if len(message) <= ROOM else None)
        if len(message) > ROOM:
            return
