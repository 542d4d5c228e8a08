"""The life of a connection under trio: the tasks in its nursery.

::

    run() ──┬── _read      bytes in; wakes who waits in recv()
            ├── _watch     deadlines
            └── _write     only while the peer, or TLS, makes us wait

Nobody's cancellation reaches these three but that of the nursery around ``run()``: what a cancelled
``send()`` had handed over goes out whole. Plain sockets are written to at once, by the sender.

Nor does Ctrl-C, which trio raises between any two instructions of code that is not protected: it
would leave a frame half made, or written and still in the outbox. The tasks are protected, and so
is all that users call; it comes out where they wait, as a cancellation does.
"""

from __future__ import annotations

import contextlib
import os
from math import inf
from typing import TYPE_CHECKING, Any

import trio
from trio.lowlevel import (
    cancel_shielded_checkpoint,
    checkpoint_if_cancelled,
    enable_ki_protection,
)

from duplexer.driver.conduct import Conduct, Fate
from duplexer.driver.observing import lateness
from duplexer.driver.outbox import Outbox
from duplexer.driver.progress import bytes_acked
from duplexer.driver.sendqueue import put_one
from duplexer.trio.opening import BROKEN, READ_SIZE, cause_of, hidden_nursery, seconds

if TYPE_CHECKING:
    import logging
    from collections.abc import AsyncIterator

    from duplexer.driver.streaming import Fragments
    from duplexer.limits import Limits

__all__ = ["Life"]

#: What the kernel does not take at once goes to the stream in parts.
PART = 16 * 1024

#: ... in these where nothing but their end shows that the peer reads, however slowly.
SMALL_PART = 1024

#: Pieces that one system call may be given.
MOST_PIECES = 64

#: Seconds that a cancelled connection may take for a Close. It has to fit what the kernel takes.
GOODBYE = 0.1


