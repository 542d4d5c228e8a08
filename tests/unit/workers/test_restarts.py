"""How long a place stays empty."""

from __future__ import annotations

from duplexer.limits import Limits
from duplexer.workers.restarts import Restarts

LIMITS = Limits(worker_backoff=0.5, worker_backoff_max=4.0, worker_steady=10.0)


def test_a_crash_loop_waits_longer_each_time() -> None:
    restarts = Restarts(LIMITS)
    assert [restarts.delay(0.1) for _ in range(7)] == [0.0, 0.5, 1.0, 2.0, 4.0, 4.0, 4.0]
    for _ in range(2000):
        assert restarts.delay(0.1) == 4.0


def test_who_has_lived_is_replaced_at_once() -> None:
    restarts = Restarts(LIMITS)
    restarts.delay(0.1)
    assert restarts.delay(0.1) == 0.5
    assert restarts.delay(10.0) == 0.0
    assert restarts.delay(0.1) == 0.5
