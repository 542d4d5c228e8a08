"""Keepalive as deadlines: when to ping, and when silence means that the peer is gone.

A Ping goes out every ``interval``; then the peer has ``timeout`` to let *any* byte be heard, so a
peer that is busy sending never times out. Nobody is judged by a late clock: a judgement that is due
is put off until bytes that may have come meanwhile were read, and while our own application does
not read there is none at all.

A clock that stands still while the machine is suspended tells nothing of it. Whoever calls knows
another one that does not, and says how long the machine has been ``suspended`` in all: when that
has grown, a Ping goes out at once, and the peer has less time than usual.
"""

from __future__ import annotations

import random

__all__ = ["Keepalive"]

#: A timer that fires this much too late says that we were held up, not that the peer was.
_LATE = 0.5
#: After which the peer is judged again.
_SECOND_LOOK = 0.25
#: However late we are each time: then it was read often enough.
_MOST_LOOKS = 3
#: A suspension shorter than this is none: two clocks are not read at the same moment.
_NAP = 1.0
#: So long may a network take to come back after a suspension, and the peer to be heard.
_AFTER_SLEEP = 10.0


class Keepalive:
    """The deadlines of one connection. ``due`` is the next one, ``None`` without keepalive."""

    def __init__(
        self,
        interval: float | None,
        timeout: float | None,
        jitter: float,
        now: float,
        suspended: float = 0.0,
    ) -> None:
        self._interval = interval
        self._timeout = timeout
        self._jitter = jitter
        self._suspended = suspended
        self._sent_at: float | None = None  # of the ping whose answer we wait for
        self._looks = 0  # at the silence since the deadline; the last one decides
        self.patience = 0.0  # with the answer that we wait for
        self.slept = 0.0  # seconds of the last suspension
        self.held_up = 0.0  # the worst delay of our own while we wait for the answer
        self.due = self._after(now)

    def _after(self, now: float) -> float | None:
        if self._interval is None:
            return None
        # Earlier, never later: the interval is a promise.
        return now + self._interval * (1 - self._jitter * random.random())  # noqa: S311

    def expire(self, now: float, *, heard: bool, reading: bool, suspended: float = 0.0) -> str:
        """The deadline may have come: ``"ping"``, ``"dead"`` or ``""`` (nothing to do).

        ``heard``: whether a byte came since the last ping; ``reading``: whether we read at all;
        ``suspended``: seconds that the machine has been suspended, counted from anywhere.
        """
        if self.due is None:
            return ""
        slept = suspended - self._suspended
        self._suspended = suspended  # a clock that drifts away from ours is no suspension
        if slept > _NAP:
            self.slept = slept
            return self._ping(now, _AFTER_SLEEP)
        if now < self.due:
            return ""
        if self._sent_at is None:
            return self._ping(now)
        if heard:
            self.due = self._after(self._sent_at)
            self._sent_at = None
            assert self.due is not None
            return self._ping(now) if self.due <= now else ""
        late = now - self.due
        self.held_up = max(self.held_up, late)
        deadline = self._sent_at + self.patience
        if not reading:
            self.wait_from(now)  # the time is counted from when we read again
        elif now < deadline:
            assert self._interval is not None
            self.due = min(deadline, now + self._interval)
            return "ping"  # the peer may be one who wants to hear from us
        elif self._looks == 0 or (late > _LATE and self._looks < _MOST_LOOKS):
            self._looks += 1
            # The longer we were held up, the more there is to be read first.
            self.due = now + max(_SECOND_LOOK, min(late, self.patience))
        else:
            return "dead"
        return ""

    def wait_from(self, now: float) -> None:
        """The peer has its time from ``now`` on, as if we had just pinged."""
        assert self._timeout is not None
        self._sent_at = now
        self._looks = 0
        self.held_up = 0.0
        self.patience = self._timeout
        self.due = now + self.patience

    def _ping(self, now: float, most: float = 1e18) -> str:
        if self._timeout is None:
            self.due = self._after(now)
        else:
            assert self._interval is not None
            self.wait_from(now)
            self.patience = min(self._timeout, most)
            self.due = now + min(self._interval, self.patience)
        return "ping"
