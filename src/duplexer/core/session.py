"""One WebSocket without I/O: bytes and the time in; messages, events, bytes and a deadline out.

A front gives ``receive`` what it read, takes what is in ``cork`` and writes it, wakes readers when
``inbox`` has messages, looks at ``events``, and calls ``expire`` when ``deadline`` has come. Rule
for rule the protocol is here and in the modules below; no socket, clock, task or log is.
"""

from __future__ import annotations

import functools
from typing import Any

from duplexer.core import opcodes
from duplexer.core.closing import DISCARDING, TABLE, Happening, Phase, State, state_of, step
from duplexer.core.dialect import Dialect
from duplexer.core.events import (
    CloseReceived,
    Event,
    MessagesReceived,
    PingReceived,
    PongReceived,
)
from duplexer.core.extension import Extension
from duplexer.core.heartbeat import Pulse
from duplexer.core.keepalive import Keepalive
from duplexer.core.messages import Assembler
from duplexer.core.sending import UNTIMED, Sender
from duplexer.core.staying import Staying
from duplexer.core.unacknowledged import Unacknowledged
from duplexer.errors import (
    Close,
    ConnectionClosed,
    ConnectionClosedError,
    ConnectionClosedOK,
    PeerTimeout,
    ProtocolError,
    close_code_is_sendable,
    plain_close,
)
from duplexer.limits import Limits

__all__ = ["Session", "check_close"]

# Looking up a member of an enum takes as long as parsing a frame.
_OPEN, _CLOSED_BOTH, _GONE = Phase.OPEN, Phase.CLOSED_BOTH, Phase.GONE
_SEND_CLOSE, _RECV_CLOSE = Happening.SEND_CLOSE, Happening.RECV_CLOSE

#: After which an answer to a heartbeat is tried again, that could not be sent.
_AGAIN = 0.25
#: How often, at most, a Ping asks what of ``Sender.kept`` has arrived.
_MARKS = 1.0

_KEEPALIVE = "keepalive ping timeout"

#: Close codes that are no complaint.
_GOOD = frozenset({1000, 1001, 1005})


