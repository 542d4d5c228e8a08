"""A server under asyncio: ``serve``, ``unix_serve``, ``broadcast``."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import copy
import functools
import logging
from typing import TYPE_CHECKING, Any, Self

import aiofastnet

from duplexer.asyncio import tcp
from duplexer.asyncio.accepting import Acceptor, Several, TlsAcceptor, hang_up, listen, read_rest
from duplexer.asyncio.connection import Connection, Listener
from duplexer.asyncio.lag import Lag
from duplexer.asyncio.pump import fan_out as fan_out_quickly
from duplexer.asyncio.pump import pump_of
from duplexer.driver.accept import Opener, Serving
from duplexer.driver.basic_auth import basic_auth
from duplexer.driver.draining import AwaitedLeaver, close, follow
from duplexer.driver.fanning import fan_out
from duplexer.driver.handling import close_code_after, report_refusal
from duplexer.driver.roster import Roster, RosterEntry
from duplexer.driver.serving import ServeBase

if TYPE_CHECKING:
    import socket
    import ssl as ssl_module
    from collections.abc import Awaitable, Callable, Generator, Iterable

    from duplexer.core.prepared import Prepared
    from duplexer.driver.draining import Draining
    from duplexer.driver.steps import Steps

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

#: Those of them that say nothing about the sockets.
_KEPT = frozenset({"backlog", "keep_alive", "ssl_handshake_timeout", "ssl_shutdown_timeout"})


class ServerConnection(RosterEntry, Connection):
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
        guard = self.server.guard
        if guard.counts and not guard.enter(self, self.remote_address):
            transport.abort()  # where accepting is not ours it is only now that we hear of it

    def opening_steps(self) -> Steps:
        """See :class:`~duplexer.asyncio.connection.Connection`."""
        steps: Steps = self.server.opening_steps(self, secure=self.is_secure())
        return steps

    def opened(self) -> None:
        """The handshake is done: let the handler have the connection."""
        server = self.server
        server.opened(self)
        if server.closing:
            self.start_close(*server.closed_with)
        if server.listener is not None:
            self.listen(server.listener)
            return
        self.handler_task = task = self.loop.create_task(
            server.handler(self), context=server.context.copy()
        )
        task.add_done_callback(self._handler_done)

    def _handler_done(self, task: asyncio.Task[None]) -> None:
        self.handler_task = None
        if task.cancelled():
            code = 1001 if self.server.closing else 1011
        else:
            code = close_code_after(self, task.exception())
        if self.open_session().is_open:
            self.start_close(code)
        self._discard()

    def _discard(self) -> None:
        if self.lost and self.handler_task is None:
            self.server.forget(self)

    def opening_failed(self, exc: BaseException) -> None:
        """The handshake has failed: answer if that is possible, and leave."""
        report_refusal(self, exc)
        self.linger()

    def connection_lost(self, exc: BaseException | None) -> None:
        """Part of asyncio's Protocol."""
        super().connection_lost(exc)
        self._discard()


