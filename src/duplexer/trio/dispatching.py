"""Handling several messages of a connection at a time, under trio."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import trio

from duplexer.driver.lanes import Lanes, outcome, receive, work

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from duplexer.trio.connection import Connection

__all__ = ["dispatch"]


async def dispatch(
    connection: Connection, handle: Callable[[Any], Awaitable[None]], lanes: Lanes, finish: bool
) -> None:
    """See :meth:`duplexer.trio.connection.Connection.dispatch`."""
    room = trio.lowlevel.ParkingLot()
    working = functools.partial(work, connection, handle, lanes, room.unpark_all)

    async def watch(nursery: trio.Nursery) -> None:
        await connection.wait_closed()
        nursery.cancel_scope.cancel()

    with outcome(connection):
        async with trio.open_nursery() as nursery:
            if not finish:
                nursery.start_soon(watch, nursery)
            start = functools.partial(nursery.start_soon, working)
            await receive(connection, lanes, room.park, start)
            if not finish:
                nursery.cancel_scope.cancel()