class Session(Sender):
    """The protocol of one open connection, from the end of its handshake on."""

    def __init__(
        self,
        dialect: Dialect,
        *,
        server: bool,
        limits: Limits,
        extensions: tuple[Extension, ...] = (),
        now: float = 0.0,
        suspended: float = 0.0,
        staying: Staying | None = None,
    ) -> None:
        super().__init__(dialect, server, limits, extensions)
        self.assembler = Assembler(limits, extensions)
        self.inbox = self.assembler.inbox
        self.decoder = dialect.decoder(self.assembler, server)
        self.frames_per_turn = limits.frames_per_turn
        self.phase = _OPEN
        self.received = 0  # bytes
        self.reads = True  # whether incoming bytes are still looked at
        self.heard = False  # a byte came since the last ping
        self.reading = True  # the front reads (it does not while the application is behind)
        self.events: list[Event] | None = None  # for who uses it to look at, and to clear
        self.close_rcvd: Close | None = None
        self.rcvd_then_sent: bool | None = None
        self.breach: ProtocolError | None = None  # that fails it once what came before is read
        self.error: BaseException | None = None  # why it failed or was lost
        self.excerpt = b""  # what was being read when it failed
        self.keepalive: Keepalive | None = None
        if limits.ping_interval is not None:
            self.keepalive = Keepalive(
                limits.ping_interval, limits.ping_timeout, limits.ping_jitter, now, suspended
            )
        self._pulse: Pulse | None = None
        self._answer: str | bytes | None = None  # to a heartbeat, that could not be sent
        self._retire_due: float | None = None  # negative: so many seconds from the next tick
        self.retired = False  # we closed it because its lifetime had come to its end
        self._left = -1  # bytes that had left when the peer was last seen to read
        if staying is not None:
            self._stay(staying, now, suspended)
        self._close_due: float | None = None
        self._message_due: float | None = None
        self._message_serial = 0
        self._tokens = float(limits.control_burst)
        self._tokens_at = now
        #: with ``charge(messages, controls, now)``: more allowances than that of ``control_rate``
        self.meter: Any = None
        self._charged = 0  # messages that it has been told of

    def _stay(self, staying: Staying, now: float, suspended: float) -> None:
        if staying.heartbeat is not None:
            self._pulse = self.assembler.pulse = Pulse(staying.heartbeat, now, suspended)
        if staying.keep_unacknowledged:
            self.kept = Unacknowledged(self.limits.unacknowledged_bytes, self.limits.queue_overhead)
        self.set_lifetime(staying.lifetime, staying.farewell)
        if staying.first_message is not None:
            self.is_stranger = True
            self.assembler.bound_first(staying.first_message)

    def set_lifetime(self, lifetime: float | None, farewell: tuple[int, str]) -> None:
        """In ``lifetime`` seconds from the next ``tick`` we close with ``farewell``.

        ``None``: never. It is in place of what was said before.
        """
        self._retire_due = None if lifetime is None else -lifetime
        self._farewell = farewell

    # -- receiving -------------------------------------------------------------------------------

    def receive(self, p: Any, start: int, end: int) -> int:
        """Take in the bytes of ``p`` from ``start`` to ``end``; gives back where it stopped.

        It stops early, without an error, after ``limits.frames_per_turn`` frames: give it the rest
        when others have had their turn. It never raises for what the peer did: the connection
        fails, and ``error`` says why.
        """
        self.heard = True
        if not self.reads:
            self.received += end - start
            self.conclude()
            return end
        decoder = self.decoder
        decoder.budget = self.frames_per_turn
        stop = end
        try:
            stop = decoder.feed(p, start, end)
        except ProtocolError as exc:
            self.received += end - start
            self.excerpt = bytes(p[start : min(end, start + 64)])
            if decoder.controls:
                self._on_controls()
            if self.reads:
                self._break_off(exc)
            return end
        self.received += stop - start
        if decoder.controls:
            self._on_controls()
            if not self.reads:
                self.received += end - stop
                return end
        if self._pulse is not None and self._pulse.stirred:
            self._answer_heartbeats(self._pulse)
        if self.assembler.streaming:
            self.assembler.flush_piece()
        if self.meter is not None:
            _count_messages(self)
        return stop

    def _break_off(self, exc: ProtocolError) -> None:
        # What came before the breach was in order: whoever is waiting for it may still answer.
        # That must not depend on where the reads cut the stream.
        self.breach = exc
        if self.inbox.count and self.is_open:
            self.reads = False
            self.assembler.clear()  # what is incomplete will not be finished: nobody may look at it
        else:
            self.conclude()

    def conclude(self) -> None:
        """Fail for a breach that ``receive`` met behind messages, once their reader had its turn.

        A front calls it when it has handed out what ``receive`` brought. It also happens when a
        reader finds the inbox empty (``closed_error``), and when more bytes or their end come.
        """
        breach, self.breach = self.breach, None
        if breach is not None:
            self.fail(breach)

    def _on_controls(self) -> int:
        # Control frames of this read, in their order. Those after a Close do not count.
        controls = self.decoder.controls
        self.decoder.controls = None
        assert controls is not None
        events = self.events
        if events is None:
            events = self.events = []
        for opcode, payload in controls:
            if opcode == opcodes.PING:
                events.append(PingReceived(payload))
                if self.close_rcvd is None:
                    self.send_pong(payload)
            elif opcode == opcodes.PONG:
                events.append(PongReceived(payload))
            else:
                self._on_close(payload, events)
            if not self.reads:
                break
        return 0

    def _on_close(self, payload: bytes, events: list[Event]) -> None:
        try:
            close = _parse_close(payload)
        except ProtocolError as exc:
            self.fail(exc)
            return
        self.close_rcvd = close
        self._move(_RECV_CLOSE)
        events.append(CloseReceived(close))
        self.assembler.clear()
        if self.close_sent is None:
            # Answer with the same code (RFC 6455 5.5.1); an empty body is answered with one.
            self.rcvd_then_sent = True
            self._put_close(close)
            self._move(_SEND_CLOSE)
        else:
            self.rcvd_then_sent = False

    def receive_eof(self, error: BaseException | None = None) -> None:
        """The byte stream has ended: properly, or by ``error``."""
        if self.gone:
            return
        self.conclude()
        if self.error is None and error is not None:
            self.error = error
        self._move(Happening.LOST)
        self.assembler.clear()
        self._close_due = None

    # -- closing -----------------------------------------------------------------------------------

    def send_close(self, code: int | None, reason: str, now: float) -> None:
        """Begin the close handshake: ``None`` sends an empty Close (RFC 6455 5.5.1).

        Raises ``ValueError`` for a code or a reason that must not be sent,
        :exc:`~duplexer.errors.InvalidState` when a Close has been sent already.
        """
        close = check_close(code, reason)
        if self.kept is not None and self.is_open and not self.kept.is_marked:
            self.send_ping(self.new_ping_payload(), None, UNTIMED)  # the last word on what came
        self._move(_SEND_CLOSE)
        if self.close_rcvd is not None:
            self.rcvd_then_sent = True
        self._put_close(close)
        self.start_closing(now)

    def start_closing(self, now: float) -> None:
        """From now on the end has a deadline."""
        if self._close_due is None and self.limits.close_timeout is not None:
            self._close_due = now + self.limits.close_timeout

    def fail(self, error: BaseException, code: int | None = None, reason: str = "") -> None:
        """Fail the connection (RFC 6455 7.1.7): say why, and look at nothing any more."""
        if (self.phase, Happening.FAIL) not in TABLE:
            return
        if isinstance(error, ProtocolError):
            code, reason = error.close_code, error.reason
        self.error = error
        if self.close_sent is None and code is not None:
            if self.close_rcvd is not None:
                self.rcvd_then_sent = True
            self._put_close(Close(code, reason))
        self._move(Happening.FAIL)
        self.assembler.clear()

    def _move(self, happening: Happening) -> None:
        self.phase = step(self.phase, happening)
        self.is_open = self.phase is _OPEN
        self.reads = self.phase not in DISCARDING
        self.gone = self.phase is _GONE

    # -- time ------------------------------------------------------------------------------------

    def restless(self) -> bool:
        """Whether ``tick`` has something to settle now, and not only when the deadline comes."""
        if self.assembler.decoded:
            self.assembler.decoded = False
            self._touch_extensions()
        if not self.is_open or (self._idle_due is not None and self._idle_due < 0.0):
            return True
        if self._pulse is not None and self._pulse.stirred:
            return True
        if self._mark_due is not None and self._mark_due < 0.0:
            return True
        return self.assembler.opcode != 0 and self.assembler.serial != self._message_serial

    def tick(self, now: float) -> float | None:
        """Settle what the last calls left to whoever knows the time; gives back the deadline.

        Call it after ``receive`` and the sending methods when the front wants to know when to
        call ``expire``: at the latest when the previous deadline has come.
        """
        assembler = self.assembler
        timeout = self.limits.message_timeout
        if not assembler.opcode or assembler.streaming or timeout is None:
            self._message_due = None
            self._message_serial = assembler.serial
        elif self._message_due is None or self._message_serial != assembler.serial:
            self._message_serial = assembler.serial
            self._message_due = now + timeout
        if self._idle_due is not None and self._idle_due < 0:
            self._idle_due = now + self.limits.deflate_idle
        if not self.is_open and not self.gone:
            self.start_closing(now)
        due = self._close_due
        if due is None and self.is_open:
            due = self._staying_due(now)
        if self._message_due is not None and (due is None or self._message_due < due):
            due = self._message_due
        if self._idle_due is not None and (due is None or self._idle_due < due):
            due = self._idle_due
        return due

    def _staying_due(self, now: float) -> float | None:
        due = None if self.keepalive is None else self.keepalive.due
        if self._mark_due is not None:
            if self._mark_due < 0:
                self._mark_due = now + _MARKS
            due = self._mark_due if due is None else min(due, self._mark_due)
        if self._retire_due is not None:
            if self._retire_due < 0:
                self._retire_due = now - self._retire_due
            due = self._retire_due if due is None else min(due, self._retire_due)
        pulse = self._pulse
        if pulse is not None:
            pulse.settle(now)
            for each in (pulse.due, None if self._answer is None else now + _AGAIN):
                if each is not None:
                    due = each if due is None else min(due, each)
        return due

    def expire(self, now: float, suspended: float = 0.0) -> bool:
        """A deadline may have come. True if the connection is to be aborted at once.

        ``suspended``: seconds that the machine has been suspended, counted from anywhere
        (:func:`duplexer.driver.clock.suspended`).
        """
        if self._close_due is not None and now >= self._close_due:
            if self.error is None and self.phase is not _CLOSED_BOTH:
                self.error = TimeoutError(
                    "the peer has stopped sending, and did not read the rest in time"
                    if self.is_open
                    else "the close handshake was not finished in time"
                )
            return True
        if self._idle_due is not None and 0 <= self._idle_due <= now:
            self._idle_due = now + self.limits.deflate_idle if self._used_contexts else None
            if not self._used_contexts:
                for extension in self.extensions:
                    extension.release()
            self._used_contexts = False
        if self._message_due is not None and not self.reading:
            assert self.limits.message_timeout is not None
            self._message_due = now + self.limits.message_timeout  # it counts while we read
        elif self._message_due is not None and now >= self._message_due:
            self._message_due = None
            assembler = self.assembler
            if (
                assembler.opcode
                and not assembler.streaming
                and assembler.serial == self._message_serial
            ):
                self.fail(ProtocolError("message-timeout", f"{self.limits.message_timeout} s"))
                return False
        if self.is_open:
            return self._expire_staying(now, suspended)
        return False

    def _expire_staying(self, now: float, suspended: float) -> bool:
        if self._mark_due is not None and 0 <= self._mark_due <= now:
            self._mark_due = None
            if self.kept is not None and not self.kept.is_marked:
                self.send_ping(self.new_ping_payload(), None, now)
        if self._retire_due is not None and 0 <= self._retire_due <= now:
            self.retired = True
            self.send_close(self._farewell[0], self._farewell[1], now)
            return False
        if self._pulse is not None:
            self._expire_pulse(self._pulse, now, suspended)
        if self.keepalive is not None and self.is_open:
            return self._expire_keepalive(self.keepalive, now, suspended)
        return False

    def _expire_keepalive(self, keepalive: Keepalive, now: float, suspended: float) -> bool:
        verdict = keepalive.expire(now, heard=self.heard, reading=self.reading, suspended=suspended)
        if verdict == "ping":
            self.heard = False
            self.send_ping(self.new_ping_payload(), None, now)
        elif verdict == "dead":
            self.fail(PeerTimeout("keepalive", _silence(keepalive, self.limits)), 1011, _KEEPALIVE)
            return True
        return False

    def note_written(self, left: int) -> None:
        """While it cannot write as much as it wants, a front says how many bytes have left in all.

        When there are more than before, the peer has read some, which is a sign of life: a Ping may
        be waiting behind a long message. Tell it before ``expire``.
        """
        if 0 <= self._left < left:
            self.heard = True
        self._left = left

    def resume_sending(self) -> None:
        """The congestion has ended: the peer has read. Send the answers that waited."""
        self.heard = True
        self._left = -1
        super().resume_sending()
        if self._answer is not None and self.is_open:
            self._send_heartbeat(None)

    # -- heartbeats ------------------------------------------------------------------------------

    def _answer_heartbeats(self, pulse: Pulse) -> None:
        answers, pulse.answers = pulse.answers, []
        if pulse.failure is not None:
            self.fail(pulse.failure, 1011, "heartbeat failed")
        for answer in answers:
            if self.is_open:
                self._send_heartbeat(answer)

    def _expire_pulse(self, pulse: Pulse, now: float, suspended: float) -> None:
        reading = self.reading and self._answer is None  # nobody answers what was not sent
        verdict = pulse.expire(now, reading=reading, suspended=suspended)
        if verdict == "send":
            try:
                message = pulse.message()
            except Exception as exc:  # noqa: BLE001 - the user's code
                self.fail(exc, 1011, "heartbeat failed")
            else:
                self._send_heartbeat(message)
        elif verdict == "dead":
            self.fail(PeerTimeout("heartbeat", pulse.silence()), 1011, "heartbeat timeout")
        elif self._answer is not None:
            self._send_heartbeat(None)

    def _send_heartbeat(self, message: str | bytes | None) -> None:
        # Of those that cannot be sent now, within a fragmented message or towards a peer that
        # does not read, only the newest is kept. None of them is the user's to be handed back.
        if message is not None:
            self._answer = message
        if self.congested or self.sending:
            return
        message, self._answer = self._answer, None
        kept, self.kept = self.kept, None
        try:
            self.send_message(message, None, None)
        except Exception as exc:  # noqa: BLE001 - what the user gave is no message
            self.fail(exc, 1011, "heartbeat failed")
        finally:
            self.kept = kept

    def charge(self, events: list[Event], now: float) -> None:
        """Charge what the peer sent to its allowances (``Limits.control_burst``, ``meter``)."""
        _charge(self, events, now)

    # -- what users ask --------------------------------------------------------------------------

    @property
    def state(self) -> State:
        """OPEN, CLOSING or CLOSED."""
        return state_of(self.phase)

    def closed_error(self) -> ConnectionClosed:
        """The exception that tells how it ended; its cause is what broke it, if anything did."""
        from duplexer.core.explain import explain, facts_of  # only where something has ended

        kind = ConnectionClosedOK if self.ended_well() else ConnectionClosedError
        explanation = functools.partial(explain, facts_of(self))
        exc = kind(self.close_rcvd, self.close_sent, self.rcvd_then_sent, explanation)
        exc.__cause__ = self.error
        return exc

    def ended_well(self) -> bool:
        """Whether both sides have said goodbye, for no bad reason."""
        self.conclude()
        rcvd, sent = self.close_rcvd, self.close_sent
        return rcvd is not None and sent is not None and rcvd.code in _GOOD and sent.code in _GOOD

    def explain(self) -> str:
        """Who closed, why, the last frame each way, the likely cause and its cure."""
        from duplexer.core.explain import explain, facts_of  # only where somebody asks

        return explain(facts_of(self))


