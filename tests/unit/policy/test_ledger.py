"""A sum with a bound, of which everybody holds a part."""

from __future__ import annotations

import threading

from duplexer.policy.ledger import Ledger


def test_the_sum_is_bounded() -> None:
    ledger = Ledger(100)
    assert ledger.hold(0, 60)
    assert ledger.hold(0, 40)
    assert not ledger.hold(0, 1)
    assert not ledger.hold(40, 41)
    assert ledger.held == 100
    assert ledger.hold(60, 10)
    assert ledger.hold(40, 90)
    assert ledger.hold(10, 0) and ledger.hold(90, 0)
    assert ledger.held == 0


def test_who_is_alone_may_hold_more() -> None:
    ledger = Ledger(100)
    assert ledger.hold(0, 50)
    assert ledger.hold(50, 500)
    assert not ledger.hold(0, 1)
    assert ledger.hold(500, 400)  # less is always better
    assert ledger.held == 400


def test_threads_share_it() -> None:
    ledger = Ledger(1 << 30)

    def add() -> None:
        for i in range(1000):
            assert ledger.hold(i, i + 1)

    threads = [threading.Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ledger.held == 4000
