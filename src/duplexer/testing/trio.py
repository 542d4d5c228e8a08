"""Connections of the trio front in memory: both ends of one, or a client and a handler.

The same names as for asyncio, over streams of trio's that a :class:`~duplexer.testing.links.Link`
lies between. The virtual clock is trio's own: ``trio.testing.MockClock(autojump_threshold=0)``, or
the fixture ``autojump_clock`` of pytest-trio.
"""

from __future__ import annotations

import contextlib
import operator
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin

import trio

from duplexer.testing.arguments import URI, divided
from duplexer.testing.links import END, RESET, Flow, Link
from duplexer.trio import client as trio_client
from duplexer.trio import server as trio_server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping

    from duplexer.trio.client import ClientConnection
    from duplexer.trio.server import Server, ServerConnection

__all__ = ["LinkStream", "MemoryServer", "connect_to", "link_streams", "pair", "serve"]

#: One read takes at most this much, unless the reader says.
READ_SIZE = 64 * 1024


class LinkStream(trio.abc.HalfCloseableStream):
    """One end of a connection in memory."""

    def __init__(self, incoming: Flow, outgoing: Flow, capacity: int) -> None:
        self._in = incoming
        self._out = outgoing
        self._capacity = capacity
        self._peer: LinkStream
        self._carrier: Any = None  # kept alive as long as one of its ends
        self._news = trio.Event()
        self._closed = False
        self._broken = False
        self._at_end = False
        self._busy: set[str] = set()

    @contextlib.contextmanager
    def _alone(self, what: str) -> Iterator[None]:
        if what in self._busy:
            raise trio.BusyResourceError(f"another task is {what}")
        self._busy.add(what)
        try:
            yield
        finally:
            self._busy.discard(what)

    def look(self) -> None:
        """Something may have come, or left."""
        self._news.set()
        self._news = trio.Event()

    def _check(self) -> None:
        if self._closed:
            raise trio.ClosedResourceError
        if self._broken:
            raise trio.BrokenResourceError("connection reset by the test")

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Part of trio's SendStream."""
        with self._alone("sending"):
            await self._room()
            self._out.put(bytes(data), trio.current_time())
            self._peer.look()
            if self._peer._closed:
                self.break_off()  # as a kernel answers
            await self._room()

    async def wait_send_all_might_not_block(self) -> None:
        """Part of trio's SendStream."""
        with self._alone("sending"):
            await self._room()

    async def _room(self) -> None:
        await trio.lowlevel.checkpoint()
        while self._out.size > self._capacity and not (self._closed or self._broken):
            if self._peer._closed:
                self._broken = True  # nobody is going to make room
            else:
                await self._news.wait()
        self._check()
        if self._out.ended == END:
            raise trio.ClosedResourceError("the end has been sent")

    async def send_eof(self) -> None:
        """Part of trio's HalfCloseableStream."""
        with self._alone("sending"):
            await trio.lowlevel.checkpoint()
            self._check()
            self._end(END)

    def _end(self, end: Any) -> None:
        self._out.put_end(end, trio.current_time())
        self._peer.look()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """Part of trio's ReceiveStream."""
        if max_bytes is not None and operator.index(max_bytes) < 1:
            raise ValueError(f"max_bytes must be positive, not {max_bytes}")
        with self._alone("receiving"):
            await trio.lowlevel.checkpoint()
            while True:
                self._check()
                if self._at_end:
                    return b""
                piece = self._in.take(trio.current_time(), max_bytes or READ_SIZE)
                if isinstance(piece, bytes):
                    self._peer.look()
                    return piece
                if piece is None:
                    due = self._in.due()
                    with trio.move_on_at(float("inf") if due is None else due):
                        await self._news.wait()
                self._at_end = piece == END
                self._broken = self._broken or piece == RESET

    async def aclose(self) -> None:
        """Part of trio's AsyncResource."""
        if not self._closed:
            self._closed = True
            due = self._in.due()
            unread = self._in.size and due is not None and due <= trio.current_time()
            self._end(RESET if unread else END)
            self.look()
        await trio.lowlevel.checkpoint()

    def break_off(self) -> None:
        """The network has reset the connection."""
        self._broken = True
        self.look()


