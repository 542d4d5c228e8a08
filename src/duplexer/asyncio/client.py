"""A client under asyncio: ``connect`` and ``unix_connect``."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, ClassVar

from duplexer.asyncio.connection import Connection, check_listener
from duplexer.asyncio.dialling import DIAL_ARGUMENTS, Dialler
from duplexer.driver.connecting import ConnectBase, process_exception, unix_uri
from duplexer.driver.dial import open_client
from duplexer.driver.following import follow
from duplexer.driver.retry import connect_retrying, iterate
from duplexer.handshake.client import ClientHandshake

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Generator

    from duplexer.driver.steps import Steps
    from duplexer.limits import Limits

__all__ = ["ClientConnection", "connect", "process_exception", "unix_connect"]


class ClientConnection(Connection):
    """A connection to a server."""

    __slots__ = ("_handshake", "_waiter")

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        handshake: ClientHandshake,
        limits: Limits,
        logger: logging.Logger | logging.LoggerAdapter[Any],
    ) -> None:
        super().__init__(loop, limits, logger)
        self._handshake = handshake
        self._waiter: asyncio.Future[None] = loop.create_future()

    def opening_steps(self) -> Steps:
        """See :class:`~duplexer.asyncio.connection.Connection`."""
        return open_client(self, self._handshake, self.limits)

    def opened(self) -> None:
        """The handshake is done."""
        if self.listener is not None:
            self.listen(self.listener)
        if not self._waiter.done():
            self._waiter.set_result(None)

    def opening_failed(self, exc: BaseException) -> None:
        """The handshake has failed."""
        if not self._waiter.done():
            self._waiter.set_exception(exc)
        if not self.lost:
            self.transport.abort()

    async def wait_open(self) -> None:
        """Wait for the end of the handshake; raises what it failed by."""
        try:
            await self._waiter
        except BaseException:
            self.steps = None
            self.transport.abort()
            raise


class connect(ConnectBase):  # noqa: N801 - a verb, as in ``websockets``
    """Connect to a WebSocket server: await it, use it as an async context manager, or iterate it.

    Iterating yields one connection after another: it reconnects with a growing random delay
    (RFC 6455 7.2.3) until ``process_exception`` says that an error is final.

    Beside the arguments of :class:`~duplexer.driver.connecting.ConnectBase` it takes ``listener``,
    a :class:`Listener` or its class that is called with what comes, and these of
    ``loop.create_connection``: ``proto``, ``flags``, ``happy_eyeballs_delay``, ``interleave``,
    ``all_errors``, ``ssl_handshake_timeout`` and ``ssl_shutdown_timeout``.
    """

    OWN_ARGUMENTS = frozenset({"listener", *DIAL_ARGUMENTS})

    #: What gets a connection its byte stream.
    dialler: ClassVar[Callable[..., Any]] = Dialler

    def take_own(self) -> None:
        """See :class:`~duplexer.driver.connecting.ConnectBase`."""
        listener = self.own.pop("listener", None)
        self.listener = None if listener is None else check_listener(listener)
        self._make_connection = self.create_connection or ClientConnection

    # -- dialling --------------------------------------------------------------------------------

    def new_connection(self, loop: Any, handshake: ClientHandshake) -> ClientConnection:
        """One that waits for its byte stream."""
        connection: ClientConnection = self._make_connection(
            loop, handshake, self.limits, self.logger
        )
        connection.listener = self.listener
        connection.staying = self.staying
        return connection

    async def open_once(self) -> ClientConnection:
        """Connect, once."""
        opening = self.new_opening()
        try:
            async with asyncio.timeout(self.limits.open_timeout) as limit:
                dialler = self.dialler(self, opening, limit)
                try:
                    return await follow(opening.run(), dialler.do)  # type: ignore[no-any-return]
                except BaseException:
                    dialler.drop()
                    raise
        except TimeoutError as exc:
            if limit.expired():
                raise TimeoutError("timed out during opening handshake") from exc
            raise

    async def _connect(self) -> ClientConnection:
        if self.retry is None:
            return await self.open_once()
        connection: ClientConnection = await connect_retrying(self, asyncio.sleep)
        return connection

    def __await__(self) -> Generator[Any, None, ClientConnection]:
        return self._connect().__await__()

    async def __aenter__(self) -> ClientConnection:
        with self.entering():
            self._connection = await self._connect()
        return self._connection

    async def __aexit__(self, exc_type: object, exc: object, tb: object) -> None:
        self.left()
        await self._connection.__aexit__(exc_type, exc, tb)

    def __aiter__(self) -> AsyncIterator[ClientConnection]:
        return iterate(self, asyncio.sleep)


def unix_connect(path: str | None = None, uri: str | None = None, **kwargs: Any) -> connect:
    """Connect to the server on the Unix socket at ``path``; otherwise as :class:`connect`."""
    return connect(unix_uri(uri, kwargs), path=path, **kwargs)
