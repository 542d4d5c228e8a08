"""What a server remembers of those who come."""

from __future__ import annotations

import dataclasses
import errno

import pytest

from duplexer.errors import HttpError, InvalidMessage, PeerTimeout, ProtocolError
from duplexer.limits import Limits
from duplexer.policy.guard import _RULES, Guard
from duplexer.policy.networks import Networks

HERE, THERE = ("192.0.2.1", 1), ("192.0.2.2", 2)


def test_nothing_is_remembered_without_a_bound() -> None:
    guard = Guard(Limits())
    assert all(guard.enter(i, HERE) for i in range(100))
    guard.check(HERE, 0.0)
    guard.answered(HERE, 401, 0.0)
    assert not guard.asks and guard.meter(HERE) is None
    assert guard.struck == {} and not guard._keys and not guard._present


def test_connections_of_one_address() -> None:
    guard = Guard(Limits(max_per_address=2))
    assert guard.enter("a", HERE) and guard.enter("b", ("192.0.2.1", 99))
    assert not guard.enter("c", HERE) and guard.enter("d", THERE)
    guard.leave("c")
    guard.opened("a")
    assert not guard.enter("e", HERE) and guard.enter("a", HERE)
    guard.leave("a")
    guard.leave("a")
    assert guard.enter("f", HERE) and not guard.enter("g", HERE)
    assert guard.struck == {"max_per_address": 3}
    for each in ("b", "d", "f"):
        guard.leave(each)
    assert not guard._keys and not guard._present and not guard._opening


def test_ipv6_is_counted_by_network() -> None:
    guard = Guard(Limits(max_per_address=1))
    assert guard.enter("a", ("2001:db8::1", 1, 0, 0))
    assert not guard.enter("b", ("2001:db8::2", 1, 0, 0))
    assert guard.enter("c", ("2001:db8:0:1::2", 1, 0, 0))


def test_local_peers_have_no_address() -> None:
    guard = Guard(Limits(max_per_address=1, handshake_rate=1.0, handshake_burst=1))
    for i in range(5):
        assert guard.enter(i, "")
        guard.check("", 0.0)


def test_who_is_opening() -> None:
    guard = Guard(Limits(max_opening=2))
    assert guard.enter("a", HERE) and guard.enter("b", THERE) and not guard.enter("c", THERE)
    guard.opened("a")
    assert guard.enter("d", THERE) and not guard.enter("e", THERE)
    guard.leave("b")
    assert guard.enter("f", THERE)
    assert guard.struck == {"max_opening": 2}


def test_who_is_opening_from_one_address() -> None:
    guard = Guard(Limits(max_opening=4, max_opening_per_address=2))
    assert guard.enter("a", HERE) and guard.enter("b", HERE) and not guard.enter("c", HERE)
    assert guard.enter("d", THERE)
    guard.opened("a")
    guard.opened("a")
    assert guard.enter("e", HERE) and not guard.enter("f", HERE)
    guard.leave("e")
    guard.leave("e")
    assert guard.enter("g", HERE) and not guard.enter("h", HERE)
    assert guard.struck == {"max_opening_per_address": 3}
    for each in "abdg":
        guard.leave(each)
    assert not guard._keys and not guard._present and not guard._opening and not guard._opening_at


def test_who_is_opening_by_a_proxy() -> None:
    guard = Guard(Limits(max_opening_per_address=1), [Networks(["192.0.2.1"])])
    assert guard.enter("a", HERE) and guard.enter("b", HERE)  # who speaks for many
    guard.identify("a", THERE)
    with pytest.raises(HttpError, match="max_opening_per_address") as caught:
        guard.identify("b", THERE)
    assert caught.value.status == 429
    assert guard.struck == {"max_opening_per_address": 1}
    with pytest.raises(HttpError):
        guard.identify("b", THERE, strikes=False)  # it will be asked again
    assert guard.struck == {"max_opening_per_address": 1}
    guard.opened("a")
    guard.identify("b", THERE)
    assert guard.enter("c", HERE)
    guard.opened("c")
    guard.identify("c", THERE)  # its next request: it is opening no more
    for each in "abc":
        guard.leave(each)
    assert not guard._keys and not guard._present and not guard._opening and not guard._opening_at


def test_handshakes() -> None:
    guard = Guard(Limits(handshake_rate=0.5, handshake_burst=2))
    assert guard.asks
    guard.check(HERE, 0.0)
    guard.check(HERE, 0.0)
    with pytest.raises(HttpError, match="handshake_rate") as caught:
        guard.check(HERE, 0.0)
    assert (caught.value.status, caught.value.headers) == (429, (("Retry-After", "2"),))
    guard.check(THERE, 0.0)
    guard.check(HERE, 2.0)
    assert guard.struck == {"handshake_rate": 1}


