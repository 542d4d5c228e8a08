"""Handling several messages of a connection at a time, in threads."""

from __future__ import annotations

import contextvars
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from duplexer.driver.lanes import NOTHING, Lane, Lanes, raise_outcome
from duplexer.errors import ConnectionClosed

if TYPE_CHECKING:
    from collections.abc import Callable

    from duplexer.sync.connection import Connection

__all__ = ["dispatch"]


def dispatch(
    connection: Connection,
    handle: Callable[[Any], None],
    lanes: Lanes,
    concurrency: int,
    finish: bool,
) -> None:
    """See :meth:`duplexer.sync.connection.Connection.dispatch`."""
    changed = threading.Condition()
    errors: list[BaseException] = []

    def work(lane: Lane, message: Any) -> None:
        while message is not NOTHING:
            error = None
            try:
                if finish or not connection.lost:  # what has not begun need not any more
                    with lanes.observer.handling(connection, message):
                        handle(message)
            except BaseException as exc:  # noqa: BLE001 - raised where all of them end
                error = exc
            with changed:
                if error is not None:
                    errors.append(error)
                message = lanes.done(lane)
                changed.notify_all()
            if error is not None and connection.open_session().is_open:
                connection.start_close(1011)  # who receives hears of it

    with ThreadPoolExecutor(concurrency, "duplexer-dispatch") as pool:
        try:
            while not errors:
                with changed:
                    changed.wait_for(lambda: lanes.has_room or errors)
                message = connection.recv()
                with changed:
                    lane = lanes.take(message)
                if lane is not None:
                    pool.submit(contextvars.copy_context().run, work, lane, message)
        except ConnectionClosed:
            pass
    raise_outcome(connection, BaseExceptionGroup("handlers failed", errors) if errors else None)
