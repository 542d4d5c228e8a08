"""A server under asyncio: ``serve``, ``unix_serve``, ``broadcast``."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import logging
from typing import TYPE_CHECKING, Any, Self

import aiofastnet

from duplexer.asyncio import tcp
from duplexer.asyncio.accepting import Acceptor, listen
from duplexer.asyncio.connection import Connection, Listener
from duplexer.asyncio.pump import fan_out, pump_of
from duplexer.core.prepared import Prepared
from duplexer.driver.accept import Opener, Serving, open_server
from duplexer.driver.basic_auth import basic_auth
from duplexer.driver.serving import ServeBase
from duplexer.errors import ConnectionClosed, WebSocketException
from duplexer.http.messages import make_response

if TYPE_CHECKING:
    import socket
    import ssl as ssl_module
    from collections.abc import Awaitable, Callable, Generator, Iterable

    from duplexer.driver.steps import Steps
    from duplexer.http.messages import Response
    from duplexer.limits import Limits


__all__ = ["Server", "ServerConnection", "basic_auth", "broadcast", "serve", "unix_serve"]

#: What ``loop.create_server`` and ``loop.create_unix_server`` take beside what is ours.
_SERVER_ARGUMENTS = frozenset(
    {
        "_unix",
        "path",
        "family",
        "flags",
        "sock",
        "backlog",
        "reuse_address",
        "reuse_port",
        "keep_alive",
        "start_serving",
        "ssl_handshake_timeout",
        "ssl_shutdown_timeout",
    }
)

#: Raised by handlers when a connection ends under them: nothing to report.
_EXPECTED = (ConnectionClosed, asyncio.CancelledError)


class ServerConnection(Connection):
    """A connection to a client: what the handler is called with."""

    __slots__ = ("handler_task", "server")

    def __init__(self, server: Server) -> None:
        super().__init__(server.loop, server.serving.limits, server.logger, True, server.pump)
        self.server = server
        self.opener = server.opener
        self.handler_task: asyncio.Task[None] | None = None

    def connection_made(self, transport: Any) -> None:
        """Part of asyncio's Protocol: TCP and TLS are done (where TLS fails it is never called)."""
        self.server.opening.add(self)
        super().connection_made(transport)

    def respond(self, status: int, text: str) -> Response:
        """A response with ``text``, to be given back by ``process_request``."""
        return make_response(status, text.encode())

    def opening_steps(self) -> Steps:
        """See :class:`~duplexer.asyncio.connection.Connection`."""
        return open_server(self, self.server.serving, secure=self.is_secure())

    def is_full(self) -> bool:
        """Whether the server has as many connections as it may have."""
        bound = self.limits.max_connections
        return bound is not None and len(self.server.connections) >= bound

    def opened(self) -> None:
        """The handshake is done: let the handler have the connection."""
        server = self.server
        server.opening.discard(self)
        if server.closing:
            self.start_close(1001, server.close_reason)
            return
        server.connections.add(self)
        if server.listener is not None:
            self.listen(server.listener)
            return
        self.handler_task = task = self.loop.create_task(
            server.handler(self), context=server.context.copy()
        )
        task.add_done_callback(self._handler_done)

    def _handler_done(self, task: asyncio.Task[None]) -> None:
        self.handler_task = None
        exc = None if task.cancelled() else task.exception()
        if self.session is None or not self.session.is_open:
            if exc is not None and not isinstance(exc, _EXPECTED):
                self.logger.error("connection handler failed", exc_info=exc)
        elif task.cancelled():
            self.start_close(1001 if self.server.closing else 1011)
        elif exc is not None:
            self.on_failure(exc)
        else:
            self.start_close(1000)
        self._discard()

    def _discard(self) -> None:
        if self.lost and self.handler_task is None:
            self.server.forget(self)

    def opening_failed(self, exc: BaseException) -> None:
        """The handshake has failed: answer if that is possible, and leave."""
        if isinstance(exc, (OSError, WebSocketException)):
            self.logger.debug("opening handshake failed: %r", exc)
        else:
            self.logger.error("opening handshake failed", exc_info=exc)
        self.linger()

    def connection_lost(self, exc: BaseException | None) -> None:
        """Part of asyncio's Protocol."""
        super().connection_lost(exc)
        self.server.opening.discard(self)
        self._discard()


