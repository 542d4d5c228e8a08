"""Handling several messages of a connection at a time, under asyncio."""

from __future__ import annotations

import asyncio
import functools
from typing import TYPE_CHECKING, Any

from duplexer.driver.lanes import Lanes, outcome, receive, work

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from duplexer.asyncio.connection import Connection

__all__ = ["dispatch"]


class _Ended(Exception):
    """The connection has: who still handles one of its messages is cancelled."""


async def _watch(connection: Connection) -> None:
    await connection.wait_closed()
    raise _Ended


async def dispatch(
    connection: Connection, handle: Callable[[Any], Awaitable[None]], lanes: Lanes, finish: bool
) -> None:
    """See :meth:`duplexer.asyncio.connection.Connection.dispatch`."""
    news = asyncio.Event()
    handling = functools.partial(work, connection, handle, lanes, news.set)

    async def room() -> None:
        news.clear()
        await news.wait()

    with outcome(connection, beside=_Ended):
        async with asyncio.TaskGroup() as group:
            if not finish:
                group.create_task(_watch(connection))
            await receive(connection, lanes, room, lambda *it: group.create_task(handling(*it)))
            if not finish:
                raise _Ended
