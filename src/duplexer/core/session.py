"""One WebSocket without I/O: bytes and the time in; messages, events, bytes and a deadline out.

A front gives ``receive`` what it read, takes what is in ``cork`` and writes it, wakes readers when
``inbox`` has messages, looks at ``events``, and calls ``expire`` when ``deadline`` has come. Rule
for rule the protocol is here and in the modules below; no socket, clock, task or log is.
"""

from __future__ import annotations

import os
from collections.abc import Hashable
from typing import Any

from ..errors import (
    Close,
    ConnectionClosed,
    ConnectionClosedError,
    ConnectionClosedOK,
    InvalidState,
    ProtocolError,
    close_code_is_sendable,
)
from ..limits import Limits
from . import opcodes
from .bytesops import Cork
from .closing import DISCARDING, TABLE, Happening, Phase, State, state_of, step
from .dialect import Dialect
from .events import CloseReceived, Event, PingReceived, PongReceived
from .extension import Extension
from .keepalive import Keepalive
from .messages import Assembler

__all__ = ["Session"]


class Session:
    """The protocol of one open connection, from the end of its handshake on."""

    def __init__(
        self,
        dialect: Dialect,
        *,
        server: bool,
        limits: Limits,
        extensions: tuple[Extension, ...] = (),
        now: float = 0.0,
    ) -> None:
        self.dialect = dialect
        self.server = server
        self.limits = limits
        self.extensions = extensions
        self.assembler = Assembler(limits, extensions)
        self.inbox = self.assembler.inbox
        self.decoder = dialect.decoder(self.assembler, server)
        self.encoder = dialect.encoder(server)
        self.cork = Cork()
        self.frames_per_turn = limits.frames_per_turn
        self.phase = Phase.OPEN
        self.is_open = True  # the same, for the hot path
        self.reads = True  # whether incoming bytes are still looked at
        self.heard = False  # a byte came since the last ping
        self.reading = True  # the front reads (it does not while the application is behind)
        self.congested = False  # the front cannot write: answers that may wait do
        self.sending = 0  # opcode of the fragmented message being sent
        self.sending_rsv = 0
        self.events: list[Event] = []
        self.close_rcvd: Close | None = None
        self.close_sent: Close | None = None
        self.rcvd_then_sent: bool | None = None
        self.breach: ProtocolError | None = None  # that fails it once what came before is read
        self.error: BaseException | None = None  # why it failed or was lost
        self.excerpt = b""  # what was being read when it failed
        self.latency = 0.0
        self._pings: dict[bytes, tuple[Any, float]] | None = None
        self._prepare_key: Hashable = None
        self._pong: bytes | None = None  # the newest answer that waits for the congestion's end
        self._keepalive: Keepalive | None = None
        if limits.ping_interval is not None:
            self._keepalive = Keepalive(limits, now)
        self._close_due: float | None = None
        self._message_due: float | None = None
        self._message_serial = 0
        self._idle_due: float | None = None
        self._used_contexts = False
        self._tokens = float(limits.control_burst)
        self._tokens_at = now

    # -- receiving -------------------------------------------------------------------------------

    def receive(self, p: Any, start: int, end: int) -> int:
        """Take in the bytes of ``p`` from ``start`` to ``end``; gives back where it stopped.

        It stops early, without an error, after ``limits.frames_per_turn`` frames: give it the rest
        when others have had their turn. It never raises for what the peer did: the connection
        fails, and ``error`` says why.
        """
        self.heard = True
        if not self.reads:
            self.conclude()
            return end
        decoder = self.decoder
        decoder.budget = self.frames_per_turn
        stop = end
        try:
            stop = decoder.feed(p, start, end)
        except ProtocolError as exc:
            self.excerpt = bytes(p[start : min(end, start + 64)])
            if decoder.controls:
                self._on_controls()
            if self.reads:
                self._break_off(exc)
            return end
        if decoder.controls:
            self._on_controls()
            if not self.reads:
                return end
        if self.assembler.streaming:
            self.assembler.flush_piece()
        return stop

    def _break_off(self, exc: ProtocolError) -> None:
        # What came before the breach was in order: whoever is waiting for it may still answer.
        # That must not depend on where the reads cut the stream.
        self.breach = exc
        if self.inbox.count and self.is_open:
            self.reads = False
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
        self.decoder.controls = []
        for opcode, payload in controls:
            if opcode == opcodes.PING:
                self.events.append(PingReceived(payload))
                if self.close_rcvd is None:
                    self.send_pong(payload)
            elif opcode == opcodes.PONG:
                self.events.append(PongReceived(payload))
            else:
                self._on_close(payload)
            if not self.reads:
                break
        return 0

    def _on_close(self, payload: bytes) -> None:
        try:
            close = self._parse_close(payload)
        except ProtocolError as exc:
            self.fail(exc)
            return
        self.close_rcvd = close
        self._move(Happening.RECV_CLOSE)
        self.events.append(CloseReceived(close))
        self.assembler.clear()
        if self.close_sent is None:
            # Answer with the same code (RFC 6455 5.5.1); an empty body is answered with one.
            self.rcvd_then_sent = True
            self._put_close(close)
            self._move(Happening.SEND_CLOSE)
        else:
            self.rcvd_then_sent = False

    @staticmethod
    def _parse_close(payload: bytes) -> Close:
        if not payload:
            return Close(1005)
        if len(payload) == 1:
            raise ProtocolError("close-length")
        code = int.from_bytes(payload[:2], "big")
        if not close_code_is_sendable(code):
            raise ProtocolError("close-code", str(code))
        try:
            return Close(code, payload[2:].decode())
        except UnicodeDecodeError:
            raise ProtocolError("close-utf8") from None

    def receive_eof(self, error: BaseException | None = None) -> None:
        """The byte stream has ended: properly, or by ``error``."""
        if self.phase is Phase.GONE:
            return
        self.conclude()
        if self.error is None and error is not None:
            self.error = error
        self._move(Happening.LOST)
        self.assembler.clear()
        self._close_due = None

    # -- sending ---------------------------------------------------------------------------------

    def send_message(self, data: Any, text: bool | None, compress: bool | None) -> int:
        """Send a whole message: ``str`` as text, bytes-like as binary, unless ``text`` says other.

        Raises ``TypeError`` for anything else, and the connection's own error when it is not open.
        """
        if not self.is_open:
            raise self.closed_error()
        if self.sending:
            raise InvalidState("a fragmented message is being sent")
        opcode = opcodes.BINARY
        if isinstance(data, str):
            if text is None or text:
                opcode = opcodes.TEXT
            if type(data) is not str or not data.isascii():  # a subclass has its text elsewhere
                data = data.encode()
            n = len(data)
        elif isinstance(data, bytes):
            if text:
                opcode = opcodes.TEXT
            n = len(data)
        else:
            if text:
                opcode = opcodes.TEXT
            data = contiguous(data)
            n = data.nbytes
        if self.extensions:
            return self._put_message(opcode, data, n, compress)
        return self.encoder.put_frame(self.cork, opcode, True, 0, data, n)

    def _put_message(self, opcode: int, data: Any, n: int, compress: bool | None) -> int:
        rsv = 0
        for extension in self.extensions:
            if extension.wants(n, opcode == opcodes.TEXT, compress):
                if isinstance(data, str):
                    data = data.encode()
                data = extension.encode(data, True, True)
                n = len(data)
                rsv |= extension.rsv
                self._touch_extensions()
        return self.encoder.put_frame(self.cork, opcode, True, rsv, data, n)

    def _touch_extensions(self) -> int:
        self._used_contexts = True
        if self._idle_due is None:
            self._idle_due = -1.0  # to be set by whoever knows the time
        return 0

    def send_part(self, data: bytes, text: bool, fin: bool, compress: bool | None = None) -> None:
        """Send a fragment of a message; the first call begins it, ``fin`` ends it (5.4)."""
        if not self.is_open:
            raise self.closed_error()
        first = not self.sending
        opcode = opcodes.CONT
        rsv = 0
        if first:
            opcode = opcodes.TEXT if text else opcodes.BINARY
            self.sending = opcode
            self.sending_rsv = 0
            for extension in self.extensions:
                # Its length is not known yet: long enough unless the user says otherwise.
                if extension.wants(1 << 20, text, compress):
                    self.sending_rsv |= extension.rsv
            rsv = self.sending_rsv
        for extension in self.extensions:
            if self.sending_rsv & extension.rsv:
                data = extension.encode(data, fin, first)
                self._touch_extensions()
        if fin:
            self.sending = 0
        self.encoder.put_frame(self.cork, opcode, fin, rsv, data, len(data))

    def prepare_key(self) -> Hashable:
        """Connections with equal keys may be sent the same prepared bytes; ``None``: nobody."""
        if self._prepare_key is None and self.server:  # a client masks each frame with its own key
            key: Hashable = self.dialect.name
            if self.extensions:
                key = (key, *[extension.prepare_key() for extension in self.extensions])
            self._prepare_key = key
        return self._prepare_key

    def prepare(self, opcode: int, data: bytes, compress: bool | None) -> tuple[bytes, int]:
        """Frame a message for every connection with this ``prepare_key``: the bytes, and RSV."""
        rsv = 0
        for extension in self.extensions:
            if extension.wants(len(data), opcode == opcodes.TEXT, compress):
                data = extension.prepare(data)
                rsv |= extension.rsv
        cork = Cork()
        self.encoder.put_frame(cork, opcode, True, rsv, data, len(data))
        taken = cork.take()
        return (taken if isinstance(taken, bytes) else b"".join(taken)), rsv

    def send_prepared(self, wire: bytes, rsv: int) -> int:
        """Send what ``prepare`` made."""
        if not self.is_open:
            raise self.closed_error()
        if self.sending:
            raise InvalidState("a fragmented message is being sent")
        if rsv:
            for extension in self.extensions:
                if rsv & extension.rsv:
                    extension.prepared_sent()
        return self.cork.put(wire, len(wire), 0)

    def send_ping(self, payload: bytes, token: Any, now: float) -> None:
        """Send a Ping; ``token`` comes back from ``match_pong``."""
        if not self.is_open:
            raise self.closed_error()
        if self._pings is None:
            self._pings = {}
        elif token is None and len(self._pings) >= self.limits.max_pings:
            for each, (waiting, _) in self._pings.items():
                if waiting is None:  # one that a user waits for is not ours to forget
                    del self._pings[each]
                    break
        self._pings[payload] = (token, now)
        self.encoder.put_frame(self.cork, opcodes.PING, True, 0, payload, len(payload))

    def new_ping_payload(self) -> bytes:
        """Four random bytes that no ping under way has."""
        while True:
            payload = os.urandom(4)
            if self._pings is None or payload not in self._pings:
                return payload

    def is_pinging(self, payload: bytes) -> bool:
        """Whether a Ping with this payload waits for its Pong."""
        return self._pings is not None and payload in self._pings

    def match_pong(self, payload: bytes, now: float) -> list[tuple[Any, float]]:
        """The tokens of the ping that a Pong answers and of those before it, with their latency."""
        pings = self._pings
        if pings is None or payload not in pings:
            return []
        matched = []
        for each in list(pings):
            token, sent_at = pings.pop(each)
            matched.append((token, now - sent_at))
            if each == payload:
                break
        self.latency = matched[-1][1]
        return matched

    def drop_pings(self) -> list[Any]:
        """The tokens of all pings that will not be answered any more."""
        pings, self._pings = self._pings, None
        return [token for token, _ in pings.values()] if pings else []

    def send_pong(self, payload: bytes) -> None:
        """Send a Pong. Towards a peer that does not read, only the newest is kept (5.5.3)."""
        if self.close_sent is not None or self.phase is Phase.GONE:
            return
        if self.congested:
            self._pong = payload
        else:
            self.encoder.put_frame(self.cork, opcodes.PONG, True, 0, payload, len(payload))

    def resume_sending(self) -> None:
        """The congestion has ended: send the answer that waited."""
        self.congested = False
        payload, self._pong = self._pong, None
        if payload is not None:
            self.send_pong(payload)

    def send_close(self, code: int | None, reason: str, now: float) -> None:
        """Begin the close handshake: ``None`` sends an empty Close (RFC 6455 5.5.1).

        Raises ``ValueError`` for a code or a reason that must not be sent,
        :exc:`~duplexer.errors.InvalidState` when a Close has been sent already.
        """
        close = check_close(code, reason)
        self._move(Happening.SEND_CLOSE)
        if self.close_rcvd is not None:
            self.rcvd_then_sent = True
        self._put_close(close)
        self.start_closing(now)

    def start_closing(self, now: float) -> None:
        """From now on the end has a deadline."""
        if self._close_due is None and self.limits.close_timeout is not None:
            self._close_due = now + self.limits.close_timeout

    def _put_close(self, close: Close) -> None:
        body = b""
        if close.code != 1005:
            body = close.code.to_bytes(2, "big") + close.reason.encode()
        self.close_sent = close
        self.is_open = False
        self.encoder.put_frame(self.cork, opcodes.CLOSE, True, 0, body, len(body))

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
        self.is_open = self.phase is Phase.OPEN
        self.reads = self.phase not in DISCARDING

    # -- time ------------------------------------------------------------------------------------

    def restless(self) -> bool:
        """Whether ``tick`` has something to settle now, and not only when the deadline comes."""
        if not self.is_open or (self._idle_due is not None and self._idle_due < 0.0):
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
        if self.phase is not Phase.OPEN and self.phase is not Phase.GONE:
            self.start_closing(now)
        due = self._close_due
        if due is None and self._keepalive is not None and self.phase is Phase.OPEN:
            due = self._keepalive.due
        if self._message_due is not None and (due is None or self._message_due < due):
            due = self._message_due
        if self._idle_due is not None and (due is None or self._idle_due < due):
            due = self._idle_due
        return due

    def expire(self, now: float) -> bool:
        """A deadline may have come. True if the connection is to be aborted at once."""
        if self._close_due is not None and now >= self._close_due:
            if self.error is None and self.phase is not Phase.CLOSED_BOTH:
                self.error = TimeoutError("the close handshake was not finished in time")
            return True
        if self._idle_due is not None and 0 <= self._idle_due <= now:
            self._idle_due = now + self.limits.deflate_idle if self._used_contexts else None
            if not self._used_contexts:
                for extension in self.extensions:
                    extension.release()
            self._used_contexts = False
        if self._message_due is not None and now >= self._message_due:
            self._message_due = None
            assembler = self.assembler
            if (
                assembler.opcode
                and not assembler.streaming
                and assembler.serial == self._message_serial
            ):
                self.fail(ProtocolError("message-timeout", f"{self.limits.message_timeout} s"))
                return False
        if self._keepalive is not None and self.phase is Phase.OPEN:
            return self._expire_keepalive(self._keepalive, now)
        return False

    def _expire_keepalive(self, keepalive: Keepalive, now: float) -> bool:
        verdict = keepalive.expire(now, heard=self.heard, reading=self.reading)
        if verdict == "ping":
            self.heard = False
            self.send_ping(self.new_ping_payload(), None, now)
        elif verdict == "dead":
            timeout = self.limits.ping_timeout
            error = TimeoutError(
                f"keepalive ping timeout: nothing was heard from the peer for {timeout} s "
                "after a ping (ping_timeout)"
            )
            self.fail(error, 1011, "keepalive ping timeout")
            return True
        return False

    def count_controls(self, n: int, now: float) -> None:
        """Charge ``n`` control frames of the peer to its allowance (``Limits.control_burst``)."""
        rate = self.limits.control_rate
        if rate is None:
            return
        burst = self.limits.control_burst
        self._tokens = min(float(burst), self._tokens + (now - self._tokens_at) * rate) - n
        self._tokens_at = now
        if self._tokens < 0:
            self.fail(ProtocolError("control-rate", f"more than {burst}, then {rate} a second"))

    # -- what users ask --------------------------------------------------------------------------

    @property
    def state(self) -> State:
        """OPEN, CLOSING or CLOSED."""
        return state_of(self.phase)

    def closed_error(self) -> ConnectionClosed:
        """The exception that tells how it ended; its cause is what broke it, if anything did."""
        self.conclude()
        ok = {1000, 1001, 1005}
        rcvd, sent = self.close_rcvd, self.close_sent
        kind: type[ConnectionClosed] = ConnectionClosedError
        if rcvd is not None and sent is not None and rcvd.code in ok and sent.code in ok:
            kind = ConnectionClosedOK
        exc = kind(rcvd, sent, self.rcvd_then_sent, self.explain())
        exc.__cause__ = self.error
        return exc

    def explain(self) -> str:
        """Who closed, why, the last frame each way, the likely cause and its cure."""
        from .explain import explain  # only where somebody asks

        return explain(self)


