"""What every TCP socket of ours is told; a listening one passes it on to what it accepts."""

from __future__ import annotations

import contextlib
import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from duplexer.limits import Limits

__all__ = ["set_options"]

#: What the kernel may hold of what it has no leave to send yet; not every system has such a bound.
_UNSENT: int | None = getattr(socket, "TCP_NOTSENT_LOWAT", None)


def set_options(sock: socket.socket, limits: Limits) -> None:
    """Nothing waits for more to come, and who does not read is noticed before megabytes wait.

    Without the second, the kernel takes up to 4 MiB for such a peer: memory that no bound of ours
    counts, and messages that were compressed for nobody. Sockets that are not TCP's are let be.
    """
    if sock.family not in (socket.AF_INET, socket.AF_INET6):
        return
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if _UNSENT is not None and limits.write_unsent is not None:
        with contextlib.suppress(OSError):  # MPTCP has it since Linux 6.8 only
            sock.setsockopt(socket.IPPROTO_TCP, _UNSENT, limits.write_unsent)
