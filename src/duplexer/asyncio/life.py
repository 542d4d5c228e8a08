"""The life of a connection under asyncio: deadlines, back-pressure, the end.

What asyncio's Protocol is told and what happens rarely; ``handshaking`` has what comes before,
``pump`` what happens for every message, ``connection`` what the user calls.
"""

from __future__ import annotations

import asyncio
import logging
from time import monotonic  # uvloop's own clock counts milliseconds: too few for a latency
from typing import TYPE_CHECKING, Any

from duplexer.asyncio.handshaking import Handshaking
from duplexer.core.closing import Phase
from duplexer.core.events import PingReceived, PongReceived
from duplexer.core.session import Session
from duplexer.driver.clock import suspended
from duplexer.driver.progress import bytes_acked
from duplexer.errors import InvalidState

if TYPE_CHECKING:
    import uuid

    from duplexer.asyncio.pump import Pump
    from duplexer.core.staying import Staying
    from duplexer.handshake.negotiate import Agreement
    from duplexer.http.messages import Request, Response
    from duplexer.limits import Limits

__all__ = ["Life"]

_CLOSED_BOTH, _FAILED = Phase.CLOSED_BOTH, Phase.FAILED  # enums are slow to look up


class Life(Handshaking):
    """A connection without what its user calls."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        limits: Limits,
        logger: logging.Logger | logging.LoggerAdapter[Any],
        server: bool = False,
        pump: Pump | None = None,
    ) -> None:
        super().__init__(loop, limits, pump)
        self.logger = logger
        self.is_server = server
        self.use_limits(limits)
        self.request: Request | None = None
        self.response: Response | None = None
        self.subprotocol: str | None = None
        self.staying: Staying | None = None
        self._id: uuid.UUID | None = None
        self._stall: asyncio.TimerHandle | None = None
        self._half_closed = False
        self.drain_waiters: list[asyncio.Future[None]] | None = None
        self.closed_waiters: list[asyncio.Future[None]] | None = None

    def use_limits(self, limits: Limits) -> None:
        """The bounds of the connection: before it is open."""
        self.limits = limits
        self.queue_messages = (1 << 62) if limits.queue_messages is None else limits.queue_messages
        self.queue_bytes = limits.queue_bytes
        self.write_high = limits.write_high
        if self.transport is not None:
            self.transport.set_write_buffer_limits(limits.write_high)

    def _opened(self, outcome: tuple[Agreement, bytes] | None) -> int:
        if outcome is None:  # no WebSocket: it has been answered
            self.linger()
            return 0
        agreement, rest = outcome
        self.response = agreement.response
        self.subprotocol = agreement.subprotocol
        self.session = Session(
            agreement.dialect,
            server=self.is_server,
            limits=self.limits,
            extensions=agreement.extensions,
            now=monotonic(),
            suspended=suspended(),
            staying=self.staying,
        )
        if self.observer is not None:
            self.observer.opened(self)
        self.rearm()
        self.opened()
        if self.request is not None:
            self.request.headers.compact()  # most are never looked at again
        self.response.headers.compact()
        if self._early:
            rest += b"".join(self._early)
        self._early = None
        if rest and not self.lost:
            self._take_in(rest, 0, len(rest))
        return 0

    def opened(self) -> None:
        """The handshake is done."""
        raise NotImplementedError

    def put_queued(self) -> None:
        """The peer reads again: send what waits, as long as it does."""
        raise NotImplementedError

    def linger(self) -> None:
        """Close after what was written: the peer's unread bytes must not reset the connection.

        That would lose our last words. So we stop writing, and read until the peer has closed too.
        """
        if self.lost or self._half_closed:
            return
        self._half_closed = True
        if not self.transport.can_write_eof():
            self.transport.close()
            return
        self.transport.write_eof()
        if self.session is None and self.limits.close_timeout is not None:
            self._expect_until(self.limits.close_timeout)

    # -- what the pump leaves to us --------------------------------------------------------------

    def on_events(self) -> None:
        """Control frames came."""
        session = self.session
        assert session is not None
        events, session.events = session.events, None
        assert events is not None
        now = monotonic()
        session.charge(events, now)
        for event in events:
            if isinstance(event, PongReceived):
                matched = session.match_pong(event.data, now)
                if matched and self.observer is not None:
                    self.observer.pong(self, session.latency)
                for waiter, latency in matched:
                    if waiter is not None and not waiter.done():
                        waiter.set_result(latency)
            elif isinstance(event, PingReceived):
                self.logger.debug("%s: ping %s", self, event.data.hex())

    def on_closing(self) -> None:
        """The connection is not open any more: see to it that it ends."""
        session = self.session
        assert session is not None
        if not session.reads and self.receiver is not None:
            self.receiver.wake()
        if self.lost:
            return
        if self.read_paused:
            self._resume_if_room()  # while reading pauses, TLS would not see that the peer has left
        if session.phase is _CLOSED_BOTH and self.is_server:
            self._flush()
            self.transport.close()  # the server is the first to close TCP (RFC 6455 7.1.1)
        elif session.phase is _FAILED:
            self._flush()
            self.linger()

    def rearm(self) -> None:
        """Have ``on_timer`` called when the session's deadline comes."""
        session = self.session
        assert session is not None
        if self.lost or self.dropped:
            return
        now = monotonic()
        due = session.tick(now)
        if due is not None:
            self._wake_at(due, now)

    def on_timer(self) -> None:
        """A deadline has come, or has been put off."""
        self._timer = None
        session = self.session
        if self.lost:
            return
        now = monotonic()
        if session is None:
            self._expire_opening(now)
            return
        if self.write_paused:
            left, acked = self._progress()
            session.note_written(left if acked < 0 else acked)
        abort = session.expire(now, suspended())
        self._flush()
        if abort:
            self.transport.abort()
            return
        if not session.is_open:
            self.on_closing()
        self.rearm()

    # -- asyncio's Protocol ----------------------------------------------------------------------

    def eof_received(self) -> bool:
        """Part of asyncio's Protocol: the peer sends no more, so we need not either."""
        if self.session is not None:
            self.session.start_closing(monotonic())  # it has to read what is left in time
            self.rearm()
        else:
            self._eof_while_opening()
        return False

    def pause_writing(self) -> None:
        """Part of asyncio's Protocol: more than ``Limits.write_high`` bytes are buffered."""
        self.write_paused = self.crowded = True
        if self.session is not None:
            self.session.congested = True
        if self.limits.send_timeout is not None and self._stall is None:
            self.watch_stall(self.limits.send_timeout, None)

    def _progress(self) -> tuple[int, int]:
        # Bytes that have left us, and those of them that the peer has got.
        left = self.written - self.transport.get_write_buffer_size()
        return left, bytes_acked(self.transport.get_extra_info("socket"))

    def watch_stall(self, timeout: float, before: tuple[int, int] | None) -> None:
        """Nobody may hold our memory by not reading: some bytes leave in each ``send_timeout``.

        However many have been added meanwhile: of those that were ``before`` some must have left.
        """
        self._stall = None
        if not self.write_paused or self.lost:
            return
        left = self._progress()
        if left == before:
            if self.session is not None and self.session.error is None:
                self.session.error = TimeoutError(
                    f"the peer did not read for {timeout} s (Limits.send_timeout)"
                )
            self.transport.abort()
            return
        self._stall = self.loop.call_later(timeout, self.watch_stall, timeout, left)

    def resume_writing(self) -> None:
        """Part of asyncio's Protocol: the peer has caught up."""
        self.write_paused = False
        self.crowded = self.fragmenting is not None
        if self._stall is not None:
            self._stall.cancel()
            self._stall = None
        if self.session is not None:
            self.session.resume_sending()
            if self.backlog is not None:
                self.put_queued()
            if self.session.cork.size:
                self._touch()
        elif self._parked:
            self.go_on()
        waiters, self.drain_waiters = self.drain_waiters, None
        for waiter in waiters or ():
            if not waiter.done():
                waiter.set_result(None)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Part of asyncio's Protocol: it is over."""
        session = self.session
        if session is not None and self.stash is not None:
            data, self.stash = self.stash, None
            session.frames_per_turn = 1 << 62
            session.receive(data, self.stash_at, len(data))
            if self.listener is not None and session.inbox.count:
                self.call_listener()
        self.lost = True
        for timer in (self._timer, self._stall):
            if timer is not None:
                timer.cancel()
        self._timer = self._stall = None
        if session is None:
            self._lost_while_opening(exc)
        else:
            session.receive_eof(exc)
            self._release(session)
        waiters, self.closed_waiters = self.closed_waiters, None
        for waiter in waiters or ():
            if not waiter.done():
                waiter.set_result(None)

    def _release(self, session: Session) -> int:
        if session.error is not None:  # one line, whatever the handler makes of it
            self.logger.info("%s failed: %s", self, session.error)
        for waiter in session.drop_pings():
            if waiter is not None and not waiter.done():
                waiter.set_exception(session.closed_error())
                waiter.exception()  # nobody has to look at it
        waiters, self.drain_waiters = self.drain_waiters, None
        for waiter in waiters or ():
            if not waiter.done():
                waiter.set_exception(session.closed_error())
        if self.receiver is not None:
            self.receiver.wake()
        self.let_go()
        for extension in session.extensions:
            extension.release()
        if self.backlog is not None:
            self.backlog.abandon()
        if self.observer is not None:
            self.observer.ended(self)
        if self.listener is not None:
            try:
                self.listener.on_close(self, session.closed_error())
            except Exception as exc:  # the user's code
                extra = {"websocket": self}
                self.logger.error("connection handler failed", exc_info=exc, extra=extra)
        return 0

    def settle(self) -> None:
        """The close handshake has moved on: write what there is, and go on reading to its end."""
        self._flush()
        if not self.lost:
            self._resume_if_room()
            self.on_closing()
            self.rearm()

    def open_session(self) -> Session:
        """The session; :exc:`~duplexer.errors.InvalidState` while there is none."""
        if self.session is None:
            raise InvalidState("the opening handshake has not been finished")
        return self.session
