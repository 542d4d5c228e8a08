"""Accepting connections on plain sockets, without the loop's own transports.

It has the interface of ``asyncio.Server``, whose way of making sockets it uses, so that ``host``,
``port``, ``sock``, ``family``, ``reuse_port`` and the rest mean what they always do.
"""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from time import monotonic
from typing import TYPE_CHECKING, Any

import aiofastnet

from duplexer.asyncio.tcp import Poller, Tcp
from duplexer.carriers.preamble import Preamble
from duplexer.driver import netio
from duplexer.driver.handling import report_refusal
from duplexer.driver.listening import PAUSE, Shortage
from duplexer.driver.sockopts import set_options
from duplexer.limits import DEFAULT_LIMITS
from duplexer.policy.guard import Guard

if TYPE_CHECKING:
    import logging
    import ssl as ssl_module
    from collections.abc import Callable

    from duplexer.limits import Limits
    from duplexer.policy.networks import Networks

__all__ = ["Acceptor", "Several", "TlsAcceptor", "hang_up", "listen", "read_rest"]

#: Connections that are accepted before those that are open have their turn.
BATCH = 64


async def listen(
    loop: asyncio.AbstractEventLoop, limits: Limits, *, unix: bool, **kwargs: Any
) -> list[socket.socket]:
    """Bound sockets as ``loop.create_server`` (``create_unix_server``) would make them."""
    given = kwargs.get("sock")
    if isinstance(given, list):
        sockets = [_checked(one, kwargs) for one in given]
    elif given is not None:
        sockets = [_checked(given, kwargs)]
    else:
        sockets = await _bound(loop, unix, kwargs)
    for sock in sockets:
        sock.setblocking(False)
        set_options(sock, limits)
    return sockets


def _checked(sock: socket.socket, kwargs: dict[str, Any]) -> socket.socket:
    if any(kwargs.get(name) is not None for name in ("host", "port", "path")):
        raise ValueError("host, port or path and sock cannot be given together")
    if sock.type != socket.SOCK_STREAM:
        raise ValueError(f"a stream socket was expected, not {sock!r}")
    return sock


async def _bound(
    loop: asyncio.AbstractEventLoop, unix: bool, kwargs: dict[str, Any]
) -> list[socket.socket]:
    if unix and sys.version_info >= (3, 13):
        kwargs["cleanup_socket"] = False  # closing that server would unlink the path under us
    create = loop.create_unix_server if unix else loop.create_server
    server = await create(asyncio.Protocol, start_serving=False, **kwargs)
    sockets = [socket.socket(fileno=os.dup(one.fileno())) for one in server.sockets]
    server.close()
    return sockets