def test_failures() -> None:
    guard = Guard(Limits(failure_rate=1.0, failure_burst=2))
    for status in (101, 404, 401, 403):
        guard.check(HERE, 0.0)
        guard.answered(HERE, status, 0.0)
    with pytest.raises(HttpError, match="failure_rate"):
        guard.check(HERE, 0.0)
    guard.check(THERE, 0.0)
    guard.check(HERE, 1.0)
    assert guard.struck == {"failure_rate": 1}


def test_who_has_no_answer_yet_may_have_failed() -> None:
    guard = Guard(Limits(failure_rate=0.001, failure_burst=2))
    guard.check(HERE, 0.0)
    guard.attempt(HERE, 0.0)
    for one_more in (guard.check, guard.attempt):
        with pytest.raises(HttpError, match="failure_rate"):
            one_more(HERE, 0.0)
    for status in (101, None):  # it was right, or has left before it was told
        guard.answered(HERE, status, 0.0)
        guard.attempt(HERE, 0.0)
    guard.answered(HERE, 401, 0.0)
    with pytest.raises(HttpError) as caught:
        guard.check(HERE, 0.0)
    assert caught.value.headers == (("Retry-After", "1000"),)
    assert guard.struck == {"failure_rate": 3}
    guard.attempt("", 0.0)
    guard.answered("", 401, 0.0)


def test_lines() -> None:
    guard = Guard(Limits(refusal_log_burst=2, refusal_log_rate=1.0))
    assert [guard.may_log(0.0) for _ in range(5)] == [0, 0, None, None, None]
    assert guard.may_log(1.0) == 3
    assert guard.may_log(2.0) == 0


def test_meters() -> None:
    meter = Guard(Limits(message_rate=1.0, message_burst=7)).meter(HERE)
    assert meter is not None and meter.own is not None and meter.own.burst == 7
    assert meter.messages is meter.controls is None
    guard = Guard(Limits(address_message_rate=1.0, address_control_rate=1.0))
    first, second = guard.meter(HERE), guard.meter(HERE)
    assert first is not None and second is not None and first.own is None
    assert first.messages is second.messages is not None
    route = Limits(message_rate=2.0, message_burst=3)
    for server in (Limits(), Limits(message_rate=1.0), Limits(address_message_rate=1.0)):
        own = Guard(server).meter(HERE, route)
        assert own is not None and own.own is not None
        assert (own.own.rate, own.own.burst) == (2.0, 3)
    assert Guard(Limits(message_rate=1.0)).meter(HERE, Limits()) is None


def test_what_has_struck() -> None:
    guard = Guard(Limits())
    for rule in _RULES:
        guard.ended(ProtocolError(rule))
    guard.refused(HttpError(413, "", bound="max_body"))
    guard.ended(PeerTimeout("keepalive", ""))
    guard.ended(BufferError("slow consumer"))
    guard.ended(TimeoutError("the peer did not read for 30 s (Limits.send_timeout)"))
    guard.ended(TimeoutError("the close handshake was not finished in time"))
    fields = {field.name for field in dataclasses.fields(Limits)}
    assert set(guard.struck) <= fields and set(guard.struck.values()) == {1}
    assert len(guard.struck) == len(_RULES) + 5


def test_a_bound_that_an_error_names() -> None:
    guard = Guard(Limits(max_connections=1))
    guard.refused(HttpError(431, "header line longer than 8192", bound="max_header_line"))
    guard.refused(HttpError(429, "too many attempts (failure_rate)"))  # has been counted
    guard.refused(HttpError(503, "of the user's own, about max_message"))
    guard.ended(ProtocolError("message-rate", "from ::1 (Limits.address_message_rate)"))
    guard.ended(ProtocolError("mask-missing", "max_message"))
    guard.ended(BufferError("the send queue is full. Raise Limits.send_queue_bytes"))
    guard.failed(InvalidMessage("the PROXY header has 9 bytes: Limits.max_preamble is 8"))
    guard.failed(TimeoutError("no PROXY header came in time (open_timeout)"))
    guard.failed(TimeoutError("of the user's own"))
    guard.failed(ValueError("max_message"))
    names = "max_header_line address_message_rate send_queue_bytes max_preamble"
    assert guard.struck == dict.fromkeys([*names.split(), "open_timeout"], 1)
    guard = Guard(Limits())
    guard.strike("handler_timeout", 3)
    assert guard.struck == {"handler_timeout": 3}


def test_what_is_no_bound() -> None:
    kernels = OSError(errno.ETIMEDOUT, "Connection timed out")
    guard = Guard(Limits())
    for error in (None, ProtocolError("mask-missing"), ConnectionResetError(), kernels):
        guard.ended(error)
    guard.refused(HttpError(400, ""))
    assert guard.struck == {}
