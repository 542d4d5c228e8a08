"""Opening handshakes under trio: the steps of ``duplexer.driver``, done on a stream."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from math import inf
from typing import TYPE_CHECKING, Any

import trio

from duplexer.driver.conduct import ReadClock
from duplexer.driver.following import call, follow
from duplexer.driver.steps import Overdue, Read, Write

if TYPE_CHECKING:
    from duplexer.driver.steps import Step
    from duplexer.limits import Limits

__all__ = ["BROKEN", "READ_SIZE", "Exchange", "cause_of", "hidden_nursery", "seconds"]

#: One read takes at most this much.
READ_SIZE = 64 * 1024

#: What streams raise when they break.
BROKEN = (trio.BrokenResourceError, trio.ClosedResourceError, OSError)


def cause_of(exc: BaseException) -> BaseException:
    """What ended a stream, as the operating system or OpenSSL says it."""
    if not isinstance(exc, (trio.BrokenResourceError, trio.ClosedResourceError)):
        return exc
    if isinstance(exc.__cause__, OSError):
        return exc.__cause__
    error = ConnectionResetError(f"the connection was lost: {exc}")
    error.__cause__ = exc
    return error


def is_cancelled(exc: BaseException) -> bool:
    """Whether that is all it tells, also where a nursery in between has made a group of it."""
    if isinstance(exc, BaseExceptionGroup):
        return exc.split(trio.Cancelled)[1] is None
    return isinstance(exc, trio.Cancelled)


def seconds(bound: float | None) -> float:
    """A time of ``Limits`` as trio counts it."""
    return inf if bound is None else bound


@contextlib.asynccontextmanager
async def hidden_nursery() -> AsyncIterator[trio.Nursery]:
    """A nursery that nobody sees: the one error that leaves it is not wrapped in a group."""
    error: BaseException | None = None
    try:
        async with trio.open_nursery() as nursery:
            yield nursery
    except BaseExceptionGroup as group:
        errors = [exc for exc in group.exceptions if not isinstance(exc, trio.Cancelled)]
        if len(errors) != 1:
            raise
        error = errors[0]
    if error is not None:
        raise error


class Exchange:
    """The steps of an opening handshake, done on ``stream``."""

    def __init__(self, stream: Any, limits: Limits, first: float | None = None) -> None:
        self.stream = stream
        self.limits = limits
        self._clock = ReadClock(first)

    async def run(self, steps: Any) -> Any:
        """Do ``steps``, and give back what they end in."""
        return await follow(steps, self.do, cause_of)

    async def do(self, step: Step) -> Any:
        """Do one of them."""
        if isinstance(step, Read):
            due = self._clock.due(step, trio.current_time())
            with trio.CancelScope(deadline=seconds(due)):
                return bytes(await self.stream.receive_some(step.size or READ_SIZE))
            raise TimeoutError("timed out during opening handshake")
        if isinstance(step, Write):
            with trio.move_on_after(seconds(self.limits.send_timeout)):
                return await self.stream.send_all(step.data)
            raise TimeoutError("the peer does not read (Limits.send_timeout)")
        due = self._clock.until if step.in_time else None
        with trio.CancelScope(deadline=seconds(due)):
            return await call(step, trio.to_thread.run_sync)
        raise Overdue