class Acceptor:
    """Listens, and makes a connection of each socket that it accepts."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        poller: Poller | None,
        make_wire: Callable[[], Any],
        sockets: list[socket.socket],
        backlog: int,
        logger: logging.Logger | logging.LoggerAdapter[Any],
        guard: Guard | None = None,
        introducers: Networks | None = None,
    ) -> None:
        self._introducers = introducers  # who begins with the PROXY protocol
        self._tasks: set[asyncio.Task[None]] = set()  # of those who are not past that, or TLS
        self._guard = Guard(DEFAULT_LIMITS) if guard is None else guard
        self._shortage = Shortage(self._guard, logger)
        self._loop = loop
        self._poller = poller
        self._make_wire = make_wire
        self._sockets = sockets
        self._backlog = backlog
        self._logger = logger
        self._serving = False
        self._resume: asyncio.TimerHandle | None = None
        self._closed = loop.create_future()
        if poller is not None:
            poller.hold()

    @property
    def sockets(self) -> tuple[socket.socket, ...]:
        """The listening sockets; empty once it is closed."""
        return tuple(self._sockets)

    def is_serving(self) -> bool:
        """Whether it accepts connections."""
        return self._serving

    async def start_serving(self) -> None:
        """Accept connections from now on."""
        if not self._serving and self._sockets:
            self._serving = True
            for sock in self._sockets:
                sock.listen(self._backlog)
                self._loop.add_reader(sock, self._on_acceptable, sock)

    async def serve_forever(self) -> None:
        """Accept connections until it is cancelled; then it is closed."""
        await self.start_serving()
        try:
            await self.wait_closed()
        finally:
            self.close()

    def close(self) -> None:
        """Stop accepting, and close the listening sockets.

        Who has come goes on with TLS, or the PROXY protocol, for ``open_timeout`` at most.
        """
        if self._closed.done():
            return
        self._pause()
        for sock in self._sockets:
            sock.close()
        self._sockets = []
        if self._poller is not None:
            self._poller.release()
        self._closed.set_result(None)

    def leave(self, *, takes_rest: bool, drops: bool) -> None:
        """Close it; who has come is accepted before that, or dropped if TLS is not done yet."""
        if takes_rest:
            self.accept_rest()
        self.close()
        if drops:
            self.drop()

    def drop(self) -> None:
        """Close those who are not past TLS or the PROXY protocol."""
        for task in self._tasks:
            task.cancel()

    def accept_rest(self) -> None:
        """Accept what waits in the kernel: closing the sockets would reset it."""
        if self._serving:
            for sock in self._sockets:
                for _ in range(-(-self._backlog // BATCH)):
                    self._on_acceptable(sock)

    async def wait_closed(self) -> None:
        """Wait until it is closed, and ``settled``."""
        await asyncio.shield(self._closed)
        await self.settled()

    async def settled(self) -> None:
        """Wait until those who have come are past TLS and the PROXY protocol, or have gone."""
        while self._tasks:  # after the PROXY protocol there may be TLS
            await asyncio.wait(self._tasks)

    def _pause(self) -> None:
        self._serving = False
        if self._resume is not None:
            self._resume.cancel()
            self._resume = None
        for sock in self._sockets:
            self._loop.remove_reader(sock)

    def _on_acceptable(self, sock: socket.socket) -> None:
        for _ in range(BATCH):
            if not self._serving:
                return
            try:
                accepted = netio.accept(sock.fileno())
            except ConnectionError:
                continue  # it left before we came
            except OSError as exc:
                self._on_error(exc)
                return
            if accepted is None:
                return
            self._shortage.over()
            fd, peer = accepted
            wire = self._make_wire_for(fd)
            if not self._guard.enter(wire, peer):
                socket.close(fd)
            elif self._introducers is not None and peer in self._introducers:
                own = socket.socket(fileno=fd)
                self._start(self._introduce(wire, own, peer), wire, own)
            else:
                self._connect(wire, fd, peer)

    def _make_wire_for(self, fd: int) -> Any:
        try:
            return self._make_wire()
        except BaseException:
            socket.close(fd)
            raise

    def _start(self, coroutine: Any, wire: Any, sock: socket.socket) -> None:
        def done(task: asyncio.Task[None]) -> None:
            self._tasks.discard(task)
            if task.cancelled():  # before its first step, maybe: nobody else has closed it
                sock.close()
                self._guard.leave(wire)

        task = self._loop.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(done)

    async def _introduce(self, wire: Any, sock: socket.socket, peer: Any) -> None:
        preamble = Preamble(wire.limits.max_preamble)
        try:
            async with asyncio.timeout(wire.limits.open_timeout):
                while not preamble.done:
                    preamble.feed(await self._loop.sock_recv(sock, preamble.wants))
            wire.introduce(preamble.source)
        except Exception as exc:  # noqa: BLE001 - it is reported
            sock.close()
            self._guard.leave(wire)
            if isinstance(exc, TimeoutError):
                self._guard.strike("open_timeout")
            report_refusal(wire, exc)
        else:
            self._connect(wire, sock.detach(), peer)

    def _connect(self, wire: Any, fd: int, peer: Any) -> None:
        assert self._poller is not None
        try:
            tcp = Tcp(self._poller, fd, peer, wire)
        except BaseException:
            self._guard.leave(wire)
            socket.close(fd)
            raise
        wire.connection_made(tcp)

    def _on_error(self, exc: OSError) -> None:
        # Trying at once would spin: the connection stays in the backlog, and the loop awake.
        self._shortage.met(exc)
        self._pause()
        self._resume = self._loop.call_later(PAUSE, self._go_on)

    def _go_on(self) -> None:
        self._resume = None
        self._serving = True
        for sock in self._sockets:
            self._loop.add_reader(sock, self._on_acceptable, sock)


class TlsAcceptor(Acceptor):
    """The same with TLS, by ``aiofastnet``: in a task for each handshake."""

    def __init__(
        self, *args: Any, context: ssl_module.SSLContext, timeouts: dict[str, Any], **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self._context = context
        self._timeouts = timeouts
        self._quiet: Any = _Quiet(self._loop, self._logger)

    def _connect(self, wire: Any, fd: int, peer: Any) -> None:
        sock = socket.socket(fileno=fd)
        self._start(self._secure(wire, sock, monotonic()), wire, sock)

    async def _secure(self, wire: Any, sock: socket.socket, since: float) -> None:
        try:
            await aiofastnet.connect_accepted_socket(
                self._quiet, lambda: wire, sock, ssl=self._context, **self._timeouts
            )
        except BaseException as exc:
            self._guard.leave(wire)
            sock.close()
            if not isinstance(exc, OSError):
                raise
            if isinstance(exc, ConnectionAbortedError):  # as it calls what took too long
                self._guard.strike("open_timeout")
            self._logger.debug("TLS handshake failed: %r", exc)
        else:
            wire.count_from(since)


class _Quiet:
    """An event loop to ``aiofastnet``, but for its complaints about peers.

    When one leaves in the middle of the TLS handshake, as port scanners do, that would be a
    traceback in the log (and a broken one: the exception it gives is a class).
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, logger: Any) -> None:
        self._wrapped = loop
        self._logger = logger

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._wrapped, name)
        setattr(self, name, value)
        return value

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Part of asyncio's event loop."""
        exc = context.get("exception")
        kind = exc if isinstance(exc, type) else type(exc)
        if issubclass(kind, OSError):
            self._logger.debug("%s: %r", context.get("message"), exc)
        else:
            self._wrapped.call_exception_handler(context)


