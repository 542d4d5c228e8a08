"""Token buckets, and what addresses are counted by."""

from __future__ import annotations

from typing import Any

import pytest

from duplexer.policy.rates import Bucket, Buckets, Meter, address_key


@pytest.mark.parametrize(
    ("address", "key"),
    [
        (("192.0.2.1", 80), "192.0.2.1"),
        (("::ffff:192.0.2.1", 80, 0, 0), "192.0.2.1"),
        (("2001:db8:1:2:3:4:5:6", 80, 0, 0), "2001:db8:1:2::/64"),
        (("2001:db8:1:2::", 80, 0, 0), "2001:db8:1:2::/64"),
        (("2001:db8:1:3::", 80, 0, 0), "2001:db8:1:3::/64"),
        (("fe80::1%eth0", 80, 0, 2), "fe80::/64"),
        (("::1", 80, 0, 0), "::/64"),
        (("a:name", 80), "a:name"),
        (("", 80), None),
        ((), None),
        ("/run/socket", None),
        ("", None),
        (b"\0abstract", None),
        (None, None),
    ],
)
def test_what_addresses_are_counted_by(address: Any, key: str | None) -> None:
    assert address_key(address) == key


def test_a_bucket() -> None:
    bucket = Bucket(2.0, 3)
    assert [bucket.take(10.0) for _ in range(5)] == [True] * 3 + [False] * 2
    assert not bucket.take(10.4)
    assert bucket.take(10.5) and not bucket.take(10.5)
    assert bucket.take(1000.0, 3) and not bucket.take(1000.0)  # no more than a burst is saved up
    assert not bucket.take(2000.0, 4) and bucket.take(2000.0, 3)  # nothing is taken in part


def test_each_key_has_its_own_bucket() -> None:
    buckets = Buckets(1.0, 2, 10)
    assert [buckets.take("a", 0.0) for _ in range(3)] == [True, True, False]
    assert buckets.take("b", 0.0)
    assert not buckets.take("a", 0.5) and buckets.take("a", 1.0)
    assert buckets.take("b", 0.0) and not buckets.take("b", 0.0) and len(buckets) == 2


def test_what_is_given_back_may_be_taken_again() -> None:
    buckets = Buckets(1.0, 2, 10)
    buckets.give("a", 0.0)  # of whom nothing is known has all there are
    assert [buckets.take("a", 0.0) for _ in range(3)] == [True, True, False]
    buckets.give("a", 0.5)
    assert [buckets.take("a", 0.5), buckets.take("a", 0.5)] == [True, False]
    buckets.give("a", 100.0)  # ... which are never more than a burst
    assert [buckets.take("a", 100.0) for _ in range(3)] == [True, True, False]
    assert len(buckets) == 1


def test_the_one_that_was_longest_idle_is_forgotten() -> None:
    buckets = Buckets(0.001, 1, 3)
    for key in ("a", "b", "c"):
        assert buckets.take(key, 0.0)
    assert not buckets.take("a", 1.0)
    assert buckets.take("d", 1.0) and len(buckets) == 3  # in the place of b
    assert not buckets.take("a", 1.0) and not buckets.take("c", 1.0)
    assert buckets.take("b", 1.0)
    for i in range(10_000):
        buckets.take(str(i), 2.0)
    assert len(buckets) == 3


def test_a_meter() -> None:
    messages, controls = Buckets(1.0, 5, 10), Buckets(1.0, 2, 10)
    meter = Meter("192.0.2.1", Bucket(1.0, 3), messages, controls)
    other = Meter("192.0.2.1", None, messages, controls)
    elsewhere = Meter("192.0.2.2", None, messages, controls)
    assert meter.charge(3, 1, 0.0) is None
    assert meter.charge(1, 0, 0.0) == ("message-rate", "more than 3, then 1 a second")
    assert other.charge(2, 1, 0.0) is None
    rule, detail = other.charge(1, 0, 0.0) or ("", "")
    assert rule == "message-rate" and "Limits.address_message_rate" in detail
    rule, detail = meter.charge(0, 1, 0.0) or ("", "")
    assert rule == "control-rate" and "192.0.2.1" in detail
    assert elsewhere.charge(5, 2, 0.0) is None


def test_a_meter_of_a_peer_without_an_address() -> None:
    meter = Meter(None, None, Buckets(1.0, 1, 10), Buckets(1.0, 1, 10))
    assert meter.charge(1000, 1000, 0.0) is None