class Server:
    """A running server. Leaving it as an async context manager closes it."""

    def __init__(
        self,
        handler: Callable[[ServerConnection], Awaitable[None]] | Listener | type[Listener],
        serving: Serving,
        *,
        create_connection: Callable[[Server], ServerConnection] | None = None,
        logger: logging.Logger | logging.LoggerAdapter[Any] | None = None,
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self.pump = pump_of(self.loop)  # one for as long as we serve
        self.context = contextvars.copy_context()  # what handlers see
        self.serving = serving
        self.opener = Opener(serving)
        self.handler: Any = None
        self.listener: Any = None
        if isinstance(handler, Listener) or (
            isinstance(handler, type) and issubclass(handler, Listener)
        ):
            self.listener = handler
        elif callable(handler):
            self.handler = handler
        else:
            raise TypeError(
                f"handler must be a coroutine function or a Listener, not {type(handler).__name__}"
            )
        self.make_connection = create_connection or ServerConnection
        self.logger = logger or logging.getLogger("duplexer.server")
        self.opening: set[ServerConnection] = set()
        self._connections: set[ServerConnection] = set()
        self.closing = False
        self.close_reason = ""
        self.server: Any = None
        self._empty: asyncio.Event = asyncio.Event()
        self._close_task: asyncio.Task[None] | None = None
        self._forever: asyncio.Future[None] | None = None

    @property
    def connections(self) -> set[ServerConnection]:
        """The connections that are open or closing."""
        return self._connections

    @property
    def sockets(self) -> tuple[socket.socket, ...]:
        """The listening sockets; empty once it is closed."""
        return tuple(self.server.sockets)

    def get_loop(self) -> asyncio.AbstractEventLoop:
        """The loop that it runs on."""
        return self.loop

    def is_serving(self) -> bool:
        """Whether it accepts connections."""
        return bool(self.server.is_serving())

    async def start_serving(self) -> None:
        """Start accepting connections, if ``serve`` was told not to."""
        await self.server.start_serving()

    async def serve_forever(self) -> None:
        """Accept connections until it is cancelled or closed; then it is closed."""
        await self.start_serving()
        self._forever = self.loop.create_future()
        try:
            await self._forever
        finally:
            self.close()
            await self.wait_closed()

    def close(self, close_connections: bool = True, code: int = 1001, reason: str = "") -> None:
        """Stop accepting; close connections with ``code`` unless told not to. Does not wait."""
        if self._forever is not None and not self._forever.done():
            self._forever.set_result(None)
        if self._close_task is None:
            self._close_task = self.loop.create_task(self._close(close_connections, code, reason))

    async def _close(self, close_connections: bool, code: int, reason: str) -> None:
        self.closing = True
        self.close_reason = reason
        self.server.close()
        for connection in list(self.opening):
            connection.transport.close()
        if close_connections:
            for connection in list(self._connections):
                connection.start_close(code, reason)
        while self._connections:
            self._empty.clear()
            await self._empty.wait()
        await self.server.wait_closed()

    def forget(self, connection: ServerConnection) -> None:
        """A connection has ended, and so has its handler."""
        self._connections.discard(connection)
        if not self._connections:
            self._empty.set()

    async def wait_closed(self) -> None:
        """Wait until all connections are closed and their handlers have finished."""
        while self._close_task is None:
            await self.server.wait_closed()
            if self._close_task is None:
                return
        await asyncio.shield(self._close_task)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, exc_type: object, exc: object, tb: object) -> None:
        self.close()
        await self.wait_closed()


