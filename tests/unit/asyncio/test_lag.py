from __future__ import annotations

from duplexer.asyncio.lag import Lag
from duplexer.driver.observing import LAG_INTERVAL, Observer


class Clock:
    """The two things of an event loop that matter here."""

    now = 100.0
    due = None

    def time(self):
        return self.now

    def call_at(self, when, callback):
        self.due, self.callback = when, callback
        return self

    def cancel(self):
        self.due = None


class Noting(Observer):
    def __init__(self):
        self.lags = []

    def lagged(self, seconds):
        self.lags.append(round(seconds, 6))


def test_lateness_is_what_is_told():
    clock, observer = Clock(), Noting()
    lag = Lag(clock, observer)
    for late in (0.0, 0.25, -0.001):  # a loop may be early, by the resolution of its clock
        clock.now = clock.due + late
        before = clock.now
        clock.callback()
        assert clock.due == before + LAG_INTERVAL
    assert observer.lags == [0.0, 0.25, 0.0]
    lag.stop()
    assert clock.due is None
