"""Connections of the blocking front without a port: both ends of one, or a client and a handler.

The same names as for asyncio. They are joined by a pair of sockets, since this front leaves its
waiting to the kernel; for the same reason no clock of ours can stand in for the kernel's: give
short times as arguments.
"""

from __future__ import annotations

import contextlib
import queue
import socket
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin

from duplexer.sync import client as sync_client
from duplexer.sync import server as sync_server
from duplexer.testing.arguments import URI, divided
from duplexer.testing.relay import Bridge

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from duplexer.sync.client import ClientConnection, connect
    from duplexer.sync.server import Server, ServerConnection
    from duplexer.testing.links import Link

__all__ = ["MemoryServer", "connect_to", "pair", "serve"]


class _Doorbell(socket.socket):
    """What a server listens on: it gives out the sockets that were put in."""

    def __init__(self) -> None:
        ours, self._button = socket.socketpair()
        super().__init__(fileno=ours.detach())
        self._waiting: queue.SimpleQueue[socket.socket] = queue.SimpleQueue()

    def put(self, sock: socket.socket) -> None:
        """Have ``sock`` accepted."""
        self._waiting.put(sock)
        self._button.send(b"!")

    def listen(self, backlog: int = 0, /) -> None:
        """Part of a socket."""

    def accept(self) -> tuple[socket.socket, Any]:
        """Part of a socket."""
        self.recv(1)
        return self._waiting.get_nowait(), None

    def close(self) -> None:
        """Part of a socket."""
        super().close()
        self._button.close()
        with contextlib.suppress(queue.Empty):
            while True:
                self._waiting.get_nowait().close()


class MemoryServer:
    """A server that only :meth:`connect` can reach."""

    def __init__(self, server: Server, doorbell: _Doorbell, bridge: Bridge | None) -> None:
        self.server = server  #: the :class:`~duplexer.sync.server.Server`
        self._doorbell = doorbell
        self._bridge = bridge

    @property
    def connections(self) -> set[ServerConnection]:
        """The server's connections that are open or closing."""
        return self.server.connections

    def connect(self, uri: str = URI, **kwargs: Any) -> connect:
        """As ``duplexer.sync.connect``, for one connection. ``uri`` may be a path."""
        if not self.server.is_serving():
            raise ConnectionRefusedError("the server in memory has been closed")
        ours, theirs = socket.socketpair() if self._bridge is None else self._bridge.sockets()
        try:
            connector: sync_client.connect = sync_client.connect(
                urljoin(URI, uri), sock=ours, **kwargs
            )
        except BaseException:
            ours.close()
            theirs.close()
            raise
        self._doorbell.put(theirs)
        return connector


@contextlib.contextmanager
def serve(
    handler: Callable[[ServerConnection], None], *, link: Link | None = None, **kwargs: Any
) -> Iterator[MemoryServer]:
    """Serve ``handler`` without a port; see :func:`duplexer.testing.pairs.serve`.

    Connections are handled in threads. With a ``link`` they run over real sockets and a thread
    that does to the bytes what the link says.
    """
    divided("serve", {}, None, kwargs)
    with contextlib.ExitStack() as stack:
        bridge = None if link is None else stack.enter_context(Bridge(link))
        doorbell = _Doorbell()
        try:
            server = sync_server.Server(handler, sock=doorbell, **kwargs)
        except BaseException:
            doorbell.close()
            raise
        with server:
            try:
                yield MemoryServer(server, doorbell, bridge)
            finally:
                if link is not None and link.is_broken:
                    for connection in server.connections:
                        connection.abort()  # nobody would hear a Close


@contextlib.contextmanager
def connect_to(
    handler: Callable[[ServerConnection], None],
    uri: str = URI,
    *,
    link: Link | None = None,
    client: Mapping[str, Any] | None = None,
    server: Mapping[str, Any] | None = None,
    **both: Any,
) -> Iterator[ClientConnection]:
    """A client's connection to ``handler``; see :func:`duplexer.testing.pairs.connect_to`."""
    to_client, to_server = divided("connect_to", both, client, server)
    with serve(handler, link=link, **to_server) as memory:
        with memory.connect(uri, **to_client) as ws:
            try:
                yield ws
            finally:
                if link is not None and link.is_broken:
                    ws.abort()


@contextlib.contextmanager
def pair(
    *,
    link: Link | None = None,
    client: Mapping[str, Any] | None = None,
    server: Mapping[str, Any] | None = None,
    **both: Any,
) -> Iterator[tuple[ClientConnection, ServerConnection]]:
    """Both ends of a connection; see :func:`duplexer.testing.pairs.pair`."""
    arrived: queue.SimpleQueue[ServerConnection] = queue.SimpleQueue()

    def handler(ws: ServerConnection) -> None:
        arrived.put(ws)
        ws.wait_closed()

    with connect_to(handler, link=link, client=client, server=server, **both) as ws:
        yield ws, arrived.get()
