"""Handling several messages of a connection at a time, under trio."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import trio

from duplexer.driver.lanes import NOTHING, Lane, Lanes, raise_outcome
from duplexer.errors import ConnectionClosed

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from duplexer.trio.connection import Connection

__all__ = ["dispatch"]


async def dispatch(
    connection: Connection, handle: Callable[[Any], Awaitable[None]], lanes: Lanes, finish: bool
) -> None:
    """See :meth:`duplexer.trio.connection.Connection.dispatch`."""
    room = trio.lowlevel.ParkingLot()

    async def work(lane: Lane, message: Any) -> None:
        while message is not NOTHING:
            with lanes.observer.handling(connection, message):
                await handle(message)
            message = lanes.done(lane)
            room.unpark_all()

    async def watch(scope: trio.CancelScope) -> None:
        await connection.wait_closed()
        scope.cancel()

    errors: BaseExceptionGroup | None = None
    try:
        async with trio.open_nursery() as nursery:
            if not finish:
                nursery.start_soon(watch, nursery.cancel_scope)
            try:
                while True:
                    while not lanes.has_room:
                        await room.park()
                    message = await connection.recv()
                    lane = lanes.take(message)
                    if lane is not None:
                        nursery.start_soon(work, lane, message)
            except ConnectionClosed:
                if not finish:
                    nursery.cancel_scope.cancel()
    except BaseExceptionGroup as group:
        errors = group
    raise_outcome(connection, errors)
