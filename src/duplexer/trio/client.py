"""A client under trio: ``connect`` and ``unix_connect``."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Generator
from math import inf
from typing import TYPE_CHECKING, Any, Self

import trio

from duplexer.driver.connecting import ConnectBase, process_exception, unix_uri
from duplexer.driver.dial import new_client
from duplexer.driver.reaching import Await, Begin, reach
from duplexer.driver.retry import advance, connect_retrying
from duplexer.driver.steps import Connect, Disconnect, Resolve, Shake, StartTls
from duplexer.trio.connection import Connection
from duplexer.trio.opening import Exchange, hidden_nursery, seconds

if TYPE_CHECKING:
    import socket

    from duplexer.driver.opening import Opening
    from duplexer.driver.retry import Dial

__all__ = ["ClientConnection", "connect", "process_exception", "unix_connect"]


class ClientConnection(Connection):
    """A connection to a server."""


class _Dialler(Exchange):
    """The steps of the way to a server, for connections of ``base``, within ``limit``."""

    def __init__(self, base: connect, opening: Opening, limit: trio.CancelScope) -> None:
        super().__init__(None, base.limits)
        self._base = base
        self._opening = opening
        self._limit = limit
        self._token = trio.lowlevel.current_trio_token()
        self._trying: trio.Nursery
        self._news = trio.Event()
        self._outcomes: list[tuple[socket.socket, OSError | None]] = []

    async def do(self, step: Any) -> Any:
        """See :class:`Exchange`. After a failure, ``drop()``."""
        if isinstance(step, Connect):
            self.stream = self._base.own.get("stream") or await self._connect(step)
        elif isinstance(step, StartTls):
            self.stream = trio.SSLStream(
                self.stream, step.context, server_hostname=step.server_hostname
            )
            await self.stream.do_handshake()
        elif isinstance(step, Shake):
            steps = new_client(self._base, ClientConnection, self.stream, step.handshake)
            connection, agreement, rest = await self.run(steps)
            connection.establish(agreement, rest, trio.current_time())
            return connection
        elif isinstance(step, Disconnect):
            await self.drop()
        elif isinstance(step, Begin):
            self._trying.start_soon(self._try, step.sock, step.address)
        elif isinstance(step, Await):
            return await self._await(step)
        elif isinstance(step, Resolve):
            return await trio.socket.getaddrinfo(
                step.host, step.port, family=step.family, type=trio.socket.SOCK_STREAM
            )
        else:
            return await super().do(step)
        return None

    async def drop(self) -> None:
        """Close what there is, at once."""
        stream, self.stream = self.stream, None
        if stream is not None:
            with trio.CancelScope(shield=True):
                await trio.aclose_forcefully(stream)

    async def _connect(self, step: Connect) -> trio.SocketStream:
        steps = reach(self._opening, step, trio.current_time, self._ring)
        sock = None
        try:
            async with hidden_nursery() as self._trying:
                sock = await self.run(steps)
                self._trying.cancel_scope.cancel()
            return trio.SocketStream(trio.socket.from_stdlib_socket(sock))
        except BaseException:
            if sock is not None:
                sock.close()
            raise
        finally:
            for late, _ in self._outcomes:
                late.close()

    async def _try(self, sock: socket.socket, address: Any) -> None:
        error = None
        try:
            await trio.socket.from_stdlib_socket(sock).connect(address)
        except OSError as exc:
            error = exc
        except BaseException:
            sock.close()
            raise
        self._outcomes.append((sock, error))
        self._news.set()

    async def _await(self, step: Await) -> Any:
        left = self._limit.deadline - trio.current_time()
        if step.is_idle:
            self._limit.deadline = inf
        with trio.move_on_after(seconds(step.timeout)):
            await self._news.wait()
        if step.is_idle:
            self._limit.deadline = trio.current_time() + left
        self._news = trio.Event()
        outcomes, self._outcomes = self._outcomes, []
        return outcomes

    def _ring(self) -> None:
        self._token.run_sync_soon(self._look_again)

    def _look_again(self) -> None:
        self._news.set()


class connect(ConnectBase):  # noqa: N801 - a verb, as in ``websockets``
    """Connect to a WebSocket server: an async context manager, with a nursery inside.

    ::

        async with connect("wss://example.com/") as ws:
            ...

        ws = await connect("wss://example.com/", nursery=nursery)

    Iterating yields one connection after another: it reconnects with a growing random delay
    (RFC 6455 7.2.3) until ``process_exception`` says that an error is final. Their tasks belong to
    ``nursery``, and without one to nobody: leaving the loop closes the last connection.

    Beside the arguments of :class:`~duplexer.driver.connecting.ConnectBase` it takes

    * ``stream``: any of trio's streams to use, in place of a connection of its own.
    * ``nursery``: where the connection lives. Only then it can be awaited: somebody has to own it.
    """

    OWN_ARGUMENTS = frozenset({"nursery", "stream"})
    clock = staticmethod(trio.current_time)

    def take_own(self) -> None:
        """See :class:`~duplexer.driver.connecting.ConnectBase`."""
        self._owner: Any = None
        self._nursery = self.own.get("nursery")
        if self.own.get("stream") is not None:
            where = self.where
            if where.is_direct or where.host is not None or where.port is not None:
                raise ValueError("stream cannot be given together with sock, path, host or port")
            self.proxy = None

    @property
    def is_single(self) -> bool:
        """See :class:`~duplexer.driver.connecting.ConnectBase`."""
        return super().is_single or self.own.get("stream") is not None

    def varied(self, dial: Dial) -> connect:
        """See :class:`~duplexer.driver.connecting.ConnectBase`."""
        other = super().varied(dial)
        other._owner = self._owner
        return other

    async def open_once(self) -> ClientConnection:
        """Connect, once."""
        opening = self.new_opening()
        with trio.move_on_after(seconds(self.limits.open_timeout)) as limit:
            dialler = _Dialler(self, opening, limit)
            try:
                connection: ClientConnection = await dialler.run(opening.run())
                # A nursery that has been left takes nobody any more.
                self._owner.start_soon(connection.run)
                return connection
            except BaseException:
                await dialler.drop()
                raise
        raise TimeoutError("timed out during opening handshake")

    async def _connect(self, owner: Any) -> ClientConnection:
        self._owner = owner
        if self.retry is None:
            return await self.open_once()
        connection: ClientConnection = await connect_retrying(self, trio.sleep)
        return connection

    def __await__(self) -> Generator[Any, None, ClientConnection]:
        if self._nursery is None:
            raise TypeError(
                "somebody has to own the connection's tasks: use 'async with connect(...)', or "
                "'await connect(..., nursery=nursery)'"
            )
        return self._connect(self._nursery).__await__()

    @contextlib.asynccontextmanager
    async def _opened(self) -> AsyncIterator[ClientConnection]:
        async with hidden_nursery() as nursery:
            async with await self._connect(self._nursery or nursery) as connection:
                yield connection

    async def __aenter__(self) -> ClientConnection:
        with self.entering():
            self._context = self._opened()
            return await self._context.__aenter__()

    async def __aexit__(self, *exc_info: Any) -> bool | None:
        self.left()
        return await self._context.__aexit__(*exc_info)

    def __aiter__(self) -> _Iteration:
        self._owner = self._nursery or _Lonely(self.logger)
        return _Iteration(self)


class _Lonely:
    """In place of a nursery, for connections that no block owns: those of an iteration."""

    def __init__(self, logger: Any) -> None:
        self._logger = logger

    def start_soon(self, run: Any) -> None:
        trio.lowlevel.spawn_system_task(self._run, run)

    async def _run(self, run: Any) -> None:
        try:
            await run()
        except Exception as exc:
            self._logger.error("connection failed", exc_info=exc)


class _Iteration:
    """One connection after another. No generator: leaving the loop closes the last one at once."""

    def __init__(self, connector: connect) -> None:
        self._connector = connector
        self._steps = connector.begin_retrying().run(once=False)
        self._connection: ClientConnection | None = None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> ClientConnection:
        await self.aclose()
        connection: ClientConnection = await advance(self._steps, self._connector, trio.sleep)
        self._connection = connection
        return connection

    async def aclose(self) -> None:
        """Close the last connection."""
        if self._connection is not None:
            await self._connection.close()

    def __del__(self) -> None:
        if self._connection is not None:
            with contextlib.suppress(RuntimeError):  # trio does not run any more
                self._connection.start_close()


def unix_connect(path: str | None = None, uri: str | None = None, **kwargs: Any) -> connect:
    """Connect to the server on the Unix socket at ``path``; otherwise as :class:`connect`."""
    return connect(unix_uri(uri, kwargs), path=path, **kwargs)