def _count_messages(session: Session) -> int:
    # The time to charge them is known to who looks at the events.
    finished = session.assembler.serial - (1 if session.assembler.opcode else 0)
    if finished > session._charged:
        if session.events is None:
            session.events = []
        session.events.append(MessagesReceived(finished - session._charged))
        session._charged = finished
    return 0


def _charge(session: Session, events: list[Event], now: float) -> int:
    limits, controls, breach = session.limits, len(events), None
    if session.meter is not None:
        messages = 0
        for event in events:
            if isinstance(event, MessagesReceived):
                messages += event.count
                controls -= 1
        breach = session.meter.charge(messages, controls, now)
    rate, burst = limits.control_rate, limits.control_burst
    if controls and rate is not None:
        tokens = min(float(burst), session._tokens + (now - session._tokens_at) * rate) - controls
        session._tokens = tokens
        session._tokens_at = now
        if tokens < 0:
            breach = "control-rate", f"more than {burst}, then {rate} a second"
    if breach is not None:
        session.fail(ProtocolError(*breach))
    return 0


def _silence(keepalive: Keepalive, limits: Limits) -> str:
    patience = keepalive.patience
    bound = "ping_timeout" if patience == limits.ping_timeout else "after a suspension"
    text = (
        f"{_KEEPALIVE}: nothing was heard from the peer for {patience:g} s after a ping ({bound})"
    )
    if keepalive.held_up >= 1:
        text += f"; this process was held up for {keepalive.held_up:.1f} s, and read on first"
    return text


