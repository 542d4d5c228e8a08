"""Events and their targets, by the DOM standard's steps."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from duplexer.browser.abort import AbortController
from duplexer.browser.events import (
    CloseEvent,
    ErrorEvent,
    Event,
    EventHandler,
    EventTarget,
    MessageEvent,
)
from duplexer.browser.exceptions import DOMException
from tests.browser.peers import until


class Target(EventTarget):
    onping = EventHandler()


class Log:
    """Makes listeners that say that they were called."""

    def __init__(self) -> None:
        self.calls: list[Any] = []

    def listener(self, name: str, result: Any = None) -> Any:
        def listener(event: Event) -> Any:
            self.calls.append(name)
            return result

        return listener


@pytest.fixture
def log() -> Log:
    return Log()


def reports() -> list[Any]:
    """What is reported to the event loop from now on."""
    found: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: found.append(context))
    return found


# -- Event ---------------------------------------------------------------------------------------


def test_an_event_before_its_dispatch() -> None:
    event = Event("ping")
    assert (event.type, event.target, event.currentTarget) == ("ping", None, None)
    assert (event.bubbles, event.cancelable, event.composed) == (False, False, False)
    assert (event.eventPhase, event.isTrusted, event.defaultPrevented) == (Event.NONE, False, False)
    assert event.composedPath() == []
    assert Event("pong").timeStamp >= event.timeStamp >= 0


def test_members_come_in_a_mapping_or_as_keywords() -> None:
    message = MessageEvent("message", {"data": b"x", "origin": "ws://h"}, lastEventId="7")
    assert (message.data, message.origin, message.lastEventId) == (b"x", "ws://h", "7")
    assert (message.source, message.ports) == (None, ())
    close = CloseEvent("close", code=1000, wasClean=True)
    assert (close.code, close.reason, close.wasClean) == (1000, "", True)
    assert repr(close) == "CloseEvent('close', wasClean=True, code=1000, reason='')"
    assert repr(Event("x")) == "Event('x')"
    error = ErrorEvent("error", message="m")
    assert (error.message, error.error, error.bubbles) == ("m", None, False)


def test_a_keyword_that_does_not_exist() -> None:
    with pytest.raises(TypeError, match="Event has no member 'data'"):
        Event("x", data=1)


# -- listening -----------------------------------------------------------------------------------


def test_during_dispatch_an_event_knows_its_target() -> None:
    target = Target()
    seen: list[Any] = []
    target.addEventListener(
        "ping",
        lambda e: seen.extend([e.target, e.currentTarget, e.eventPhase, e.composedPath()]),
    )
    event = Event("ping")
    assert target.dispatchEvent(event) is True
    assert seen == [target, target, Event.AT_TARGET, [target]]
    assert (event.target, event.currentTarget, event.eventPhase) == (target, None, Event.NONE)


def test_the_same_listener_counts_once_for_each_capture(log: Log) -> None:
    target = Target()
    listener = log.listener("a")
    for options in (None, {"once": False}, False, {"capture": True}, True):
        target.addEventListener("ping", listener, options)
    target.dispatchEvent(Event("ping"))
    assert log.calls == ["a", "a"]
    target.removeEventListener("ping", listener, {"capture": True})
    target.dispatchEvent(Event("ping"))
    target.removeEventListener("ping", listener)
    target.removeEventListener("ping", listener)
    target.dispatchEvent(Event("ping"))
    assert log.calls == ["a", "a", "a"]


def test_methods_are_found_again() -> None:
    calls: list[Event] = []

    class Screen:
        def draw(self, event: Event) -> None:
            calls.append(event)

    target, screen = Target(), Screen()
    target.addEventListener("ping", screen.draw)
    target.addEventListener("ping", screen.draw)
    target.dispatchEvent(Event("ping"))
    target.removeEventListener("ping", screen.draw)
    target.dispatchEvent(Event("ping"))
    assert len(calls) == 1


def test_capturing_listeners_come_first(log: Log) -> None:
    target = Target()
    target.addEventListener("ping", log.listener("bubbles"))
    target.addEventListener("ping", log.listener("captures"), capture=True)
    target.dispatchEvent(Event("ping"))
    assert log.calls == ["captures", "bubbles"]


def test_stopping_in_the_capturing_phase_keeps_the_others_from_being_called(log: Log) -> None:
    target = Target()
    target.addEventListener("ping", log.listener("bubbles"))
    target.addEventListener("ping", lambda e: e.stopPropagation(), True)
    target.addEventListener("ping", log.listener("captures"), True)
    event = Event("ping")
    target.dispatchEvent(event)
    assert log.calls == ["captures"]
    target.dispatchEvent(event)  # the flag is gone after each dispatch
    assert log.calls == ["captures"] * 2


def test_once(log: Log) -> None:
    target = Target()

    def again(event: Event) -> None:
        log.calls.append("again")
        if len(log.calls) == 1:
            target.dispatchEvent(Event("ping"))  # it has been removed by now

    target.addEventListener("ping", again, {"once": True})
    target.dispatchEvent(Event("ping"))
    target.dispatchEvent(Event("ping"))
    assert log.calls == ["again"]


def test_passive_listeners_prevent_nothing() -> None:
    target = Target()
    target.addEventListener("ping", lambda e: e.preventDefault(), passive=True)
    assert target.dispatchEvent(Event("ping", cancelable=True)) is True
    target.addEventListener("ping", lambda e: e.preventDefault())
    assert target.dispatchEvent(Event("ping")) is True
    assert target.dispatchEvent(Event("ping", cancelable=True)) is False


def test_a_signal_removes_its_listeners(log: Log) -> None:
    target, controller = Target(), AbortController()
    target.addEventListener("ping", log.listener("a"), {"signal": controller.signal})
    target.addEventListener("pong", log.listener("b"), signal=controller.signal)
    target.dispatchEvent(Event("ping"))
    controller.abort()
    target.dispatchEvent(Event("ping"))
    target.dispatchEvent(Event("pong"))
    target.addEventListener("ping", log.listener("c"), signal=controller.signal)
    target.dispatchEvent(Event("ping"))
    assert log.calls == ["a"]


def test_a_signal_holds_no_listener_that_is_gone(log: Log) -> None:
    target, controller = Target(), AbortController()
    for _ in range(3):
        target.addEventListener("ping", log.listener("a"), once=True, signal=controller.signal)
        target.dispatchEvent(Event("ping"))
    assert not controller.signal._followers


def test_an_object_with_handle_event() -> None:
    class Handler:
        def __init__(self) -> None:
            self.events: list[Event] = []

        def handleEvent(self, event: Event) -> None:
            self.events.append(event)

    target, handler = Target(), Handler()
    target.addEventListener("ping", handler)
    event = Event("ping")
    target.dispatchEvent(event)
    assert handler.events == [event]


def test_no_listener_and_what_is_none() -> None:
    target = Target()
    target.addEventListener("ping", None)
    target.removeEventListener("ping", None)
    with pytest.raises(TypeError, match="callable, not int"):
        target.addEventListener("ping", 5)
    with pytest.raises(TypeError, match="no option 'twice'"):
        target.addEventListener("ping", print, twice=True)
    with pytest.raises(TypeError, match="AbortSignal, not bool"):
        target.addEventListener("ping", print, signal=True)
    with pytest.raises(TypeError, match="options must be a mapping, not str"):
        target.addEventListener("ping", print, "once")  # type: ignore[arg-type]


# -- dispatching ---------------------------------------------------------------------------------


def test_the_list_is_that_of_the_beginning_but_for_what_was_removed(log: Log) -> None:
    target = Target()
    gone, late = log.listener("gone"), log.listener("late")

    def first(event: Event) -> None:
        target.removeEventListener("ping", gone)
        target.addEventListener("ping", late)

    target.addEventListener("ping", first)
    target.addEventListener("ping", gone)
    target.dispatchEvent(Event("ping"))
    assert log.calls == []
    target.dispatchEvent(Event("ping"))
    assert log.calls == ["late"]


def test_stop_immediate_propagation(log: Log) -> None:
    target = Target()
    target.addEventListener("ping", lambda e: e.stopImmediatePropagation())
    target.addEventListener("ping", log.listener("never"))
    target.dispatchEvent(Event("ping"))
    assert log.calls == []


def test_an_event_is_dispatched_once_at_a_time() -> None:
    target = Target()
    errors: list[Any] = []

    def again(event: Event) -> None:
        with pytest.raises(DOMException) as caught:
            target.dispatchEvent(event)
        errors.append(caught.value.name)

    target.addEventListener("ping", again)
    target.dispatchEvent(Event("ping"))
    assert errors == ["InvalidStateError"]


def test_only_our_own_events_are_trusted() -> None:
    target, seen = Target(), []
    target.addEventListener("ping", lambda e: seen.append(e.isTrusted))
    event = Event("ping")
    target._fire(event)
    target.dispatchEvent(event)
    assert seen == [True, False]


async def test_what_a_listener_raises_is_reported_and_stops_no_other(log: Log) -> None:
    target, found = Target(), reports()

    def fail(event: Event) -> None:
        raise ValueError("mine")

    target.addEventListener("ping", fail)
    target.addEventListener("ping", log.listener("after"))
    event = Event("ping")
    target.dispatchEvent(event)
    assert log.calls == ["after"]
    (context,) = found
    assert str(context["exception"]) == "mine"
    assert context["event"] is event
    assert "'ping'" in context["message"]


def test_without_a_loop_it_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    async def coroutine(event: Event) -> None:
        raise AssertionError("never run")

    target = Target()
    target.addEventListener("ping", coroutine)
    with caplog.at_level(logging.ERROR, "duplexer.browser"):
        target.dispatchEvent(Event("ping"))
    assert "no running event loop" in caplog.text


async def test_coroutine_functions_run_as_tasks() -> None:
    target, found, order = Target(), reports(), []
    done = asyncio.Event()

    async def listener(event: Event) -> None:
        order.append("task")
        done.set()
        raise ValueError("late")

    target.addEventListener("ping", listener)
    target.dispatchEvent(Event("ping"))
    order.append("dispatched")
    await done.wait()
    await until(lambda: found)
    assert order == ["dispatched", "task"]
    assert str(found[0]["exception"]) == "late"


# -- handlers (HTML 8.1.8.1) ---------------------------------------------------------------------


def test_a_handler_keeps_its_place_until_it_is_none(log: Log) -> None:
    target = Target()
    assert target.onping is None
    first, second = log.listener("first"), log.listener("second")
    target.onping = first
    target.addEventListener("ping", log.listener("listener"))
    target.onping = second
    assert target.onping is second
    target.dispatchEvent(Event("ping"))
    assert log.calls == ["second", "listener"]
    target.onping = None
    assert target.onping is None
    target.onping = first
    target.dispatchEvent(Event("ping"))
    assert log.calls[2:] == ["listener", "first"]


def test_what_is_not_callable_is_no_handler(log: Log) -> None:
    target = Target()
    target.onping = log.listener("a")
    target.onping = "text"
    assert target.onping is None
    target.dispatchEvent(Event("ping"))
    assert log.calls == []


def test_a_handler_that_gives_back_false_prevents_the_default(log: Log) -> None:
    target = Target()
    target.onping = log.listener("a", result=False)
    assert target.dispatchEvent(Event("ping", cancelable=True)) is False
    target.onping = None
    target.addEventListener("ping", log.listener("b", result=False))
    assert target.dispatchEvent(Event("ping", cancelable=True)) is True


def test_the_handler_as_an_attribute_of_the_class() -> None:
    assert isinstance(Target.onping, EventHandler)
    assert "ping" in (Target.onping.__doc__ or "")


async def test_a_listener_that_looks_at_something_cancelled_stops_no_other(log: Log) -> None:
    target, found = Target(), reports()
    future = asyncio.get_running_loop().create_future()
    future.cancel()
    target.addEventListener("ping", lambda e: future.result())
    seen: list[str] = []
    target.addEventListener("ping", lambda e: seen.append(e.type))
    target.dispatchEvent(Event("ping"))
    assert seen == ["ping"]
    assert isinstance(found[0]["exception"], asyncio.CancelledError)