def read_rest(transport: Any) -> None:
    """Read what has come already, where that is ours to do and reading has not been paused."""
    if isinstance(transport, Tcp) and transport.reading:
        transport.on_readable()


def hang_up(transport: Any) -> bool:
    """Close it after what is buffered; whether nothing is."""
    is_flushed = not transport.get_write_buffer_size()
    transport.close()
    return is_flushed


class Several:
    """Servers of the loop's own, of one socket each, as one. Of handshakes they tell nothing."""

    def __init__(self, servers: list[Any]) -> None:
        self._servers = servers

    @property
    def sockets(self) -> tuple[socket.socket, ...]:
        """The listening sockets."""
        return tuple(sock for server in self._servers for sock in server.sockets)

    def is_serving(self) -> bool:
        """Whether they accept connections."""
        return all(server.is_serving() for server in self._servers)

    async def start_serving(self) -> None:
        """Accept connections from now on."""
        for server in self._servers:
            await server.start_serving()

    def close(self) -> None:
        """Stop accepting, and close the listening sockets."""
        for server in self._servers:
            server.close()

    def leave(self, *, takes_rest: bool, drops: bool) -> None:
        """See :class:`Acceptor`."""
        self.close()

    async def settled(self) -> None:
        """See :class:`Acceptor`."""

    async def wait_closed(self) -> None:
        """Wait until all are closed."""
        for server in self._servers:
            await server.wait_closed()