def contiguous(data: Any) -> memoryview:
    """``data`` as bytes that can be sent; ``TypeError`` for what is not bytes-like."""
    try:
        view = memoryview(data)
    except TypeError:
        raise TypeError(f"message must be str or bytes-like, not {type(data).__name__}") from None
    if not view.c_contiguous or view.itemsize != 1:
        raise TypeError("message must be a contiguous buffer of bytes; pass bytes(...) of it")
    return view if view.ndim == 1 else view.cast("B")


def check_close(code: int | None, reason: str) -> Close:
    """The Close that the user asks for; ``ValueError`` if it must not be sent."""
    if not isinstance(reason, str):
        raise TypeError(f"reason must be str, not {type(reason).__name__}")
    if code is None:
        if reason:
            raise ValueError("a reason needs a code: close(1000, reason)")
        return Close(1005)
    if isinstance(code, bool) or not isinstance(code, int):
        raise TypeError(f"code must be int or None, not {type(code).__name__}")
    if not close_code_is_sendable(code):
        raise ValueError(
            f"close code {code} must not be sent; use 1000 to 1003, 1007 to 1014 or 3000 to 4999"
        )
    if len(reason.encode()) > 123:
        raise ValueError("close reason is longer than 123 bytes of UTF-8 (RFC 6455 5.5)")
    return Close(int(code), reason)
