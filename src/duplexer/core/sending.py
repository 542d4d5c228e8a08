"""The sending half of a session: messages, fragments, prepared messages, control frames.

It frames into ``cork`` and knows no more of the receiving half than whether a Close has ended the
conversation. All of it raises the connection's own error when it is not open.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from duplexer.core import opcodes
from duplexer.core.bytesops import Cork
from duplexer.core.unacknowledged import Unacknowledged
from duplexer.errors import Close, ConnectionClosed, InvalidState

if TYPE_CHECKING:
    from collections.abc import Hashable

    from duplexer.core.dialect import Dialect
    from duplexer.core.extension import Extension
    from duplexer.limits import Limits

__all__ = ["Sender", "contiguous"]

#: When a Ping was sent that does not measure the latency.
UNTIMED = -1.0


class Sender:
    """What a session sends. ``is_open`` says whether it may send data."""

    def __init__(
        self,
        dialect: Dialect,
        server: bool,
        limits: Limits,
        extensions: tuple[Extension, ...],
    ) -> None:
        self.dialect = dialect
        self.server = server
        self.limits = limits
        self.extensions = extensions
        self.encoder = dialect.encoder(server)
        self.cork = Cork()
        self.is_open = True
        self.gone = False  # the byte stream has ended
        self.congested = False  # the front cannot write: answers that may wait do
        self.is_stranger = False  # who the peer is has yet to be seen: no broadcasts
        self.sending = 0  # opcode of the fragmented message being sent
        self.sending_rsv = 0
        self.sent = 0  # messages
        self.close_sent: Close | None = None
        self.latency = 0.0
        self._pings: dict[bytes, tuple[Any, float, int]] | None = None
        self.kept: Unacknowledged | None = None  # copies of what may have been lost
        self._prepare_key: Hashable = None
        self._pong: bytes | None = None  # the newest answer that waits for the congestion's end
        self._idle_due: float | None = None  # when contexts that are not used are given back
        self._used_contexts = False
        self._mark_due: float | None = None  # when a Ping is to ask what has arrived

    def closed_error(self) -> ConnectionClosed:
        """The exception that tells how the connection ended."""
        raise NotImplementedError

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
        self.sent += 1
        if self.kept is not None:
            return self._keep_message(opcode, data, n, compress)
        if self.extensions:
            return self._put_message(opcode, data, n, compress)
        return self.encoder.put_frame(self.cork, opcode, True, 0, data, n)

    def _put_message(self, opcode: int, data: Any, n: int, compress: bool | None) -> int:
        rsv = 0
        for extension in self.extensions:
            if extension.wants(data, n, opcode == opcodes.TEXT, compress):
                if isinstance(data, str):
                    data = data.encode()
                data = extension.encode(data, True, True)
                n = len(data)
                rsv |= extension.rsv
                self._touch_extensions()
        return self.encoder.put_frame(self.cork, opcode, True, rsv, data, n)

    def _keep_message(self, opcode: int, data: Any, n: int, compress: bool | None) -> int:
        kept = self.kept
        assert kept is not None
        kept.check(n)
        self._put_message(opcode, data, n, compress)
        kept.add(opcode, data, n)
        self._mark_soon()
        return 0

    def _mark_soon(self) -> None:
        # So that what has arrived is not held to be lost: a Ping, at most one a second and one
        # for each quarter of what may be kept.
        assert self.kept is not None
        if self.kept.is_pressing:
            self.send_ping(self.new_ping_payload(), None, UNTIMED)
        elif self._mark_due is None:
            self._mark_due = -1.0  # to be set by whoever knows the time

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
        if self.kept is not None:
            self.kept.check_part(len(data))
            self.kept.add_part(data, text, fin)
        opcode = opcodes.CONT
        rsv = 0
        if first:
            opcode = opcodes.TEXT if text else opcodes.BINARY
            self.sending = opcode
            self.sending_rsv = 0
            for extension in self.extensions:
                # Its length is not known yet: long enough unless the user says otherwise.
                if extension.wants(data, 1 << 20, text, compress):
                    self.sending_rsv |= extension.rsv
            rsv = self.sending_rsv
        for extension in self.extensions:
            if self.sending_rsv & extension.rsv:
                data = extension.encode(data, fin, first)
                self._touch_extensions()
        if fin:
            self.sending = 0
            self.sent += 1
        self.encoder.put_frame(self.cork, opcode, fin, rsv, data, len(data))
        if self.kept is not None and fin:
            self._mark_soon()

    def prepare_key(self) -> Hashable:
        """Connections with equal keys may be sent the same prepared bytes; ``None``: nobody."""
        # A client masks each frame with its own key; what is kept is kept for each connection.
        if self._prepare_key is None and self.server and self.kept is None and not self.is_stranger:
            key: Hashable = self.dialect.name
            if self.extensions:
                key = (key, *[extension.prepare_key() for extension in self.extensions])
            self._prepare_key = key
        return self._prepare_key

    def prepare(self, opcode: int, data: bytes, compress: bool | None) -> tuple[bytes, int]:
        """Frame a message for every connection with this ``prepare_key``: the bytes, and RSV."""
        rsv = 0
        for extension in self.extensions:
            if extension.wants(data, len(data), opcode == opcodes.TEXT, compress):
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
        self.sent += 1
        if rsv:
            for extension in self.extensions:
                if rsv & extension.rsv:
                    extension.prepared_sent()
        return self.cork.put_shared(wire)

    def send_ping(self, payload: bytes, token: Any, now: float) -> None:
        """Send a Ping; ``token`` comes back from ``match_pong``."""
        if not self.is_open:
            raise self.closed_error()
        if self._pings is None:
            self._pings = {}
        elif token is None and len(self._pings) >= self.limits.max_pings:
            for each, (waiting, _, _) in self._pings.items():
                if waiting is None:  # one that a user waits for is not ours to forget
                    del self._pings[each]
                    break
        self._pings[payload] = (token, now, 0 if self.kept is None else self.kept.mark())
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
            token, sent_at, mark = pings.pop(each)
            matched.append((token, now - sent_at))
            if each == payload:
                break
        if sent_at != UNTIMED:
            self.latency = now - sent_at
        if self.kept is not None:
            self.kept.acknowledge(mark)
        return matched

    def drop_pings(self) -> list[Any]:
        """The tokens of all pings that will not be answered any more."""
        pings, self._pings = self._pings, None
        return [token for token, _, _ in pings.values()] if pings else []

    def send_pong(self, payload: bytes) -> None:
        """Send a Pong. Towards a peer that does not read, only the newest is kept (5.5.3)."""
        if self.close_sent is not None or self.gone:
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

    def _put_close(self, close: Close) -> None:
        body = b""
        if close.code != 1005:
            body = close.code.to_bytes(2, "big") + close.reason.encode()
        self.close_sent = close
        self.is_open = False
        self.encoder.put_frame(self.cork, opcodes.CLOSE, True, 0, body, len(body))


def contiguous(data: Any) -> memoryview:
    """``data`` as bytes that can be sent; ``TypeError`` for what is not bytes-like."""
    try:
        view = memoryview(data)
    except TypeError:
        raise TypeError(f"message must be str or bytes-like, not {type(data).__name__}") from None
    if not view.c_contiguous or view.itemsize != 1:
        raise TypeError("message must be a contiguous buffer of bytes; pass bytes(...) of it")
    return view if view.ndim == 1 else view.cast("B")
