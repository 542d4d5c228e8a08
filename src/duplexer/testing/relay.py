"""A bad network on real sockets: a relay in front of any server, with the faults of a link."""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import TYPE_CHECKING, Any, Self

from duplexer.http.uri import parse_uri
from duplexer.testing.background import Background
from duplexer.testing.links import END, RESET, Flow, Link

if TYPE_CHECKING:
    from duplexer.http.uri import URI

__all__ = ["Bridge", "Relay"]

#: One write takes at most this much.
_CHUNK = 64 * 1024


class _Side(asyncio.Protocol):
    """The relay's socket to one of both ends: what it reads goes into ``out``."""

    def __init__(self, carried: _Carried) -> None:
        self._carried = carried
        self.transport: Any = None
        self.out: Flow
        self.other: _Side
        self._may_write = True
        self._handle: asyncio.Handle | None = None

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        loop = self._carried.loop
        self.out.put(data, loop.time())
        if self.out.size > self._carried.capacity:
            self.transport.pause_reading()
        self.other.look()

    def eof_received(self) -> bool:
        self.out.put_end(END, self._carried.loop.time())
        self.other.look()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self.out.put_end(RESET if exc is not None else END, self._carried.loop.time())
        self.other.look()
        self._carried.leave()

    def pause_writing(self) -> None:
        self._may_write = False

    def resume_writing(self) -> None:
        self._may_write = True
        self.look()

    def look(self) -> None:
        """What is due of what the other end sent is written here."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
        loop, flow = self._carried.loop, self.other.out
        due = flow.due()
        if due is None or self.transport is None or not self._may_write:
            return
        self._handle = (
            loop.call_at(due, self._write) if due > loop.time() else loop.call_soon(self._write)
        )

    def _write(self) -> None:
        self._handle = None
        flow = self.other.out
        piece = flow.take(self._carried.loop.time(), _CHUNK)
        if isinstance(piece, bytes):
            self.transport.write(piece)
            if flow.size <= self._carried.capacity and self.other.transport is not None:
                self.other.transport.resume_reading()
        elif piece == RESET:
            self._carried.break_off()
            return
        elif piece == END:
            self._end()
        self.look()

    def _end(self) -> None:
        if self.transport.is_closing():
            return
        if self.other.transport is None or self.other.transport.is_closing():
            self.transport.close()
        else:
            self.transport.write_eof()
            if self.out.ended is not None:  # both have
                self.transport.close()
                self.other.transport.close()


class _Carried:
    """A connection through the relay."""

    def __init__(
        self, link: Link, all_of_them: set[_Carried], loop: asyncio.AbstractEventLoop
    ) -> None:
        self.loop = loop
        self.capacity = link.capacity
        self._all = all_of_them
        all_of_them.add(self)
        self.client, self.server = _Side(self), _Side(self)
        self.client.other, self.server.other = self.server, self.client
        self.client.out, self.server.out = link.carry(self)

    def changed(self) -> None:
        """See :class:`~duplexer.testing.links.Carried`; from any thread."""
        self.loop.call_soon_threadsafe(self._look)

    def _look(self) -> None:
        self.client.look()
        self.server.look()

    def break_off(self) -> None:
        """See :class:`~duplexer.testing.links.Carried`; from any thread."""
        self.loop.call_soon_threadsafe(self.reset)

    def reset(self) -> None:
        """Reset both sockets."""
        for side in (self.client, self.server):
            transport = side.transport
            if transport is not None and not transport.is_closing():
                sock = transport.get_extra_info("socket")
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                transport.abort()

    def leave(self) -> None:
        """A socket has been closed."""
        if all(
            each.transport is None or each.transport.is_closing()
            for each in (self.client, self.server)
        ):
            self._all.discard(self)


class Relay:
    """A TCP relay to the server at ``uri``, on a free port of the loopback; use it in ``with``.

    What it relays suffers the faults of ``link``. Clients connect to ``relay.uri``; for ``wss:``,
    where the name in the certificate matters, rather to the server's own URI with
    ``host=relay.host, port=relay.port``. It runs in a thread of its own, by the real clock.
    """

    def __init__(self, uri: str, link: Link | None = None) -> None:
        self._target: URI = parse_uri(uri)
        self.link = link or Link()
        self.host = "127.0.0.1"
        self.port = 0  #: known once the block has begun
        self.carried: set[_Carried] = set()
        self._background = Background("duplexer-relay")
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def uri(self) -> str:
        """The server's URI with the relay's host and port."""
        scheme = "wss" if self._target.secure else "ws"
        return f"{scheme}://{self.host}:{self.port}{self._target.resource_name}"

    def __enter__(self) -> Self:
        self._background.start()
        try:
            self._background.call(self._listen())
        except BaseException:
            self._background.stop()
            raise
        return self

    def __exit__(self, exc_type: object, exc: object, tb: object) -> None:
        self._background.call(self._close())
        self._background.stop()

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(self, exc_type: object, exc: object, tb: object) -> None:
        self.__exit__(exc_type, exc, tb)

    async def _listen(self) -> None:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: self._accept(loop), self.host, 0)
        self.port = self._server.sockets[0].getsockname()[1]

    def _accept(self, loop: asyncio.AbstractEventLoop) -> _Side:
        carried = _Carried(self.link, self.carried, loop)
        task = loop.create_task(self._dial(loop, carried))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return carried.client

    async def _dial(self, loop: asyncio.AbstractEventLoop, carried: _Carried) -> None:
        target = self._target
        try:
            await loop.create_connection(lambda: carried.server, target.host, target.port)
        except OSError:
            carried.reset()  # there is no server: nor is there one for the client
        else:
            carried.server.look()

    async def _close(self) -> None:
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await _reset_all(self.carried)


async def _reset_all(carried: set[_Carried]) -> None:
    for each in list(carried):
        each.reset()
    await asyncio.sleep(0)  # for the transports to close their sockets
    await asyncio.sleep(0)


class Bridge:
    """Pairs of connected sockets with ``link`` between them; use it in ``with``."""

    def __init__(self, link: Link) -> None:
        self.link = link
        self.carried: set[_Carried] = set()
        self._background = Background("duplexer-bridge")

    def __enter__(self) -> Self:
        self._background.start()
        return self

    def __exit__(self, exc_type: object, exc: object, tb: object) -> None:
        self._background.call(_reset_all(self.carried))
        self._background.stop()

    def sockets(self) -> tuple[socket.socket, socket.socket]:
        """The sockets of a client and of a server."""
        with socket.create_server(("127.0.0.1", 0)) as listener:
            pairs = []
            for _ in range(2):
                ours = socket.create_connection(listener.getsockname())
                pairs.append((ours, listener.accept()[0]))
        (client, near_client), (near_server, server) = pairs
        self._background.call(self._join(near_client, near_server))
        return client, server

    async def _join(self, near_client: socket.socket, near_server: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        carried = _Carried(self.link, self.carried, loop)
        await loop.create_connection(lambda: carried.client, sock=near_client)
        await loop.create_connection(lambda: carried.server, sock=near_server)
        carried.changed()
