"""How a connection of threads moves: whoever waits for something does its work meanwhile.

::

    recv() ─┐            ┌─ one at a time reads, without the lock
    close() ├─► work() ──┤
    ping()  ┘            └─ the others sleep until it has handed over what came

Everything that changes the connection holds ``mutex``; nobody waits while holding it. What is due
while no thread of the application is here is the keeper's to do (``duplexer.sync.keeper``).
"""

from __future__ import annotations

import contextlib
import socket
import threading
from math import inf
from threading import get_ident
from time import monotonic
from typing import TYPE_CHECKING, Any

from duplexer.driver.conduct import Course, Fate, converted
from duplexer.driver.observing import lateness
from duplexer.driver.progress import bytes_acked
from duplexer.driver.streaming import WHOLE
from duplexer.errors import ConcurrencyError, ConnectionClosed
from duplexer.sync.keeper import KEEPER, READ, WRITE
from duplexer.sync.mutex import Mutex
from duplexer.sync.wire import FOREVER, Wire, wait

if TYPE_CHECKING:
    import logging
    from collections.abc import Callable

    from duplexer.driver.streaming import Pieces
    from duplexer.handshake.negotiate import Agreement
    from duplexer.limits import Limits

__all__ = ["Pump"]

#: Seconds that a deadline may be missed by, if a thread looks round then.
PATIENCE = 0.1

#: Seconds for a reader to hand over what it has read; it is woken up for that.
HANDOVER = 1.0


class Passage(Course):
    """What goes into the session, and out of it, and notices where Ctrl-C has come between."""

    def __init__(
        self,
        wire: Wire,
        limits: Limits,
        logger: logging.Logger | logging.LoggerAdapter[Any],
        *,
        server: bool,
    ) -> None:
        super().__init__(limits, logger, server=server)
        self.wire = wire
        self._amid = False  # something is half taken in, or half put: if nobody is here, for ever
        self._ended = False  # the peer said that nothing follows

    def _feed(self, now: float) -> int:
        # What was read goes to the session: so many bytes, 0 for the end, -1 if there was nothing.
        wire, session = self.wire, self.open_session()
        if not wire.is_full():
            return -1
        self._amid = True
        n = wire.taken()
        if not n:
            self._ended = True
        elif wire.layers:
            wire.receive(n)
            late = []
            while k := wire.open():
                if session.is_open and not session.reading:  # the application is behind
                    late.append(wire.plain[:k])
                else:
                    self.take_in(wire.plain, 0, k, now)
            if late:
                self._stash += b"".join(late)
            self._ended = wire.at_end
        else:
            self.take_in(wire.buffer, 0, n, now)
        self._amid = False
        return n

    def _drain(self, now: float) -> None:
        with contextlib.suppress(OSError):
            while self.wants_bytes():
                self.wire.read(0)
                if self._feed(now) <= 0:
                    break

    def put(self, message: Any, text: bool | None, compress: bool | None) -> None:
        """See :class:`~duplexer.driver.conduct.Course`."""
        if self._amid:
            self._abandon()
        self._amid = True
        try:
            Course.put(self, message, text, compress)
        except Exception:
            self._amid = False
            raise
        self._amid = False

    def _abandon(self) -> None:
        # Ctrl-C came between the bytes and what becomes of them: the rest makes no sense any more.
        self.drop(ConnectionAbortedError("a call was interrupted in the middle of a message"))

    def drop(self, error: BaseException | None = None) -> None:
        """The byte stream is over, by ``error`` if there is one."""
        raise NotImplementedError


