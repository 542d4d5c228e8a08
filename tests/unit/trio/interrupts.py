"""Ctrl-C at each instruction in turn, where a test would otherwise wait for an unlucky moment."""

from __future__ import annotations

import contextlib
import signal
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any, Self

import trio

import duplexer

LIBRARY = str(Path(duplexer.__file__).parent)


class Interrupt:
    """Ctrl-C before the ``n``-th instruction that the library runs in the ``with`` block."""

    def __init__(self, n: int) -> None:
        self._left = n
        #: whether there were so many
        self.came = False

    def __enter__(self) -> Self:
        self._before = sys.gettrace()
        sys.settrace(self._see)
        return self

    def __exit__(self, *exc_info: object) -> None:
        sys.settrace(self._before)

    def _see(self, frame: FrameType, event: str, _: Any) -> Any:
        if not frame.f_code.co_filename.startswith(LIBRARY):
            return None
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        if event == "opcode":
            self._left -= 1
            if not self._left:
                self.came = True
                sys.settrace(None)
                signal.raise_signal(signal.SIGINT)
        return self._see


@contextlib.contextmanager
def listening() -> Iterator[None]:
    """Ctrl-C works as in a terminal, though a shell has started us in the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


async def at_each_instruction(act: Callable[[int], Awaitable[Any]]) -> int:
    """Do ``act(n)`` with Ctrl-C before its n-th instruction, until it has not so many.

    Each one has to come out, at the latest where trio waits. Gives back the last ``n``.
    """
    for n in range(1, 100_000):
        try:
            with Interrupt(n) as interrupt:
                await act(n)
            if not interrupt.came:
                return n
            await trio.sleep_forever()
        except KeyboardInterrupt:
            continue
    raise AssertionError("there is no end of it")
