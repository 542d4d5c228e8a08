"""A server under trio: ``serve``, ``unix_serve``, ``broadcast``."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import AsyncIterator, Awaitable, Coroutine, Generator, Iterable
from typing import TYPE_CHECKING, Any

import trio

from duplexer.driver.draining import AwaitedLeaver, close, follow
from duplexer.driver.fanning import fan_out
from duplexer.driver.handling import close_code_after, report_refusal
from duplexer.driver.introducing import introduce
from duplexer.driver.listening import PAUSE, Shortage, check_place, listening_sockets, those_waiting
from duplexer.driver.observing import LAG_INTERVAL
from duplexer.driver.roster import Roster, RosterEntry
from duplexer.driver.serving import ServeBase
from duplexer.trio.connection import Connection
from duplexer.trio.opening import Exchange, cause_of, hidden_nursery, seconds

if TYPE_CHECKING:
    from duplexer.core.prepared import Prepared
    from duplexer.driver.draining import Draining

__all__ = ["Server", "ServerConnection", "broadcast", "serve", "unix_serve"]


class ServerConnection(RosterEntry, Connection):
    """A connection to a client: what the handler is called with."""

    def __init__(self, server: Server, stream: Any) -> None:
        super().__init__(stream, server.base.limits, server.base.logger, server=True)
        self.server = server
        self.handling = trio.CancelScope()


class Server(AwaitedLeaver, Roster):
    """A running server. Leaving it as an async context manager closes it."""

    def __init__(self, base: serve, listeners: list[Any]) -> None:
        super().__init__(base.limits.max_connections or 1 << 62, base.serving.guard)  # counted
        self.base, self.serving, self.logger = base, base.serving, base.logger
        self.listeners = listeners
        self._make_connection = base.create_connection or ServerConnection
        self._accepting, self._draining = trio.CancelScope(), trio.CancelScope()
        self._left = trio.lowlevel.ParkingLot()  # those who wait for connections to go
        self._finished = trio.Event()

    @property
    def sockets(self) -> tuple[Any, ...]:
        """The listening sockets; empty once it is closed."""
        plain = (getattr(one, "transport_listener", one) for one in self.listeners)
        return tuple(one.socket for one in plain if isinstance(one, trio.SocketListener))

    def is_serving(self) -> bool:
        """Whether it accepts connections."""
        return bool(self.listeners)

    async def run(self, task_status: trio.TaskStatus[Server] = trio.TASK_STATUS_IGNORED) -> None:
        """Accept connections until it is closed, and wait for the last of them."""
        try:
            async with hidden_nursery() as self._nursery:
                handlers = self.base.own.get("handler_nursery") or self._nursery
                with self._accepting:
                    async with hidden_nursery() as accepting:
                        for listener in self.listeners:
                            accepting.start_soon(self._accept_all, listener, handlers)
                        accepting.start_soon(self._watch_lag)
                        task_status.started(self)
                self._left.unpark_all()
                while self.opening or self.connected:
                    await self._left.park()
        finally:
            self.closing = self.leaving = True
            self.listeners = []
            self._finished.set()

    async def _watch_lag(self) -> None:
        observer = self.serving.observer
        while observer is not None:
            due = trio.current_time() + LAG_INTERVAL
            await trio.sleep_until(due)
            observer.lagged(max(0.0, trio.current_time() - due))

    async def serve_forever(self) -> None:
        """Wait until it has been closed; if this is cancelled, close it."""
        try:
            await self._finished.wait()
        finally:
            self.close()

    def close(self, close_connections: bool = True, code: int = 1001, reason: str = "") -> None:
        """Stop accepting; close connections with ``code`` unless told not to. Does not wait."""
        if self.begin_closing(code, reason):
            self._draining.cancel()
            next(close(self, close_connections))  # what follows is for who waits

    def start_leaving(self, steps: Draining) -> None:
        """See :class:`~duplexer.driver.draining.AwaitedLeaver`."""
        self._nursery.start_soon(self._drain, steps)

    async def _drain(self, steps: Draining) -> None:
        with self._draining:
            await follow(steps, trio.sleep, self._wait_empty)

    async def _wait_empty(self, bound: float | None) -> bool:
        with trio.move_on_after(seconds(bound)):
            while not (self.is_empty() and self._accepting.cancelled_caught):
                await self._left.park()
        return self.is_empty()

    def stop_accepting(self) -> None:
        """See :class:`~duplexer.driver.draining.Leaver`."""
        self.most = 0
        self.listeners = []
        self._accepting.cancel()

    def cancel_handlers(self) -> int:
        """See :class:`~duplexer.driver.draining.Leaver`."""
        for connection in self.connected:
            connection.handling.cancel()
        return len(self.connected) + super().cancel_handlers()

    def spare(self, connection: ServerConnection, bound: float | None) -> None:
        """See :class:`~duplexer.driver.roster.Roster`."""
        connection.scope.deadline = trio.current_time() + seconds(bound)

    async def wait_closed(self) -> None:
        """Wait until all connections are closed and their handlers have finished."""
        await self._finished.wait()

    async def aclose(
        self, close_connections: bool = True, code: int = 1001, reason: str = ""
    ) -> None:
        """``close()``, then ``wait_closed()``."""
        self.close(close_connections, code, reason)
        await self.wait_closed()

    async def _accept_all(self, listener: Any, handlers: trio.Nursery) -> None:
        shortage = Shortage(self.guard, self.logger)
        async with listener:
            try:
                while True:
                    try:
                        stream = await listener.accept()
                    except OSError as exc:
                        shortage.met(exc)
                        await trio.sleep(PAUSE)
                    else:
                        shortage.over()
                        handlers.start_soon(self._accepted, stream)
            finally:
                if self.leaving and not self.closing and self.base.own.get("listeners") is None:
                    await self._accept_rest(listener, handlers)

    async def _accept_rest(self, listener: Any, handlers: trio.Nursery) -> None:
        with trio.move_on_after(PAUSE, shield=True), contextlib.suppress(OSError):
            for _ in those_waiting(listener.socket, self.base.limits):
                handlers.start_soon(self._accepted, await listener.accept())

    async def _accepted(self, stream: Any) -> None:
        try:
            await self._handle(stream)
        finally:
            await trio.aclose_forcefully(stream)

    # -- one connection --------------------------------------------------------------------------

    async def _handle(self, stream: Any) -> None:
        context = self.base.context
        if context is not None:
            stream = trio.SSLStream(stream, context, server_side=True)
        connection: ServerConnection | None = None
        opened = False
        try:
            connection = self._make_connection(self, stream)
            if not self.guard.enter(connection, connection.remote_address):
                return
            self.opening.add(connection)
            with connection.scope:
                opened = await self._open(connection)
            if opened:
                await self._live(connection)
        except Exception as exc:
            self.logger.error("connection failed", exc_info=exc)
        finally:
            self.forget(connection)
            self._left.unpark_all()

    async def _open(self, connection: ServerConnection) -> bool:
        limits = self.base.limits
        stream = connection.stream
        secure = isinstance(stream, trio.SSLStream)
        outcome = None
        until = trio.current_time() + seconds(limits.open_timeout)
        try:
            with trio.CancelScope(deadline=until) as limit:
                raw = stream.transport_stream if secure else stream
                introducing = introduce(connection, self.serving.introducers)
                await Exchange(raw, limits).run(introducing)
                if secure:
                    await stream.do_handshake()
            if limit.cancelled_caught:
                self.guard.strike("open_timeout")
                return False
            steps = self.opening_steps(connection, secure=secure)
            outcome = await Exchange(stream, limits, until).run(steps)
        except Exception as exc:  # noqa: BLE001 - it is reported
            report_refusal(connection, cause_of(exc))
        if outcome is None:  # no WebSocket: it has been answered
            await connection.dismiss()
            return False
        agreement, rest = outcome
        connection.establish(agreement, rest, trio.current_time())
        return True

    async def _live(self, connection: ServerConnection) -> None:
        self.opened(connection)
        async with hidden_nursery() as nursery:
            nursery.start_soon(connection.run)
            if self.closing:
                connection.start_close(*self.closed_with)
            else:
                try:
                    with connection.handling:
                        await self.base.handler(connection)
                    code = 1000
                except Exception as exc:  # noqa: BLE001 - the user's code: it is logged
                    code = close_code_after(connection, exc)
                connection.start_close(code)
            await connection.wait_closed()


class serve(ServeBase):  # noqa: N801 - a verb, as in ``websockets``
    """Serve WebSockets: start it in a nursery, or use it as an async context manager.

    ::

        server = await nursery.start(serve, handler, "localhost", 8765)

        async with serve(handler, "localhost", 8765) as server:
            ...

    ``handler`` is an async function. ``serve(handler, 8765)`` listens on all interfaces. Beside the
    arguments of :class:`~duplexer.driver.serving.ServeBase` it takes

    * ``listeners``: trio's listeners, in place of ``host`` and ``port``: what they accept may be
      any stream. ``path``: of a Unix socket. ``backlog``: for the kernel.
    * ``handler_nursery``: where connections are handled, in place of a nursery of its own.
    """

    OWN_ARGUMENTS = frozenset({"backlog", "handler_nursery", "listeners", "path", "task_status"})

    def __init__(
        self, handler: Any, *where: Any, host: Any = None, port: int | None = None, **kwargs: Any
    ) -> None:
        if len(where) == 1 and isinstance(where[0], int):
            port = where[0]
        elif where:
            host, port = where if len(where) == 2 else (where[0], port)
        super().__init__(handler, host, port, **kwargs)
        if not callable(handler):
            raise TypeError(f"handler must be an async function, not {type(handler).__name__}")
        check_place(self.where, self.own, "listeners")

    async def _listen(self) -> list[Any]:
        listeners = self.own.get("listeners")
        if listeners is not None:
            return list(listeners)
        own: Any = {name: self.own.get(name) for name in ("backlog", "path")}
        listen = functools.partial(listening_sockets, *self.where, self.limits, **own)
        return [
            trio.SocketListener(trio.socket.from_stdlib_socket(sock))
            for sock in await trio.to_thread.run_sync(listen)
        ]

    async def _run(self) -> None:
        status = self.own.get("task_status", trio.TASK_STATUS_IGNORED)
        await Server(self, await self._listen()).run(status)

    def __await__(self) -> Generator[Any, None, None]:
        return self._run().__await__()

    @contextlib.asynccontextmanager
    async def _served(self) -> AsyncIterator[Server]:
        async with hidden_nursery() as nursery:
            async with await nursery.start(Server(self, await self._listen()).run) as server:
                yield server

    async def __aenter__(self) -> Server:
        self._context = self._served()
        return await self._context.__aenter__()

    async def __aexit__(self, *exc_info: Any) -> bool | None:
        return await self._context.__aexit__(*exc_info)


# So that ``nursery.start(serve, ...)`` takes it for what it stands for.
Coroutine.register(serve)


def unix_serve(handler: Any, path: str | None = None, **kwargs: Any) -> serve:
    """Serve WebSockets on the Unix socket at ``path``; otherwise as :class:`serve`."""
    return serve(handler, path=path, **kwargs)


class _Checkpoint:
    def __await__(self) -> Generator[Any, None, None]:
        return trio.lowlevel.checkpoint().__await__()  # noqa: ASYNC105


def broadcast(
    connections: Iterable[Connection],
    message: str | bytes | bytearray | memoryview | Prepared,
    raise_exceptions: bool = False,
    text: bool | None = None,
) -> Awaitable[None]:
    """Send a message to many connections, framed and compressed once, waiting for none.

    It has been sent when this returns; what it gives back may be awaited as a checkpoint. See
    :func:`~duplexer.driver.fanning.broadcast` for who is passed over.
    """
    fan_out(connections, message, raise_exceptions, text)
    return _Checkpoint()
