"""Connections of the asyncio front in memory: both ends of one, or a client and a handler.

They are real connections: the opening handshake, frames, keepalive and the closing handshake all
happen, and only the network between them does not.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin

from duplexer.asyncio import client as asyncio_client
from duplexer.asyncio import server as asyncio_server
from duplexer.asyncio.accepting import Several
from duplexer.asyncio.dialling import Dialler
from duplexer.http.uri import parse_uri
from duplexer.testing.arguments import URI, divided
from duplexer.testing.links import Link
from duplexer.testing.memory import link_protocols
from duplexer.testing.player import Player
from duplexer.testing.playing import ScriptProtocol

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence

    from duplexer.asyncio.client import ClientConnection
    from duplexer.asyncio.connection import Listener
    from duplexer.asyncio.server import Server, ServerConnection
    from duplexer.testing.script import ScriptStep

__all__ = ["MemoryServer", "connect_to", "pair", "play", "serve"]


class _Dialler(Dialler):
    """Gets a connection a link to a server in this process, in place of a byte stream."""

    def __init__(self, base: Any, *args: Any) -> None:
        super().__init__(base, *args)
        self._connect: _Connect = base

    async def connect(self, step: Any) -> None:
        """See :class:`~duplexer.asyncio.dialling.Dialler`."""

    async def hand_over(self, connection: Any) -> None:
        """See :class:`~duplexer.asyncio.dialling.Dialler`."""
        link_protocols(connection, self._connect.make_server(), self._connect.link)


class _Connect(asyncio_client.connect):
    """``connect``, but in memory."""

    dialler = _Dialler

    def __init__(
        self, uri: str, link: Link, make_server: Callable[[], asyncio.BaseProtocol], **kwargs: Any
    ) -> None:
        super().__init__(uri, proxy=None, **kwargs)
        self.link = link
        self.make_server = make_server


class _NoSockets:
    """What a server in memory listens on, as far as it asks."""

    sockets: tuple[()] = ()

    def __init__(self) -> None:
        self._serving = True

    def is_serving(self) -> bool:
        """Part of ``asyncio.Server``."""
        return self._serving

    def close(self) -> None:
        """Part of ``asyncio.Server``."""
        self._serving = False

    async def start_serving(self) -> None:
        """Part of ``asyncio.Server``."""

    async def wait_closed(self) -> None:
        """Part of ``asyncio.Server``."""


class MemoryServer:
    """A server that only :meth:`connect` can reach."""

    def __init__(self, server: Server, link: Link) -> None:
        self.server = server  #: the :class:`~duplexer.asyncio.server.Server`
        self.link = link  #: the network between it and its clients

    @property
    def connections(self) -> set[ServerConnection]:
        """The server's connections that are open or closing."""
        return self.server.connections

    def connect(self, uri: str = URI, **kwargs: Any) -> asyncio_client.connect:
        """As ``duplexer.connect``: await it, use it as a context manager, or iterate it.

        ``uri`` may be a path. The server refuses a connection when it does not serve any more.
        """
        return _Connect(urljoin(URI, uri), self.link, self.accept, **kwargs)

    def accept(self) -> ServerConnection:
        """A new connection of the server's, for :func:`~duplexer.testing.memory.link_protocols`."""
        if not self.server.is_serving():
            raise ConnectionRefusedError("the server in memory has been closed")
        return self.server.make_connection(self.server)

    def abort(self) -> None:
        """Drop all connections at once."""
        for connection in [*self.server.connections, *self.server.opening]:
            connection.abort()


@contextlib.asynccontextmanager
async def serve(
    handler: Callable[[ServerConnection], Awaitable[None]] | Listener | type[Listener],
    *,
    link: Link | None = None,
    **kwargs: Any,
) -> AsyncIterator[MemoryServer]:
    """Serve ``handler`` in memory: a :class:`MemoryServer`, closed at the end of the block.

    The arguments are those of ``duplexer.serve``; ``link`` is the network to it. Leaving the block
    waits until the handlers have finished.
    """
    divided("serve", {}, None, kwargs)
    opening = asyncio_server.serve(handler, **kwargs)
    server = asyncio_server.Server(
        opening.handler,
        opening.serving,
        create_connection=opening.create_connection,
        logger=opening.logger,
    )
    server.server = Several([_NoSockets()])
    memory = MemoryServer(server, link or Link())
    try:
        yield memory
    finally:
        if memory.link.is_broken:
            memory.abort()  # nobody would hear a Close
        server.close()
        await server.wait_closed()