class Life(Conduct):
    """A connection without what its user calls."""

    def __init__(
        self,
        stream: Any,
        limits: Limits,
        logger: logging.Logger | logging.LoggerAdapter[Any],
        *,
        server: bool = False,
    ) -> None:
        super().__init__(limits, logger, server=server)
        self.stream = stream
        self.receiver: trio.lowlevel.Task | None = None
        self.write_paused = False
        self.fragmenting: Fragments | None = None
        self._line = trio.StrictFIFOLock()  # those who wait to send, and who sends fragments
        self._in_line: set[trio.CancelScope] = set()
        #: cancelled to drop the connection; each part of its life has its own
        self.scope = trio.CancelScope()
        self._dropped = False
        self._crew: trio.Nursery | None = None
        self._reading = trio.CancelScope()
        self._room: trio.Event | None = None  # while reading pauses
        self._alarm = trio.CancelScope()
        self._leaving = False  # nothing is to be written after what there is
        self.outbox = Outbox()  # what is written stays in it until it has left
        self._has_writer = False
        self._idle: trio.Event | None = None  # while the writer has nothing to do
        self._torn = False  # a part is under way: nobody else may write
        self._write_error: BaseException | None = None
        self._sent = trio.lowlevel.ParkingLot()  # those who wait until what there is has left
        self._closed = trio.Event()
        self._sock = sock = getattr(self._base_stream(), "socket", None)
        self._addresses = _addresses(sock)
        self._stall_due = inf  # while something is to be written: when some of it has to have left
        self._progress = (0, 0)  # ... and what had before
        # For write(2) by whoever sends; -1 where a stream is between.
        is_plain = isinstance(stream, trio.SocketStream) and hasattr(os, "writev")
        self._fd = sock.fileno() if sock is not None and is_plain else -1

    def _base_stream(self) -> Any:
        stream = self.stream
        while isinstance(stream, trio.SSLStream):
            stream = stream.transport_stream
        return stream

    @enable_ki_protection
    def start_close(self, code: int | None = 1000, reason: str = "") -> None:
        """Send a Close without waiting for what follows."""
        if self.put_close(code, reason, trio.current_time()):
            self.settle()

    def abort(self) -> None:
        """Drop the connection at once, without a Close."""
        self._dropped = True
        self.scope.cancel()

    # -- waiting ---------------------------------------------------------------------------------

    def _poll(self, reader: Any) -> Any:
        session = self.open_session()
        try:
            return self.next_message(reader, trio.current_time())
        finally:
            if self._room is not None or session.cork.size or not session.is_open:
                self.settle()

    def _abandon(self, _: object) -> trio.lowlevel.Abort:
        self.receiver = None
        return trio.lowlevel.Abort.SUCCEEDED

    def _wake(self) -> None:
        if self.receiver is not None:
            task, self.receiver = self.receiver, None
            trio.lowlevel.reschedule(task)

    def is_receiving(self) -> bool:
        """Whether a task waits for a message."""
        return self.receiver is not None

    async def drain(self) -> None:
        """Wait until no more than ``Limits.write_high`` bytes are buffered."""
        if not self.write_paused:
            await trio.lowlevel.checkpoint()
        with lateness(self, self.write_paused):
            while self.write_paused:
                if self.lost:
                    raise self.open_session().closed_error()
                await self._sent.park()

    @contextlib.asynccontextmanager
    async def my_turn(self) -> AsyncIterator[None]:
        """Wait for those who wanted to send before; the connection's own error when it ends."""
        with trio.CancelScope() as scope:
            self._in_line.add(scope)
            try:
                if self.lost:
                    raise self.open_session().closed_error()
                await self._line.acquire()
            finally:
                self._in_line.discard(scope)
        if scope.cancelled_caught:
            raise self.open_session().closed_error()
        try:
            yield
        finally:
            self._line.release()

    # -- the tasks -------------------------------------------------------------------------------

    @enable_ki_protection
    async def run(self) -> None:
        """Live: from the end of the opening handshake to the end of the byte stream.

        It raises nothing for what the peer did. Cancelling it drops the connection, after a Close
        if that can be sent at once.
        """
        error: BaseException | None = None
        farewell: int | None = 1001
        self.scope = trio.CancelScope()
        if self._dropped:
            self.scope.cancel()
        try:
            with self.scope:
                async with hidden_nursery() as crew:
                    self._crew = crew
                    crew.start_soon(self._watch)
                    self._call_writer()
                    try:
                        self.settle()
                        error = await self._read()
                        await self._until_sent()
                        await self._close_stream()
                    finally:
                        self._crew = None
                    farewell = None
                    crew.cancel_scope.cancel()
        except Exception as exc:
            error, farewell = exc, 1011
            raise
        finally:
            with trio.CancelScope(shield=True):
                if farewell is not None and not self._dropped:
                    await self._say_goodbye(farewell)
                self._fd = -1
                await trio.aclose_forcefully(self.stream)
            self._end(error)

    async def _read(self) -> BaseException | None:
        session = self.open_session()
        error: BaseException | None = None
        try:
            with self._reading:
                if session.breach is not None:  # right behind the handshake
                    await self._break_off()
                    self.settle()
                while True:
                    if not self.wants_bytes():
                        self._room = trio.Event()
                        await self._room.wait()
                    data = await self.stream.receive_some(READ_SIZE)
                    if not data:
                        break
                    self.take_in(data, 0, len(data), trio.current_time())
                    if session.breach is not None:
                        await self._break_off()
                    if session.inbox.count:
                        self._wake()
                    self.settle()
        except BROKEN as exc:
            error = cause_of(exc)
        session.start_closing(trio.current_time())  # the peer has to read what is left in time
        self.rearm()
        return error

    async def _break_off(self) -> None:
        # Whoever reads what came before the breach has a turn for each message to answer it.
        session = self.open_session()
        self._wake()
        for _ in range(2 * session.inbox.count + 2):
            if session.breach is None:
                break
            await cancel_shielded_checkpoint()
        session.conclude()

    @enable_ki_protection
    async def _watch(self) -> None:
        while True:
            with trio.CancelScope(deadline=self._next_alarm()) as self._alarm:
                await trio.sleep_forever()
            if self.write_paused:
                written, acked = self._measure()
                self.open_session().note_written(written if acked < 0 else acked)
            drop = self.expire(trio.current_time()) or self._is_stalled()
            self.settle()
            if drop:
                self.abort()

    def _next_alarm(self) -> float:
        return min(seconds(self.deadline(trio.current_time())), self._stall_due)

    def rearm(self) -> None:
        """The session's deadline may have been moved."""
        due = self._next_alarm()
        self._alarm.deadline = min(self._alarm.deadline, due)

    def _measure(self) -> tuple[int, int]:
        return self.outbox.written, bytes_acked(self._sock)

    def _is_stalled(self) -> bool:
        # Nobody may hold our memory by not reading: some bytes leave in each send_timeout.
        now = trio.current_time()
        if now < self._stall_due:
            return False
        before, self._progress = self._progress, self._measure()
        if before != self._progress:
            self._stall_due = now + seconds(self.limits.send_timeout)
            return False
        self.open_session().error = self.stalled()
        return True

    def settle(self) -> None:
        """Something has moved on: write what there is, read on if there is room, see to the end."""
        self.flush()
        if self._room is not None and self.wants_bytes():
            self._room.set()
            self._room = None
        session = self.open_session()
        if session.restless():
            self.rearm()
        if session.is_open:
            return
        if not session.reads:
            self._wake()
        fate = self.fate()
        if fate is not Fate.KEEP and not self._leaving and self._crew is not None:
            self._leaving = True
            if fate is Fate.CLOSE:
                self._reading.cancel()
            else:
                self._crew.start_soon(self._linger)

    @property
    def read_paused(self) -> bool:
        """Whether reading waits for the application."""
        return self._room is not None

    @enable_ki_protection
    async def _linger(self) -> None:
        await self._until_sent()
        try:
            await self._base_stream().send_eof()
        except (*BROKEN, AttributeError):  # it cannot, or there is nobody any more
            self._reading.cancel()

    async def dismiss(self) -> None:
        """There is no WebSocket, and that has been answered: close, so that the answer arrives."""
        with trio.move_on_after(seconds(self.limits.close_timeout)):
            try:
                if isinstance(self.stream, trio.SSLStream):
                    await self.stream.unwrap()
                else:
                    await self.stream.send_eof()
                    while await self.stream.receive_some(READ_SIZE):
                        pass
            except (*BROKEN, AttributeError):
                pass

    async def _until_sent(self) -> None:
        while self.outbox.size:
            await self._sent.park()

    async def _close_stream(self) -> None:
        self._fd = -1
        try:
            await self.stream.aclose()  # with TLS, that says goodbye too
        except BROKEN:
            pass

    async def _say_goodbye(self, code: int) -> None:
        # Cancelled from outside, a connection says so if it need not wait for that.
        if self._torn or self._write_error is not None:
            return
        self.put_close(code, "", trio.current_time())
        self.flush()
        with trio.move_on_after(GOODBYE):
            try:
                await self.stream.send_all(self.outbox.take())
            except BROKEN:
                pass

    def _end(self, error: BaseException | None) -> None:
        self.take_end(error or self._write_error)
        self.outbox.clear()
        self._wake()
        self._sent.unpark_all()
        for scope in self._in_line:
            scope.cancel()  # whoever has the turn may be waiting for something else
        self._closed.set()

    # -- writing ---------------------------------------------------------------------------------

    def flush(self) -> None:
        """Write what was collected: as much as the kernel takes; the rest is for the writer."""
        session = self.session
        if session is None or not session.cork.size or self.lost:
            return
        outbox = self.outbox
        is_first = not outbox.size
        outbox.add(self.outgoing())
        if self._write_error is not None:
            outbox.clear()
        elif is_first and self._fd >= 0:
            self._write_at_once()
        if outbox.size:
            if outbox.size > self.limits.write_high:
                self.write_paused = session.congested = True
            self._call_writer()
        if session.restless():
            self.rearm()

    def is_crowded(self) -> bool:
        """Whether what is sent now has to wait in the send queue."""
        return self.write_paused or self.fragmenting is not None

    def put_queued(self) -> None:
        """The peer reads again: send what waits, as long as it does."""
        backlog, session = self.backlog, self.open_session()
        while backlog is not None and backlog.messages and session.is_open:
            if self.is_crowded():
                return
            put_one(self)
            if session.cork.size > self.limits.write_high:
                self.flush()
        self.flush()

    def _call_writer(self) -> None:
        if self._idle is not None:
            self._idle.set()
        elif self.outbox.size and self._crew is not None and not self._has_writer:
            self._has_writer = True
            self._crew.start_soon(self._write)

    def _write_at_once(self) -> None:
        try:
            self.outbox.left(os.writev(self._fd, self.outbox.first(MOST_PIECES)))
        except BlockingIOError:
            pass
        except OSError as exc:
            self._write_failed(exc)

    @enable_ki_protection
    async def _write(self) -> None:
        size = SMALL_PART if bytes_acked(self._sock) < 0 else PART
        try:
            while True:
                self._progress = self._measure()
                self._stall_due = trio.current_time() + seconds(self.limits.send_timeout)
                self.rearm()
                while self.outbox.size:
                    await checkpoint_if_cancelled()  # or what is cancelled would begin, and tear it
                    part = self.outbox.head(size)
                    self._torn = True
                    await self.stream.send_all(part)
                    self._torn = False
                    self._wrote(len(part))
                self._stall_due = inf
                self._idle = trio.Event()
                await self._idle.wait()
                self._idle = None
        except BROKEN as exc:
            self._write_failed(cause_of(exc))

    def _wrote(self, n: int) -> None:
        self.outbox.left(n)
        if self.write_paused and self.outbox.size * 4 <= self.limits.write_high:
            self.write_paused = False
            self.open_session().resume_sending()
            self.flush()
            if self.backlog is not None:
                self.put_queued()
            self._sent.unpark_all()
        elif not self.outbox.size:
            self._sent.unpark_all()

    def _write_failed(self, exc: BaseException) -> None:
        # What the peer said before it left may still be there to be read: that is how it ended.
        self._write_error = exc
        self._stall_due = inf
        self.outbox.clear()
        self.write_paused = True  # whoever sends hears of it when it has ended
        self._sent.unpark_all()
        if self._room is not None:
            self._reading.cancel()
        self.open_session().start_closing(trio.current_time())
        self.rearm()


def _addresses(sock: Any) -> tuple[Any, Any]:
    if sock is None:
        return None, None
    try:
        return sock.getsockname(), sock.getpeername()
    except OSError:  # the peer has left already
        return sock.getsockname(), None