class _Connection:
    """Two streams and what is between them."""

    def __init__(self, link: Link) -> None:
        to_server, to_client = link.carry(self)
        self.client = LinkStream(to_client, to_server, link.capacity)
        self.server = LinkStream(to_server, to_client, link.capacity)
        self.client._peer, self.server._peer = self.server, self.client
        self.client._carrier = self.server._carrier = self

    def changed(self) -> None:
        """See :class:`~duplexer.testing.links.Carried`."""
        self.client.look()
        self.server.look()

    def break_off(self) -> None:
        """See :class:`~duplexer.testing.links.Carried`."""
        self.client.break_off()
        self.server.break_off()


def link_streams(link: Link) -> tuple[LinkStream, LinkStream]:
    """The streams of a client and of a server, connected over ``link``."""
    connection = _Connection(link)
    return connection.client, connection.server


class _Listener(trio.abc.Listener[LinkStream]):
    """What a server in memory accepts from."""

    def __init__(self) -> None:
        self._put, self._get = trio.open_memory_channel[LinkStream](0)

    async def connect(self, stream: LinkStream) -> None:
        """Have ``stream`` accepted."""
        try:
            await self._put.send(stream)
        except trio.BrokenResourceError:
            raise ConnectionRefusedError("the server in memory has been closed") from None

    async def accept(self) -> LinkStream:
        """Part of trio's Listener."""
        return await self._get.receive()

    async def aclose(self) -> None:
        """Part of trio's AsyncResource."""
        self._get.close()
        await trio.lowlevel.checkpoint()


class MemoryServer:
    """A server that only :meth:`connect` can reach."""

    def __init__(self, server: Server, listener: _Listener, link: Link) -> None:
        self.server = server  #: the :class:`~duplexer.trio.server.Server`
        self.link = link  #: the network between it and its clients
        self._listener = listener

    @property
    def connections(self) -> set[ServerConnection]:
        """The server's connections that are open or closing."""
        return self.server.connections

    @contextlib.asynccontextmanager
    async def connect(self, uri: str = URI, **kwargs: Any) -> AsyncIterator[ClientConnection]:
        """As ``duplexer.trio.connect``, as an async context manager. ``uri`` may be a path."""
        ours, theirs = link_streams(self.link)
        await self._listener.connect(theirs)
        async with trio_client.connect(urljoin(URI, uri), stream=ours, **kwargs) as ws:
            try:
                yield ws
            finally:
                if self.link.is_broken:
                    ws.abort()  # nobody would hear a Close
                    self.abort()

    def abort(self) -> None:
        """Drop all connections at once."""
        for connection in [*self.server.connections, *self.server.opening]:
            connection.abort()


@contextlib.asynccontextmanager
async def serve(
    handler: Callable[[ServerConnection], Awaitable[None]],
    *,
    link: Link | None = None,
    **kwargs: Any,
) -> AsyncIterator[MemoryServer]:
    """Serve ``handler`` in memory; see :func:`duplexer.testing.pairs.serve`."""
    divided("serve", {}, None, kwargs)
    listener = _Listener()
    async with trio_server.serve(handler, listeners=[listener], **kwargs) as server:
        memory = MemoryServer(server, listener, link or Link())
        try:
            yield memory
        finally:
            if memory.link.is_broken:
                memory.abort()


@contextlib.asynccontextmanager
async def connect_to(
    handler: Callable[[ServerConnection], Awaitable[None]],
    uri: str = URI,
    *,
    link: Link | None = None,
    client: Mapping[str, Any] | None = None,
    server: Mapping[str, Any] | None = None,
    **both: Any,
) -> AsyncIterator[ClientConnection]:
    """A client's connection to ``handler``; see :func:`duplexer.testing.pairs.connect_to`."""
    to_client, to_server = divided("connect_to", both, client, server)
    async with serve(handler, link=link, **to_server) as memory:
        async with memory.connect(uri, **to_client) as ws:
            yield ws


@contextlib.asynccontextmanager
async def pair(
    *,
    link: Link | None = None,
    client: Mapping[str, Any] | None = None,
    server: Mapping[str, Any] | None = None,
    **both: Any,
) -> AsyncIterator[tuple[ClientConnection, ServerConnection]]:
    """Both ends of a connection in memory; see :func:`duplexer.testing.pairs.pair`."""
    arrived: list[ServerConnection] = []
    come = trio.Event()

    async def handler(ws: ServerConnection) -> None:
        arrived.append(ws)
        come.set()
        await ws.wait_closed()

    async with connect_to(handler, link=link, client=client, server=server, **both) as ws:
        await come.wait()
        yield ws, arrived[0]
