"""What the tests of ``duplexer.testing`` wait by."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any


async def until(condition: Callable[[], Any]) -> None:
    """Wait until ``condition()`` is true."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - it says nothing when it comes true
            await asyncio.sleep(0)


async def turns(n: int = 30) -> None:
    """Let everything else run that is ready to."""
    for _ in range(n):
        await asyncio.sleep(0)