def check_close(code: int | None, reason: str) -> Close:
    """The Close that the user asks for; ``ValueError`` if it must not be sent."""
    if not isinstance(reason, str):
        raise TypeError(f"reason must be str, not {type(reason).__name__}")
    if code is None:
        if reason:
            raise ValueError("a reason needs a code: close(1000, reason)")
        return plain_close(1005)
    if isinstance(code, bool) or not isinstance(code, int):
        raise TypeError(f"code must be int or None, not {type(code).__name__}")
    if not close_code_is_sendable(code):
        raise ValueError(
            f"close code {code} must not be sent; use 1000 to 1003, 1007 to 1014 or 3000 to 4999"
        )
    if len(reason.encode()) > 123:
        raise ValueError("close reason is longer than 123 bytes of UTF-8 (RFC 6455 5.5)")
    return Close(int(code), reason)


def _parse_close(payload: bytes) -> Close:
    if not payload:
        return plain_close(1005)
    if len(payload) == 1:
        raise ProtocolError("close-length")
    code = int.from_bytes(payload[:2], "big")
    if not close_code_is_sendable(code):
        raise ProtocolError("close-code", str(code))
    if len(payload) == 2:
        return plain_close(code)
    try:
        return Close(code, payload[2:].decode())
    except UnicodeDecodeError:
        raise ProtocolError("close-utf8") from None
