"""Open files: as many as the system gives, and how many connections they are good for."""

from __future__ import annotations

import contextlib
import sys

__all__ = ["raise_limit", "room_for"]

#: Of a process, for all else that it has open.
_OTHERS = 64


def raise_limit() -> int | None:
    """Raise the limit on open files (``ulimit -n``) as far as we may; what it is then.

    The soft limit is there for programs that use ``select()``, which cannot do with more than 1024.
    ``None`` where there is none.
    """
    if sys.platform == "win32":
        return None
    import resource

    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    with contextlib.suppress(ValueError, OSError):  # macOS says "infinity", and takes less
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return None if soft == resource.RLIM_INFINITY else soft


def room_for(descriptors: int | None, opening: int | None) -> int | None:
    """How many connections may be open where there are so many ``descriptors``.

    ``opening`` more may be on their way; ``None`` of either is no bound.
    """
    if descriptors is None:
        return None
    left = descriptors - _OTHERS
    return max(1, left - min(opening or 0, left // 2))
