"""Threads: the tests run on an event loop, and each call that blocks in a thread."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import inspect
import queue
import threading
from collections.abc import AsyncIterable, Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import duplexer.sync
import duplexer.sync.keeper
from duplexer.policy.router import Router
from tests.contract.fronts.base import PATIENCE, Front

#: What may take its time: it is called in a thread, and awaited.
BLOCKING = {"close", "pong", "recv", "send", "wait_closed"}


class Threads:
    """As many daemon threads as are called for: nobody waits for one that hangs."""

    def __init__(self) -> None:
        self.idle: list[queue.SimpleQueue[Any]] = []

    def call(self, function: Callable[[], Any]) -> asyncio.Future[Any]:
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        if self.idle:
            work = self.idle.pop()
        else:
            work = queue.SimpleQueue()
            threading.Thread(target=self.run, args=(work,), daemon=True).start()
        work.put((loop, future, function))
        return future

    def run(self, work: queue.SimpleQueue[Any]) -> None:
        while True:
            loop, future, function = work.get()
            try:
                outcome = (function(), None)
            except BaseException as exc:  # raised where it is awaited
                outcome = (None, exc)
            del function  # it is the test's, and may be the last to hold something
            with contextlib.suppress(RuntimeError):  # the test is over
                loop.call_soon_threadsafe(self.settle, future, *outcome)
            del outcome, future
            self.idle.append(work)

    def settle(self, future: asyncio.Future[Any], value: Any, error: Any) -> None:
        if future.cancelled():
            return
        if isinstance(error, StopIteration):
            error = StopAsyncIteration()
        if error is None:
            future.set_result(value)
        else:
            future.set_exception(error)


THREADS = Threads()


class SyncFront(Front):
    can = frozenset()

    def __init__(self) -> None:
        super().__init__()
        self.adapters: dict[Any, Adapter] = {}
        self.names = SimpleNamespace(
            connect=functools.partial(Connecting, self, duplexer.sync.connect),
            unix_connect=functools.partial(Connecting, self, duplexer.sync.unix_connect),
            serve=functools.partial(Serving, self, duplexer.sync.serve),
            unix_serve=functools.partial(Serving, self, duplexer.sync.unix_serve),
            broadcast=self.broadcast,
        )

    def run(self, test: Callable[..., Awaitable[None]], arguments: dict[str, Any]) -> None:
        duplexer.sync.keeper.PERIOD = 0.02  # connections that nobody reads: not in a second
        try:
            asyncio.run(self._run(test, arguments))
        finally:
            duplexer.sync.keeper.PERIOD = 1.0
        self.judge()

    async def _run(self, test: Callable[..., Awaitable[None]], arguments: dict[str, Any]) -> None:
        self.loop = asyncio.get_running_loop()
        await test(**arguments)
        self.see_leftovers()
        # Generators that a test has left are closed by the loop, in their own time.
        await self.until(lambda: all(ws.lost for ws in self.adapters))
        self.adapters.clear()
        await self.until(lambda: duplexer.sync.keeper.KEEPER._thread is None)

    def adapt(self, ws: Any) -> Any:
        if ws not in self.adapters:
            self.adapters[ws] = Adapter(self, ws)
        return self.adapters[ws]

    def called(self, function: Any) -> Any:
        """A function of the test's as one that the subject can call in its thread."""
        if isinstance(function, Router):
            return self.routed(function)
        if not callable(function):
            return function

        def call(ws: Any, *args: Any, **kwargs: Any) -> Any:
            async def run() -> Any:
                result = function(self.adapt(ws), *args, **kwargs)
                return await result if inspect.isawaitable(result) else result

            return asyncio.run_coroutine_threadsafe(run(), self.loop).result()

        return call

    def routed(self, router: Router) -> Router:
        copy = Router()
        for route in router:
            own = {name: self.called(value) for name, value in route.given.items()}
            handler = self.called(route.handler)
            copy.add(route.pattern.text, handler, limits=route.limits, **own)
        return copy

    def broadcast(self, connections: Any, message: Any, *args: Any, **kwargs: Any) -> None:
        plain = [adapter.ws for adapter in connections]
        duplexer.sync.broadcast(plain, message, *args, **kwargs)

    def unsent(self, ws: Any) -> int:
        return int(ws.wire.pending)

    def socket_of(self, ws: Any) -> Any:
        return ws.socket

    def has_pong(self, waiter: Any) -> bool:
        return bool(waiter.pong.is_set())

    def spawn(self, awaitable: Awaitable[Any]) -> asyncio.Task[Any]:
        async def run() -> Any:
            return await awaitable

        return asyncio.ensure_future(run())

    async def thread(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        return await THREADS.call(functools.partial(function, *args, **kwargs))

    def timeout(self, seconds: float = PATIENCE) -> Any:
        return asyncio.timeout(seconds)

    def now(self) -> float:
        return self.loop.time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def turns(self, n: int = 10) -> None:
        await asyncio.sleep(0.001 * n)


class Adapter:
    """A connection, awaited where it blocks."""

    def __init__(self, front: SyncFront, ws: Any) -> None:
        self.__dict__.update(front=front, ws=ws)

    def __getattr__(self, name: str) -> Any:
        value = getattr(self.ws, name)
        return functools.partial(self.call, value) if name in BLOCKING else value

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self.ws, name, value)

    def __repr__(self) -> str:
        return repr(self.ws)

    async def call(self, function: Any, *args: Any, **kwargs: Any) -> Any:
        if function == self.ws.recv and self.ws.session.inbox.count:
            return function(*args, **kwargs)  # it does not block: for tests that receive thousands
        args = tuple(self.blocking(each) for each in args)
        return await self.front.thread(function, *args, **kwargs)

    def blocking(self, value: Any) -> Any:
        return self.pieces(value) if isinstance(value, AsyncIterable) else value

    def pieces(self, iterable: Any) -> Any:
        iterator = aiter(iterable)

        async def step() -> Any:
            try:
                return [await anext(iterator)]
            except StopAsyncIteration:
                return None

        while (
            found := asyncio.run_coroutine_threadsafe(step(), self.front.loop).result()
        ) is not None:
            yield found[0]

    async def __aenter__(self) -> Any:
        return self

    async def __aexit__(self, *exc_info: Any) -> None:
        await self.call(self.ws.__exit__, *exc_info)

    def __aiter__(self) -> Any:
        return Iterating(self.front, iter(self.ws))

    async def __anext__(self) -> Any:
        return await self.call(next, iter(self.ws))

    def recv_streaming(self, *args: Any, **kwargs: Any) -> Any:
        return Iterating(self.front, self.ws.recv_streaming(*args, **kwargs))

    async def dispatch(self, handle: Any, **kwargs: Any) -> None:
        def call(message: Any) -> None:
            asyncio.run_coroutine_threadsafe(handle(message), self.front.loop).result()

        function = call if callable(handle) else handle
        await self.front.thread(self.ws.dispatch, function, **kwargs)

    async def ping(self, *args: Any) -> Any:
        return Waiting(self.front, await self.call(self.ws.ping, *args))

    # What the tests want to know of its insides.

    @property
    def receiver(self) -> Any:
        return self if self.ws.receiver else None

    @property
    def read_paused(self) -> bool:
        return self.ws.session is not None and not self.ws.session.reading

    @property
    def write_paused(self) -> bool:
        return self.ws.wire.pending > 0

    def flush(self) -> None:
        pass