class serve(ServeBase):  # noqa: N801 - a verb, as in ``websockets``
    """Serve WebSockets on ``host`` and ``port``: await it, or use it as an async context manager.

    ``handler`` may be a :class:`Listener` as well. Beside the arguments of
    :class:`~duplexer.driver.serving.ServeBase` it takes those of ``loop.create_server``: ``sock``,
    ``family``, ``backlog``, ``reuse_port``, ...
    """

    OWN_ARGUMENTS = _SERVER_ARGUMENTS

    async def _start(self) -> Server:
        server = Server(
            self.handler,
            self.serving,
            create_connection=self.create_connection,
            logger=self.logger,
        )
        factory = functools.partial(server.make_connection, server)
        kwargs = {"backlog": self.limits.backlog, **self.own}
        unix = kwargs.pop("_unix", False)
        if not unix:
            kwargs["host"], kwargs["port"] = self.where
        if self.context is None and tcp.available():
            server.server = await _accept_plainly(server, factory, unix, kwargs)
            return server
        create = aiofastnet.create_unix_server if unix else aiofastnet.create_server
        kwargs.update(_tls_arguments(self.context, self.limits))
        server.server = await create(server.loop, factory, **kwargs)
        return server

    def __await__(self) -> Generator[Any, None, Server]:
        return self._start().__await__()

    async def __aenter__(self) -> Server:
        self._server = await self._start()
        return self._server

    async def __aexit__(self, exc_type: object, exc: object, tb: object) -> None:
        await self._server.__aexit__(exc_type, exc, tb)


async def _accept_plainly(
    server: Server, factory: Callable[[], Any], unix: bool, kwargs: dict[str, Any]
) -> Acceptor:
    start = kwargs.pop("start_serving", True)
    sockets = await listen(server.loop, unix=unix, **kwargs)
    pump = server.pump
    if pump.poller is None:
        pump.poller = tcp.Poller(server.loop, pump.buffer)
    acceptor = Acceptor(
        server.loop, pump.poller, factory, sockets, kwargs["backlog"], server.logger
    )
    if start:
        await acceptor.start_serving()
    return acceptor


def _tls_arguments(context: ssl_module.SSLContext | None, limits: Limits) -> dict[str, Any]:
    if context is None:
        return {}
    return {
        "ssl": context,
        "ssl_handshake_timeout": limits.open_timeout,
        "ssl_shutdown_timeout": limits.close_timeout,
    }


def unix_serve(
    handler: Callable[[ServerConnection], Awaitable[None]] | Listener | type[Listener],
    path: str | None = None,
    **kwargs: Any,
) -> serve:
    """Serve WebSockets on the Unix socket at ``path``; otherwise as :class:`serve`."""
    return serve(handler, path=path, _unix=True, **kwargs)


def broadcast(
    connections: Iterable[ServerConnection],
    message: str | bytes | bytearray | memoryview | Prepared,
    raise_exceptions: bool = False,
    text: bool | None = None,
) -> None:
    """Send a message to many connections, framed and compressed once, waiting for none.

    Connections that are not open are passed over, and so are those in the middle of a fragmented
    message. One that has more than ``Limits.write_hard`` bytes to read first is failed with 1008:
    it is not allowed to hold everybody's memory. ``raise_exceptions=True`` collects such failures
    in an :exc:`ExceptionGroup`.
    """
    prepared = message if isinstance(message, Prepared) else Prepared(message, text)
    failures: list[Exception] = []
    for connection in fan_out(connections, prepared, failures):
        try:
            if connection.fragmenting is not None:
                raise BufferError("a fragmented message is being sent")
            connection.send_nowait(prepared)
        except BufferError as exc:
            if connection.fragmenting is None:
                connection.session.fail(exc, 1008, "slow consumer")
                connection.abort()
            failures.append(exc)
        except Exception as exc:  # noqa: BLE001 - one connection must not keep others waiting
            failures.append(exc)
    if failures and raise_exceptions:
        raise ExceptionGroup("broadcast failed", failures)
