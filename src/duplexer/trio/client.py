"""A client under trio: ``connect`` and ``unix_connect``."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Generator
from typing import TYPE_CHECKING, Any, Self

import trio

from duplexer.driver.connecting import ConnectBase, process_exception
from duplexer.driver.dial import open_client
from duplexer.driver.eyeballs import Candidate, Race, candidates, literal
from duplexer.driver.retry import advance, connect_retrying
from duplexer.driver.steps import Connect, Disconnect, Resolve, StartTls
from duplexer.driver.turns import Patience
from duplexer.errors import InvalidStatus
from duplexer.trio.connection import Connection
from duplexer.trio.opening import Exchange, follow, hidden_nursery, seconds

if TYPE_CHECKING:
    from duplexer.driver.opening import Opening
    from duplexer.driver.retry import Dial
    from duplexer.driver.turns import Turn

__all__ = ["ClientConnection", "connect", "process_exception", "unix_connect"]


class ClientConnection(Connection):
    """A connection to a server."""


class _Dialler(Exchange):
    """The steps of the way to a server, within ``limit``."""

    def __init__(self, opening: Opening, limit: trio.CancelScope, given: Any) -> None:
        super().__init__(None, opening.base.limits)
        self._opening = opening
        self._limit = limit
        self._patience = Patience(self._stop_clock, self._start_clock)
        self._given = given

    async def do(self, step: Any) -> Any:
        """See :class:`Exchange`."""
        if isinstance(step, Connect):
            self.stream = await self._connect(step)
        elif isinstance(step, StartTls):
            self.stream = trio.SSLStream(
                self.stream, step.context, server_hostname=step.server_hostname
            )
            await self.stream.do_handshake()
        elif isinstance(step, Resolve):
            return await self._resolve(step)
        elif isinstance(step, Disconnect):
            await self.drop()
        else:
            return await super().do(step)
        return None

    async def drop(self) -> None:
        """Close what there is, at once."""
        stream, self.stream = self.stream, None
        if stream is not None:
            with trio.CancelScope(shield=True):
                await trio.aclose_forcefully(stream)

    async def _connect(self, step: Connect) -> Any:
        where = step.where
        if self._given is not None:
            return self._given
        if where.sock is not None:
            where.sock.setblocking(False)
            return trio.SocketStream(trio.socket.from_stdlib_socket(where.sock))
        if step.turn_at is not None:
            await self._take_turn(step.turn_at)
        if where.path is not None:
            return await trio.open_unix_socket(where.path)
        return await self._race(await self._resolve(where), step.turn_at is None)

    async def _resolve(self, where: Any) -> list[Candidate]:
        async def ask(host: str, port: int) -> Any:
            return await trio.socket.getaddrinfo(
                host, port, family=where.family, type=trio.socket.SOCK_STREAM
            )

        local = getattr(where, "local_addr", None)
        if local is None:
            found = literal(where.host, where.port, where.family)
            if found is not None:
                return found
        infos = await ask(where.host, where.port)
        return candidates(infos, None if local is None else await ask(*local))

    async def _race(self, found: list[Candidate], takes_turns: bool) -> Any:
        """Happy Eyeballs (RFC 8305 5)."""
        race = Race(found, self.limits.happy_eyeballs_delay)
        winners: list[Any] = []
        news = trio.Event()

        async def attempt(candidate: Candidate) -> None:
            try:
                stream = await self._try(candidate, takes_turns)
            except OSError as exc:
                race.failed(candidate, exc)
            else:
                winners.append(stream)
            news.set()

        try:
            async with hidden_nursery() as nursery:
                while not (winners or race.is_lost):
                    news = trio.Event()
                    candidate = race.start(trio.current_time())
                    if candidate is not None:
                        nursery.start_soon(attempt, candidate)
                    with trio.move_on_after(seconds(race.wait(trio.current_time()))):
                        await news.wait()
                nursery.cancel_scope.cancel()
            if not winners:
                raise race.error()
            return winners.pop(0)
        finally:
            for self.stream in winners:
                await self.drop()

    async def _try(self, candidate: Candidate, takes_turns: bool) -> trio.SocketStream:
        turn = await self._take_turn(candidate.address) if takes_turns else None
        sock = None
        try:
            sock = trio.socket.socket(candidate.family, candidate.type, candidate.proto)
            if candidate.local is not None:
                await sock.bind(candidate.local)
            with self._patience.trying():
                await sock.connect(candidate.address)
            return trio.SocketStream(sock)
        except BaseException:
            if sock is not None:
                sock.close()
            if turn is not None:
                turn.leave()
            raise

    async def _take_turn(self, address: Any) -> Turn | None:
        granted = trio.Event()
        token = trio.lowlevel.current_trio_token()
        turn = self._opening.take_turn(address, lambda: token.run_sync_soon(granted.set))
        if turn is None or turn.granted:
            return turn
        try:
            with self._patience.waiting():
                await granted.wait()
        except BaseException:
            turn.leave()
            raise
        return turn

    def _stop_clock(self) -> float:
        left = self._limit.deadline - trio.current_time()
        self._limit.deadline = seconds(None)
        return left

    def _start_clock(self, left: float) -> None:
        self._limit.deadline = trio.current_time() + left


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
        self._stream = self.own.get("stream")
        if self._stream is not None:
            where = self.where
            if where.is_direct or where.host is not None or where.port is not None:
                raise ValueError("stream cannot be given together with sock, path, host or port")
            self.proxy = None

    def varied(self, dial: Dial) -> connect:
        """See :class:`~duplexer.driver.connecting.ConnectBase`."""
        other = super().varied(dial)
        other._owner = self._owner
        return other

    async def open_once(self) -> ClientConnection:
        """Connect, once."""
        opening = self.new_opening()
        with trio.move_on_after(seconds(self.limits.open_timeout)) as limit:
            while True:
                dialler = _Dialler(opening, limit, self._stream)
                try:
                    connection = await self._attempt(opening, dialler)
                    await self._settle_in(connection, dialler)
                    return connection
                except InvalidStatus as exc:
                    if self._stream is not None:
                        raise  # there is no other
                    await follow(opening.refused(exc), dialler.do)
        raise TimeoutError("timed out during opening handshake")

    async def _settle_in(self, connection: ClientConnection, dialler: _Dialler) -> None:
        try:
            self._owner.start_soon(connection.run)
        except RuntimeError:  # a nursery that has been left takes nobody any more
            await dialler.drop()
            raise

    async def _attempt(self, opening: Opening, dialler: _Dialler) -> ClientConnection:
        handshake = opening.handshake()
        try:
            await follow(opening.route(), dialler.do)
            make = self.create_connection or ClientConnection
            connection: ClientConnection = make(dialler.stream, self.limits, self.logger)
            connection.staying = self.staying
            steps = open_client(connection, handshake, self.limits)
            agreement, rest = await follow(steps, dialler.do)
        except BaseException:
            await dialler.drop()
            raise
        finally:
            opening.leave_turns()
        opening.opened(agreement.response)
        connection.establish(agreement, rest, trio.current_time())
        return connection

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
    if uri is None:
        uri = "ws://localhost/" if kwargs.get("ssl") is None else "wss://localhost/"
    return connect(uri, path=path, **kwargs)
