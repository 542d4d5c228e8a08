"""The access log: a line for each handshake, plain request and end of a connection."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, TextIO

from duplexer.driver.observing import Observer
from duplexer.driver.peers import shown_address
from duplexer.http.headers import shown

if TYPE_CHECKING:
    from duplexer.http.messages import Request

__all__ = ["AccessLog"]


class AccessLog(Observer):
    """Writes to ``out``, by whom and for what. Queries are left out: they may hold tokens."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._began: dict[Any, float] = {}  # by connection, while it is open

    def opened(self, connection: Any) -> None:
        """See :class:`~duplexer.driver.observing.Observer`."""
        self._began[connection] = time.monotonic()
        self._write(connection, connection.request, "101")

    def refused(self, connection: Any, request: Request | None, status: int) -> None:
        """See :class:`~duplexer.driver.observing.Observer`."""
        self._write(connection, request, str(status))

    def answered(self, connection: Any, request: Request, status: int) -> None:
        """See :class:`~duplexer.driver.observing.Observer`."""
        self._write(connection, request, str(status))

    def ended(self, connection: Any) -> None:
        """See :class:`~duplexer.driver.observing.Observer`."""
        lasted = time.monotonic() - self._began.pop(connection, time.monotonic())
        traffic = connection.traffic
        self._write(
            connection,
            connection.request,
            f"closed {connection.close_code} after {lasted:.1f} s,"
            f" {traffic.messages_received} in, {traffic.messages_sent} out",
        )

    def _write(self, connection: Any, request: Request | None, what: str) -> None:
        asked = "-"
        if request is not None:
            asked = shown(f"{request.method} {request.path.partition('?')[0]}")
        now = time.strftime("%Y-%m-%dT%H:%M:%S%z")
        where = shown_address(connection)
        self._out.write(f'{now} {where} {connection.id.hex[:8]} "{asked}" {what}\n')
        self._out.flush()
