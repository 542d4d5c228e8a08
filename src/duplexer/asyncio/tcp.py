"""Plain TCP and Unix sockets without a transport object's weight: one epoll set for all of a loop.

The loop watches a single descriptor, that of our epoll set; when it is readable, everything that
is ready in the set is served in one go. A connection costs the loop nothing: no handle, no context
switch for each event, and no memory beyond this object. Where there is no epoll, and for TLS, the
connection gets a transport of ``aiofastnet`` instead.

That is for the many connections of a server. A client's are few: there the loop watches each one
itself (:class:`Direct`), which saves the call that asks the set.
"""

from __future__ import annotations

import select
import socket
from asyncio.trsock import TransportSocket
from typing import TYPE_CHECKING, Any

from duplexer.asyncio.pump import Outlet
from duplexer.driver import netio

if TYPE_CHECKING:
    import asyncio

    from duplexer.asyncio.pump import Wire

__all__ = ["Direct", "Poller", "Tcp", "available"]

#: EPOLLIN | EPOLLRDHUP would report a half-close twice: a read of nothing says it as well.
READ = 1  # EPOLLIN
WRITE = 4  # EPOLLOUT

#: As many ready connections are served before the loop has its turn again.
BATCH = 256


def available() -> bool:
    """Whether this system has epoll."""
    return hasattr(select, "epoll")


class Poller:
    """The epoll set of one event loop. It is open while somebody holds it, or is in it."""

    def __init__(self, loop: asyncio.AbstractEventLoop, buffer: bytearray) -> None:
        self.loop = loop
        self.buffer = buffer
        self.wires: dict[int, Tcp] = {}
        self.holders = 0
        self.epoll: Any = None
        self.poll: Any = None

    def hold(self) -> None:
        """Open it, or keep it open."""
        if self.epoll is None:
            self.epoll = select.epoll()
            self.poll = self.epoll.poll
            self.loop.add_reader(self.epoll.fileno(), self.on_ready)
        self.holders += 1

    def release(self) -> None:
        """Undo one ``hold``."""
        self.holders -= 1
        if not self.holders:
            self.loop.remove_reader(self.epoll.fileno())
            self.epoll.close()
            self.epoll = self.poll = None

    def add(self, tcp: Tcp, fd: int) -> None:
        """Watch ``fd``, the socket of ``tcp``, for reading."""
        self.hold()
        try:
            self.epoll.register(fd, READ)
        except BaseException:
            self.release()
            raise
        self.wires[fd] = tcp

    def change(self, tcp: Tcp, mask: int) -> None:
        """Watch the socket of ``tcp`` for what is in ``mask`` from now on."""
        # With nothing to wait for it must leave the set: hang-ups would be reported all the same.
        if not tcp.mask:
            self.epoll.register(tcp.fd, mask)
        elif mask:
            self.epoll.modify(tcp.fd, mask)
        else:
            self.epoll.unregister(tcp.fd)

    def remove(self, tcp: Tcp) -> None:
        """Forget ``tcp``, which is watched for nothing any more."""
        del self.wires[tcp.fd]
        self.release()

    def on_ready(self) -> None:
        """Serve what is ready: each connection its own read event, as if the loop had called it."""
        wires = self.wires
        for fd, events in self.poll(0, BATCH):
            tcp = wires.get(fd)
            if tcp is not None:
                # An error or a hang-up is told by the next read or write, whichever is wanted.
                if tcp.reading and events & ~WRITE:
                    tcp.on_readable()
                if tcp.backlog is not None and events & ~READ:
                    tcp.write_backlog()


class Direct(Poller):
    """The same without a set: the loop watches each socket."""

    def add(self, tcp: Tcp, fd: int) -> None:
        """See :class:`Poller`."""
        self.loop.add_reader(fd, tcp.on_readable)

    def change(self, tcp: Tcp, mask: int) -> None:
        """See :class:`Poller`."""
        changed = mask ^ tcp.mask
        if changed & READ:
            if mask & READ:
                self.loop.add_reader(tcp.fd, tcp.on_readable)
            else:
                self.loop.remove_reader(tcp.fd)
        if changed & WRITE:
            if mask & WRITE:
                self.loop.add_writer(tcp.fd, tcp.on_writable)
            else:
                self.loop.remove_writer(tcp.fd)

    def remove(self, tcp: Tcp) -> None:
        """See :class:`Poller`."""


