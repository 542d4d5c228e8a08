"""Dialling under asyncio: what carries out the steps of a route for one connection."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import functools
import math
import os
import socket
import ssl as ssl_module
from typing import TYPE_CHECKING, Any

import aiofastnet

from duplexer.asyncio import tcp
from duplexer.driver.following import call, follow
from duplexer.driver.reaching import Await, Begin, reach
from duplexer.driver.steps import Connect, Disconnect, Read, Resolve, Shake, StartTls, Write
from duplexer.errors import ProxyError

if TYPE_CHECKING:
    from collections.abc import Callable

    from duplexer.asyncio.client import connect
    from duplexer.asyncio.connection import Connection
    from duplexer.driver.opening import Opening

__all__ = ["DIAL_ARGUMENTS", "Dialler"]

#: What ``loop.create_connection`` takes beside what all fronts do.
DIAL_ARGUMENTS = frozenset(
    {
        "proto",
        "flags",
        "happy_eyeballs_delay",
        "interleave",
        "all_errors",
        "ssl_handshake_timeout",
        "ssl_shutdown_timeout",
    }
)

#: As much may wait of what a proxy says through TLS.
_MOST_WAITING = 64 * 1024

#: Seconds before asking again for a place in the queue of a Unix socket.
_AGAIN = 0.01


class Dialler:
    """Gets a connection of ``base`` a byte stream to where ``opening`` goes, within ``limit``."""

    def __init__(self, base: connect, opening: Opening, limit: asyncio.Timeout) -> None:
        self._loop = asyncio.get_running_loop()
        self._base = base
        self._opening = opening
        self._limit = limit
        self._attempts = _Attempts(self._loop)
        self._sock: socket.socket | None = None  # what we have got so far ...
        self._stream: _Stream | None = None  # ... or this, once there is TLS to a proxy
        self._tls: StartTls | None = None  # what is asked of the server

    async def do(self, step: Any) -> Any:
        """See :func:`~duplexer.driver.following.follow`. After a failure, ``drop()``."""
        if isinstance(step, Connect):
            await self.connect(step)
        elif isinstance(step, Read):
            if self._stream is not None:
                return await self._stream.read()
            return await self._loop.sock_recv(self._socket(), 65536)
        elif isinstance(step, Write):
            if self._stream is not None:
                self._stream.transport.write(step.data)
            else:
                await self._loop.sock_sendall(self._socket(), step.data)
        elif isinstance(step, StartTls):
            _respect(step.context)
            if step.final:
                self._tls = step
            else:
                await self._start_tls(step)
        elif isinstance(step, Shake):
            connection = self._base.new_connection(self._loop, step.handshake)
            await self.hand_over(connection)
            await connection.wait_open()
            return connection
        elif isinstance(step, Disconnect):
            self.drop()
        elif isinstance(step, Begin):
            self._attempts.begin(step.sock, step.address)
        elif isinstance(step, Await):
            return await self._outcomes(step)
        elif isinstance(step, Resolve):
            asked = {name: self._base.own.get(name, 0) for name in ("proto", "flags")}
            return await self._loop.getaddrinfo(
                step.host, step.port, family=step.family, type=socket.SOCK_STREAM, **asked
            )
        else:
            return await call(step, functools.partial(self._loop.run_in_executor, None))
        return None

    def _socket(self) -> socket.socket:
        assert self._sock is not None
        return self._sock

    def drop(self) -> None:
        """Nothing stays open."""
        self._tls = None
        stream, self._stream = self._stream, None
        if stream is not None and stream.transport is not None:
            stream.transport.abort()
        sock, self._sock = self._sock, None
        if sock is not None:
            sock.close()

    # -- TCP, Unix sockets -----------------------------------------------------------------------

    async def connect(self, step: Connect) -> None:
        """A byte stream to where ``step`` wants it."""
        attempts = self._attempts
        steps = reach(self._opening, step, self._loop.time, attempts.ring)
        try:
            self._sock = await follow(steps, self.do)
        finally:
            attempts.stop()

    async def _outcomes(self, step: Await) -> Any:
        left = self._stop_clock() if step.is_idle else math.inf
        try:
            return await self._attempts.outcomes(step.timeout)
        finally:
            self._start_clock(left)

    def _stop_clock(self) -> float:
        due = self._limit.when()
        if due is None or self._limit.expired():
            return math.inf
        self._limit.reschedule(None)
        return due - self._loop.time()

    def _start_clock(self, left: float) -> None:
        if left < math.inf and not self._limit.expired():
            self._limit.reschedule(self._loop.time() + left)

    # -- TLS, and the end of the way -------------------------------------------------------------

    async def _start_tls(self, step: StartTls) -> None:
        stream = _Stream(self._loop)
        if self._stream is None:
            await aiofastnet.create_connection(
                self._loop, lambda: stream, sock=self._socket(), **self._arguments(step)
            )
            self._sock = None  # it is the transport's now
        else:
            stream.connection_made(await self._tls_inside(self._stream, stream, step))
        self._stream = stream

    def _arguments(self, step: StartTls) -> dict[str, Any]:
        own, limits = self._base.own, self._base.limits
        return {
            "ssl": step.context,
            "server_hostname": step.server_hostname,
            "ssl_handshake_timeout": own.get("ssl_handshake_timeout", limits.open_timeout),
            "ssl_shutdown_timeout": own.get("ssl_shutdown_timeout", limits.close_timeout),
        }

    async def hand_over(self, connection: Connection) -> None:
        """Make a transport of what we have, and give it to ``connection``."""
        if self._stream is not None:
            await self._hand_over_stream(self._stream, connection)
        elif self._tls is None and tcp.available():
            self._register(self._socket(), connection)
        else:
            await aiofastnet.create_connection(
                self._loop,
                lambda: connection,
                sock=self._socket(),
                **({} if self._tls is None else self._arguments(self._tls)),
            )
        self._sock = self._stream = None

    def _register(self, sock: socket.socket, connection: Connection) -> None:
        pump = connection.pump
        if pump.direct is None:
            pump.direct = tcp.Direct(self._loop, pump.buffer)
        transport = tcp.Tcp(pump.direct, sock.fileno(), sock.getpeername(), connection)
        if self._base.where.sock is sock:
            transport.sock = sock  # for who has it: it is closed with the transport
        else:
            sock.detach()
        connection.connection_made(transport)

    async def _hand_over_stream(self, stream: _Stream, connection: Connection) -> None:
        transport = stream.transport
        if self._tls is not None:
            transport = await self._tls_inside(stream, connection, self._tls)
        else:
            stream.check_empty()
            transport.set_protocol(connection)
        connection.connection_made(transport)

    async def _tls_inside(
        self, outer: _Stream, protocol: asyncio.BaseProtocol, step: StartTls
    ) -> Any:
        """The transport of TLS to the next one, inside of that to a proxy."""
        outer.check_empty()
        arguments = self._arguments(step)
        context = arguments.pop("ssl")
        return await aiofastnet.start_tls(
            self._loop, outer.transport, protocol, context, **arguments
        )


class _Attempts:
    """Sockets that are being connected beside one another, and who waits for that."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._news = asyncio.Event()
        self._stoppers: dict[socket.socket, Callable[[], object]] = {}
        self._outcomes: list[tuple[socket.socket, BaseException | None]] = []

    def ring(self) -> None:
        """In any thread: whoever waits is to look again."""
        self._loop.call_soon_threadsafe(self._news.set)

    def begin(self, sock: socket.socket, address: Any) -> None:
        """Connect ``sock``: the loop's own way asks the resolver once more, and forgets zones."""
        if not tcp.available():
            task = self._loop.create_task(self._loop.sock_connect(sock, address))
            self._stoppers[sock] = task.cancel
            task.add_done_callback(functools.partial(self._finished, sock))
            return
        try:
            sock.connect(address)
        except OSError as exc:
            if exc.errno == errno.EAGAIN:  # a Unix socket whose queue is full: it says no more
                again = self._loop.call_later(_AGAIN, self.begin, sock, address)
                self._stoppers[sock] = again.cancel
            elif isinstance(exc, (BlockingIOError, InterruptedError)):
                self._loop.add_writer(sock, self._writable, sock)
                self._stoppers[sock] = functools.partial(self._loop.remove_writer, sock)
            else:
                self._end(sock, exc)
        else:
            self._end(sock, None)

    def _writable(self, sock: socket.socket) -> None:
        self._loop.remove_writer(sock)
        number = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        self._end(sock, OSError(number, os.strerror(number)) if number else None)

    def _finished(self, sock: socket.socket, task: asyncio.Task[None]) -> None:
        if task.cancelled() or sock not in self._stoppers:
            sock.close()
        else:
            self._end(sock, task.exception())

    def _end(self, sock: socket.socket, error: BaseException | None) -> None:
        self._stoppers.pop(sock, None)
        self._outcomes.append((sock, error))
        self._news.set()

    async def outcomes(self, within: float | None) -> Any:
        """See :class:`~duplexer.driver.reaching.Await`."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within):
                await self._news.wait()
        self._news.clear()
        outcomes, self._outcomes = self._outcomes, []
        return outcomes

    def stop(self) -> None:
        """Nobody wants what is left."""
        for sock, stop in self._stoppers.items():
            stop()
            if tcp.available():  # otherwise the loop is not done with it
                sock.close()
        for sock, _ in self._outcomes:
            sock.close()
        self._stoppers, self._outcomes = {}, []


class _Stream(asyncio.Protocol):
    """TLS to a proxy, while that is spoken to: what it says waits here to be read."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.transport: Any = None
        self._waiting = b""
        self._loop = loop
        self._ended = False
        self._error: Exception | None = None
        self._reader: asyncio.Future[None] | None = None

    async def read(self) -> bytes:
        """What came; ``b""`` at the end."""
        if not self._waiting and not self._ended:
            self._reader = self._loop.create_future()
            await self._reader
        if self._error is not None:
            raise self._error
        data, self._waiting = self._waiting, b""
        self.transport.resume_reading()
        return data

    def check_empty(self) -> None:
        """Whoever speaks next has to be asked first: nothing may be here already, nor the end."""
        if self._waiting:
            raise ProxyError("the proxy sent more than its answer")
        if self._ended:  # the next protocol would not be told again
            raise ProxyError("the proxy closed the tunnel that it had agreed to")

    def _wake(self) -> None:
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self._waiting += data
        if len(self._waiting) > _MOST_WAITING:
            self.transport.pause_reading()
        self._wake()

    def eof_received(self) -> bool:
        self._ended = True
        self._wake()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._ended = True
        self._error = exc
        self._wake()


def _respect(context: ssl_module.SSLContext) -> None:
    # Some contexts verify certificates in Python, where the transport would call OpenSSL itself.
    if type(context).wrap_bio is not ssl_module.SSLContext.wrap_bio:
        context._aiofastnet_force_fallback_ssl = True  # type: ignore[attr-defined]