class Server(AwaitedLeaver, Roster):
    """A running server. Leaving it as an async context manager closes it."""

    def __init__(
        self,
        handler: Callable[[ServerConnection], Awaitable[None]] | Listener | type[Listener],
        serving: Serving,
        *,
        create_connection: Callable[[Server], ServerConnection] | None = None,
        logger: logging.Logger | logging.LoggerAdapter[Any] | None = None,
    ) -> None:
        super().__init__(serving.limits.max_connections, serving.guard)
        self.loop = asyncio.get_running_loop()
        self.pump = pump_of(self.loop)  # one for as long as we serve
        self.context = contextvars.copy_context()  # what handlers see
        self.serving = serving
        self.opener = Opener(serving)
        is_listener = issubclass(handler if isinstance(handler, type) else type(handler), Listener)
        if not is_listener and not callable(handler):
            raise TypeError(
                f"handler must be a coroutine function or a Listener, not {type(handler).__name__}"
            )
        self.listener: Any = handler if is_listener else None
        self.handler: Any = handler
        self.make_connection = create_connection or ServerConnection
        self.logger = logger or logging.getLogger("duplexer.server")
        self.shares_sockets = False  # another process may accept what we do not
        self.server: Any = None
        self._lag: Lag | None = None
        self._empty: asyncio.Event = asyncio.Event()
        self._close_task: asyncio.Task[None] | None = None

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
        try:
            await self.wait_closed()
        finally:
            self.close()
            await self.wait_closed()

    def close(self, close_connections: bool = True, code: int = 1001, reason: str = "") -> None:
        """Stop accepting; close connections with ``code`` unless told not to. Does not wait."""
        if self.begin_closing(code, reason):
            if self._close_task is not None:  # it drains
                self._close_task.cancel()
            self.start_leaving(close(self, close_connections))

    def start_leaving(self, steps: Draining) -> None:
        """See :class:`~duplexer.driver.draining.AwaitedLeaver`."""
        self._close_task = self.loop.create_task(self._go(steps))

    async def _go(self, steps: Draining) -> None:
        await follow(steps, asyncio.sleep, self._wait_empty)
        if self._lag is not None:
            self._lag.stop()
        await self.server.wait_closed()

    def listens(self, server: Any) -> Self:
        """``server`` accepts connections for this one from now on."""
        self.server = server
        if self.serving.observer is not None:
            self._lag = Lag(self.loop, self.serving.observer)
        return self

    async def _wait_empty(self, seconds: float | None) -> bool:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.server.settled()
                while not self.is_empty():
                    self._empty.clear()
                    await self._empty.wait()
        return self.is_empty()

    def stop_accepting(self) -> None:
        """See :class:`~duplexer.driver.draining.Leaver`."""
        self.most = 0
        self.server.leave(takes_rest=not self.shares_sockets, drops=self.closing)

    def drop(self, connection: ServerConnection) -> None:
        """See :class:`~duplexer.driver.roster.Roster`."""
        read_rest(connection.transport)  # what has come is answered; unread it would reset
        if connection not in self.answering:
            # TLS may wait for a goodbye, and nobody for that; but for an answer that is on its way.
            settle = self.opening.discard if hang_up(connection.transport) else self.spared.add
            settle(connection)

    def cancel_handlers(self) -> int:
        """See :class:`~duplexer.driver.draining.Leaver`."""
        tasks = [each.handler_task for each in self.connected if each.handler_task is not None]
        for task in tasks:
            task.cancel()
        return len(tasks) + super().cancel_handlers()

    def forget(self, connection: ServerConnection) -> None:
        """See :class:`~duplexer.driver.roster.Roster`."""
        super().forget(connection)
        if self.is_empty():
            self._empty.set()

    async def wait_closed(self) -> None:
        """Wait until all connections are closed and their handlers have finished."""
        while self._close_task is None:
            await self.server.wait_closed()
            if self._close_task is None:
                return
        task = None
        while task is not self._close_task:  # close() may come while it drains
            task = self._close_task
            await asyncio.wait([task])
        if not task.cancelled():
            task.result()


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
        server.shares_sockets = kwargs.pop("_shared", kwargs.get("sock") is not None)
        if not unix:
            kwargs["host"], kwargs["port"] = self.where
        if self.context is not None:
            kwargs.setdefault("ssl_handshake_timeout", self.limits.open_timeout)
            kwargs.setdefault("ssl_shutdown_timeout", self.limits.close_timeout)
        if tcp.available():
            return server.listens(await _accept(server, factory, unix, self.context, kwargs))
        if server.serving.introducers is not None:
            raise ValueError("proxy_protocol: asyncio cannot read it on this system; trio can")
        create = aiofastnet.create_unix_server if unix else aiofastnet.create_server
        create = functools.partial(create, server.loop, factory, ssl=self.context)
        given = kwargs.get("sock")
        each = [{"sock": one} for one in given] if isinstance(given, list) else [{}]
        return server.listens(Several([await create(**{**kwargs, **one}) for one in each]))

    def on(self, sockets: list[socket.socket], *, shared: bool = True) -> serve:
        """The same on ``sockets``, which are bound already; ``shared`` with another process."""
        other = copy.copy(self)
        other.where = (None, None)
        kept = {name: value for name, value in self.own.items() if name in _KEPT}
        other.own = {**kept, "sock": sockets, "_shared": shared}
        return other

    def __await__(self) -> Generator[Any, None, Server]:
        return self._start().__await__()

    async def __aenter__(self) -> Server:
        self._server = await self._start()
        return self._server

    async def __aexit__(self, exc_type: object, exc: object, tb: object) -> None:
        await self._server.__aexit__(exc_type, exc, tb)


async def _accept(
    server: Server,
    factory: Callable[[], Any],
    unix: bool,
    context: ssl_module.SSLContext | None,
    kwargs: dict[str, Any],
) -> Acceptor:
    start = kwargs.pop("start_serving", True)
    timeouts = {name: kwargs.pop(name) for name in list(kwargs) if name.startswith("ssl_")}
    sockets = await listen(server.loop, server.serving.limits, unix=unix, **kwargs)
    guards = (server.guard, server.serving.introducers)
    given = (factory, sockets, kwargs["backlog"], server.logger, *guards)
    acceptor: Acceptor
    if context is not None:
        acceptor = TlsAcceptor(server.loop, None, *given, context=context, timeouts=timeouts)
    else:
        pump = server.pump
        if pump.poller is None:
            pump.poller = tcp.Poller(server.loop, pump.buffer)
        acceptor = Acceptor(server.loop, pump.poller, *given)
    if start:
        await acceptor.start_serving()
    return acceptor


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

    See :func:`~duplexer.driver.fanning.broadcast` for who is passed over.
    """
    fan_out(connections, message, raise_exceptions, text, fan_out_quickly)
    publish = getattr(connections, "publish", None)
    if publish is not None:  # a Group: other workers have members of it
        publish(message, text)
