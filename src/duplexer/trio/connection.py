"""A connection under trio: what its user calls."""

from __future__ import annotations

from collections.abc import AsyncIterable, Generator, Iterable
from typing import Any, Self

import trio
from trio.lowlevel import (
    cancel_shielded_checkpoint,
    checkpoint_if_cancelled,
    disable_ki_protection,
    enable_ki_protection,
)

from duplexer.driver.base import AwaitedBase
from duplexer.driver.conduct import converted
from duplexer.driver.sendqueue import put_off
from duplexer.driver.streaming import WHOLE, AsyncPieces, Fragments, check_message
from duplexer.errors import ConnectionClosedOK
from duplexer.trio.dispatching import dispatch
from duplexer.trio.life import Life
from duplexer.trio.opening import is_cancelled

__all__ = ["Connection", "Pong"]

_SIMPLE = (str, bytes, bytearray, memoryview)


class Pong:
    """What ``ping()`` gives back: an event that is set when the answer comes."""

    def __init__(self) -> None:
        self._event = trio.Event()
        self._error: BaseException | None = None
        #: seconds between the Ping and its Pong
        self.latency = 0.0

    def settle(self, latency: float, error: BaseException | None = None) -> None:
        """The answer has come, or will not any more."""
        self.latency = latency
        self._error = error
        self._event.set()

    def is_set(self) -> bool:
        """Whether there is an answer, or there will be none."""
        return self._event.is_set()

    async def wait(self) -> float:
        """Wait for the answer: its latency in seconds.

        Raises :exc:`~duplexer.errors.ConnectionClosed` if the connection ends before.
        """
        await self._event.wait()
        if self._error is not None:
            raise self._error
        return self.latency

    def __await__(self) -> Generator[Any, None, float]:
        return self.wait().__await__()


class Stream(AsyncPieces):
    """The pieces of one message, as an async iterator."""

    __slots__ = ()

    async def receive(self) -> Any:
        """See :class:`~duplexer.driver.streaming.AsyncPieces`."""
        return await self._connection.receive(self.reader)

    @enable_ki_protection
    async def __anext__(self) -> str | bytes:
        return await super().__anext__()