class Iterating:
    def __init__(self, front: SyncFront, iterator: Any) -> None:
        self.front = front
        self.iterator = iterator

    def __aiter__(self) -> Any:
        return self

    async def __anext__(self) -> Any:
        return await self.front.thread(next, self.iterator)

    async def aclose(self) -> None:
        await self.front.thread(self.iterator.close)


class Waiting:
    """For a Pong."""

    def __init__(self, front: SyncFront, pong: Any) -> None:
        self.front = front
        self.pong = pong

    def __await__(self) -> Any:
        return self.wait().__await__()

    async def wait(self) -> float:
        await self.front.thread(self.pong.wait)
        return self.pong.latency


class Connecting:
    def __init__(self, front: SyncFront, connect: Any, *args: Any, **kwargs: Any) -> None:
        self.front = front
        self.connect = connect(*args, **kwargs)

    def __await__(self) -> Any:
        return self.open().__await__()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.connect, name)

    async def open(self) -> Any:
        return self.front.adapt(await self.front.thread(self.connect.open))

    async def __aenter__(self) -> Any:
        return self.front.adapt(await self.front.thread(self.connect.__enter__))

    async def __aexit__(self, *exc_info: Any) -> None:
        await self.front.thread(self.connect.__exit__, *exc_info)

    async def __aiter__(self) -> Any:
        iterator = iter(self.connect)
        try:
            async for ws in Iterating(self.front, iterator):
                yield self.front.adapt(ws)
        finally:
            await self.front.thread(iterator.close)


class Serving:
    """A server, awaited where it blocks."""

    HOOKS = ("authenticate", "process_request", "process_response", "select_subprotocol")

    def __init__(self, front: SyncFront, serve: Any, handler: Any, *args: Any, **kwargs: Any):
        for name in self.HOOKS:
            kwargs[name] = front.called(kwargs.get(name))
        self.front = front
        self.make = functools.partial(serve, front.called(handler), *args, **kwargs)

    async def __aenter__(self) -> Any:
        self.server = self.make()
        self.server.start_serving()
        return self

    async def __aexit__(self, *exc_info: Any) -> None:
        self.close()
        await self.wait_closed()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.server, name)

    @property
    def connections(self) -> set[Any]:
        return {self.front.adapt(ws) for ws in list(self.server.connections)}

    @property
    def opening(self) -> set[Any]:
        return set(self.server.opening)

    def close(self, *args: Any, **kwargs: Any) -> None:
        self.server.close(*args, **kwargs)

    async def drain(self, *args: Any, **kwargs: Any) -> None:
        await self.front.thread(self.server.drain, *args, **kwargs)

    async def wait_closed(self) -> None:
        await self.front.thread(self.server.wait_closed)
