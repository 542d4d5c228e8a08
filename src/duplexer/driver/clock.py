"""How long this machine has been suspended: what the clock of our deadlines does not tell.

``time.monotonic()`` stands still during a suspension (on Linux and macOS), so that no deadline
comes nearer while a laptop is closed. Peers and routers go on meanwhile. The difference to a clock
that counts suspensions as well shows them; keepalive is told it each time a deadline has come.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

__all__ = ["suspended"]


def _clock_for(platform: str, clocks: object) -> Callable[[], float]:
    # A clock of its own for each system, that goes on while the machine is suspended and is never
    # set. Where there is none, that of the wall: setting it forwards costs a Ping too many.
    if platform.startswith("linux") and hasattr(clocks, "CLOCK_BOOTTIME"):
        return lambda: time.clock_gettime(time.CLOCK_BOOTTIME)
    if platform == "darwin" and hasattr(clocks, "CLOCK_MONOTONIC"):
        return lambda: time.clock_gettime(time.CLOCK_MONOTONIC)
    return time.time


_always = _clock_for(sys.platform, time)


def suspended() -> float:
    """Seconds that the machine has been suspended, counted from anywhere."""
    return _always() - time.monotonic()
