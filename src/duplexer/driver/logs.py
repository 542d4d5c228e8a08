"""Log lines for machines: JSON with the connection they are about, and one for each that ended."""

from __future__ import annotations

import datetime as dt
import json
import logging
import time
from typing import TYPE_CHECKING, Any

from duplexer.driver.base import ConnectionBase
from duplexer.driver.observing import Observer
from duplexer.driver.peers import shown_address
from duplexer.http.headers import shown

if TYPE_CHECKING:
    from collections.abc import Iterator

    from duplexer.http.messages import Request

__all__ = ["AccessLog", "JsonFormatter"]


class JsonFormatter(logging.Formatter):
    """Formats a log record as one line of JSON.

    It has ``time`` (RFC 3339, UTC), ``level``, ``logger`` and ``message``; ``error`` and
    ``traceback`` where an exception was logged; and for a record about a connection
    ``connection_id``, ``peer``, ``path`` (without its query, which may hold a secret) and, if it
    has ended, ``code``. Such a record has the connection as ``websocket=`` in its ``extra``, or
    among its arguments: all of ours do, and yours will with
    ``logging.LoggerAdapter(logger, {"websocket": ws})``.
    """

    def format(self, record: logging.LogRecord) -> str:
        """See :class:`logging.Formatter`."""
        when = dt.datetime.fromtimestamp(record.created, dt.UTC)
        entry: dict[str, Any] = {
            "time": when.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        connection = _connection_of(record)
        if connection is not None:
            entry.update(_fields(connection))
        if record.exc_info and record.exc_info[1] is not None:
            error = record.exc_info[1]
            entry["error"] = f"{type(error).__name__}: {error}"
            entry["traceback"] = self.formatException(record.exc_info)
        return json.dumps(entry, ensure_ascii=True)


def _connection_of(record: logging.LogRecord) -> ConnectionBase | None:
    candidates = [getattr(record, "websocket", None)]
    if isinstance(record.args, tuple):
        candidates += record.args
    return next((each for each in candidates if isinstance(each, ConnectionBase)), None)


def _fields(connection: Any) -> Iterator[tuple[str, Any]]:
    yield "connection_id", str(connection.id)
    yield "peer", shown_address(connection)
    if connection.request is not None:
        yield "path", _path(connection)
    if connection.close_code is not None:
        yield "code", connection.close_code


def _path(connection: Any) -> str:
    return shown(connection.request.path.partition("?")[0], 200)


class AccessLog(Observer):
    """Logs one line, at INFO, for each connection that has ended.

    ``logger`` is ``duplexer.access`` unless another one is given. With ``requests`` there is a line
    for each handshake and plain HTTP request as well, and all are in the form of ``duplexer serve
    --access-log``: the address, the beginning of the connection's id, what was asked for, and what
    came of it. Queries are left out: they may hold tokens.
    """

    def __init__(
        self,
        logger: logging.Logger | logging.LoggerAdapter[Any] | None = None,
        *,
        requests: bool = False,
    ) -> None:
        self._logger = logger or logging.getLogger("duplexer.access")
        self._requests = requests
        self._since: dict[Any, float] = {}

    def opened(self, connection: Any) -> None:
        """See :class:`~duplexer.driver.observing.Observer`."""
        self._since[connection] = time.monotonic()
        self._tell(connection, connection.request, "101")

    def refused(self, connection: Any, request: Request | None, status: int) -> None:
        """See :class:`~duplexer.driver.observing.Observer`."""
        self._tell(connection, request, str(status))

    def answered(self, connection: Any, request: Request, status: int) -> None:
        """See :class:`~duplexer.driver.observing.Observer`."""
        self._tell(connection, request, str(status))

    def ended(self, connection: Any) -> None:
        """See :class:`~duplexer.driver.observing.Observer`."""
        lasted = time.monotonic() - self._since.pop(connection, time.monotonic())
        code, traffic = connection.close_code, connection.traffic
        if self._requests:
            what = f"closed {code} after {lasted:.1f} s, {traffic.messages_received} in, "
            self._tell(connection, connection.request, f"{what}{traffic.messages_sent} out")
            return
        self._logger.info(
            "%s %s: %s after %.1f s; received %d messages, %d bytes; sent %d, %d",
            shown_address(connection),
            _path(connection),
            code,
            lasted,
            traffic.messages_received,
            traffic.bytes_received,
            traffic.messages_sent,
            traffic.bytes_sent,
            extra={"websocket": connection},
        )

    def _tell(self, connection: Any, request: Request | None, what: str) -> None:
        if self._requests:
            asked = "-"
            if request is not None:
                asked = shown(f"{request.method} {request.path.partition('?')[0]}")
            self._logger.info(
                '%s %s "%s" %s',
                shown_address(connection),
                connection.id.hex[:8],
                asked,
                what,
                extra={"websocket": connection},
            )
