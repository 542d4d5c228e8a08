"""Servers for the browser's interface to connect to."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

from duplexer import serve


@contextlib.asynccontextmanager
async def serving(handler: Any, **kwargs: Any) -> AsyncIterator[str]:
    """The URL of a server that has ``handler``."""
    async with serve(handler, "127.0.0.1", 0, **kwargs) as server:
        yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/"


async def echo(ws: Any) -> None:
    async for message in ws:
        await ws.send(message)


async def until(condition: Callable[[], Any]) -> None:
    """Give the loop turns until ``condition`` holds."""
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110 - whatever it is
            await asyncio.sleep(0.001)


class Record:
    """Events of a WebSocket, in order."""

    def __init__(self, ws: Any) -> None:
        self.ws = ws
        self.events: list[Any] = []
        for kind in ("open", "message", "error", "close"):
            ws.addEventListener(kind, self._note)

    def _note(self, event: Any) -> None:
        self.events.append(event)

    @property
    def types(self) -> list[str]:
        return [event.type for event in self.events]

    async def wait(self, kind: str, count: int = 1) -> Any:
        """The event of ``kind`` that comes ``count``-th."""
        await until(lambda: self.types.count(kind) >= count)
        return [event for event in self.events if event.type == kind][count - 1]
