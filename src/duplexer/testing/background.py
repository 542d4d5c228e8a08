"""An event loop in a thread: for what has to work beside tests of any kind."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Coroutine

__all__ = ["Background"]


class Background:
    """A loop that runs from ``start()`` to ``stop()``."""

    def __init__(self, name: str) -> None:
        self._name = name
        self.loop: asyncio.AbstractEventLoop
        self._thread: threading.Thread

    def start(self) -> None:
        """Start the thread."""
        started = threading.Event()
        self._thread = threading.Thread(
            target=self._run, args=(started,), name=self._name, daemon=True
        )
        self._thread.start()
        started.wait()

    def _run(self, started: threading.Event) -> None:
        with asyncio.Runner() as runner:  # which cancels what is left at the end
            self.loop = runner.get_loop()
            self._stopped = asyncio.Event()
            started.set()
            runner.run(self._wait())

    async def _wait(self) -> None:
        await self._stopped.wait()

    def call(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """Run ``coroutine`` there, and wait for what it returns or raises."""
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result()

    def stop(self) -> None:
        """Cancel what is left, and wait for the end of the thread."""
        self.loop.call_soon_threadsafe(self._stopped.set)
        self._thread.join()
