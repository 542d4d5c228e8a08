"""The steps of opening a connection: what a front must do next.

Dialling, accepting and proxies are generators that yield steps and are sent their outcome. A front
is a loop over them; how it reads, writes or calls is its own business.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Generator
from typing import Any

__all__ = ["Call", "Read", "Step", "Steps", "Write"]


@dataclasses.dataclass(frozen=True, slots=True)
class Read:
    """Wants the next bytes of the peer; ``b""`` says that there will be none."""


@dataclasses.dataclass(frozen=True, slots=True)
class Write:
    """Wants ``data`` to be written, and nothing back."""

    data: bytes


@dataclasses.dataclass(frozen=True, slots=True)
class Call:
    """Wants a hook of the user's to be called, and what it gives back (awaited where one can)."""

    function: Callable[..., Any]
    args: tuple[Any, ...]


Step = Read | Write | Call

#: A generator of steps that gives back ``Any`` at its end.
Steps = Generator[Step, Any, Any]
