"""Dialling under asyncio: what carries out the steps of a route for one connection."""

from __future__ import annotations

import asyncio
import errno
import functools
import math
import os
import socket
import ssl as ssl_module
from inspect import isawaitable
from typing import TYPE_CHECKING, Any

import aiofastnet

from duplexer.asyncio import tcp
from duplexer.driver.connecting import Where
from duplexer.driver.eyeballs import Candidate, Race, candidates, literal
from duplexer.driver.steps import Call, Connect, Disconnect, Read, Resolve, StartTls, Write
from duplexer.driver.turns import Patience
from duplexer.errors import ProxyError

if TYPE_CHECKING:
    from duplexer.asyncio.connection import Connection
    from duplexer.driver.opening import Opening
    from duplexer.driver.steps import RouteStep, Steps
    from duplexer.driver.turns import Turn

__all__ = ["DIAL_ARGUMENTS", "Dialler", "call_all"]

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


async def call_all(steps: Steps) -> None:
    """Carry out steps that are calls only."""
    value: Any = None
    error: BaseException | None = None
    try:
        while True:
            step = steps.send(value) if error is None else steps.throw(error)
            value = error = None
            try:
                value = await _call(step)
            except Exception as exc:  # noqa: BLE001 - thrown in where it belongs
                error = exc
    except StopIteration:
        return


async def _call(step: RouteStep) -> Any:
    assert isinstance(step, Call)
    if step.blocking:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(None, step.function, *step.args)
    value = step.function(*step.args)
    return await value if isawaitable(value) else value


