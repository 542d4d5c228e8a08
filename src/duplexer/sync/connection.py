"""A connection of threads: what its user calls. What it does meanwhile is ``pump``."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterable, Callable, Hashable, Iterator
from time import monotonic
from typing import TYPE_CHECKING, Any, Self

from duplexer.driver.base import ConnectionBase
from duplexer.driver.lanes import Lanes
from duplexer.driver.sendqueue import put_off, put_one
from duplexer.driver.streaming import WHOLE, Fragments, Pieces, check_message
from duplexer.errors import ConnectionClosed, ConnectionClosedOK
from duplexer.sync.dispatching import dispatch
from duplexer.sync.keeper import KEEPER
from duplexer.sync.pump import Pump

if TYPE_CHECKING:
    import socket

__all__ = ["Connection", "Pong", "Stream"]


class Pong(threading.Event):
    """Is set when a Ping has been answered, or cannot be any more."""

    def __init__(self, connection: Connection) -> None:
        super().__init__()
        self._connection = connection
        #: seconds from the Ping to its Pong, ``None`` before
        self.latency: float | None = None
        self.error: BaseException | None = None

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for the Pong; false if it has not come within ``timeout`` seconds.

        Raises :exc:`~duplexer.errors.ConnectionClosed` if it cannot come any more.
        """
        self._connection.work(self._is_settled, None, timeout)
        if self.error is not None:
            raise self.error
        return self.is_set()

    def _is_settled(self, _: None, now: float) -> bool | None:
        return self.is_set() or None


class Stream(Pieces):
    """The pieces of one message, as an iterator."""

    __slots__ = ()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> str | bytes:
        connection = self._connection
        while not self.finished:
            with connection.mutex:
                if connection.deserted is not None:  # who forgot to finish its message
                    connection.deserted.leave()
                    connection.deserted = None
                self.begin()
            try:
                message = connection.receive(self.reader, None)
            except ConnectionClosed:
                self.close()
                raise
            except BaseException:  # Ctrl-C
                with connection.mutex:
                    self.pause()
                raise
            with connection.mutex:
                piece = self.take(message)
            if piece is not None:
                return piece
        raise StopIteration

    def close(self) -> None:
        """Discard the rest of the message."""
        with self._connection.mutex:
            self.leave()
        self.finished = True

    def __del__(self) -> None:
        # It may come in any thread, even while this one holds the mutex: left for later.
        if self._connection.streaming is self.reader:
            self._connection.deserted = self


