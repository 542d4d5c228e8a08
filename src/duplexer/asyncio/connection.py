"""A connection under asyncio: what its user calls. What every message goes through is ``pump``."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Iterable, Mapping
from inspect import isawaitable
from typing import TYPE_CHECKING, Any, Self

from duplexer.asyncio.pump import Wire
from duplexer.core import opcodes
from duplexer.core.closing import Phase
from duplexer.core.events import Piece, PingReceived, PongReceived
from duplexer.core.prepared import Prepared
from duplexer.core.session import Session, contiguous
from duplexer.driver.base import ConnectionBase
from duplexer.driver.steps import Call, Read, Write
from duplexer.errors import (
    ConcurrencyError,
    ConnectionClosed,
    InvalidState,
)

if TYPE_CHECKING:
    import uuid

    from duplexer.driver.steps import Steps
    from duplexer.handshake.negotiate import Agreement
    from duplexer.http.messages import Request, Response
    from duplexer.limits import Limits

__all__ = ["Connection", "Listener"]


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


class Connection(Wire, ConnectionBase, asyncio.BufferedProtocol):
    """A WebSocket connection: the common part of clients' and servers'."""

    # A place for the user's own attributes; interpreted, the base class has one already.
    __slots__ = (
        *(() if Wire.__dictoffset__ else ("__dict__",)),
        "_call_task",
        "_closed_waiters",
        "_drain_waiters",
        "_early",
        "_half_closed",
        "_id",
        "_open_timer",
        "_stage",
        "_stall",
        "_steps",
        "_timer",
        "_timer_due",
        "limits",
        "request",
        "response",
        "subprotocol",
    )

    logger: logging.Logger | logging.LoggerAdapter[Any] = logging.getLogger("duplexer")
    is_server = False

    def __init__(self, loop: asyncio.AbstractEventLoop, limits: Limits) -> None:
        super().__init__(loop)
        self.limits = limits
        self.queue_messages = (1 << 62) if limits.queue_messages is None else limits.queue_messages
        self.queue_bytes = limits.queue_bytes
        self.write_high = limits.write_high
        self.request: Request | None = None
        self.response: Response | None = None
        self.subprotocol: str | None = None
        self._id: uuid.UUID | None = None
        self._steps: Steps | None = None
        self._call_task: asyncio.Future[Any] | None = None
        self._early: list[bytes] | None = None
        self._open_timer: asyncio.TimerHandle | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._timer_due = 0.0
        self._stall: asyncio.TimerHandle | None = None
        self._stage = -1
        self._half_closed = False
        self._drain_waiters: list[asyncio.Future[None]] | None = None
        self._closed_waiters: list[asyncio.Future[None]] | None = None

    def __repr__(self) -> str:
        return self._describe(remote=self.remote_address)

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
        return int(self.session.cork.size + self.transport.get_write_buffer_size())

    # -- receiving -------------------------------------------------------------------------------

    async def recv_streaming(self, decode: bool | None = None) -> AsyncIterator[str | bytes]:
        """Receive the next message in pieces, as they come, without holding all of it.

        The pieces follow the reads, not the peer's fragments. Leaving the iteration early discards
        the rest of the message. ``Limits.max_message`` still holds for the whole.
        """
        session = self._open_session()
        assembler = session.assembler
        if self.receiver is not None:
            raise ConcurrencyError("recv_streaming() is called while another task is receiving")
        if not session.inbox.count:
            assembler.streaming = True
            assembler.flush_piece()
        finished = False
        empty = True
        try:
            while not finished:
                message = await self.recv()
                finished = True
                if isinstance(message, Piece):
                    finished = message.fin
                    message = message.data
                if message or (finished and empty):
                    empty = False
                    if decode is False and isinstance(message, str):
                        message = message.encode()
                    elif decode and isinstance(message, bytes):
                        message = message.decode()
                    yield message
        finally:
            if not finished:
                assembler.abandon()

    # -- sending ---------------------------------------------------------------------------------

    def send_nowait(
        self, message: Any, text: bool | None = None, *, compress: bool | None = None
    ) -> None:
        """Send without ever waiting, for callbacks.

        Raises :exc:`BufferError` when more than ``Limits.write_hard`` bytes are buffered: the peer
        does not read. Otherwise as ``send()``; fragmented messages need ``send()``.
        """
        session = self._open_session()
        if self.write_paused and self.buffered_amount > self.limits.write_hard:
            raise BufferError(
                f"{self.buffered_amount} bytes are buffered already: the peer does not read; "
                "raise Limits.write_hard or send less"
            )
        if isinstance(message, Prepared):
            self._send_prepared(message)
            return
        session.send_message(message, text, compress)
        self.touch()

    def send_slowly(self, message: Any, text: bool | None, compress: bool | None) -> Any:
        """Send what is not simply a message, or when it is not simply possible."""
        if isinstance(message, (str, bytes, bytearray, memoryview, Prepared)):
            if isinstance(message, Prepared) and self.fragmenting is None and not self.write_paused:
                self._send_prepared(message)
                return self.drain()
            return self._send_later(message, text, compress)
        if isinstance(message, Mapping):
            raise TypeError("message must be str, bytes-like or an iterable, not a mapping")
        if isinstance(message, AsyncIterable):
            return self._send_fragments(message, text, compress)
        if isinstance(message, Iterable):
            try:
                view = contiguous(message)
            except TypeError:
                return self._send_fragments(_to_async(message), text, compress)
            return self.send(view, text, compress=compress)
        raise TypeError(
            f"message must be str, bytes-like or an iterable of these, not {type(message).__name__}"
        )

    def _send_prepared(self, message: Prepared) -> None:
        session = self._open_session()
        wire = message.wire_for(session)
        if wire is None:
            session.send_message(message.data, message.opcode == opcodes.TEXT, message.compress)
        else:
            session.send_prepared(*wire)
        self.touch()

    async def _send_later(self, message: Any, text: bool | None, compress: bool | None) -> None:
        self._open_session()
        while self.fragmenting is not None or self.write_paused:
            if self.fragmenting is not None:
                await asyncio.shield(self.fragmenting)
            else:
                await self.drain()
        if isinstance(message, Prepared):
            self._send_prepared(message)
        else:
            self._open_session().send_message(message, text, compress)
        self.flush()  # so that the next one who waits sees how much is buffered
        await self.drain()

    async def _send_fragments(
        self, messages: AsyncIterable[Any], text: bool | None, compress: bool | None
    ) -> None:
        # The first piece says whether it is text; the last frame is an empty one, because only the
        # end of the iteration says which piece was the last.
        while self.fragmenting is not None:
            await asyncio.shield(self.fragmenting)
        session = self._open_session()
        self.fragmenting = self.loop.create_future()
        kind: bool | None = None
        try:
            async for piece in messages:
                is_text = isinstance(piece, str)
                if kind is None:
                    kind = is_text
                elif is_text is not kind:
                    raise TypeError("all pieces of a message must be str, or all bytes-like")
                data = piece.encode() if is_text else bytes(contiguous(piece))
                session.send_part(data, kind if text is None else text, False, compress)
                self.flush()
                await self.drain()
            if kind is not None:
                session.send_part(b"", False, True)
                self.touch()
        except BaseException as exc:
            # Half a message is out, and it cannot be finished: the connection is of no use.
            if kind is not None and session.sending and session.is_open:
                session.fail(exc, 1011, "error in fragmented message")
                self.settle()
            raise
        finally:
            self.fragmenting.set_result(None)
            self.fragmenting = None

    async def drain(self) -> None:
        """Wait until no more than ``Limits.write_high`` bytes are buffered."""
        while self.write_paused:
            if self.lost:
                raise self._open_session().closed_error()
            waiter = self.loop.create_future()
            if self._drain_waiters is None:
                self._drain_waiters = []
            self._drain_waiters.append(waiter)
            await waiter

    async def ping(self, data: Any = None) -> Awaitable[float]:
        """Send a Ping; await what it gives back for the Pong: its latency in seconds.

        ``data`` is at most 125 bytes (``str`` is encoded), chosen at random when not given.
        Raises :exc:`~duplexer.errors.ConcurrencyError` if a Ping with it is under way.
        """
        session = self._open_session()
        payload = session.new_ping_payload() if data is None else _control_payload(data)
        if session.is_pinging(payload):
            raise ConcurrencyError("already waiting for a pong with the same data")
        waiter: asyncio.Future[float] = self.loop.create_future()
        session.send_ping(payload, waiter, self.loop.time())
        self.touch()
        await self.drain()
        return waiter

    async def pong(self, data: Any = b"") -> None:
        """Send a Pong that nobody asked for (RFC 6455 5.5.3)."""
        session = self._open_session()
        payload = _control_payload(data)
        if not session.is_open:
            raise session.closed_error()
        session.send_pong(payload)
        self.touch()
        await self.drain()

    # -- closing ---------------------------------------------------------------------------------

    async def close(self, code: int | None = 1000, reason: str = "") -> None:
        """Close the connection, and wait until it is closed. Closing twice does nothing.

        ``code`` is 1000 to 1003, 1007 to 1014 or 3000 to 4999 (``ValueError`` otherwise); ``None``
        sends an empty Close. ``reason`` is at most 123 bytes of UTF-8 (RFC 6455 5.5.1). It takes
        no longer than ``close_timeout``.
        """
        self.start_close(code, reason)
        await self.wait_closed()

    def start_close(self, code: int | None = 1000, reason: str = "") -> None:
        """Send a Close without waiting for what follows."""
        session = self.session
        if session is None:
            if self.transport is not None:
                self.transport.abort()
            return
        try:
            session.send_close(code, reason, self.loop.time())
        except InvalidState:
            return
        self.settle()

    def settle(self) -> None:
        """The close handshake has moved on: write what there is, and go on reading to its end."""
        self.flush()
        if self.read_paused and not self.lost and self.stash is None:
            self.read_paused = False
            self.transport.resume_reading()
        if not self.lost:
            self.rearm()
            self.on_closing()

    async def wait_closed(self) -> None:
        """Wait until the connection is closed, by whomever."""
        if self.lost or self.transport is None:
            return
        waiter = self.loop.create_future()
        if self._closed_waiters is None:
            self._closed_waiters = []
        self._closed_waiters.append(waiter)
        await waiter

    def abort(self) -> None:
        """Drop the connection at once, without a Close."""
        if self.transport is not None:
            self.transport.abort()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, exc_type: object, exc: object, tb: object) -> None:
        await self.close(1000 if exc_type is None else 1011)

    # -- opening ---------------------------------------------------------------------------------

    def connection_made(self, transport: Any) -> None:
        """Part of asyncio's Protocol."""
        self.transport = transport
        self.write = getattr(transport, "write_nocheck", None) or transport.write
        transport.set_write_buffer_limits(self.limits.write_high)
        self._steps = self.opening_steps()
        self._advance(None)

    def opening_steps(self) -> Steps:
        """The steps of the opening handshake; they end in an agreement and what was read beyond."""
        raise NotImplementedError

    def opening_data(self, data: bytes) -> None:
        """Bytes of the opening handshake."""
        if self._call_task is not None:
            if self._early is None:
                self._early = []
            self._early.append(data)
        elif self._steps is not None:
            self._advance(data)

    def _advance(self, value: Any, error: BaseException | None = None) -> None:
        steps = self._steps
        assert steps is not None
        try:
            while True:
                step = steps.send(value) if error is None else steps.throw(error)
                value = error = None
                if isinstance(step, Write):
                    self.transport.write(step.data)
                elif isinstance(step, Read):
                    if not self._early:
                        self._time_limit(step)
                        return
                    value = self._early.pop(0)
                else:
                    value = self._call(step)
                    if isawaitable(value):
                        self._await(value)
                        return
        except StopIteration as stop:
            self._steps = None
            self._opened(stop.value)
        except Exception as exc:  # noqa: BLE001 - whatever it is, the connection is told
            self._steps = None
            self.opening_failed(exc)

    def _time_limit(self, step: Read) -> None:
        if step.stage == self._stage:
            return
        self._stage = step.stage
        if self._open_timer is not None:
            self._open_timer.cancel()
            self._open_timer = None
        if step.timeout is not None:
            self._open_timer = self.loop.call_later(step.timeout, self._open_too_late)

    def _open_too_late(self) -> None:
        self._open_timer = None
        if self._steps is not None and self._call_task is None:
            self._advance(None, TimeoutError("timed out during opening handshake"))

    def _call(self, step: Call) -> Any:
        if step.blocking:
            return self.loop.run_in_executor(None, step.function, *step.args)
        try:
            return step.function(*step.args)
        except Exception as exc:  # noqa: BLE001 - thrown in where it belongs
            return _failed(exc)

    def _await(self, value: Any) -> None:
        self.transport.pause_reading()
        self._call_task = task = asyncio.ensure_future(value, loop=self.loop)
        task.add_done_callback(self._awaited)

    def _awaited(self, task: asyncio.Future[Any]) -> None:
        self._call_task = None
        error = asyncio.CancelledError() if task.cancelled() else task.exception()
        if self._steps is None or self.lost:
            return
        self.transport.resume_reading()
        if error is None:
            self._advance(task.result())
        else:
            self._advance(
                None, error if isinstance(error, Exception) else RuntimeError(repr(error))
            )

    def _opened(self, outcome: tuple[Agreement, bytes] | None) -> None:
        if self._open_timer is not None:
            self._open_timer.cancel()
            self._open_timer = None
        if outcome is None:  # no WebSocket: it has been answered
            self.linger()
            return
        agreement, rest = outcome
        self.response = agreement.response
        self.subprotocol = agreement.subprotocol
        self.session = Session(
            agreement.dialect,
            server=self.is_server,
            limits=self.limits,
            extensions=agreement.extensions,
            now=self.loop.time(),
        )
        self.rearm()
        self.opened()
        if self._early:
            rest += b"".join(self._early)
        self._early = None
        if rest and not self.lost:
            self.take_in(rest, len(rest))

    def opened(self) -> None:
        """The handshake is done."""
        raise NotImplementedError

    def opening_failed(self, exc: BaseException) -> None:
        """The handshake has failed by ``exc``."""
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
            self._open_timer = self.loop.call_later(self.limits.close_timeout, self.transport.abort)

    # -- what the pump leaves to us --------------------------------------------------------------

    def on_events(self) -> None:
        """Control frames came."""
        session = self.session
        assert session is not None
        events, session.events = session.events, []
        now = self.loop.time()
        session.count_controls(len(events), now)
        for event in events:
            if isinstance(event, PongReceived):
                for waiter, latency in session.match_pong(event.data, now):
                    if waiter is not None and not waiter.done():
                        waiter.set_result(latency)
            elif isinstance(event, PingReceived):
                self.logger.debug("%s: ping %s", self.id, event.data.hex())

    def on_closing(self) -> None:
        """The connection is not open any more: see to it that it ends."""
        session = self.session
        assert session is not None
        if not session.reads and self.receiver is not None:
            self.receiver.wake()
        if self.lost:
            return
        if session.phase is Phase.CLOSED_BOTH and self.is_server:
            self.flush()
            self.transport.close()  # the server is the first to close TCP (RFC 6455 7.1.1)
        elif session.phase is Phase.FAILED:
            self.flush()
            self.linger()

    def rearm(self) -> None:
        """Have ``_on_timer`` called when the session's deadline comes."""
        session = self.session
        assert session is not None
        if self.lost:
            return
        due = session.tick(self.loop.time())
        if self._timer is not None:
            if due is None or self._timer_due <= due:
                return  # it will look again then
            self._timer.cancel()
            self._timer = None
        if due is not None:
            self._timer_due = due
            self._timer = self.loop.call_at(due, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        session = self.session
        if session is None or self.lost:
            return
        abort = session.expire(self.loop.time())
        self.flush()
        if abort:
            self.transport.abort()
            return
        if session.phase is not Phase.OPEN:
            self.on_closing()
        self.rearm()

    # -- asyncio's Protocol ----------------------------------------------------------------------

    def eof_received(self) -> bool:
        """Part of asyncio's Protocol: the peer sends no more, so we need not either."""
        if self.session is None and self._steps is not None and self._call_task is None:
            self._advance(b"")
        return False

    def pause_writing(self) -> None:
        """Part of asyncio's Protocol: more than ``Limits.write_high`` bytes are buffered."""
        self.write_paused = True
        if self.session is not None:
            self.session.congested = True
        if self.limits.send_timeout is not None and self._stall is None:
            self._watch_stall(self.limits.send_timeout, -1)

    def _watch_stall(self, timeout: float, before: int) -> None:
        # Nobody may hold our memory by not reading: some progress in each ``send_timeout``.
        self._stall = None
        if not self.write_paused or self.lost:
            return
        size = self.transport.get_write_buffer_size()
        if 0 <= before <= size:
            if self.session is not None and self.session.error is None:
                self.session.error = TimeoutError(
                    f"the peer did not read for {timeout} s (Limits.send_timeout)"
                )
            self.transport.abort()
            return
        self._stall = self.loop.call_later(timeout, self._watch_stall, timeout, size)

    def resume_writing(self) -> None:
        """Part of asyncio's Protocol: the peer has caught up."""
        self.write_paused = False
        if self._stall is not None:
            self._stall.cancel()
            self._stall = None
        if self.session is not None:
            self.session.resume_sending()
            if self.session.cork.size:
                self.touch()
        waiters, self._drain_waiters = self._drain_waiters, None
        for waiter in waiters or ():
            if not waiter.done():
                waiter.set_result(None)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Part of asyncio's Protocol: it is over."""
        session = self.session
        if session is not None and self.stash is not None:
            data, self.stash = self.stash, None
            session.frames_per_turn = 1 << 62
            session.receive(data, 0, len(data))
        self.lost = True
        for timer in (self._timer, self._open_timer, self._stall):
            if timer is not None:
                timer.cancel()
        self._timer = self._open_timer = self._stall = None
        if session is None:
            self._lost_while_opening(exc)
        else:
            session.receive_eof(exc)
            self._release(session)
        waiters, self._closed_waiters = self._closed_waiters, None
        for waiter in waiters or ():
            if not waiter.done():
                waiter.set_result(None)

    def _lost_while_opening(self, exc: BaseException | None) -> None:
        steps, self._steps = self._steps, None
        if self._call_task is not None:
            self._call_task.cancel()
        if steps is not None:
            steps.close()
            error = exc or ConnectionResetError("the connection was closed during the handshake")
            self.opening_failed(error)

    def _release(self, session: Session) -> None:
        error = session.closed_error()
        for waiter in session.drop_pings():
            if waiter is not None and not waiter.done():
                waiter.set_exception(error)
                waiter.exception()  # nobody has to look at it
        waiters, self._drain_waiters = self._drain_waiters, None
        for waiter in waiters or ():
            if not waiter.done():
                waiter.set_exception(error)
        if self.receiver is not None:
            self.receiver.wake()
        for extension in session.extensions:
            extension.release()
        if self.listener is not None:
            self.listener.on_close(self, error)

    def _open_session(self) -> Session:
        if self.session is None:
            raise InvalidState("the opening handshake has not been finished")
        return self.session


async def _failed(exc: Exception) -> None:
    raise exc


def _control_payload(data: Any) -> bytes:
    payload = data.encode() if isinstance(data, str) else bytes(contiguous(data))
    if len(payload) > 125:
        raise ValueError(f"control frames carry at most 125 bytes, not {len(payload)} (5.5)")
    return payload


async def _to_async(messages: Iterable[Any]) -> AsyncIterator[Any]:
    for message in messages:
        yield message
