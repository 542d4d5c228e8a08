"""Handling several messages of a connection at a time, under asyncio."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from duplexer.driver.lanes import NOTHING, Lane, Lanes, raise_outcome
from duplexer.errors import ConnectionClosed

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from duplexer.asyncio.connection import Connection

__all__ = ["dispatch"]


class _Ended(Exception):
    """The connection has: who still handles one of its messages is cancelled."""


async def dispatch(
    connection: Connection, handle: Callable[[Any], Awaitable[None]], lanes: Lanes, finish: bool
) -> None:
    """See :meth:`duplexer.asyncio.connection.Connection.dispatch`."""
    room = asyncio.Event()

    async def work(lane: Lane, message: Any) -> None:
        while message is not NOTHING:
            with lanes.observer.handling(connection, message):
                await handle(message)
            message = lanes.done(lane)
            room.set()

    async def watch() -> None:
        await connection.wait_closed()
        raise _Ended

    async def receive(group: asyncio.TaskGroup) -> None:
        while True:
            while not lanes.has_room:
                room.clear()
                await room.wait()
            message = await connection.recv()
            lane = lanes.take(message)
            if lane is not None:
                group.create_task(work(lane, message))

    errors: BaseExceptionGroup | None = None
    try:
        async with asyncio.TaskGroup() as group:
            if not finish:
                group.create_task(watch())
            try:
                await receive(group)
            except ConnectionClosed:
                if not finish:
                    raise _Ended from None
    except BaseExceptionGroup as group_of:
        errors = group_of.split(_Ended)[1]
    raise_outcome(connection, errors)
