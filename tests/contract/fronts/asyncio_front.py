"""asyncio, on its own event loop or on uvloop's."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

import duplexer
from tests.contract.fronts.base import PATIENCE, Front


class AsyncioFront(Front):
    names = duplexer

    def __init__(self, loop: str) -> None:
        super().__init__()
        self.loop_name = loop

    def new_loop(self) -> asyncio.AbstractEventLoop:
        if self.loop_name == "uvloop":
            import uvloop

            return uvloop.new_event_loop()
        return asyncio.new_event_loop()

    def run(self, test: Callable[..., Awaitable[None]], arguments: dict[str, Any]) -> None:
        with asyncio.Runner(loop_factory=self.new_loop) as runner:
            runner.get_loop().set_exception_handler(self._see)
            runner.run(self._run(test, arguments))
        self.judge()

    async def _run(self, test: Callable[..., Awaitable[None]], arguments: dict[str, Any]) -> None:
        await test(**arguments)
        mine = asyncio.current_task()
        with contextlib.suppress(TimeoutError):
            await self.until(lambda: asyncio.all_tasks() == {mine}, 1.0)
        for task in asyncio.all_tasks() - {mine}:
            self.problems.append(f"a task was left behind: {task!r}")
        self.see_leftovers()

    def _see(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        self.problems.append(f"{context.get('message')}: {context.get('exception')!r}")

    def unsent(self, ws: Any) -> int:
        return int(ws.transport.get_write_buffer_size())

    def socket_of(self, ws: Any) -> Any:
        return ws.transport.get_extra_info("socket")

    def has_pong(self, waiter: Any) -> bool:
        return bool(waiter.done())

    def spawn(self, awaitable: Awaitable[Any]) -> asyncio.Task[Any]:
        async def run() -> Any:
            return await awaitable

        return asyncio.ensure_future(run())

    async def thread(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        return await asyncio.to_thread(function, *args, **kwargs)

    def timeout(self, seconds: float = PATIENCE) -> Any:
        return asyncio.timeout(seconds)

    def now(self) -> float:
        return asyncio.get_running_loop().time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def turns(self, n: int = 10) -> None:
        for _ in range(n):
            await asyncio.sleep(0)
