"""SIGINT and SIGTERM as calls in the event loop, on every platform."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["on_signals"]

_NUMBERS = (signal.SIGINT, signal.SIGTERM)


@contextlib.contextmanager
def on_signals(callback: Callable[[signal.Signals], None]) -> Iterator[None]:
    """While inside, call ``callback`` with the signal in the running loop; then undo it."""
    loop = asyncio.get_running_loop()

    def on_plain_signal(number: int, _frame: object) -> None:
        loop.call_soon_threadsafe(callback, signal.Signals(number))

    before = [signal.getsignal(number) for number in _NUMBERS]
    for number in _NUMBERS:
        try:
            loop.add_signal_handler(number, callback, number)
        except NotImplementedError:  # the loops of Windows
            signal.signal(number, on_plain_signal)
    try:
        yield
    finally:
        for number, handler in zip(_NUMBERS, before, strict=True):
            with contextlib.suppress(NotImplementedError):
                loop.remove_signal_handler(number)
            signal.signal(number, handler)