@contextlib.asynccontextmanager
async def connect_to(
    handler: Callable[[ServerConnection], Awaitable[None]]
    | Listener
    | type[Listener]
    | Sequence[ScriptStep],
    uri: str = URI,
    *,
    link: Link | None = None,
    client: Mapping[str, Any] | None = None,
    server: Mapping[str, Any] | None = None,
    **both: Any,
) -> AsyncIterator[ClientConnection]:
    """A client's connection to ``handler``, in memory; it is closed at the end of the block.

    ``handler`` may be a script (see :mod:`duplexer.testing.script`) that plays the server. ``uri``
    may be a path. All other arguments are those of ``connect`` and ``serve``: each goes to
    the end that knows it, or to both that do. ``client`` and ``server`` hold what is for one end
    alone: ``client={"max_size": 10}``. ``link`` is the network between them.
    """
    to_client, to_server = divided("connect_to", both, client, server)
    if isinstance(handler, (list, tuple)):
        async with _scripted(handler, uri, link or Link(), to_client) as ws:
            yield ws
        return
    async with serve(handler, link=link, **to_server) as memory:  # type: ignore[arg-type]
        ws = await memory.connect(uri, **to_client)
        try:
            yield ws
        except BaseException:
            await _leave(ws, memory.link, 1011)
            raise
        await _leave(ws, memory.link, 1000)


@contextlib.asynccontextmanager
async def _scripted(
    script: Sequence[ScriptStep], uri: str, link: Link, kwargs: Mapping[str, Any]
) -> AsyncIterator[ClientConnection]:
    protocol = ScriptProtocol(Player(script, "the scripted server"))
    try:
        ws = await _Connect(urljoin(URI, uri), link, lambda: protocol, **kwargs)
        try:
            yield ws
        except BaseException:
            await _leave(ws, link, 1011)
            raise
        await _leave(ws, link, 1000, hastily=protocol.player.is_stalled)
    except Exception as exc:
        if protocol.player.mismatch is not None:
            raise protocol.player.mismatch from exc  # that is why
        raise
    finally:
        protocol.stop()
    if protocol.player.mismatch is not None:
        raise protocol.player.mismatch


async def play(
    script: Sequence[ScriptStep],
    handler: Callable[[ServerConnection], Awaitable[None]] | Listener | type[Listener],
    uri: str = URI,
    *,
    link: Link | None = None,
    headers: Mapping[str, str] | None = None,
    **kwargs: Any,
) -> None:
    """Play ``script`` as a client of ``handler``, in memory, until both have finished.

    ``headers`` are those of its request; other arguments are those of ``serve``. Raises
    :exc:`~duplexer.testing.script.ScriptMismatch` for what went otherwise than the script says.
    """
    target = parse_uri(urljoin(URI, uri))
    player = Player(
        script,
        "the scripted client",
        client=True,
        path=target.resource_name,
        host=target.host_header,
        headers=[*(headers or {}).items()],
    )
    protocol = ScriptProtocol(player)
    async with serve(handler, link=link, **kwargs) as memory:
        link_protocols(protocol, memory.accept(), memory.link)
        try:
            await protocol.done.wait()
        finally:
            protocol.stop()
    if player.mismatch is not None:
        raise player.mismatch


async def _leave(ws: ClientConnection, link: Link, code: int, hastily: bool = False) -> None:
    if hastily or link.is_broken:
        ws.abort()
        await ws.wait_closed()
    else:
        await ws.close(code)


@contextlib.asynccontextmanager
async def pair(
    *,
    link: Link | None = None,
    client: Mapping[str, Any] | None = None,
    server: Mapping[str, Any] | None = None,
    **both: Any,
) -> AsyncIterator[tuple[ClientConnection, ServerConnection]]:
    """Both ends of a connection in memory, its handshake done: the client's and the server's.

    The arguments are those of :func:`connect_to`. Both are closed at the end of the block.
    """
    arrived: asyncio.Future[ServerConnection] = asyncio.get_running_loop().create_future()

    async def handler(ws: ServerConnection) -> None:
        arrived.set_result(ws)
        await ws.wait_closed()

    async with connect_to(handler, link=link, client=client, server=server, **both) as ws:
        yield ws, await arrived
