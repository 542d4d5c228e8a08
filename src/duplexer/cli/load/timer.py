"""A timer of the event loop that is exact to some microseconds.

The loops' own count milliseconds, which is more than most answers take. On Linux a timerfd wakes
the loop instead; elsewhere it is the loop's timer after all.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import sys
from collections.abc import Callable
from time import perf_counter_ns
from typing import Any

__all__ = ["Timer", "timer"]

CLOCK_MONOTONIC = 1  # which is what perf_counter_ns reads on Linux
ABSOLUTE = 1  # TFD_TIMER_ABSTIME


class Timer:
    """Calls ``callback`` once when the time given to ``at`` has come. With the loop's own timer."""

    def __init__(self, callback: Callable[[], object]) -> None:
        self.loop = asyncio.get_running_loop()
        self.callback = callback
        self._handle: asyncio.TimerHandle | None = None

    def at(self, when: int) -> None:
        """Call back at ``when``, nanoseconds of ``perf_counter_ns``, in place of any other time."""
        self.close()
        delay = max(0, when - perf_counter_ns()) / 1e9
        self._handle = self.loop.call_later(delay, self.callback)

    def close(self) -> None:
        """Do not call back any more."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None


class FileTimer(Timer):
    """The same with a timerfd of Linux."""

    def __init__(self, callback: Callable[[], object]) -> None:
        super().__init__(callback)
        self._libc: Any = ctypes.CDLL(None, use_errno=True)
        flags = os.O_NONBLOCK | os.O_CLOEXEC
        self._fd: int = self._libc.timerfd_create(CLOCK_MONOTONIC, flags)
        if self._fd < 0:
            raise OSError(ctypes.get_errno(), "timerfd_create")
        self.loop.add_reader(self._fd, self._ring)

    def at(self, when: int) -> None:
        """See :class:`Timer`."""
        when = max(1, when)  # 0 would disarm it
        spec = (ctypes.c_long * 4)(0, 0, when // 1_000_000_000, when % 1_000_000_000)
        self._libc.timerfd_settime(self._fd, ABSOLUTE, spec, None)

    def _ring(self) -> None:
        with contextlib.suppress(BlockingIOError):  # it was set anew meanwhile
            os.read(self._fd, 8)
            self.callback()

    def close(self) -> None:
        """See :class:`Timer`."""
        if self._fd >= 0:
            self.loop.remove_reader(self._fd)
            os.close(self._fd)
            self._fd = -1


def timer(callback: Callable[[], object]) -> Timer:
    """The most exact timer that there is here. ``close()`` it."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            return FileTimer(callback)
    return Timer(callback)
