"""A loop in a thread."""

from __future__ import annotations

import asyncio
import threading

import pytest

from duplexer.testing.background import Background


def test_background() -> None:
    background = Background("behind")
    background.start()
    ended: list[str] = []

    async def work() -> str:
        asyncio.create_task(forever()).set_name("left behind")
        await asyncio.sleep(0)
        return threading.current_thread().name

    async def forever() -> None:
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            ended.append("cancelled")

    async def fail() -> None:
        raise ZeroDivisionError

    assert background.call(work()) == "behind"
    with pytest.raises(ZeroDivisionError):
        background.call(fail())
    background.stop()
    assert ended == ["cancelled"]
    assert "behind" not in [thread.name for thread in threading.enumerate()]
