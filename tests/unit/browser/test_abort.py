"""AbortController and AbortSignal."""

from __future__ import annotations

import asyncio
import gc
import weakref
from typing import Any

import pytest

from duplexer.browser.abort import AbortController, AbortSignal, as_exception
from duplexer.browser.events import Event, EventTarget
from duplexer.browser.exceptions import DOMException


def test_abort_once() -> None:
    controller = AbortController()
    signal, heard = controller.signal, []
    signal.onabort = lambda e: heard.append((e.type, signal.aborted))
    assert (signal.aborted, signal.reason) == (False, None)
    signal.throwIfAborted()
    controller.abort()
    controller.abort(ValueError("too late"))
    assert heard == [("abort", True)]
    assert signal.reason.name == "AbortError"
    with pytest.raises(DOMException, match="AbortError"):
        signal.throwIfAborted()


def test_a_reason_of_ones_own() -> None:
    reason = ValueError("mine")
    signal = AbortSignal.abort(reason)
    assert signal.aborted
    assert signal.reason is reason
    with pytest.raises(ValueError, match="mine"):
        signal.throwIfAborted()


def test_a_reason_that_cannot_be_raised() -> None:
    assert str(as_exception("why")) == "AbortError: why"


def test_actions_come_before_listeners_and_can_be_undone() -> None:
    controller, order = AbortController(), []
    controller.signal.addEventListener("abort", lambda e: order.append("listener"))
    controller.signal.on_abort(lambda: order.append("action"))
    undo = controller.signal.on_abort(lambda: order.append("never"))
    undo()
    undo()
    controller.abort()
    assert order == ["action", "listener"]


def test_any() -> None:
    first, second = AbortController(), AbortController()
    signal = AbortSignal.any([first.signal, second.signal])
    assert not signal.aborted
    second.abort("b")
    first.abort("a")
    assert signal.reason == "b"
    assert AbortSignal.any([first.signal, second.signal]).reason == "a"


async def test_timeout() -> None:
    signal = AbortSignal.timeout(1)
    aborted = asyncio.Event()
    signal.onabort = lambda e: aborted.set()
    await aborted.wait()
    assert signal.reason.name == "TimeoutError"
    with pytest.raises(TypeError, match="negative"):
        AbortSignal.timeout(-1)


def test_the_event_is_trusted() -> None:
    controller, events = AbortController(), []
    seen: list[Any] = events
    controller.signal.addEventListener("abort", seen.append)
    controller.abort()
    assert seen[0].isTrusted
    assert seen[0].target is controller.signal


def test_a_signal_keeps_alive_only_what_somebody_waits_for() -> None:
    program = AbortController()
    signal = AbortSignal.any([program.signal])
    idle = weakref.ref(signal)
    del signal
    gc.collect()
    assert idle() is None

    target = EventTarget()
    # Its closure knows the target, as that of most listeners does.
    target.addEventListener("x", lambda e, target=target: None, signal=program.signal)
    listening = weakref.ref(target)
    del target
    gc.collect()
    assert listening() is None

    heard: list[str] = []
    middle = AbortSignal.any([program.signal])
    AbortSignal.any([middle]).addEventListener("abort", lambda e: heard.append("listener"))
    undo = AbortSignal.any([middle]).on_abort(lambda: heard.append("undone"))
    AbortSignal.any([middle]).on_abort(lambda: heard.append("action"))
    other = EventTarget()
    other.addEventListener("x", lambda e: heard.append("no"), signal=AbortSignal.any([middle]))
    reference = weakref.ref(middle)
    del middle
    undo()
    gc.collect()
    assert reference() is None  # what comes of it is its sources' affair
    program.abort("why")
    assert heard == ["listener", "action"]
    other.dispatchEvent(Event("x"))
    assert heard == ["listener", "action"]


def test_all_that_depend_on_a_signal_are_aborted_before_anybody_hears_of_it() -> None:
    first, second = AbortController(), AbortController()
    signal = AbortSignal.any([first.signal, second.signal])
    seen: list[Any] = []
    first.signal.onabort = lambda e: seen.append(signal.reason)
    first.abort("a")
    second.abort("b")
    assert seen == [signal.reason] == ["a"]