class Pump(Passage):
    """Reads, writes and waits, for ``duplexer.sync.connection``; see above."""

    def __init__(
        self,
        wire: Wire,
        limits: Limits,
        logger: logging.Logger | logging.LoggerAdapter[Any],
        *,
        server: bool = False,
    ) -> None:
        super().__init__(wire, limits, logger, server=server)
        self.mutex = Mutex()
        self.changed = threading.Condition(self.mutex)
        self.receiver = False  # a thread waits in recv()
        self.fragmenting: int | None = None  # the thread whose fragments are under way
        self.detour = False  # they are, or there is a send queue
        self.deserted: Pieces | None = None  # it was forgotten in the middle of a message
        self.reading = False  # a thread reads, without the mutex
        self._reader = 0  # which one
        self.wakes_at = 0.0  # when it looks round, at the latest
        self.visits = 0  # how often a thread has come to read
        self._seen = -1  # visits when the keeper came
        self._polling = 0  # threads that wait until they can write
        self._sleeping = 0  # threads that wait for what others do
        self._now = 0.0  # when the last wait was over
        self._due = inf
        self._moved = 0.0  # when bytes last left
        self._acked = -1  # those that the peer had when none had left for a while
        self._finished = False  # we said that nothing follows
        self._broken: OSError | None = None  # nothing can be written any more
        self._addresses = (wire.sock.getsockname(), wire.sock.getpeername())

    def established(self, agreement: Agreement, rest: bytes) -> None:
        """The handshake is done, ``rest`` is what came after it."""
        now = self._moved = monotonic()
        with self.mutex:
            self.establish(agreement, rest, now)
            self.settle(now)
        if self.limits.ping_interval is not None or self.staying is not None:
            KEEPER.add(self)

    def is_receiving(self) -> bool:
        """Whether a thread waits for a message."""
        return self.receiver

    # -- work ------------------------------------------------------------------------------------

    def work(
        self, done: Callable[[Any, float], Any], argument: Any, timeout: float | None = None
    ) -> Any:
        """Read and write until ``done(argument, now)`` gives something, and give that back.

        ``None`` after ``timeout`` seconds; 0 looks at what is there already.
        """
        with self.mutex:
            return self._labour(done, argument, timeout)

    def _labour(
        self, done: Callable[[Any, float], Any], argument: Any, timeout: float | None
    ) -> Any:
        now = monotonic()
        until = inf if timeout is None else now + timeout
        tried = False
        while True:
            if self._amid:
                self._abandon()
            if now >= self._due:
                self.settle(now)
            result = done(argument, now)
            if result is not None or (tried and now >= until):
                return result
            self._wait(now, min(until, self._due, now + FOREVER))
            now = self._now
            tried = True

    def _wait(self, now: float, until: float) -> None:
        # The mutex is held before and after, but not while it waits.
        wire, session = self.wire, self.session
        if session is not None and session.breach is not None and not self.receiver:
            session.conclude()  # whoever might answer what came before does something else
            self.settle(now)
            self._now = now
        elif self._may_read() and not self._ended and self.wants_bytes():
            self._read(now, until)
        elif wire.pending and not self.lost:
            self._polling += 1
            writable = False
            try:
                self.mutex.release()
                writable = wait(wire.sock, read=False, write=True, timeout=until - now)
            finally:
                try:
                    self.mutex.regain()
                except BaseException:  # Ctrl-C
                    self.mutex.regain()
                    raise
                finally:
                    self._polling -= 1
                    self._leave()
            self._now = monotonic()
            self.settle(self._now, writable)
        else:
            self._sleep(until - now)
            self._now = monotonic()

    def _sleep(self, timeout: float | None) -> None:
        self._sleeping += 1
        try:
            self.changed.wait(timeout)
        finally:
            try:
                self.mutex.regain()  # Ctrl-C may leave it released
            except BaseException:
                self.mutex.regain()
                raise
            finally:
                self._sleeping -= 1

    def _read(self, now: float, until: float) -> None:
        wire = self.wire
        error: OSError | None = None
        polls = wire.pending > 0
        writable = False
        self.visits += 1
        self.wakes_at = until
        outer, me = self._reader, get_ident()  # outer: a signal handler is within a read of ours
        if outer and wire.is_full():  # that has come so far
            self._arrived(None, False)
            return
        self._reader = me
        self.reading = True
        self._polling += polls
        try:
            self.mutex.release()
            if polls:
                writable = wait(wire.sock, read=True, write=True, timeout=until - now)
                until = now
            wire.read(until - now)
        except OSError as exc:
            error = exc
        finally:
            try:
                self.mutex.regain()
            except BaseException:  # Ctrl-C, not for the first time
                self.mutex.regain()
                raise
            finally:
                self._reader = outer
                self.reading = outer != 0
                self._polling -= polls
                self._arrived(error, writable)

    def _may_read(self) -> bool:
        # Who is in a signal handler may: the read that it has interrupted can do nothing meanwhile.
        return not self.reading or self._reader == get_ident()

    def _arrived(self, error: OSError | None, writable: bool) -> None:
        now = self._now = monotonic()
        if self.lost:
            self._leave()
            return
        session = self.session
        assert session is not None
        try:
            self._feed(now)
        except OSError as exc:  # TLS
            error = exc
        if self._broken is not None:
            self._drain(now)
            self.drop(self._broken)
        elif error is not None:
            self.drop(error)
        elif (
            self._ended
            or session.cork.size
            or self.wire.pending
            or not session.is_open
            or session.restless()
        ):
            self.settle(now, writable)
        if self._sleeping:
            self.changed.notify_all()

    def settle(self, now: float, writable: bool = False, attended: bool = False) -> None:
        """After whatever happened: write, and see what is to become of the byte stream.

        ``writable``: a wait until it can be written is over. ``attended``: this thread will wait
        for what is left to be done.
        """
        session, wire = self.session, self.wire
        if session is None or self.lost:
            return
        try:
            self._write(now, writable)
            if now >= self._due:
                if wire.pending:
                    acked = bytes_acked(wire.sock)
                    session.note_written(wire.total - wire.pending if acked < 0 else acked)
                over = self.expire(now)
                self._write(now, False)  # a Ping, or the last words
                if over:
                    self.drop()
                    return
            if wire.pending:
                if self._ended:
                    session.start_closing(now)  # what is buffered has so long to leave
            elif self._ended or self.fate() is Fate.CLOSE:
                wire.finish()
                self.drop()
                return
            elif self.fate() is Fate.LINGER and not self._finished:
                self._finished = True
                wire.finish()
                wire.shutdown(socket.SHUT_WR)
        except OSError as exc:
            self._break(exc)
            return
        due = self.deadline(now)
        self._due = inf if due is None else due
        if wire.pending and self.limits.send_timeout is not None:
            stalled = self._moved + self.limits.send_timeout
            if now >= stalled:
                acked = bytes_acked(wire.sock)  # it may read what our kernel had for it
                if acked == self._acked:
                    self.drop(self.stalled())
                    return
                self._acked, self._moved = acked, now
                stalled = now + self.limits.send_timeout
            self._due = min(self._due, stalled)
        if (wire.pending or not session.is_open) and not (attended or self._polling):
            KEEPER.add(self, at_once=wire.pending > 0)
        if self._sleeping:
            self.changed.notify_all()

    def _write(self, now: float, writable: bool) -> None:
        wire, session = self.wire, self.session
        assert session is not None
        if wire.torn:
            raise ConnectionAbortedError("a write was interrupted: what went out is not known")
        while True:
            # Whoever waits until it can be written does the writing: others would write what it
            # waits for, and leave it waiting for what has happened already.
            if not wire.pending or ((writable or not self._polling) and wire.flush()):
                self._moved = now
            if session.cork.size:
                self._amid = True
                wire.put(self.outgoing())
                self._amid = False
            if wire.pending:
                session.congested = True
                return
            if session.congested:
                session.resume_sending()
            elif not (self.detour and self.put_queued()):
                return

    def _break(self, error: OSError) -> None:
        # It cannot be written to any more. What the peer said before may still be there.
        self._amid = False
        self.wire.discard()
        self.wire.shutdown(socket.SHUT_RDWR)
        self._broken = self._broken or error
        until = monotonic() + HANDOVER
        while not (self._may_read() or self.lost) and (left := until - monotonic()) > 0:
            self._sleep(left)  # it may have the peer's last words in its hands
        if self._may_read():
            self._drain(monotonic())
        self.drop(self._broken)

    def drop(self, error: BaseException | None = None) -> None:
        """The byte stream is over, by ``error`` if there is one."""
        if self.lost:
            return
        self.take_end(error)
        self.wire.discard()
        self.wire.shutdown(socket.SHUT_RDWR)
        KEEPER.forget(self)
        self._leave()
        if self._sleeping:
            self.changed.notify_all()

    def _leave(self) -> None:
        # Whoever still waits for the socket is woken up, and closes it in our place.
        if self.lost and not self.reading and not self._polling:
            self.wire.sock.close()

    def tend(self, now: float, readable: bool) -> tuple[int, float]:
        """The keeper has come: what it is to wait for, and until when."""
        with self.mutex:
            if self._amid:
                self._abandon()
            idle, self._seen = self._seen == self.visits, self.visits
            # Before anybody is judged: what may have come meanwhile.
            looks = (readable or now >= self._due) and not self._ended and self.wants_bytes()
            if looks and not self.reading:
                error: OSError | None = None
                try:
                    self.wire.read(0)
                except OSError as exc:
                    error = exc
                self._arrived(error, False)
            session = self.open_session()
            if idle and not self.receiver:
                session.conclude()
            if now >= self._due or self.wire.pending or session.cork.size:
                self.settle(now, False, True)
            if self.lost:
                return 0, inf
            wants = idle and not self.reading and not self._ended and self.wants_bytes()
            writes = self.wire.pending > 0 and not self._polling
            looks = self.reading and self.wakes_at <= self._due + PATIENCE
            return wants * READ | writes * WRITE, inf if looks else self._due

    # -- messages ---------------------------------------------------------------------------------

    def recv(self, timeout: float | None = None, decode: bool | None = None) -> Any:
        """Receive the next message: ``str`` for text, ``bytes`` for binary.

        ``TimeoutError`` if none has come within ``timeout`` seconds (0: if none is there); nothing
        is lost by that. ``decode=True`` gives ``str`` and ``decode=False`` gives ``bytes``
        whatever was sent. Raises :exc:`~duplexer.errors.ConnectionClosed` when there will be no
        more, :exc:`~duplexer.errors.ConcurrencyError` while another thread receives.
        """
        message = self.receive(None, timeout)
        if message is None:
            raise TimeoutError(f"no message came within {timeout} s")
        return message if decode is None else converted(message, decode)

    def receive(self, reader: Any, timeout: float | None) -> Any:
        """The next message for ``reader`` (see ``next_message``); ``None`` after ``timeout``."""
        with self.mutex:
            if self.deserted is not None:
                self.deserted.leave()
                self.deserted = None
            try:
                message = self.next_message(reader, self._now)
                if message is not None:
                    return message
                try:
                    return self._labour(self._next, reader, timeout)
                finally:
                    self.receiver = False
            except ConnectionClosed:
                self.settle(monotonic())  # a breach behind the last message has its answer now
                raise

    def _next(self, reader: Any, now: float) -> Any:
        self.receiver = False  # it is this thread that does not wait now
        message = self.next_message(reader, now)
        self.receiver = message is None
        return message

    def send(self, message: Any, text: bool | None = None, *, compress: bool | None = None) -> None:
        """Send a message: ``str`` as text, bytes-like as binary, unless ``text`` says otherwise.

        An iterable of either is sent as fragments of one message. It returns when the kernel has
        all of it, and waits while the peer does not read. ``compress`` overrides the extension's
        choice for this message. Raises :exc:`~duplexer.errors.ConnectionClosed`.
        """
        if type(message) is not str and type(message) is not bytes:
            message = self.checked(message)
            if not isinstance(message, WHOLE):
                self.send_pieces(message, text, compress)
                return
        with self.mutex:
            if self.detour and self.send_around(message, text, compress):
                return
            self.put(message, text, compress)
            mark = self.push(True)
        if mark:
            self.wait_written(mark)

    def send_around(self, message: Any, text: bool | None, compress: bool | None) -> bool:
        """What to do first while ``detour`` is set; true if that has sent it."""
        raise NotImplementedError

    def put_queued(self) -> bool:
        """The peer reads again: put some of what waits; false if nothing does."""
        raise NotImplementedError

    def checked(self, message: Any) -> Any:
        """``message`` as it can be sent, whole or in pieces."""
        raise NotImplementedError

    def send_pieces(self, pieces: Any, text: bool | None, compress: bool | None) -> None:
        """Send the fragments of a message."""
        raise NotImplementedError

    def push(self, attended: bool = False) -> int:
        """Write what was put: 0 if the kernel took all, otherwise a mark for ``wait_written()``."""
        wire, session = self.wire, self.open_session()
        if not (wire.pending or wire.torn):
            self._amid = True
            try:
                wire.put(self.outgoing())
            except OSError as exc:
                self._break(exc)
            else:
                self._amid = False
                if not wire.pending and not session.restless():
                    return 0
        self.settle(monotonic(), False, attended)
        if self.lost:
            raise session.closed_error()
        return wire.total if wire.pending else 0

    def wait_written(self, mark: int) -> None:
        """Wait until what ``push()`` could not write has been written."""
        try:
            if mark:
                with lateness(self):
                    self.work(self._is_written, mark)
        except BaseException:
            if not self.lost:  # Ctrl-C
                KEEPER.add(self, at_once=True)
            raise

    def _is_written(self, mark: int, now: float) -> bool | None:
        wire = self.wire
        if self.lost:
            raise self.open_session().closed_error()
        if self._broken is not None:
            return None  # what was pending has gone nowhere; the end is being seen to
        return wire.total - wire.pending >= mark or None

    def await_turn(self) -> None:
        """Wait until nobody's fragments are under way; the mutex is held."""
        while self.fragmenting is not None:
            if self.fragmenting == get_ident():
                raise ConcurrencyError("send() is called by the pieces of a message being sent")
            self._sleep(None)
