"""Reading from and writing to a socket by its descriptor: see netio.pyx, which does it in C.

Like ``core/bytesops`` this is a leaf with two bodies; both pass the same tests. Every function
gives back -1 where the kernel would have to wait, and raises ``OSError`` for anything else.
"""

from __future__ import annotations

import os
import socket
from typing import Any

__all__ = [
    "accept",
    "by_descriptor",
    "read_into",
    "receive",
    "send",
    "send_pieces",
    "write",
    "write_pieces",
]


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


def by_descriptor(sock: socket.socket) -> int:  # noqa: ARG001 - see netio.pyx
    """The descriptor of ``sock`` if what follows is cheaper than its methods, otherwise -1.

    It is where this is compiled, and the socket's methods are nobody's own (gevent's, a test's).
    """
    return -1


def _with(fd: int, name: str, *args: Any) -> int:
    sock = socket.socket(fileno=fd)
    try:
        n: int = getattr(sock, name)(*args)
    except BlockingIOError:
        return -1
    finally:
        sock.detach()
    return n


def receive(fd: int, buffer: bytearray, flags: int) -> int:
    """As ``read_into``, with ``flags`` as for ``socket.recv_into()``; other threads run meanwhile.

    -1 as well when a signal came first, or the time of ``SO_RCVTIMEO`` is over.
    """
    return _with(fd, "recv_into", buffer, 0, flags)


def send(fd: int, data: bytes, flags: int) -> int:
    """As ``write``, with ``flags`` as for ``socket.send()``; other threads run meanwhile."""
    return _with(fd, "send", data, flags)


def send_pieces(fd: int, pieces: list[bytes], flags: int) -> int:
    """As ``write_pieces``, with ``flags``; other threads run meanwhile."""
    return _with(fd, "sendmsg", pieces[:16], (), flags)


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
