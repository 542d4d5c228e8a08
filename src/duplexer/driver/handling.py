"""What becomes of a connection when its handler has ended, or its handshake failed."""

from __future__ import annotations

from typing import Any

from duplexer.errors import ConnectionClosed, WebSocketException

__all__ = ["close_code_after", "report_refusal"]


def close_code_after(connection: Any, error: BaseException | None) -> int:
    """The code to close with after a handler that raised ``error``, which is logged.

    Unless it is nothing to report: the connection has ended under its handler.
    """
    if error is None:
        return 1000
    if connection.session.is_open or not _tells_of_the_end(error):
        connection.logger.error("connection handler failed", exc_info=error)
    return 1011


def _tells_of_the_end(error: BaseException) -> bool:
    if isinstance(error, BaseExceptionGroup):  # of a nursery or a task group in the handler
        return error.split(ConnectionClosed)[1] is None
    return isinstance(error, ConnectionClosed)


def report_refusal(connection: Any, error: BaseException) -> None:
    """Log why an opening handshake failed: loudly only if that is our own side's fault."""
    if isinstance(error, (OSError, WebSocketException)):
        connection.logger.debug("opening handshake failed: %r", error)
    else:
        connection.logger.error("opening handshake failed", exc_info=error)
