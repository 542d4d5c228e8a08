"""What becomes of a connection when its handler has ended, or its handshake failed."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any

from duplexer.driver.peers import shown_address
from duplexer.errors import ConnectionClosed, WebSocketException
from duplexer.http.headers import shown

if TYPE_CHECKING:
    from duplexer.policy.guard import Guard

__all__ = ["close_code_after", "log_refusal", "report_refusal"]


def close_code_after(connection: Any, error: BaseException | None) -> int:
    """The code to close with after a handler that raised ``error``, which is logged.

    Unless it is nothing to report: the connection has ended under its handler.
    """
    if error is None:
        return 1000
    if connection.session.is_open or not _tells_of_the_end(error):
        extra = {"websocket": connection}
        connection.logger.error("connection handler failed", exc_info=error, extra=extra)
    return 1011


def _tells_of_the_end(error: BaseException) -> bool:
    if isinstance(error, BaseExceptionGroup):  # of a nursery or a task group in the handler
        return error.split(ConnectionClosed)[1] is None
    return isinstance(error, ConnectionClosed)


def report_refusal(connection: Any, error: BaseException) -> None:
    """Count and log why an opening handshake failed: loudly only if that is our own fault."""
    extra = {"websocket": connection}
    connection.server.guard.failed(error)
    if isinstance(error, (OSError, WebSocketException)):
        connection.logger.debug("opening handshake failed: %r", error, extra=extra)
    else:
        connection.logger.error("opening handshake failed", exc_info=error, extra=extra)


def log_refusal(connection: Any, guard: Guard, status: int, why: str) -> None:
    """One line for a handshake that is refused, unless there have been too many just now.

    Whatever is the peer's in it is escaped, and the query, which may hold a secret, is left out.
    """
    if not connection.logger.isEnabledFor(logging.INFO):
        return
    unwritten = guard.may_log(time.monotonic())
    if unwritten is None:
        return
    request = connection.request
    asked = "no request"
    if request is not None:
        asked = f"{shown(request.method, 20)} {shown(request.path.partition('?')[0])}"
    more = f"; {unwritten} more were refused before" if unwritten else ""
    connection.logger.info(
        "refused %s: %s, %d %s%s",
        shown_address(connection),
        asked,
        status,
        shown(why, 300),
        more,
        extra={"websocket": connection, "status": status},
    )
