"""What workers say to each other on the bus, as bytes.

::

    length of what follows   kind    length of the name   name     data
          4 bytes           1 byte         2 bytes        ...       ...

Data is a message of that ``kind`` to the group of that name, or how many were dropped; or the
answer to the question of that name.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

__all__ = ["ANSWER", "ASK", "BINARY", "MISSED", "TEXT", "Unpacker", "missed", "pack"]

TEXT, BINARY, MISSED, ASK, ANSWER = 1, 2, 3, 4, 5

_HEAD = struct.Struct(">IBH")
_COUNT = struct.Struct(">Q")
_LONGEST_NAME = 0xFFFF


def pack(kind: int, name: bytes, data: bytes) -> bytes:
    """One parcel. Raises ``ValueError`` for a name that is too long."""
    if len(name) > _LONGEST_NAME:
        raise ValueError(f"the name of a group has at most {_LONGEST_NAME} bytes, not {len(name)}")
    return _HEAD.pack(3 + len(name) + len(data), kind, len(name)) + name + data


def missed(count: int) -> bytes:
    """The parcel that says how many there would have been before it."""
    return pack(MISSED, b"", _COUNT.pack(count))


class Unpacker:
    """Takes parcels out of a byte stream."""

    def __init__(self, most: int) -> None:
        """``most``: bytes of the longest parcel that is taken."""
        self._most = most
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[tuple[int, bytes, bytes]]:
        """Kind, name and data of each parcel that is complete. Raises ``ValueError`` for none."""
        buffer = self._buffer
        buffer += data
        start = 0
        while len(buffer) - start >= _HEAD.size:
            length, kind, named = _HEAD.unpack_from(buffer, start)
            if length > self._most or length < 3 + named:
                raise ValueError(f"a parcel of {length} bytes with a name of {named}")
            end = start + 4 + length
            if len(buffer) < end:
                break
            name = bytes(buffer[start + 7 : start + 7 + named])
            yield kind, name, bytes(buffer[start + 7 + named : end])
            start = end
        del buffer[:start]

    @staticmethod
    def count(data: bytes) -> int:
        """How many a ``MISSED`` speaks of."""
        count: int = _COUNT.unpack(data)[0]
        return count
