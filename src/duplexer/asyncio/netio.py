"""Reading from and writing to a socket by its descriptor: see netio.pyx, which does it in C.

Like ``core/bytesops`` this is a leaf with two bodies; both pass the same tests. Every function
gives back -1 where the kernel would have to wait, and raises ``OSError`` for anything else.
"""

from __future__ import annotations

import os
import socket
from typing import Any

__all__ = ["accept", "read_into", "write", "write_pieces"]


def read_into(fd: int, buffer: bytearray) -> int:
    """Read what is there into ``buffer``; the number of bytes, 0 at the end of the stream."""
    try:
        return os.readv(fd, [buffer])
    except BlockingIOError:
        return -1


def write(fd: int, data: bytes, start: int) -> int:
    """Write ``data`` from ``start`` on, as much of it as fits; the number of bytes."""
    try:
        return os.write(fd, memoryview(data)[start:])
    except BlockingIOError:
        return -1


def write_pieces(fd: int, pieces: list[bytes], start: int) -> int:
    """Write the first few ``pieces``, the first from ``start`` on, as much as fits; the bytes."""
    try:
        return os.writev(fd, [memoryview(pieces[0])[start:], *pieces[1:16]])
    except BlockingIOError:
        return -1


def accept(fd: int) -> tuple[int, Any] | None:
    """Accept on the listening socket ``fd``: a non-blocking descriptor, and the peer's address.

    The address is as in ``socket.getpeername()``; ``None`` in all when nobody is waiting.
    """
    listening = socket.socket(fileno=fd)
    try:
        connected, address = listening._accept()  # type: ignore[attr-defined]
    except BlockingIOError:
        return None
    finally:
        listening.detach()
    os.set_blocking(connected, False)
    return connected, address
