"""trio."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import AsyncIterator, Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import pytest
import trio

from duplexer.trio import client, server
from tests.contract.fronts.base import PATIENCE, Front


class Cancelled(Exception):
    """The task that a test waits for was cancelled, by the test."""


class Spawned:
    """A task in the test's nursery, as asyncio's tasks are: awaited for its result, cancelled."""

    def __init__(self, awaitable: Awaitable[Any]) -> None:
        self._awaitable = awaitable
        self._scope = trio.CancelScope()
        self._finished = trio.Event()
        self._result: Any = None
        self._error: BaseException | None = None

    async def run(self) -> None:
        try:
            with self._scope:
                self._result = await self._awaitable
            if self._scope.cancelled_caught:
                self._error = Cancelled()
        except Exception as exc:
            self._error = exc
        finally:
            self._finished.set()

    def cancel(self) -> None:
        self._scope.cancel()

    def done(self) -> bool:
        return self._finished.is_set()

    def __await__(self) -> Any:
        return self._wait().__await__()

    async def _wait(self) -> Any:
        await self._finished.wait()
        if self._error is not None:
            raise self._error
        return self._result


class Connecting:
    """``connect(...)`` as tests use it: awaited, it lives in the test's nursery."""

    def __init__(self, make: Callable[..., Any], nursery: trio.Nursery) -> None:
        self._plain = make()
        self._owned = functools.partial(make, nursery=nursery)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._plain, name)

    def __await__(self) -> Any:
        return self._owned().__await__()

    async def __aenter__(self) -> Any:
        return await self._plain.__aenter__()

    async def __aexit__(self, *exc_info: Any) -> Any:
        return await self._plain.__aexit__(*exc_info)

    def __aiter__(self) -> Any:
        return self._plain.__aiter__()


class TrioFront(Front):
    names = SimpleNamespace(
        connect=client.connect,
        unix_connect=client.unix_connect,
        serve=server.serve,
        unix_serve=server.unix_serve,
        broadcast=server.broadcast,
    )
    nursery: trio.Nursery

    def run(self, test: Callable[..., Awaitable[None]], arguments: dict[str, Any]) -> None:
        trio.run(self._run, test, arguments)
        self.judge()

    async def _run(self, test: Callable[..., Awaitable[None]], arguments: dict[str, Any]) -> None:
        error: BaseException | None = None
        async with trio.open_nursery() as self.nursery:
            try:
                await test(**arguments)
                with trio.move_on_after(PATIENCE):
                    while self.nursery.child_tasks:  # noqa: ASYNC110
                        await trio.sleep(0.002)
            except (Exception, pytest.fail.Exception) as exc:
                error = exc
            else:
                for task in self.nursery.child_tasks:
                    self.problems.append(f"a task was left behind: {task!r}")
            self.nursery.cancel_scope.cancel()
        if error is not None:
            raise error
        self.see_leftovers()

    def connect(self, server: Any, **kwargs: Any) -> Any:
        return Connecting(functools.partial(super().connect, server, **kwargs), self.nursery)

    def unix_connect(self, path: str, **kwargs: Any) -> Any:
        return Connecting(functools.partial(super().unix_connect, path, **kwargs), self.nursery)

    def unsent(self, ws: Any) -> int:
        return int(ws.buffered_amount - ws.session.cork.size)

    def socket_of(self, ws: Any) -> Any:
        return getattr(ws.stream, "transport_stream", ws.stream).socket

    def has_pong(self, waiter: Any) -> bool:
        return bool(waiter.is_set())

    def spawn(self, awaitable: Awaitable[Any]) -> Any:
        spawned = Spawned(awaitable)
        self.nursery.start_soon(spawned.run)
        return spawned

    async def thread(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        return await trio.to_thread.run_sync(functools.partial(function, *args, **kwargs))

    @contextlib.asynccontextmanager
    async def timeout(self, seconds: float = PATIENCE) -> AsyncIterator[None]:
        try:
            with trio.fail_after(seconds):
                yield
        except trio.TooSlowError as exc:
            raise TimeoutError from exc

    def now(self) -> float:
        return trio.current_time()

    async def sleep(self, seconds: float) -> None:
        await trio.sleep(seconds)

    async def turns(self, n: int = 10) -> None:
        for _ in range(n):
            await trio.lowlevel.checkpoint()