class Dialler:
    """Gets ``connection`` a byte stream to where ``opening`` goes, within ``limit``."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        connection: Connection,
        opening: Opening,
        limit: asyncio.Timeout,
    ) -> None:
        self._loop = loop
        self._connection = connection
        self._opening = opening
        self._limit = limit
        self._patience = Patience(self._stop_clock, self._start_clock)
        self._own = opening.base.own
        self._sock: socket.socket | None = None  # what we have got so far ...
        self._stream: _Stream | None = None  # ... or this, once there is TLS to a proxy
        self._done = False  # the connection has its transport

    async def run(self) -> None:
        """Dial. If it fails, or is cancelled, nothing stays open."""
        steps = self._opening.route()
        value: Any = None
        error: BaseException | None = None
        try:
            while True:
                step = steps.send(value) if error is None else steps.throw(error)
                value = error = None
                try:
                    value = await self._carry_out(step)
                except Exception as exc:  # noqa: BLE001 - thrown in where it belongs
                    error = exc
        except StopIteration:
            try:
                if not self._done:
                    await self._hand_over(None, "")
            except BaseException:
                self._drop()
                raise
        except BaseException:
            self._drop()
            raise

    async def _carry_out(self, step: RouteStep) -> Any:
        if isinstance(step, Connect):
            self._sock = await self._connect(step)
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
            await self._start_tls(step)
        elif isinstance(step, Resolve):
            return await self._resolve(Where(host=step.host, port=step.port, family=step.family))
        elif isinstance(step, Disconnect):
            self._drop()
        else:
            return await _call(step)
        return None

    def _socket(self) -> socket.socket:
        assert self._sock is not None
        return self._sock

    def _drop(self) -> None:
        stream, self._stream = self._stream, None
        if stream is not None and stream.transport is not None:
            stream.transport.abort()
        sock, self._sock = self._sock, None
        if sock is not None:
            sock.close()

    # -- TCP, Unix sockets -----------------------------------------------------------------------

    async def _connect(self, step: Connect) -> socket.socket:
        where = step.where
        if where.sock is not None:
            return _checked(where.sock)
        if step.turn_at is not None:
            await self._take_turn(step.turn_at)
        if where.path is not None:
            unix = Candidate(socket.AF_UNIX, socket.SOCK_STREAM, 0, str(where.path))
            return await self._try(unix, False)
        found = await self._resolve(where)
        if len(found) == 1:
            try:
                return await self._try(found[0], step.turn_at is None)
            except OSError as exc:
                race = Race(found, None)
                race.failed(found[0], exc)
                raise race.error(all_errors=bool(self._own.get("all_errors"))) from exc
        return await self._race(found, step.turn_at is None)

    async def _resolve(self, where: Any) -> list[Candidate]:
        if where.local_addr is None:
            found = literal(where.host, where.port, where.family)
            if found is not None:
                return found
        ask = functools.partial(
            self._loop.getaddrinfo,
            family=where.family,
            type=socket.SOCK_STREAM,
            proto=self._own.get("proto", 0),
            flags=self._own.get("flags", 0),
        )
        infos = await ask(where.host, where.port)
        local = None if where.local_addr is None else await ask(*where.local_addr)
        return candidates(infos, local)

    async def _race(self, found: list[Candidate], takes_turns: bool) -> socket.socket:
        """Happy Eyeballs (RFC 8305 5)."""
        limits = self._opening.base.limits
        delay = self._own.get("happy_eyeballs_delay", limits.happy_eyeballs_delay)
        race = Race(found, delay, self._own.get("interleave") or 1)
        running: dict[asyncio.Task[socket.socket], Candidate] = {}
        winner: socket.socket | None = None
        try:
            while winner is None and not race.is_lost:
                now = self._loop.time()
                candidate = race.start(now)
                if candidate is not None:
                    task = self._loop.create_task(self._try(candidate, takes_turns))
                    running[task] = candidate
                done, _ = await asyncio.wait(
                    running, timeout=race.wait(now), return_when=asyncio.FIRST_COMPLETED
                )
                for task in done:
                    error = task.exception()
                    if error is None:
                        del running[task]
                        winner = task.result()
                        break
                    if not isinstance(error, OSError):
                        raise error
                    race.failed(running.pop(task), error)
        finally:
            try:
                await _close_all(list(running))
            except BaseException:  # cancelled meanwhile: nobody gets it any more
                if winner is not None:
                    winner.close()
                raise
        if winner is None:
            raise race.error(all_errors=bool(self._own.get("all_errors")))
        return winner

    async def _try(self, candidate: Candidate, takes_turns: bool) -> socket.socket:
        turn = await self._take_turn(candidate.address) if takes_turns else None
        sock: socket.socket | None = None
        try:
            sock = socket.socket(candidate.family, candidate.type, candidate.proto)
            sock.setblocking(False)
            if candidate.family != socket.AF_UNIX:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if candidate.local is not None:
                sock.bind(candidate.local)
            with self._patience.trying():
                await _sock_connect(self._loop, sock, candidate.address)
        except BaseException:
            if sock is not None:
                sock.close()
            if turn is not None:
                turn.leave()
            raise
        return sock

    async def _take_turn(self, address: Any) -> Turn | None:
        event = asyncio.Event()
        wake = functools.partial(self._loop.call_soon_threadsafe, event.set)
        turn = self._opening.take_turn(address, wake)
        if turn is None or turn.granted:
            return turn
        try:
            with self._patience.waiting():
                await event.wait()
        except BaseException:
            turn.leave()
            raise
        return turn

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
        _respect(step.context)
        if step.final:
            await self._hand_over(step.context, step.server_hostname)
            return
        stream = _Stream(self._loop)
        tls = self._tls(step.context, step.server_hostname)
        if self._stream is None:
            await aiofastnet.create_connection(
                self._loop, lambda: stream, sock=self._socket(), **tls
            )
            self._sock = None  # it is the transport's now
        else:
            stream.connection_made(await self._tls_inside(self._stream, stream, tls))
        self._stream = stream

    def _tls(self, context: ssl_module.SSLContext, hostname: str) -> dict[str, Any]:
        limits = self._opening.base.limits
        return {
            "ssl": context,
            "server_hostname": hostname,
            "ssl_handshake_timeout": self._own.get("ssl_handshake_timeout", limits.open_timeout),
            "ssl_shutdown_timeout": self._own.get("ssl_shutdown_timeout", limits.close_timeout),
        }

    async def _hand_over(self, context: ssl_module.SSLContext | None, hostname: str) -> None:
        """Make a transport of what we have, and give it to the connection."""
        connection = self._connection
        if self._stream is not None:
            await self._hand_over_stream(self._stream, context, hostname)
        elif context is None and tcp.available():
            self._register(self._socket())
        else:
            await aiofastnet.create_connection(
                self._loop,
                lambda: connection,
                sock=self._socket(),
                **({} if context is None else self._tls(context, hostname)),
            )
        self._sock = self._stream = None
        self._done = True

    def _register(self, sock: socket.socket) -> None:
        connection = self._connection
        pump = connection.pump
        if pump.direct is None:
            pump.direct = tcp.Direct(self._loop, pump.buffer)
        transport = tcp.Tcp(pump.direct, sock.fileno(), sock.getpeername(), connection)
        if self._opening.base.where.sock is sock:
            transport.sock = sock  # for who has it: it is closed with the transport
        else:
            sock.detach()
        connection.connection_made(transport)

    async def _hand_over_stream(
        self, stream: _Stream, context: ssl_module.SSLContext | None, hostname: str
    ) -> None:
        transport = stream.transport
        if context is not None:
            tls = self._tls(context, hostname)
            transport = await self._tls_inside(stream, self._connection, tls)
        else:
            stream.check_empty()
            transport.set_protocol(self._connection)
        self._connection.connection_made(transport)

    async def _tls_inside(
        self, outer: _Stream, protocol: asyncio.BaseProtocol, tls: dict[str, Any]
    ) -> Any:
        """The transport of TLS to the next one, inside of that to a proxy."""
        outer.check_empty()
        context = tls.pop("ssl")
        return await aiofastnet.start_tls(self._loop, outer.transport, protocol, context, **tls)


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


def _checked(sock: socket.socket) -> socket.socket:
    if isinstance(sock, ssl_module.SSLSocket):
        raise TypeError("sock cannot be an SSLSocket; use wss: and ssl=")
    if sock.type != socket.SOCK_STREAM:
        raise ValueError(f"sock must be a stream socket, not {sock!r}")
    sock.setblocking(False)
    return sock


def _respect(context: ssl_module.SSLContext) -> None:
    # Some contexts verify certificates in Python, where the transport would call OpenSSL itself.
    if type(context).wrap_bio is not ssl_module.SSLContext.wrap_bio:
        context._aiofastnet_force_fallback_ssl = True  # type: ignore[attr-defined]


async def _sock_connect(loop: asyncio.AbstractEventLoop, sock: socket.socket, address: Any) -> None:
    """The loop's own, which in uvloop asks the resolver once more, and forgets IPv6 zones."""
    if not tcp.available():
        await loop.sock_connect(sock, address)
        return
    while True:
        try:
            sock.connect(address)
        except InterruptedError:
            break
        except BlockingIOError as exc:
            if exc.errno != errno.EAGAIN:
                break
            await asyncio.sleep(_AGAIN)  # a Unix socket whose queue is full: it says no more
        else:
            return
    writable = loop.create_future()
    loop.add_writer(sock, _settle, writable)
    try:
        await writable
    finally:
        loop.remove_writer(sock)
    number = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if number:
        raise OSError(number, os.strerror(number))


def _settle(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


async def _close_all(tasks: list[asyncio.Task[socket.socket]]) -> None:
    """Cancel those that lost the race; what one has connected all the same is closed."""
    for task in tasks:
        task.cancel()
        task.add_done_callback(_close_outcome)  # also if nobody waits for it to the end
    if tasks:
        await asyncio.wait(tasks)


def _close_outcome(task: asyncio.Task[socket.socket]) -> None:
    if not task.cancelled() and task.exception() is None:
        task.result().close()
