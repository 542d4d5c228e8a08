"""What the tests of ``duplexer.testing`` wait by."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest

from duplexer.testing import hangs
from duplexer.testing.waiting import report


async def until(condition: Callable[[], Any]) -> None:
    """Wait until ``condition()`` is true."""
    async with asyncio.timeout(40):
        while not condition():  # noqa: ASYNC110 - it says nothing when it comes true
            await asyncio.sleep(0)


async def turns(n: int = 30) -> None:
    """Let everything else run that is ready to."""
    for _ in range(n):
        await asyncio.sleep(0)


@pytest.fixture
def reporting(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Makes guards wait until the hang is what the test means: the machine may be slow."""

    def until(*wanted: str) -> None:
        def patient() -> str:
            deadline = time.monotonic() + 20
            while True:
                text = report()
                if all(part in text for part in wanted) or time.monotonic() > deadline:
                    return text
                time.sleep(0.01)

        monkeypatch.setattr(hangs, "report", patient)

    return until
