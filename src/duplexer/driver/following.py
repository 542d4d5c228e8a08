"""The loops over steps (see :mod:`duplexer.driver.steps`), for fronts that await and that block.

What a step fails by is thrown in where it was wanted; what is no :exc:`Exception`, cancellation
above all, ends it, and the steps are closed.
"""

from __future__ import annotations

from inspect import isawaitable, iscoroutine
from time import monotonic
from typing import TYPE_CHECKING, Any

from duplexer.driver.steps import Overdue

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator

    from duplexer.driver.steps import Call

__all__ = ["call", "call_blocking", "follow", "follow_blocking"]


async def follow(
    steps: Generator[Any, Any, Any],
    do: Callable[[Any], Awaitable[Any]],
    told: Callable[[Exception], BaseException] | None = None,
) -> Any:
    """Do one step after the other: ``do(step)`` gives back its outcome. Ends in that of all.

    ``told`` makes of a front's own errors what the steps understand.
    """
    outcome: Any = None
    error: BaseException | None = None
    try:
        while True:
            step = steps.send(outcome) if error is None else steps.throw(error)
            outcome = error = None
            try:
                outcome = await do(step)
            except Exception as exc:  # noqa: BLE001 - thrown in where it belongs
                error = exc if told is None else told(exc)
    except StopIteration as stop:
        return stop.value
    finally:
        steps.close()


def follow_blocking(steps: Generator[Any, Any, Any], do: Callable[[Any], Any]) -> Any:
    """The same for a front that blocks."""
    outcome: Any = None
    error: BaseException | None = None
    try:
        while True:
            step = steps.send(outcome) if error is None else steps.throw(error)
            outcome = error = None
            try:
                outcome = do(step)
            except Exception as exc:  # noqa: BLE001 - thrown in where it belongs
                error = exc
    except StopIteration as stop:
        return stop.value
    finally:
        steps.close()


async def call(step: Call, in_thread: Callable[..., Awaitable[Any]] | None = None) -> Any:
    """What ``step`` calls; ``in_thread(function, *args)`` is for what blocks."""
    outcome: Any
    if step.blocking and in_thread is not None:
        outcome = await in_thread(step.function, *step.args)
    else:
        outcome = step.function(*step.args)
    return await outcome if isawaitable(outcome) else outcome


def call_blocking(step: Call, until: float | None = None) -> Any:
    """The same for a front that blocks, and awaits nothing: what ends too late was in vain.

    ``until`` is when a step that has to end ``in_time`` is to have ended. Raises :exc:`Overdue`.
    """
    outcome = step.function(*step.args)
    if isawaitable(outcome):
        if iscoroutine(outcome):
            outcome.close()  # or it would complain that nobody has awaited it
        raise TypeError(f"{step.function!r} must not be async: nothing awaits it here")
    if step.in_time and until is not None and monotonic() > until:
        raise Overdue
    return outcome
