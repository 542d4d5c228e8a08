from __future__ import annotations

from types import SimpleNamespace

import pytest

from duplexer.driver.lanes import NOTHING, Lanes, raise_outcome
from duplexer.driver.observing import Observer
from duplexer.errors import (
    Close,
    ConnectionClosedError,
    ConnectionClosedOK,
)
from duplexer.limits import Limits

OK = ConnectionClosedOK(Close(1000), Close(1000), True)
LOST = ConnectionClosedError(None, None, None)


def connection(**limits):
    return SimpleNamespace(limits=Limits(**limits), observer=None)


def test_without_keys_it_is_a_matter_of_numbers():
    ws = connection()
    lanes = Lanes(ws, 2, None)
    first = lanes.take("a")
    assert lanes.has_room
    assert lanes.take("b") is not None
    assert not lanes.has_room
    assert lanes.running == ws.at_work == 2
    assert lanes.done(first) is NOTHING
    assert lanes.has_room
    assert ws.at_work == 1


def test_a_lane_goes_on_with_what_waits_in_it():
    lanes = Lanes(connection(queue_messages=2), 3, lambda message: message[0])
    lane = lanes.take("a1")
    assert lanes.take("a2") is None
    assert lanes.take("b1") is not None
    assert (lanes.running, lanes.waiting) == (2, 1)
    assert lanes.take("a3") is None
    assert not lanes.has_room  # as many wait as may
    assert lanes.done(lane) == "a2"
    assert lanes.has_room
    assert lanes.done(lane) == "a3"
    assert lanes.done(lane) is NOTHING
    assert (lanes.running, lanes.waiting) == (1, 0)
    assert lanes.take("a4") is not None


def test_none_may_be_a_message_and_is_no_key():
    lanes = Lanes(connection(queue_messages=None), 9, lambda message: message)
    assert lanes.take(None) is not None
    assert lanes.take(None) is not None
    assert lanes.has_room


def test_who_closes_between_two_messages_waits_for_the_last():
    ws = connection()
    closed = []
    ws.finishing, ws.finish = (1012, "restart"), lambda *args: closed.append(args)
    lanes = Lanes(ws, 2, None)
    one, two = lanes.take("a"), lanes.take("b")
    lanes.done(two)
    assert not closed
    lanes.done(one)
    assert closed == [(1012, "restart")]


def test_the_observer_of_the_connection_is_told():
    ws = connection()
    assert isinstance(Lanes(ws, 1, None).observer, Observer)
    ws.observer = Observer()
    assert Lanes(ws, 1, None).observer is ws.observer


def ended(error, *, is_open=False):
    session = SimpleNamespace(is_open=is_open, closed_error=lambda: error)
    return SimpleNamespace(open_session=lambda: session)


def test_the_outcome():
    raise_outcome(ended(OK))
    raise_outcome(ended(OK), BaseExceptionGroup("", [OK]))
    with pytest.raises(ConnectionClosedError):
        raise_outcome(ended(LOST))
    with pytest.raises(ZeroDivisionError):
        raise_outcome(ended(LOST), BaseExceptionGroup("", [LOST, ZeroDivisionError()]))
    with pytest.raises(ExceptionGroup) as caught:
        raise_outcome(ended(OK), BaseExceptionGroup("", [KeyError(), ZeroDivisionError()]))
    assert len(caught.value.exceptions) == 2
    with pytest.raises(ConnectionClosedError):  # of another connection
        raise_outcome(ended(OK, is_open=True), BaseExceptionGroup("", [LOST]))
