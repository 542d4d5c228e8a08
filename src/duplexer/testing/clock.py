"""A clock that jumps: minutes of keepalive and of timeouts in a test of microseconds.

It takes over the clock of a running event loop. Whenever nothing is ready to run, it is at once as
late as the next timer wants it to be. While something outside of the loop may still happen, a
socket that is waited for or a function in a thread, time flows as it always does: no jump could be
right then, and :meth:`VirtualClock.advance` is there for those who know better.
"""

from __future__ import annotations

import asyncio
import importlib
import sys
import time
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    import selectors
    from collections.abc import Callable

__all__ = ["VirtualClock", "virtual_clock"]

#: A sum of floating-point numbers must not end just before the time that is waited for.
_JUST_AFTER = 1e-9


class _Selector:
    """The loop's selector; where it would sleep, the clock jumps."""

    def __init__(self, clock: VirtualClock, real: selectors.BaseSelector) -> None:
        self._clock = clock
        self._real = real

    def select(self, timeout: float | None = None) -> list[Any]:
        """Part of a selector."""
        ready = self._real.select(0)
        if ready or (timeout is not None and timeout <= 0):
            return ready
        if timeout is None or self._clock.is_waiting_outside():
            started = time.monotonic()
            ready = self._real.select(timeout)
            self._clock.move(time.monotonic() - started)
            return ready
        self._clock.move(timeout + _JUST_AFTER)
        return []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)


class VirtualClock:
    """The clock of an event loop while it is virtual; see :func:`virtual_clock`."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop: Any = loop
        self._real: Any = getattr(loop, "_selector", None)
        if self._real is None or not hasattr(self._real, "get_map"):
            raise TypeError(
                f"a virtual clock needs asyncio's SelectorEventLoop, not {type(loop).__name__}: "
                "run the test with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop)"
            )
        if loop in _clocks:
            raise RuntimeError("the event loop has a virtual clock already")
        self._outside = 0  # functions that run in threads
        self._began = self._now = loop.time()

    @property
    def elapsed(self) -> float:
        """Seconds since the clock became virtual."""
        return self._now - self._began

    def time(self) -> float:
        """The time of the loop, in seconds."""
        return self._now

    def move(self, seconds: float) -> None:
        """Let ``seconds`` have passed, without running anything."""
        self._now += seconds

    async def advance(self, seconds: float) -> None:
        """Let ``seconds`` pass, timer by timer, whatever else is waited for.

        When it returns, everything that was due has run.
        """
        end = self._now + seconds
        while True:
            await self._settle()
            due = self._next_timer()
            if due is None or due > end:
                break
            self._now = max(self._now, due + _JUST_AFTER)
        self._now = max(self._now, end)
        await self._settle()

    async def _settle(self) -> None:
        # Until only timers are left: what runs may make something else ready.
        for _ in range(1000):
            await asyncio.sleep(0)
            due = self._next_timer()
            if not self.loop._ready and (due is None or due > self._now):
                return

    def _next_timer(self) -> float | None:
        times = [handle.when() for handle in self.loop._scheduled if not handle.cancelled()]
        return min(times, default=None)

    def is_waiting_outside(self) -> bool:
        """Whether something may happen that no timer of the loop knows of."""
        own = getattr(self.loop, "_ssock", None)  # by which threads wake the loop
        known = set() if own is None else {own.fileno()}
        return self._outside > 0 or not known.issuperset(self._real.get_map())

    def _run_in_executor(
        self, executor: Any, function: Callable[..., Any], *args: Any
    ) -> asyncio.Future[Any]:
        future: asyncio.Future[Any] = type(self.loop).run_in_executor(
            self.loop, executor, function, *args
        )
        self._outside += 1
        future.add_done_callback(self._finished)
        return future

    def _finished(self, future: asyncio.Future[Any]) -> None:
        self._outside -= 1

    # -- taking over -----------------------------------------------------------------------------

    def __enter__(self) -> Self:
        self.loop._selector = _Selector(self, self._real)
        self.loop.time = self.time
        self.loop.run_in_executor = self._run_in_executor
        _clocks[self.loop] = self
        _patch()
        return self

    def __exit__(self, exc_type: object, exc: object, tb: object) -> None:
        # Time goes on from here, and never back: timers that were set are still to come.
        ahead = self._now - time.monotonic()
        del self.loop.run_in_executor, _clocks[self.loop]
        self.loop._selector = self._real
        self.loop.time = lambda: time.monotonic() + ahead
        _unpatch()


def virtual_clock() -> VirtualClock:
    """Make the clock of the running event loop jump, for a ``with`` block.

    ::

        with virtual_clock() as clock:
            await asyncio.sleep(3600)  # at once
            assert clock.elapsed >= 3600

    ``asyncio.sleep``, ``asyncio.timeout``, ``loop.call_later`` and all that connections of this
    loop do by the clock follow it: keepalive, ``close_timeout``, latencies, the delay of a
    :class:`~duplexer.testing.links.Link`. ``time.time`` and ``time.monotonic`` do not. It is for
    connections in memory: while a socket or a thread is waited for time flows as it always does.

    Raises ``TypeError`` on a loop that is not asyncio's own, such as uvloop's.
    """
    return VirtualClock(asyncio.get_running_loop())


# -- the clock of our own modules ----------------------------------------------------------------

_clocks: dict[Any, VirtualClock] = {}
_patched: list[Any] = []


def _monotonic() -> float:
    clock = _clocks.get(asyncio._get_running_loop())
    return time.monotonic() if clock is None else clock.time()


def _patch() -> None:
    # Connections measure by time.monotonic(), which is finer than some loops' own clocks. What is
    # imported later would not be told.
    for name in ("client", "server"):
        importlib.import_module(f"duplexer.asyncio.{name}")
    for name, module in list(sys.modules.items()):
        if name.startswith(("duplexer.asyncio.", "duplexer.driver.")):
            if vars(module).get("monotonic") is time.monotonic:
                module.monotonic = _monotonic  # type: ignore[attr-defined]
                _patched.append(module)


def _unpatch() -> None:
    if _clocks:
        return
    while _patched:
        _patched.pop().monotonic = time.monotonic
