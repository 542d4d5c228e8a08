"""A connection without its I/O, for fronts that wait by themselves: threads and trio.

::

    what was read ──► take_in()         outgoing() ──► what to write, as soon as possible
    its end       ──► take_end()        fate()     ──► what is to become of the byte stream
    the time      ──► expire()          deadline() ──► when to call that

The front reads while ``wants_bytes()``, hands out what ``next_message()`` gives, and after each of
these calls writes, looks at ``fate()`` and waits until ``deadline()``. asyncio's has the same
life, compiled and on callbacks (``duplexer.asyncio.life``). Nothing here waits or locks.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Any

from duplexer.core import opcodes
from duplexer.core.closing import Phase
from duplexer.core.events import PingReceived, PongReceived
from duplexer.core.prepared import Prepared
from duplexer.core.session import Session
from duplexer.driver.base import ConnectionBase
from duplexer.driver.clock import suspended
from duplexer.errors import ConcurrencyError, InvalidState

if TYPE_CHECKING:
    import logging
    import uuid

    from duplexer.core.staying import Staying
    from duplexer.driver.sendqueue import Backlog
    from duplexer.driver.steps import Read
    from duplexer.handshake.negotiate import Agreement
    from duplexer.http.messages import Request, Response
    from duplexer.limits import Limits

__all__ = ["Conduct", "Course", "Fate", "ReadClock", "converted"]

_CLOSED_BOTH, _FAILED = Phase.CLOSED_BOTH, Phase.FAILED


class Fate(enum.Enum):
    """What is to become of the byte stream once everything is written."""

    KEEP = "keep"
    #: Say that nothing follows, and read to the end, for ``close_timeout`` at most: closing with
    #: unread bytes would reset the connection, and the peer would never see our last words.
    LINGER = "linger"
    CLOSE = "close"


class ReadClock:
    """The time limits of an opening handshake's reads (see :class:`~duplexer.driver.steps.Read`).

    All reads of a stage share one deadline.
    """

    def __init__(self, first: float | None = None) -> None:
        """``first``: when the first stage is over, if that is known already."""
        self._stage = -1 if first is None else 0
        self.until = first  #: when the stage of the last read is over; ``None`` for never

    def due(self, read: Read, now: float) -> float | None:
        """When ``read`` has taken too long; ``None`` for never."""
        if read.stage != self._stage:
            self._stage = read.stage
            self.until = None if read.timeout is None else now + read.timeout
        return self.until


def converted(message: str | bytes, decode: bool | None) -> str | bytes:
    """``message`` as ``recv(decode=...)`` wants it; ``UnicodeDecodeError`` if it is no text."""
    if decode is True and isinstance(message, bytes):
        return message.decode()
    if decode is False and isinstance(message, str):
        return message.encode()
    return message


class Course:
    """How a connection behaves; see the figure above. ``Conduct`` adds what it tells of itself.

    A front defines ``pong_came``, ``ping_failed`` and ``is_receiving``.
    """

    def __init__(
        self,
        limits: Limits,
        logger: logging.Logger | logging.LoggerAdapter[Any],
        *,
        server: bool,
    ) -> None:
        self.limits = limits
        self.logger = logger
        self.is_server = server
        self.request: Request | None = None
        self.response: Response | None = None
        self.subprotocol: str | None = None
        self.staying: Staying | None = None
        self.backlog: Backlog | None = None  # what waits for a peer that does not read
        self.observer: Any = None
        self.written = 0  # bytes handed to the byte stream, in all
        self.session: Session | None = None
        self._id: uuid.UUID | None = None
        #: who takes a message in pieces (see :class:`~duplexer.driver.streaming.Pieces`)
        self.streaming: Any = None
        self.lost = False  # the byte stream has ended
        self._stash = b""  # what was read, but has to wait until the application has caught up
        self._most = (1 << 62) if limits.queue_messages is None else limits.queue_messages
        self._runs_dry = False  # no more messages are to come

    # -- the beginning ---------------------------------------------------------------------------

    def use_limits(self, limits: Limits) -> None:
        """The bounds of the connection, in place of those of its server: before ``establish``."""
        self.limits = limits
        self._most = (1 << 62) if limits.queue_messages is None else limits.queue_messages

    def establish(self, agreement: Agreement, rest: bytes, now: float) -> None:
        """The handshake is done, ``rest`` is what came after it."""
        self.response = agreement.response
        self.subprotocol = agreement.subprotocol
        self.session = Session(
            agreement.dialect,
            server=self.is_server,
            limits=self.limits,
            extensions=agreement.extensions,
            now=now,
            suspended=suspended(),
            staying=self.staying,
        )
        if self.observer is not None:
            self.observer.opened(self)
        if self.request is not None:
            self.request.headers.compact()  # most are never looked at again
        self.response.headers.compact()
        if rest:
            self.take_in(rest, 0, len(rest), now)

    def open_session(self) -> Session:
        """The session; :exc:`~duplexer.errors.InvalidState` while there is none."""
        if self.session is None:
            raise InvalidState("the opening handshake has not been finished")
        return self.session

    # -- receiving -------------------------------------------------------------------------------

    def take_in(self, data: Any, start: int, end: int, now: float) -> None:
        """The bytes of ``data`` from ``start`` to ``end`` were read."""
        session = self.open_session()
        if self._stash:  # a close is read to its end, but in the order in which it came
            data, self._stash = self._stash + data[start:end], b""
            start, end = 0, len(data)
        while True:
            start = session.receive(data, start, end)
            if session.events:
                self._on_events(session, now)
            over = self._is_over(session)
            if over and not session.is_open:
                session.assembler.deaf = True  # nobody has to read what comes after our Close
            if start >= end:
                break
            if over and session.is_open:
                self._stash = bytes(data[start:end])
                break
        if over and session.is_open:
            session.reading = False  # until next_message() has caught up

    def _is_over(self, session: Session) -> bool:
        inbox = session.inbox
        return inbox.count > self._most or inbox.size > self.limits.queue_bytes

    def _on_events(self, session: Session, now: float) -> None:
        events, session.events = session.events, None
        assert events is not None
        session.charge(events, now)
        for event in events:
            if isinstance(event, PongReceived):
                matched = session.match_pong(event.data, now)
                if matched and self.observer is not None:
                    self.observer.pong(self, session.latency)
                for token, latency in matched:
                    if token is not None:
                        self.pong_came(token, latency)
            elif isinstance(event, PingReceived):
                self.logger.debug("%s: ping %s", self, event.data.hex())

    def wants_bytes(self) -> bool:
        """Whether to read: not while the application is behind, except to the end of a close."""
        session = self.session
        if session is None or self.lost:
            return False
        return session.reading or not session.is_open

    def take_no_more(self) -> None:
        """See :class:`~duplexer.driver.finishing.Finishing`: Pings and the like are read on."""
        self._runs_dry = self.open_session().assembler.deaf = True

    def _has_caught_up(self, session: Session) -> bool:
        # Reading pays again when a quarter is left: or each message would cost a read.
        inbox = session.inbox
        return (
            not self._stash
            and inbox.count * 4 <= self._most
            and inbox.size * 4 <= self.limits.queue_bytes
        )

    def next_message(self, reader: Any, now: float) -> Any:
        """The next message (or ``Piece`` of one), ``None`` if there is none yet.

        ``reader`` is who asks: while somebody takes a message in pieces nobody else gets any.
        Raises :exc:`~duplexer.errors.ConnectionClosed` when there will be no more,
        :exc:`~duplexer.errors.ConcurrencyError` when somebody else waits for it.
        """
        session = self.open_session()
        if self.streaming is not None and reader is not self.streaming:
            raise ConcurrencyError("recv() is called while recv_streaming() is in a message")
        inbox = session.inbox
        if self._runs_dry and not inbox.count:
            self.finish_between()  # type: ignore[attr-defined]  # of Finishing
        if self._stash and (not inbox.count or not session.is_open):
            data, self._stash = self._stash, b""
            self.take_in(data, 0, len(data), now)
        message = inbox.pop() if inbox.count else None
        if not session.reading:
            session.reading = self._has_caught_up(session)
        if message is None:
            if self.lost or not session.reads:
                raise session.closed_error()
            if self.is_receiving():
                raise ConcurrencyError(
                    "recv() is called while another task is waiting in recv() or async for"
                )
        return message

    # -- sending ---------------------------------------------------------------------------------

    def put(self, message: Any, text: bool | None, compress: bool | None) -> None:
        """Send a whole message, :class:`~duplexer.core.prepared.Prepared` or not."""
        session = self.open_session()
        if not isinstance(message, Prepared):
            session.send_message(message, text, compress)
            return
        wire = message.wire_for(session)
        if wire is None:
            session.send_message(message.data, message.opcode == opcodes.TEXT, message.compress)
        else:
            session.send_prepared(wire[0], wire[1])

    def check_room(self, buffered: int) -> None:
        """Raise :exc:`BufferError` if so many bytes wait that what cannot wait has to fail."""
        if buffered > self.limits.write_hard:
            raise BufferError(
                f"{buffered} bytes are buffered already: the peer does not read; "
                "raise Limits.write_hard or send less"
            )

    def outgoing(self) -> bytes | list[Any]:
        """What is to be written now; empty for nothing. Long payloads are not copied."""
        session = self.session
        if session is None or not session.cork.size or self.lost:
            return b""
        self.written += session.cork.size
        return session.cork.take()

    # -- the end ---------------------------------------------------------------------------------

    def fate(self) -> Fate:
        """What is to become of the byte stream."""
        session = self.session
        if session is None or session.is_open:
            return Fate.KEEP
        if session.phase is _CLOSED_BOTH and self.is_server:
            return Fate.CLOSE  # the server is the first to close TCP (RFC 6455 7.1.1)
        return Fate.LINGER if session.phase is _FAILED else Fate.KEEP

    def deadline(self, now: float) -> float | None:
        """When ``expire`` wants to be called, if nothing comes before; ``None`` for never."""
        return None if self.session is None or self.lost else self.session.tick(now)

    def expire(self, now: float) -> bool:
        """A deadline may have come. True if the byte stream is to be dropped at once."""
        return self.session is not None and self.session.expire(now, suspended())

    def take_end(self, error: BaseException | None = None) -> None:
        """The byte stream has ended: properly, by ``error``, or because we dropped it."""
        if self.lost:
            return
        self.lost = True
        session = self.session
        if session is None:
            return
        if self._stash:
            data, self._stash = self._stash, b""
            session.frames_per_turn = 1 << 62
            session.receive(data, 0, len(data))
        session.receive_eof(error)
        if session.error is not None:  # one line, whatever the application makes of it
            self.logger.info("%s failed: %s", self, session.error)
        for token in session.drop_pings():
            if token is not None:
                self.ping_failed(token, session.closed_error())
        for extension in session.extensions:
            extension.release()
        if self.backlog is not None:
            self.backlog.abandon()
        if self.observer is not None:
            self.observer.ended(self)

    def stalled(self) -> TimeoutError:
        """The error of a peer that does not read what we write."""
        return TimeoutError(
            f"the peer did not read for {self.limits.send_timeout} s (Limits.send_timeout)"
        )

    # -- what the front defines ------------------------------------------------------------------

    def pong_came(self, token: Any, latency: float) -> None:
        """The answer to a Ping of ``put_ping`` has come after ``latency`` seconds."""
        raise NotImplementedError

    def ping_failed(self, token: Any, error: BaseException) -> None:
        """No answer will come any more."""
        raise NotImplementedError

    def is_receiving(self) -> bool:
        """Whether somebody waits for a message."""
        raise NotImplementedError


class Conduct(Course, ConnectionBase):
    """A connection without its I/O."""
