"""Keepalive as deadlines: when to ping, and when silence means that the peer is gone.

A Ping goes out every ``ping_interval``; then the peer has ``ping_timeout`` to let *any* byte be
heard, so a peer that is busy sending never times out. Nobody is judged by a late clock: a judgement
that is due is put off until bytes that may have come meanwhile were read, and while our own
application does not read there is none at all.
"""

from __future__ import annotations

import random

from duplexer.limits import Limits

__all__ = ["Keepalive"]

#: A timer that fires this much too late says that we slept, not that the peer did.
_LATE = 0.5
#: After which the peer is judged again.
_SECOND_LOOK = 0.25


class Keepalive:
    """The deadlines of one connection. ``due`` is the next one, ``None`` without keepalive."""

    def __init__(self, limits: Limits, now: float) -> None:
        self._interval = limits.ping_interval
        self._timeout = limits.ping_timeout
        self._jitter = limits.ping_jitter
        self._sent_at: float | None = None  # of the ping whose answer we wait for
        self._doubt = False  # the deadline has passed; the next look decides
        self.due = self._after(now)

    def _after(self, now: float) -> float | None:
        if self._interval is None:
            return None
        # Earlier, never later: the interval is a promise.
        return now + self._interval * (1 - self._jitter * random.random())  # noqa: S311

    def expire(self, now: float, *, heard: bool, reading: bool) -> str:
        """The deadline has come: ``"ping"``, ``"dead"`` or ``""`` (nothing to do).

        ``heard``: whether a byte came since the last ping; ``reading``: whether we read at all.
        """
        if self.due is None or now < self.due:
            return ""
        if self._sent_at is None:
            return self._ping(now)
        if heard:
            self.due = self._after(self._sent_at)
            self._sent_at = None
            assert self.due is not None
            return self._ping(now) if self.due <= now else ""
        assert self._timeout is not None
        deadline = self._sent_at + self._timeout
        if not reading:
            self._sent_at = now  # the time is counted from when we read again
            self.due = now + self._timeout
        elif now < deadline:
            self.due = deadline
            self._doubt = False
        elif not self._doubt or now - self.due > _LATE:
            self._doubt = True
            self.due = now + _SECOND_LOOK
        else:
            return "dead"
        return ""

    def _ping(self, now: float) -> str:
        if self._timeout is None:
            self.due = self._after(now)
        else:
            assert self._interval is not None
            self._sent_at = now
            self._doubt = False
            self.due = now + min(self._interval, self._timeout)
        return "ping"
