"""Who may come in where uvicorn listens: the bounds of ``Limits`` that concern many connections.

uvicorn has accepted a connection and read its request before we hear of it. So who is one too many
gets an answer, 429 or 503, where servers of our own close without one.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware
from uvicorn.protocols.utils import get_remote_addr

from duplexer.errors import HttpError
from duplexer.policy.forwarded import Client
from duplexer.policy.guard import Guard

if TYPE_CHECKING:
    from uvicorn.config import Config

    from duplexer.limits import Limits

__all__ = ["Entrance"]


class Entrance:
    """The way into one uvicorn server, with a guard that all its connections share."""

    def __init__(self, config: Config, limits: Limits) -> None:
        self.guard = guard = Guard(limits)
        self._is_guarded = guard.asks or guard.counts or guard.watches
        self._proxies: Any = None
        if config.proxy_headers:
            self._proxies = ProxyHeadersMiddleware(_nothing, config.forwarded_allow_ips)

    def enter(self, connection: Any) -> None:
        """There is a request; :exc:`HttpError` 429 or 503 if it comes from one too many."""
        if not self._is_guarded:
            return
        guard = self.guard
        connection.client = client = Client(self._address_of(connection))
        if guard.counts:
            if not guard.enter(connection, None):
                after = [("Retry-After", "1")]
                raise HttpError(503, "too many connections are opening (max_opening)", after)
            guard.identify(connection, client.address)
        if guard.asks:
            guard.check(client.address, time.monotonic())
            connection.is_trying = True

    def _address_of(self, connection: Any) -> Any:
        """What ``scope["client"]`` will be when uvicorn has looked at who speaks for whom."""
        address = get_remote_addr(connection.transport)
        if self._proxies is None:
            return address
        headers = [
            (name.lower().encode("ascii"), value.encode("latin-1"))
            for name, value in connection.request.headers.raw_items()
        ]
        scope = {"type": "websocket", "scheme": "ws", "client": address, "headers": headers}
        try:
            self._proxies(scope, None, None).send(None)
        except StopIteration:
            return scope["client"]
        raise AssertionError("uvicorn's middleware waits for something before there is a client")

    def opened(self, connection: Any) -> None:
        """Its application has accepted it."""
        guard = self.guard
        self._answered(connection, 101)
        guard.opened(connection)
        if guard.watches:
            guard.watch(connection.session, connection.client.address)

    def refused(self, connection: Any, status: int) -> str | None:
        """It was refused: what else to say in the line of the log; ``None`` for no line."""
        self._answered(connection, status)
        unwritten = self.guard.may_log(time.monotonic())
        if unwritten is None:
            return None
        return f"; {unwritten} more were refused before" if unwritten else ""

    def left(self, connection: Any) -> None:
        """It is over, if it ever came in."""
        self._answered(connection, None)
        self.guard.leave(connection)
        if connection.session is not None:
            self.guard.ended(connection.session.error)

    def _answered(self, connection: Any, status: int | None) -> None:
        # What was let pass is answered, or it has left before: that is told once.
        if connection.is_trying:
            connection.is_trying = False
            self.guard.answered(connection.client.address, status, time.monotonic())


async def _nothing(scope: Any, receive: Any, send: Any) -> None:
    pass