class Tcp(Outlet):
    """As much of asyncio's ``Transport`` as a connection needs, on a connected socket."""

    def __init__(self, poller: Poller, fd: int, peer: Any, wire: Wire) -> None:
        self.fd = -1
        self.poller = poller
        self.wire: Any = wire
        self.peer = peer  # its address: a socket that was reset has forgotten it
        self.sock: socket.socket | None = None  # for who asks for it; the descriptor stays ours
        self.mask = READ
        self.reading = True
        self.closing = False  # no more reading; what is buffered is still written
        self.eof = False  # write_eof() was called
        self.paused = False  # the connection was told to pause writing
        self.high = 65536
        self.backlog: list[bytes] | None = None
        self.backlog_size = 0
        self.offset = 0  # of the backlog's first piece: so much of it is written
        poller.add(self, fd)
        self.fd = fd

    def __del__(self) -> None:
        if self.fd >= 0:  # the loop was closed under it
            if self.sock is not None:
                self.sock.detach()
            fd, self.fd = self.fd, -1
            socket.close(fd)

    # -- reading ---------------------------------------------------------------------------------

    def on_readable(self) -> int:
        """The socket has bytes, or its end."""
        try:
            n = netio.read_into(self.fd, self.poller.buffer)
        except OSError as exc:
            self._drop(exc)
            return 0
        if n > 0:
            try:
                self.wire.buffer_updated(n)
            except Exception as exc:  # noqa: BLE001 - a bug of ours: it must not stop the others
                self._report(exc)
        elif n == 0:
            self._on_eof()
        return 0

    def _on_eof(self) -> None:
        self.pause_reading()
        if not self.wire.eof_received():
            self.close()

    def _report(self, exc: BaseException) -> None:
        context = {"message": "connection failed", "exception": exc, "protocol": self.wire}
        self.poller.loop.call_exception_handler(context)
        self._drop(exc)

    def pause_reading(self) -> None:
        """Part of asyncio's Transport."""
        if self.reading:
            self.reading = False
            self._watch(self.mask & ~READ)

    def resume_reading(self) -> None:
        """Part of asyncio's Transport."""
        if not self.reading and not self.closing:
            self.reading = True
            self._watch(self.mask | READ)

    def _watch(self, mask: int) -> int:
        if mask != self.mask and self.fd >= 0:
            self.poller.change(self, mask)
            self.mask = mask
        return 0

    # -- writing ---------------------------------------------------------------------------------

    def write(self, data: bytes) -> int:
        """Part of asyncio's Transport."""
        n: int = 0
        if self.fd < 0 or self.eof:
            return 0
        if self.backlog is None:
            try:
                n = netio.write(self.fd, data, 0)
            except OSError as exc:
                self._drop(exc)
                return 0
            if n == len(data):
                return 0
            self.backlog = [data]
            self.offset = n = max(n, 0)
            self._watch(self.mask | WRITE)
        else:
            self.backlog.append(data)
        self._grew(len(data) - n)
        return 0

    def writelines(self, pieces: list[bytes]) -> None:
        """Part of asyncio's Transport: in one call, without joining them."""
        size = 0
        if self.fd < 0 or self.eof:
            return
        for piece in pieces:
            size += len(piece)
        if self.backlog is not None:
            self.backlog.extend(pieces)
            self._grew(size)
            return
        try:
            n = netio.write_pieces(self.fd, pieces, 0)
        except OSError as exc:
            self._drop(exc)
            return
        if n < size:
            self.backlog = list(pieces)
            self._forget(n)
            self._watch(self.mask | WRITE)
            self._grew(size - max(n, 0))

    def _grew(self, n: int) -> int:
        self.backlog_size += n
        if self.backlog_size > self.high and not self.paused:
            self.paused = True
            self.wire.pause_writing()
        return 0

    def on_writable(self) -> None:
        """The socket may take bytes, as the loop says."""
        if self.backlog is not None:
            self.write_backlog()

    def write_backlog(self) -> None:
        """The socket may take bytes: write as many as it takes."""
        backlog = self.backlog
        assert backlog is not None
        try:
            n = netio.write_pieces(self.fd, backlog, self.offset)
        except OSError as exc:
            self._drop(exc)
            return
        if n > 0:
            self.backlog_size -= n
            self._forget(n)
        if not backlog:
            self.backlog = None
            self._watch(self.mask & ~WRITE)
        if self.paused and self.backlog_size * 4 <= self.high:
            self.paused = False
            self.wire.resume_writing()
        if self.backlog is None and self.fd >= 0:
            if self.closing:
                self._drop(None)
            elif self.eof:
                self._shutdown()

    def _forget(self, n: int) -> int:
        # The first n bytes of what is left are written. A piece that is not whole stays as it is:
        # to cut it would copy its rest each time.
        backlog = self.backlog
        assert backlog is not None
        done = 0
        if n > 0:
            n += self.offset
            for piece in backlog:
                if n < len(piece):
                    break
                n -= len(piece)
                done += 1
            del backlog[:done]
            self.offset = n
        return 0

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Part of asyncio's Transport; the low mark is a quarter of the high one."""
        self.high = 65536 if high is None else high

    def get_write_buffer_size(self) -> int:
        """Part of asyncio's Transport."""
        return self.backlog_size

    # -- the end ---------------------------------------------------------------------------------

    def can_write_eof(self) -> bool:
        """Part of asyncio's Transport."""
        return True

    def write_eof(self) -> None:
        """Part of asyncio's Transport: half-close, after what is buffered."""
        if not self.eof and self.fd >= 0:
            self.eof = True
            if self.backlog is None:
                self._shutdown()

    def _shutdown(self) -> None:
        sock = socket.socket(fileno=self.fd)
        try:
            sock.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # the peer was faster: reading will tell
        finally:
            sock.detach()

    def is_closing(self) -> bool:
        """Part of asyncio's Transport."""
        return self.closing or self.fd < 0

    def close(self) -> None:
        """Part of asyncio's Transport: close after what is buffered."""
        if self.closing or self.fd < 0:
            return
        self.pause_reading()
        self.closing = True
        if self.backlog is None:
            self._drop(None)

    def abort(self) -> None:
        """Part of asyncio's Transport: close at once."""
        if self.backlog is not None and self.fd >= 0:
            # What is buffered in the kernel goes as well: the peer must not take it for all.
            sock = socket.socket(fileno=self.fd)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            sock.detach()
        self._drop(None)

    def _drop(self, exc: BaseException | None) -> None:
        if self.fd < 0:
            return
        self._watch(0)  # closing is not enough: a forked child may hold the same socket
        self.poller.remove(self)
        fd, self.fd = self.fd, -1
        self.closing = True
        self.reading = False
        self.backlog = None
        self.backlog_size = self.offset = 0
        if self.sock is not None:
            self.sock.detach()
            self.sock = None
        socket.close(fd)
        wire, self.wire = self.wire, None
        wire.dropped = True
        self.poller.loop.call_soon(wire.connection_lost, exc)

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Part of asyncio's Transport."""
        if name == "peername":
            return self.peer
        if name == "sockname":
            return default if self.fd < 0 else _own_name(self.fd)
        if name == "socket" and self.fd >= 0:
            if self.sock is None:
                self.sock = socket.socket(fileno=self.fd)
            return TransportSocket(self.sock)
        return default


def _own_name(fd: int) -> Any:
    sock = socket.socket(fileno=fd)
    try:
        return sock.getsockname()
    finally:
        sock.detach()
