"""How long to wait before connecting again (RFC 6455 7.2.3)."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["backoff"]

FIRST = 1.0  #: the longest first delay, in seconds
FACTOR = 2.0
LONGEST = 60.0


def backoff() -> Iterator[float]:
    """Delays in seconds: random, each up to twice the one before, at most a minute.

    Fully random ("full jitter"), so that the clients of a server that restarts do not come back
    all at once.
    """
    ceiling = FIRST
    while True:
        yield random.uniform(0, ceiling)  # noqa: S311
        ceiling = min(ceiling * FACTOR, LONGEST)
