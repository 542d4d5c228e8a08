"""When a worker that has ended is replaced."""

from __future__ import annotations

from duplexer.limits import Limits

__all__ = ["Restarts"]


class Restarts:
    """The history of one place: a crash now and then costs no time, a crash loop no CPU."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._failures = 0

    def delay(self, lived: float) -> float:
        """Seconds to wait before replacing a worker that ended after ``lived`` seconds."""
        limits = self._limits
        if lived >= limits.worker_steady:
            self._failures = 0
        self._failures += 1
        if self._failures == 1:
            return 0.0
        doublings = min(self._failures - 2, 32)  # a float has an end
        return min(limits.worker_backoff_max, limits.worker_backoff * 2.0**doublings)