class Connection(Pump, ConnectionBase):
    """A WebSocket connection: the common part of clients' and servers'.

    One thread may receive while others send, ping and close.
    """

    # -- what the user asks ----------------------------------------------------------------------

    @property
    def socket(self) -> socket.socket:
        """What it runs on. Its bytes are the connection's; its options may be changed."""
        return self.wire.sock

    @property
    def buffered_amount(self) -> int:
        """Bytes that were sent and have not been handed to the kernel yet."""
        if self.lost or self.session is None:
            return 0
        return self.wire.pending + (0 if self.backlog is None else self.backlog.bytes)

    # -- receiving -------------------------------------------------------------------------------

    def __iter__(self) -> Iterator[Any]:
        """Messages until the connection is closed properly.

        Raises :exc:`~duplexer.errors.ConnectionClosedError` if it ends in any other way.
        """
        try:
            while True:
                yield self.receive(None, None)
        except ConnectionClosedOK:
            return

    def recv_streaming(self, decode: bool | None = None) -> Stream:
        """Receive the next message in pieces, as they come, without holding all of it.

        The pieces follow the reads, not the peer's fragments. Leaving the iteration early discards
        the rest of the message. ``Limits.max_message`` still holds for the whole. ``decode`` is as
        in ``recv()``.
        """
        return Stream(self, decode)

    def dispatch(
        self,
        handle: Callable[[Any], None],
        *,
        concurrency: int = 1,
        key: Callable[[Any], Hashable] | None = None,
        finish: bool = False,
    ) -> None:
        """Handle messages as they come, up to ``concurrency`` at a time, until the connection ends.

        ``handle(message)`` is called in a thread of a pool. Messages for which ``key(message)``
        gives the same are handled one after the other, in the order in which they came; ``None``
        is the key of those that may overtake any. While as many as may be are at work nothing is
        received.

        Threads cannot be cancelled: when the connection ends those at work are waited for, and
        what waits is left; with ``finish=True`` that is handled too.

        Raises what a handler raised, once the others have been waited for; otherwise nothing if the
        connection ended well, :exc:`~duplexer.errors.ConnectionClosedError` if not.
        """
        lanes = Lanes(self, concurrency, key)
        self.open_session()
        dispatch(self, handle, lanes, concurrency, finish)

    # -- sending ---------------------------------------------------------------------------------

    def send_nowait(
        self, message: Any, text: bool | None = None, *, compress: bool | None = None
    ) -> None:
        """Send a message without waiting; what the kernel does not take at once is buffered.

        Raises ``BufferError`` when more than ``Limits.write_hard`` bytes are.
        """
        if not isinstance(check_message(message), WHOLE):
            raise TypeError("message must be str or bytes-like: pieces are sent by send()")
        with self.mutex:
            if self.backlog is None:
                self.check_room(self.wire.pending)
            elif self._is_crowded():
                if not put_off(self, message, text, compress):
                    raise self.backlog.full()
                return
            self.put(message, text, compress)
            self.push()

    def queue_made(self) -> None:
        """See :class:`~duplexer.driver.base.ConnectionBase`."""
        self.detour = True

    def _is_crowded(self) -> bool:
        return self.fragmenting is not None or self.wire.pending > 0

    def send_around(self, message: Any, text: bool | None, compress: bool | None) -> bool:
        """See :class:`~duplexer.sync.pump.Pump`: the mutex is held."""
        if self.backlog is None:
            self.await_turn()
            return False
        while self._is_crowded():
            if put_off(self, message, text, compress):
                return True
            self._sleep(None)
        self.put(message, text, compress)
        self.push()
        return True

    def put_queued(self) -> bool:
        """See :class:`~duplexer.sync.pump.Pump`."""
        session, backlog = self.open_session(), self.backlog
        if backlog is None or not backlog.messages or self.fragmenting is not None:
            return False
        while backlog.messages and session.is_open and session.cork.size <= self.limits.write_high:
            put_one(self)
        return session.cork.size > 0

    def settle_now(self) -> None:
        """Write what there is, and see to the end; the mutex is held."""
        self.settle(monotonic())

    def checked(self, message: Any) -> Any:
        """See :class:`~duplexer.sync.pump.Pump`."""
        message = check_message(message)
        if isinstance(message, AsyncIterable):
            raise TypeError("message must be str, bytes-like or an iterable, not an async one")
        return message

    def send_pieces(self, pieces: Any, text: bool | None, compress: bool | None) -> None:
        """See :class:`~duplexer.sync.pump.Pump`."""
        with self.mutex:
            self.await_turn()
            while self.backlog is not None and self.backlog.messages and not self.lost:
                self._sleep(None)
            fragments = Fragments(self.open_session(), text, compress)
            self.fragmenting = threading.get_ident()
            self.detour = True
        try:
            for piece in pieces:
                with self.mutex:
                    fragments.put(piece)
                    mark = self.push(True)
                self.wait_written(mark)
            with self.mutex:
                fragments.end()
                mark = self.push(True)
        except BaseException as exc:
            with self.mutex:
                if fragments.fail(exc):
                    self.settle(monotonic())
            raise
        finally:
            with self.mutex:
                self.fragmenting = None
                self.detour = self.backlog is not None
                if self.detour:
                    self.settle_now()
                self.changed.notify_all()
        self.wait_written(mark)

    def ping(self, data: Any = None) -> Pong:
        """Send a Ping; ``wait()`` on what it gives back for the Pong.

        ``data`` is at most 125 bytes (``str`` is encoded), chosen at random when not given.
        Raises :exc:`~duplexer.errors.ConcurrencyError` if a Ping with it is under way.
        """
        pong = Pong(self)
        with self.mutex:
            self.put_ping(data, pong, monotonic())
            self.push()
        KEEPER.add(self)  # the Pong is to be read though nobody waits for it
        return pong

    def pong(self, data: Any = b"") -> None:
        """Send a Pong that nobody asked for (RFC 6455 5.5.3)."""
        with self.mutex:
            self.put_pong(data)
            self.push()

    def pong_came(self, token: Any, latency: float) -> None:
        """See :class:`~duplexer.driver.conduct.Conduct`."""
        token.latency = latency
        token.set()

    def ping_failed(self, token: Any, error: BaseException) -> None:
        """See :class:`~duplexer.driver.conduct.Conduct`."""
        token.error = error
        token.set()

    # -- closing ---------------------------------------------------------------------------------

    def close(self, code: int | None = 1000, reason: str = "") -> None:
        """Close the connection, and wait until it is closed. Closing twice does nothing.

        ``code`` is 1000 to 1003, 1007 to 1014 or 3000 to 4999 (``ValueError`` otherwise); ``None``
        sends an empty Close. ``reason`` is at most 123 bytes of UTF-8 (RFC 6455 5.5.1). It takes
        no longer than ``close_timeout``. Another thread's ``recv()`` is woken up by it.
        """
        with self.mutex:
            self.begin_close(code, reason, True)
        try:
            self.wait_closed()
        except BaseException:  # Ctrl-C
            KEEPER.add(self, at_once=True)
            raise

    def start_close(self, code: int | None = 1000, reason: str = "") -> None:
        """Send a Close without waiting for what follows."""
        with self.mutex:
            self.begin_close(code, reason)

    def begin_close(self, code: int | None, reason: str, attended: bool = False) -> None:
        """``start_close()``, for who holds the mutex."""
        now = monotonic()
        if self.session is None:
            self.drop()
        else:
            self.put_close(code, reason, now)
            self.settle(now, False, attended)

    def wait_closed(self, timeout: float | None = None) -> bool:
        """Wait until the connection is closed, by whomever; false after ``timeout`` seconds."""
        return self.work(self._is_lost, None, timeout) is not None

    def _is_lost(self, _: None, now: float) -> bool | None:
        return self.lost or None

    def rearm(self) -> None:
        """The session's deadline has been moved."""
        with self.mutex:
            self.settle(monotonic())

    def abort(self) -> None:
        """Drop the connection at once, without a Close."""
        with self.mutex:
            self.drop()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, exc_type: object, exc: object, tb: object) -> None:
        self.close(1000 if exc_type is None else 1011)
