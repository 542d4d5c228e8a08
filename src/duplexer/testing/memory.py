"""asyncio transports in memory: two protocols, and a link between them in place of a network."""

from __future__ import annotations

import asyncio
import errno
from typing import TYPE_CHECKING, Any

from duplexer.testing.links import END, RESET, Flow, Link

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["CLIENT_ADDRESS", "SERVER_ADDRESS", "MemoryTransport", "link_protocols"]

#: What both ends have as addresses: nobody is there (RFC 5737).
CLIENT_ADDRESS = ("192.0.2.1", 50000)
SERVER_ADDRESS = ("192.0.2.2", 80)

#: One read takes at most this much.
READ_SIZE = 64 * 1024


class MemoryTransport(asyncio.Transport):
    """One end of a connection in memory: what ``protocol`` writes to and is read from."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        protocol: Any,
        capacity: int,
        addresses: tuple[Any, Any],
    ) -> None:
        super().__init__({"sockname": addresses[0], "peername": addresses[1]})
        self._loop = loop
        self._protocol = protocol
        self._capacity = capacity
        self._high = 64 * 1024
        self._low = 16 * 1024
        self._held = False  # the protocol was told to write no more
        self._reading = True
        self._closing = False
        self._lost = False
        self._handle: asyncio.Handle | None = None
        self._out: Flow
        self._in: Flow
        self._peer: MemoryTransport
        self._carrier: Any = None  # kept alive as long as one of its ends

    # -- writing ---------------------------------------------------------------------------------

    def write(self, data: Any) -> None:
        """Part of asyncio's Transport."""
        if self._closing or self._lost:
            return
        self._out.put(bytes(data), self._loop.time())
        self._peer.look()
        if not self._held and self.get_write_buffer_size() > self._high:
            self._held = True
            self._protocol.pause_writing()

    def writelines(self, pieces: Iterable[Any]) -> None:
        """Part of asyncio's Transport."""
        self.write(b"".join(pieces))

    def get_write_buffer_size(self) -> int:
        """Part of asyncio's Transport: what the link does not take yet."""
        return max(0, self._out.size - self._capacity)

    def get_write_buffer_limits(self) -> tuple[int, int]:
        """Part of asyncio's Transport."""
        return self._low, self._high

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Part of asyncio's Transport."""
        self._high = 64 * 1024 if high is None else high
        self._low = self._high // 4 if low is None else low

    def can_write_eof(self) -> bool:
        """Part of asyncio's Transport."""
        return True

    def write_eof(self) -> None:
        """Part of asyncio's Transport."""
        self._end(END)

    def _end(self, end: Any) -> None:
        self._out.put_end(end, self._loop.time())
        self._peer.look()

    def _taken(self) -> None:
        # The peer has read something of what we wrote.
        size = self.get_write_buffer_size()
        if self._held and size <= self._low and not self._lost:
            self._held = False
            self._protocol.resume_writing()
        if self._closing and not size:
            self._lose(None)

    # -- reading ---------------------------------------------------------------------------------

    def pause_reading(self) -> None:
        """Part of asyncio's Transport."""
        self._reading = False

    def resume_reading(self) -> None:
        """Part of asyncio's Transport."""
        self._reading = True
        self.look()

    def is_reading(self) -> bool:
        """Part of asyncio's Transport."""
        return self._reading and not self._closing

    def look(self) -> None:
        """Something may have come, or be due at another time than before."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
        due = self._in.due()
        if due is None or not (self._lost or (self._reading and not self._closing)):
            return
        if due <= self._loop.time():
            self._handle = self._loop.call_soon(self._read)
        else:
            self._handle = self._loop.call_at(due, self._read)

    def _read(self) -> None:
        self._handle = None
        piece = self._in.take(self._loop.time(), READ_SIZE)
        if piece is None:
            pass
        elif not isinstance(piece, bytes):
            self._take_end(piece)
        elif self._lost:
            self._in.clear()
            self._end(RESET)  # as a kernel answers
            self._peer._taken()
        else:
            self._feed(piece)
            self._peer._taken()
        if self._handle is None:
            self.look()

    def _feed(self, data: bytes) -> None:
        protocol = self._protocol
        try:
            if isinstance(protocol, asyncio.BufferedProtocol):
                start = 0
                while start < len(data) and not self._lost:
                    buffer: Any = protocol.get_buffer(len(data) - start)
                    n = min(len(buffer), len(data) - start)
                    buffer[:n] = data[start : start + n]
                    protocol.buffer_updated(n)
                    start += n
            else:
                protocol.data_received(data)
        except Exception as exc:  # noqa: BLE001 - as asyncio's transports do
            self._loop.call_exception_handler(
                {"message": "reading failed", "exception": exc, "transport": self}
            )
            self.abort()

    def _take_end(self, end: str) -> None:
        if self._lost:
            return
        if end == RESET:
            self._lose(ConnectionResetError(errno.ECONNRESET, "Connection reset by the test"))
        elif not self._protocol.eof_received():
            self.close()

    # -- the end ---------------------------------------------------------------------------------

    def is_closing(self) -> bool:
        """Part of asyncio's Transport."""
        return self._closing

    def close(self) -> None:
        """Part of asyncio's Transport: what was written still goes out."""
        if self._closing:
            return
        self._closing = True
        if not self.get_write_buffer_size():
            self._lose(None)

    def abort(self) -> None:
        """Part of asyncio's Transport."""
        self._lose(None)

    def break_off(self) -> None:
        """The network has reset the connection."""
        self._lose(ConnectionResetError(errno.ECONNRESET, "Connection reset by the test"))

    def reset(self) -> None:
        """End it by a reset: the peer is told after it has read what was written before."""
        self._end(RESET)
        self._lose(None)

    def _lose(self, exc: Exception | None) -> None:
        if self._lost:
            return
        self._lost = self._closing = True
        # Who leaves without having read what has come leaves by a reset.
        due = self._in.due()
        unread = self._in.size and due is not None and due <= self._loop.time()
        self._end(RESET if exc is not None or unread else END)
        self.look()
        self._loop.call_soon(self._protocol.connection_lost, exc)

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Part of asyncio's Transport."""
        self._protocol = protocol

    def get_protocol(self) -> Any:
        """Part of asyncio's Transport."""
        return self._protocol


class _Connection:
    """Two transports and what is between them."""

    def __init__(self, client: MemoryTransport, server: MemoryTransport, link: Link) -> None:
        self.client = client
        self.server = server
        self.link = link
        client._out, client._in = server._in, server._out = link.carry(self)
        client._peer, server._peer = server, client
        client._carrier = server._carrier = self

    def changed(self) -> None:
        """See :class:`~duplexer.testing.links.Carried`."""
        self.client.look()
        self.server.look()

    def break_off(self) -> None:
        """See :class:`~duplexer.testing.links.Carried`."""
        self.client.break_off()
        self.server.break_off()


def link_protocols(client: asyncio.BaseProtocol, server: asyncio.BaseProtocol, link: Link) -> None:
    """Connect two protocols, as ``create_connection`` and ``create_server`` do over a network."""
    loop = asyncio.get_running_loop()
    ours, theirs = CLIENT_ADDRESS, SERVER_ADDRESS
    at_client = MemoryTransport(loop, client, link.capacity, (ours, theirs))
    at_server = MemoryTransport(loop, server, link.capacity, (theirs, ours))
    _Connection(at_client, at_server, link)
    server.connection_made(at_server)
    client.connection_made(at_client)
