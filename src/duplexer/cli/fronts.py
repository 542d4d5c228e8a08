"""The connections of ``duplexer connect``, by whichever front, for commands that run on asyncio.

A connection of another front is one whose methods are called in a thread: those of ``sync`` block
there, those of ``trio`` run in a loop of trio's that has a thread to itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncGenerator, Callable
from typing import Any

__all__ = ["FRONTS", "connections"]

FRONTS = ("asyncio", "sync", "trio")


class Bridged:
    """A connection of another front; ``call`` runs one of its methods to the end, in a thread."""

    def __init__(self, ws: Any, call: Callable[..., Any]) -> None:
        self._ws = ws
        self._call = call

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ws, name)

    async def recv(self) -> str | bytes:
        """The next message."""
        message: str | bytes = await self._run(self._ws.recv)
        return message

    async def send(self, message: str | bytes) -> None:
        """Send a message."""
        await self._run(self._ws.send, message)

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Close, and wait until it is closed."""
        await self._run(self._ws.close, code, reason)

    async def ping(self) -> asyncio.Future[float]:
        """Send a Ping; await what it gives back for the Pong: its latency in seconds."""
        pong = await self._run(self._ws.ping)
        return asyncio.ensure_future(self._latency(pong))

    async def _latency(self, pong: Any) -> float:
        await self._run(pong.wait)
        return float(self._ws.latency)

    async def _run(self, method: Callable[..., Any], *args: Any) -> Any:
        # Not the loop's own threads: they are few, and asyncio.run() waits for them.
        loop = asyncio.get_running_loop()
        outcome: asyncio.Future[Any] = loop.create_future()

        def settle(value: Any, error: BaseException | None) -> None:
            if outcome.done():
                return
            if error is None:
                outcome.set_result(value)
            else:
                outcome.set_exception(error)

        def work() -> None:
            value, error = None, None
            try:
                value = self._call(method, *args)
            except BaseException as exc:  # noqa: BLE001 - raised where it is awaited
                error = exc
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(settle, value, error)

        threading.Thread(target=work, daemon=True, name="front").start()
        return await outcome


async def connections(
    front: str, uri: str, *, again: bool, **options: Any
) -> AsyncGenerator[Any, None]:
    """The connection; with ``again`` one after the other, as ``options["retry"]`` says."""
    source = {"asyncio": _asyncio, "sync": _sync, "trio": _trio}[front](uri, again, options)
    async with contextlib.aclosing(source):
        async for ws in source:
            yield ws


async def _asyncio(uri: str, again: bool, options: dict[str, Any]) -> AsyncGenerator[Any, None]:
    from duplexer.asyncio.client import connect

    connector = connect(uri, **options)
    if not again:
        yield await connector
        return
    async for ws in connector:
        yield ws


def _call(method: Callable[..., Any], *args: Any) -> Any:
    return method(*args)


async def _sync(uri: str, again: bool, options: dict[str, Any]) -> AsyncGenerator[Any, None]:
    from duplexer.sync.client import connect

    connector = connect(uri, **options)
    thread = Bridged(None, _call)
    if not again:
        yield Bridged(await thread._run(connector.open), _call)
        return
    iterator = iter(connector)
    while True:
        yield Bridged(await thread._run(next, iterator), _call)


async def _trio(uri: str, again: bool, options: dict[str, Any]) -> AsyncGenerator[Any, None]:
    import trio

    from duplexer.trio.client import connect

    loop = asyncio.get_running_loop()
    opened: asyncio.Queue[Any] = asyncio.Queue()
    connector = connect(uri, **options)
    token: list[Any] = []
    wanted = trio.Event()

    async def main() -> None:
        nonlocal wanted
        token.append(trio.lowlevel.current_trio_token())
        with trio.CancelScope() as scope:
            loop.call_soon_threadsafe(opened.put_nowait, scope)
            if again:
                async for ws in connector:
                    wanted = trio.Event()
                    loop.call_soon_threadsafe(opened.put_nowait, ws)
                    await wanted.wait()
            else:
                async with connector as ws:
                    loop.call_soon_threadsafe(opened.put_nowait, ws)
                    await wanted.wait()

    def run() -> None:
        error: BaseException | None = None
        try:
            trio.run(main)
        except BaseException as exc:  # noqa: BLE001 - raised where it is awaited
            error = exc
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(opened.put_nowait, error)

    def call(method: Callable[..., Any], *args: Any) -> Any:
        return trio.from_thread.run(_awaited, method, *args, trio_token=token[0])

    thread = threading.Thread(target=run, daemon=True, name="trio")
    thread.start()
    scope = await opened.get()
    try:
        while True:
            ws = await opened.get()
            if ws is None:
                return
            if isinstance(ws, BaseException):
                raise ws
            yield Bridged(ws, call)
            token[0].run_sync_soon(wanted.set)
    finally:
        with contextlib.suppress(trio.RunFinishedError):
            token[0].run_sync_soon(scope.cancel)
        await asyncio.to_thread(thread.join)


async def _awaited(method: Callable[..., Any], *args: Any) -> Any:
    return await method(*args)
