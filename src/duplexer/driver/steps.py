"""The steps of opening a connection: what a front must do next.

Dialling, accepting and proxies are generators that yield steps and are sent their outcome. A front
is a loop over them; how it reads, writes or calls is its own business.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

__all__ = ["Call", "Read", "Step", "Steps", "Write"]


class Read:
    """Wants the next bytes of the peer; ``b""`` says that there will be none.

    They may take ``timeout`` seconds from when ``stage`` was first seen, all reads of that stage
    together; then ``TimeoutError`` is thrown in. ``None`` leaves the time to whoever dials.
    """

    def __init__(self, timeout: float | None = None, stage: int = 0) -> None:
        self.timeout = timeout
        self.stage = stage


class Write:
    """Wants ``data`` to be written, and nothing back."""

    def __init__(self, data: bytes) -> None:
        self.data = data


class Call:
    """Wants a function of the user's to be called, and what it gives back.

    A front that can await awaits that; one that must not block calls a ``blocking`` function in a
    thread. What it raises is thrown in.
    """

    def __init__(
        self, function: Callable[..., Any], args: tuple[Any, ...], blocking: bool = False
    ) -> None:
        self.function = function
        self.args = args
        self.blocking = blocking


Step = Read | Write | Call

#: A generator of steps that gives back ``Any`` at its end.
Steps = Generator[Step, Any, Any]