class Connection(Life, AwaitedBase):
    """A WebSocket connection: the common part of clients' and servers'."""

    dispatcher = dispatch

    # -- what the user asks ----------------------------------------------------------------------

    @property
    def buffered_amount(self) -> int:
        """Bytes that were sent and have not been handed to the kernel yet."""
        if self.session is None or self.lost:
            return 0
        queued = 0 if self.backlog is None else self.backlog.bytes
        return queued + self.session.cork.size + self.outbox.size

    # -- receiving -------------------------------------------------------------------------------

    @enable_ki_protection
    async def recv(self, decode: bool | None = None) -> Any:
        """Receive the next message: ``str`` for text, ``bytes`` for binary.

        ``decode=False`` gives text as ``bytes``, ``decode=True`` binary as ``str``. Cancelling it
        loses no message. Raises :exc:`~duplexer.errors.ConnectionClosed` when there will be none,
        :exc:`~duplexer.errors.ConcurrencyError` when another task receives.
        """
        return converted(await self.receive(None), decode)

    @enable_ki_protection
    def recv_streaming(self, decode: bool | None = None) -> Stream:
        """Receive the next message in pieces, as they come, without holding all of it.

        The pieces follow the reads, not the peer's fragments. Leaving the iteration early discards
        the rest of the message; cancelling it does not. ``Limits.max_message`` still holds for the
        whole. ``decode`` is as in ``recv()``.
        """
        return Stream(self, decode)

    def __aiter__(self) -> Self:
        return self

    @enable_ki_protection
    async def __anext__(self) -> Any:
        try:
            return await self.receive(None)
        except ConnectionClosedOK:
            raise StopAsyncIteration from None

    @enable_ki_protection
    async def receive(self, reader: Any) -> Any:
        """The next message, or piece of one, for ``reader`` (see ``next_message``)."""
        await checkpoint_if_cancelled()
        message = self._poll(reader)
        if message is not None:
            await cancel_shielded_checkpoint()
        while message is None:
            self.receiver = trio.lowlevel.current_task()
            await trio.lowlevel.wait_task_rescheduled(self._abandon)
            message = self._poll(reader)
        return message

    # -- sending ---------------------------------------------------------------------------------

    @enable_ki_protection
    async def send(
        self, message: Any, text: bool | None = None, *, compress: bool | None = None
    ) -> None:
        """Send a message: ``str`` as text, bytes-like as binary (``text=`` says otherwise).

        An iterable or an async iterable of these is sent as one fragmented message. ``compress``
        overrides whether to compress it. It waits while more than ``Limits.write_high`` bytes are
        buffered; cancelling it leaves no half frame: a whole message has been taken over by then.

        Raises ``TypeError`` for anything else, :exc:`~duplexer.errors.ConnectionClosed` when the
        connection is not open.
        """
        await checkpoint_if_cancelled()
        if not isinstance(message, _SIMPLE):
            message = check_message(message)
            if not isinstance(message, WHOLE):
                await self._send_fragments(_Each(message), text, compress)
                return
        if self.backlog is not None:
            await self._send_queued(message, text, compress)
            return
        if self.write_paused or self._line.locked():
            async with self.my_turn():
                await self.drain()
                self.put(message, text, compress)
                self.flush()
        else:
            self.put(message, text, compress)
        await self._handed_over()

    async def _send_queued(self, message: Any, text: bool | None, compress: bool | None) -> None:
        while self.is_crowded():
            if put_off(self, message, text, compress):
                break
            await self._sent.park()
        else:
            self.put(message, text, compress)
            self.flush()
        await cancel_shielded_checkpoint()

    async def _handed_over(self) -> None:
        self.flush()
        if self.write_paused:
            await self.drain()
        else:
            await cancel_shielded_checkpoint()

    @enable_ki_protection
    def send_nowait(
        self, message: Any, text: bool | None = None, *, compress: bool | None = None
    ) -> None:
        """Send without ever waiting.

        Raises :exc:`BufferError` when more than ``Limits.write_hard`` bytes are buffered: the peer
        does not read. Otherwise as ``send()``; fragmented messages need ``send()``.
        """
        if self.backlog is None:
            self.check_room(self.buffered_amount)
        elif self.is_crowded():
            if not put_off(self, message, text, compress):
                raise self.backlog.full()
            return
        self.put(message, text, compress)
        self.flush()

    async def _send_fragments(
        self, messages: _Each, text: bool | None, compress: bool | None
    ) -> None:
        async with self.my_turn():
            while self.backlog is not None and self.backlog.messages and not self.lost:
                await self._sent.park()
            fragments = Fragments(self.open_session(), text, compress)
            self.fragmenting = fragments
            try:
                await fragments.send_each(messages, self._handed_over, self.settle)
                await self._handed_over()
            finally:
                self.fragmenting = None
                if self.backlog is not None and not self.lost:
                    self.put_queued()
                    self._sent.unpark_all()

    @enable_ki_protection
    async def ping(self, data: Any = None) -> Pong:
        """Send a Ping; wait for what it gives back: ``latency = await pong.wait()``.

        ``data`` is at most 125 bytes (``str`` is encoded), chosen at random when not given.
        Raises :exc:`~duplexer.errors.ConcurrencyError` if a Ping with it is under way.
        """
        await checkpoint_if_cancelled()
        pong = Pong()
        self.put_ping(data, pong, trio.current_time())
        await self._handed_over()
        return pong

    @enable_ki_protection
    async def pong(self, data: Any = b"") -> None:
        """Send a Pong that nobody asked for (RFC 6455 5.5.3)."""
        await checkpoint_if_cancelled()
        self.put_pong(data)
        await self._handed_over()

    def pong_came(self, token: Pong, latency: float) -> None:
        """See :class:`~duplexer.driver.conduct.Conduct`."""
        token.settle(latency)

    def ping_failed(self, token: Pong, error: BaseException) -> None:
        """See :class:`~duplexer.driver.conduct.Conduct`."""
        token.settle(0.0, error)

    # -- closing ---------------------------------------------------------------------------------

    @enable_ki_protection
    async def close(self, code: int | None = 1000, reason: str = "") -> None:
        """Close the connection, and wait until it is closed. Closing twice does nothing.

        ``code`` is 1000 to 1003, 1007 to 1014 or 3000 to 4999 (``ValueError`` otherwise); ``None``
        sends an empty Close. ``reason`` is at most 123 bytes of UTF-8 (RFC 6455 5.5.1). It takes
        no longer than ``close_timeout``.
        """
        self.start_close(code, reason)
        await self.wait_closed()

    aclose = close

    async def wait_closed(self) -> None:
        """Wait until the connection is closed, by whomever."""
        await self._closed.wait()

    async def __aexit__(self, exc_type: Any, exc: BaseException | None, tb: object) -> None:
        if exc is not None and is_cancelled(exc):
            self.start_close(1001)  # whoever is cancelled waits for nothing
        else:
            await self.close(1000 if exc is None else 1011)


class _Each:
    """What an iterable gives, asynchronous or not: code of the user's, which Ctrl-C may end.

    No generator: one that is left in the middle wants closing.
    """

    def __init__(self, messages: AsyncIterable[Any] | Iterable[Any]) -> None:
        is_async = isinstance(messages, AsyncIterable)
        self._messages: Any = aiter(messages) if is_async else iter(messages)  # type: ignore[arg-type]
        self._is_async = is_async

    def __aiter__(self) -> Self:
        return self

    @disable_ki_protection
    async def __anext__(self) -> Any:
        if self._is_async:
            return await anext(self._messages)
        for message in self._messages:
            return message
        raise StopAsyncIteration
