"""How late the event loop is: a timer that looks at the clock."""

from __future__ import annotations

from typing import TYPE_CHECKING

from duplexer.driver.observing import LAG_INTERVAL

if TYPE_CHECKING:
    import asyncio

    from duplexer.driver.observing import Observer

__all__ = ["Lag"]


class Lag:
    """Tells ``observer`` how late ``loop`` is, until it is stopped."""

    def __init__(self, loop: asyncio.AbstractEventLoop, observer: Observer) -> None:
        self._loop = loop
        self._observer = observer
        self._start()

    def _start(self) -> None:
        self._due = self._loop.time() + LAG_INTERVAL
        self._timer = self._loop.call_at(self._due, self._look)

    def _look(self) -> None:
        self._observer.lagged(max(0.0, self._loop.time() - self._due))
        self._start()

    def stop(self) -> None:
        """Look no more."""
        self._timer.cancel()
