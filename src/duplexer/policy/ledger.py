"""What all connections of a server hold together of messages that are not complete."""

from __future__ import annotations

import threading

__all__ = ["Ledger"]


class Ledger:
    """A sum with a bound. Threads may share it."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.held = 0
        self._lock = threading.Lock()

    def hold(self, before: int, now: int) -> bool:
        """Who held ``before`` bytes wants to hold ``now``; false, and nothing changes, if not.

        Who is alone may always: how long one message may be is bounded by itself.
        """
        with self._lock:
            others = self.held - before
            if now > before and others and others + now > self.most:
                return False
            self.held = others + now
            return True
