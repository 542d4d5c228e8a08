"""A connection under asyncio: what its user calls. What every message goes through is ``pump``."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Iterable
from time import monotonic
from typing import Any

from duplexer.asyncio.awaiting import Done, Receiving
from duplexer.asyncio.dispatching import dispatch
from duplexer.asyncio.life import Life
from duplexer.core import opcodes
from duplexer.core.prepared import Prepared
from duplexer.driver.base import AwaitedBase, ConnectionBase
from duplexer.driver.observing import lateness
from duplexer.driver.sendqueue import put_off, put_one
from duplexer.driver.streaming import WHOLE, AsyncPieces, Fragments, check_message
from duplexer.errors import ConnectionClosed

__all__ = ["Connection", "Listener"]

#: What there is to wait for when there is nothing to wait for.
DONE = Done()


class Listener:
    """Callbacks in place of a coroutine: the cheapest way to handle messages.

    They run in the read event: they must not block, and reply with ``ws.send_nowait()``. An
    exception in one closes the connection with 1011.
    """

    def on_open(self, ws: Connection) -> None:
        """The handshake is done."""

    def on_message(self, ws: Connection, message: str | bytes) -> None:
        """A message has come."""

    def on_close(self, ws: Connection, exc: ConnectionClosed) -> None:
        """The connection has ended; ``exc`` tells how. Nothing comes after this."""


def check_listener(listener: Any) -> Any:
    """``listener``; ``TypeError`` if it is not one, and not the class of one."""
    for name in ("on_open", "on_message", "on_close"):
        if not callable(getattr(listener, name, None)):
            kind = type(listener).__name__
            raise TypeError(f"listener must be a Listener or its class, not {kind} (no {name})")
    return listener


class Stream(AsyncPieces):
    """The pieces of one message, as an async iterator."""

    __slots__ = ()

    def __init__(self, connection: Connection, decode: bool | None) -> None:
        super().__init__(connection, decode)
        self.reader = Receiving(connection, False)

    async def receive(self) -> Any:
        """See :class:`~duplexer.driver.streaming.AsyncPieces`."""
        return await self.reader


class Connection(Life, AwaitedBase, ConnectionBase, asyncio.BufferedProtocol):
    """A WebSocket connection: the common part of clients' and servers'."""

    dispatcher = dispatch
    # A place for the user's own attributes; interpreted, the base class has one already.
    __slots__ = () if Life.__dictoffset__ else ("__dict__",)

    # -- what the user asks ----------------------------------------------------------------------

    @property
    def local_address(self) -> Any:
        """Our address; for IP a pair of host and port."""
        return None if self.transport is None else self.transport.get_extra_info("sockname")

    @property
    def remote_address(self) -> Any:
        """The peer's address; for IP a pair of host and port."""
        return None if self.transport is None else self.transport.get_extra_info("peername")

    @property
    def buffered_amount(self) -> int:
        """Bytes that were sent and have not been handed to the kernel yet."""
        if self.session is None or self.lost:
            return 0
        queued = 0 if self.backlog is None else self.backlog.bytes
        return int(queued + self.session.cork.size + self.transport.get_write_buffer_size())

    # -- receiving -------------------------------------------------------------------------------

    def recv_streaming(self, decode: bool | None = None) -> Stream:
        """Receive the next message in pieces, as they come, without holding all of it.

        The pieces follow the reads, not the peer's fragments. Leaving the iteration early discards
        the rest of the message; cancelling it does not. ``Limits.max_message`` still holds for the
        whole. ``decode`` is as in ``recv()``.
        """
        return Stream(self, decode)

    def listen(self, listener: Listener | type[Listener]) -> None:
        """The handshake is done: from now on the callbacks of ``listener`` get what comes."""
        self.listener = listener() if isinstance(listener, type) else listener
        try:
            self.listener.on_open(self)
        except Exception as exc:  # noqa: BLE001 - the user's code: it is logged
            self.on_failure(exc)

    def on_failure(self, exc: BaseException) -> None:
        """See :class:`~duplexer.asyncio.pump.Wire`."""
        extra = {"websocket": self}
        self.logger.error("connection handler failed", exc_info=exc, extra=extra)
        if self.session is not None and self.session.is_open:
            self.start_close(1011)

    def is_receiving(self) -> bool:
        """Whether a task waits for a message."""
        return self.receiver is not None

    # -- sending ---------------------------------------------------------------------------------

    def send_at_once(self, message: Any, text: bool | None, compress: bool | None) -> None:
        """What ``send_nowait()`` does when it is not simply possible."""
        if self.crowded and self.backlog is not None:
            if not put_off(self, message, text, compress):
                raise self.backlog.full()
            return
        if self.write_paused and self.buffered_amount > self.limits.write_hard:
            raise BufferError(
                f"{self.buffered_amount} bytes are buffered already: the peer does not read; "
                "raise Limits.write_hard or send less"
            )
        self.put(message, text, compress)

    def send_slowly(self, message: Any, text: bool | None, compress: bool | None) -> Any:
        """Send what is not simply a message, or when it is not simply possible."""
        message = check_message(message)
        if isinstance(message, AsyncIterable):
            return self._send_fragments(message, text, compress)
        if not isinstance(message, WHOLE):
            return self._send_fragments(_to_async(message), text, compress)
        if self.crowded:
            if self.backlog is not None:
                if put_off(self, message, text, compress):
                    return DONE
                return self._send_when_room(message, text, compress)
            if self.fragmenting is not None or isinstance(message, Prepared):
                return self._send_later(message, text, compress)
        self.put(message, text, compress)
        return self.drain()

    def put(self, message: Any, text: bool | None, compress: bool | None) -> None:
        """Send a whole message, :class:`~duplexer.core.prepared.Prepared` or not."""
        session = self.open_session()
        wire = message.wire_for(session) if isinstance(message, Prepared) else None
        if wire is not None:
            session.send_prepared(*wire)
        elif isinstance(message, Prepared):
            session.send_message(message.data, message.opcode == opcodes.TEXT, message.compress)
        else:
            session.send_message(message, text, compress)
        self.touch()

    async def _send_later(self, message: Any, text: bool | None, compress: bool | None) -> None:
        self.open_session()
        while self.crowded:
            await self._wait()
        self.put(message, text, compress)
        await self._handed_over()

    # -- the send queue --------------------------------------------------------------------------

    def put_queued(self) -> None:
        """The peer reads again: send what waits, as long as it does."""
        backlog, session = self.backlog, self.open_session()
        while backlog.messages and not self.crowded and session.is_open:
            put_one(self)

    async def _send_when_room(self, message: Any, text: bool | None, compress: bool | None) -> None:
        since = monotonic()
        while True:
            await self._wait()
            if not self.crowded:
                if self.observer is not None:
                    self.observer.sent_late(self, monotonic() - since)
                self.put(message, text, compress)
                return
            if put_off(self, message, text, compress):
                return

    async def _send_fragments(
        self, messages: AsyncIterable[Any], text: bool | None, compress: bool | None
    ) -> None:
        while self.fragmenting is not None or (self.backlog is not None and self.crowded):
            await self._wait()
        fragments = Fragments(self.open_session(), text, compress)
        self.fragmenting = fragments
        self.crowded = True
        try:
            await fragments.send_each(messages, self._handed_over, self.settle)
            self.touch()
        finally:
            self.fragmenting = None
            self.crowded = self.write_paused
            if self.backlog is not None and self.session is not None:
                self.put_queued()
            waiters, self.drain_waiters = self.drain_waiters, None
            for waiter in waiters or ():
                if not waiter.done():
                    waiter.set_result(None)

    def drain(self) -> Awaitable[None]:
        """Wait until no more than ``Limits.write_high`` bytes are buffered.

        With a send queue nobody waits for that: what comes next will wait in the queue.
        """
        return self._drained() if self.backlog is None else DONE

    async def _handed_over(self) -> None:
        self.flush()  # so that the next one who waits sees how much is buffered
        await self._drained()

    async def _drained(self) -> None:
        with lateness(self, self.write_paused):
            while self.write_paused:
                await self._wait()

    async def _wait(self) -> None:
        # Until something has changed for those who want to send; whatever it is, they look again.
        if self.lost:
            raise self.open_session().closed_error()
        waiter = self.loop.create_future()
        if self.drain_waiters is None:
            self.drain_waiters = []
        self.drain_waiters.append(waiter)
        await waiter

    async def ping(self, data: Any = None) -> Awaitable[float]:
        """Send a Ping; await what it gives back for the Pong: its latency in seconds.

        ``data`` is at most 125 bytes (``str`` is encoded), chosen at random when not given.
        Raises :exc:`~duplexer.errors.ConcurrencyError` if a Ping with it is under way.
        """
        waiter: asyncio.Future[float] = self.loop.create_future()
        self.put_ping(data, waiter, monotonic())
        self.touch()
        await self.drain()
        return waiter

    async def pong(self, data: Any = b"") -> None:
        """Send a Pong that nobody asked for (RFC 6455 5.5.3)."""
        self.put_pong(data)
        self.touch()
        await self.drain()

    # -- closing ---------------------------------------------------------------------------------

    async def wait_closed(self) -> None:
        """Wait until the connection is closed, by whomever."""
        if self.lost or self.transport is None:
            return
        waiter = self.loop.create_future()
        if self.closed_waiters is None:
            self.closed_waiters = []
        self.closed_waiters.append(waiter)
        await waiter

    def start_close(self, code: int | None = 1000, reason: str = "") -> None:
        """Send a Close without waiting for what follows."""
        if self.session is None:
            self.abort()
        elif self.put_close(code, reason, monotonic()):
            self.settle()

    def run_dry(self) -> None:
        """See :class:`~duplexer.asyncio.pump.Wire`."""
        if not self.finish_between():
            self.resume_if_room()

    def take_no_more(self) -> None:
        """See :class:`~duplexer.driver.finishing.Finishing`."""
        self.queue_messages = -1  # reading goes on when the connection closes
        self.pause_reading()

    def abort(self) -> None:
        """Drop the connection at once, without a Close."""
        if self.transport is not None:
            self.transport.abort()

    async def __aexit__(self, exc_type: object, exc: object, tb: object) -> None:
        await self.close(1000 if exc_type is None else 1011)


async def _to_async(messages: Iterable[Any]) -> AsyncIterator[Any]:
    for message in messages:
        yield message
