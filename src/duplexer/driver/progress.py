"""Whether a peer reads what we write, however slowly, as its kernel says.

Our own kernel says little: between two of its wishes for more may lie megabytes, which take a peer
on a thin line many minutes.
"""

from __future__ import annotations

import socket
import sys
from typing import Any

__all__ = ["bytes_acked"]

#: Where ``struct tcp_info`` of Linux has ``tcpi_bytes_acked``.
_OFFSET = 120


def bytes_acked(sock: Any) -> int:
    """So many bytes, in all, has the peer's TCP acknowledged; -1 where the system does not tell.

    ``sock`` is anything with ``getsockopt``, or ``None``.
    """
    if sock is None or sys.platform != "linux":
        return -1
    try:
        info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _OFFSET + 8)
    except OSError:  # of another kind, or closed
        return -1
    return int.from_bytes(info[_OFFSET:], sys.byteorder) if len(info) == _OFFSET + 8 else -1
