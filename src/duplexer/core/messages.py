"""From the data frames of a connection to its messages: order, limits, UTF-8, extensions.

The decoder calls, per frame, ``begin_frame``, any number of times ``advance`` (after it pushed
bytes into ``intake``), and ``end_frame``; or ``whole`` for a message that came in one piece. What
is finished lies in the inbox, whole messages as plain ``str`` and ``bytes``.
"""

from __future__ import annotations

import sys
from typing import Any

from duplexer.core import bytesops, opcodes
from duplexer.core.events import Piece
from duplexer.core.extension import Extension
from duplexer.errors import ProtocolError
from duplexer.limits import Limits

__all__ = ["Assembler", "Inbox"]

#: Bytes of an incomplete message that are not counted: a read may end anywhere, also in short ones.
_UNCOUNTED = 16 * 1024


class Inbox:
    """Messages that wait for their reader, and what they weigh."""

    def __init__(self, overhead: int) -> None:
        self.overhead = overhead
        self.first: Any = None  # one message, the usual case, needs no list
        self.rest: list[Any] | None = None
        self.head = 0
        self.count = 0
        self.size = 0

    def put(self, message: Any, size: int) -> int:
        """Append a message of about ``size`` bytes."""
        if isinstance(message, str):
            size = len(message)  # what pop() takes off again
        if self.count == 0:
            self.first = message
        else:
            if self.rest is None:
                self.rest = []
            self.rest.append(message)
        self.count += 1
        self.size += size + self.overhead
        return 0

    def pop(self) -> Any:
        """The oldest message; there is one."""
        message = self.first
        self.count -= 1
        if self.count == 0:
            self.first = None
            self.size = 0
            if self.rest is not None:
                self.rest = None
                self.head = 0
            return message
        self.first = self.rest[self.head]  # type: ignore[index]
        self.rest[self.head] = None  # type: ignore[index]
        self.head += 1
        if self.head >= 256 and self.head * 2 >= len(self.rest):  # type: ignore[arg-type]
            del self.rest[: self.head]  # type: ignore[union-attr]
            self.head = 0
        if isinstance(message, (str, bytes)):
            self.size -= len(message) + self.overhead
        else:
            self.size -= len(message.data) + self.overhead
        return message


class Assembler:
    """Puts fragments together. It owns bytes only while a message is incomplete."""

    def __init__(self, limits: Limits, extensions: tuple[Extension, ...]) -> None:
        self.inbox = Inbox(limits.queue_overhead)
        self.extensions = extensions
        self.rsv_allowed = 0
        for extension in extensions:
            self.rsv_allowed |= extension.rsv
        self._later: int | None = None  # the bound from the second message on, if that differs
        self.bound(-1 if limits.max_message is None else limits.max_message)
        self.max_frame = -1 if limits.max_frame is None else limits.max_frame
        self.max_fragments = limits.max_fragments
        self.bytes_per_fragment = limits.bytes_per_fragment
        self.opcode = 0  # of the message in progress; 0: none is
        self.rsv = 0
        self.serial = 0  # counts messages begun, so that one can be told from the next
        self.fragments = 0
        self.wire = 0  # bytes of the message in progress, as they came
        self.total = 0  # the same, after the extensions
        self.intake: bytesops.Growing | None = None  # where the decoder pushes
        self.body: bytesops.Growing | None = None  # what the message is so far
        self.streaming = False  # the reader wants the message in progress in pieces
        self.discarding = False  # ... or does not want the rest of it
        self._deaf = False
        self.decoded = False  # an extension was used since the session last looked
        self._pulse: Any = None
        self._screened = False  # either of these two: one look on the hot path
        #: with ``hold(before, now)``: a bound on what many connections together have incomplete
        self.ledger: Any = None
        self._held = 0  # bytes that it has been told of

    def bound(self, most: int) -> int:
        # From the next frame on messages have ``most`` bytes; negative: as many as they like.
        self.max_message = most
        self.most = sys.maxsize // 2 if most < 0 else most
        # What cannot be compressed gets longer: deflate adds 5 bytes to each of its stored blocks.
        self.most_coded = self.most + (self.most >> 8) + 64
        return 0

    def bound_first(self, most: int) -> None:
        """Before there is any message: the first one has ``most`` bytes."""
        if self.max_message < 0 or most < self.max_message:
            self._later = self.max_message
            self.bound(most)
            self._screened = True

    def whole(self, message: Any, size: int) -> int:
        """A plain message came in a single frame, and has been checked."""
        if self.opcode:
            raise ProtocolError("continuation-expected")
        self.serial += 1
        return self._put(message, size)

    def _put(self, message: Any, size: int) -> int:
        return self._screen(message, size) if self._screened else self.inbox.put(message, size)

    def _screen(self, message: Any, size: int) -> int:
        if self._later is not None:
            later, self._later = self._later, None
            self.bound(later)
            self._screened = self._deaf or self._pulse is not None
        if (self._pulse is not None and self._pulse.takes(message)) or self._deaf:
            return 0
        return self.inbox.put(message, size)

    @property
    def deaf(self) -> bool:
        """Whether nobody wants any more messages."""
        return self._deaf

    @deaf.setter
    def deaf(self, deaf: bool) -> None:
        self._deaf = deaf
        self._screened = deaf or self._pulse is not None or self._later is not None

    @property
    def pulse(self) -> Any:
        """Takes the peer's heartbeats out."""
        return self._pulse

    @pulse.setter
    def pulse(self, pulse: Any) -> None:
        self._pulse = pulse
        self._screened = self._deaf or pulse is not None or self._later is not None

    def check_size(self, size: int, coded: bool = False) -> int:
        """Refuse a frame by its header, before any of it is stored (RFC 6455 10.4).

        ``coded``: an extension has transformed the message.
        """
        if self.max_frame >= 0 and size > self.max_frame:
            raise ProtocolError("frame-too-big", f"{size} bytes, max_frame is {self.max_frame}")
        # Without an addition, which might wrap round.
        if size > (self.most_coded if coded else self.most) - self.wire:
            raise ProtocolError(
                "message-too-big",
                f"{size} bytes{f' after {self.wire}' if self.wire else ''}, "
                f"{self._bound()} is {self.most}",
            )
        return 0

    def _bound(self) -> str:
        return "max_size (Limits.max_message)" if self._later is None else "Limits.first_message"

    def begin_frame(self, opcode: int, rsv: int, size: int) -> int:
        """The header of a data frame of ``size`` bytes has come."""
        if opcode == opcodes.CONT:
            if not self.opcode:
                raise ProtocolError("continuation-unexpected")
            if rsv:
                raise ProtocolError("rsv-unexpected", "on a continuation frame")
        else:
            if self.opcode:
                raise ProtocolError("continuation-expected")
            if rsv & ~self.rsv_allowed:
                raise ProtocolError("rsv-unexpected")
        self.check_size(size, (self.rsv if opcode == opcodes.CONT else rsv) != 0)
        if opcode != opcodes.CONT:
            self.opcode = opcode
            self.rsv = rsv
            self.serial += 1
            self.fragments = 0
            self.wire = self.total = 0
            self.body = bytesops.Growing()
            self.intake = bytesops.Growing() if rsv else self.body
        self.fragments += 1
        self.wire += size
        allowed = self.max_fragments + self.wire // self.bytes_per_fragment
        if self.fragments > allowed:
            raise ProtocolError(
                "fragments-too-many", f"{self.fragments} fragments in {self.wire} bytes"
            )
        return 0

    def advance(self, n: int) -> int:
        """The decoder pushed ``n`` bytes into the intake."""
        body = self.body
        assert body is not None and self.intake is not None
        if self.rsv:
            self._absorb(self.intake.take_bytes(), False)
            return 0 if self.ledger is None else self._hold(body.size)
        self.total += n
        if self.opcode == opcodes.TEXT and not body.is_text(body.size - n):
            raise ProtocolError("utf8-invalid")
        if self.discarding:
            self._drop_body()
        if self.ledger is not None:
            self._hold(body.size)
        return 0

    def _hold(self, size: int) -> int:
        # Tell the ledger what there is of the message in progress. It may say no.
        if size < _UNCOUNTED:
            size = 0
        if size != self._held:
            if not self.ledger.hold(self._held, size):
                raise ProtocolError(
                    "messages-incomplete",
                    f"{size} bytes of this one, and those of others (Limits.max_incomplete)",
                )
            self._held = size
        return 0

    def _absorb(self, data: bytes, fin: bool) -> int:
        body = self.body
        assert body is not None
        data = self._decode(data, fin)
        n = len(data)
        body.push(data, 0, n, 0, 0)
        self.total += n
        if self.opcode == opcodes.TEXT and not body.is_text(body.size - n):
            raise ProtocolError("utf8-invalid")
        if self.discarding:
            self._drop_body()
        return 0

    def _decode(self, data: bytes, fin: bool) -> bytes:
        # The extensions' order in the header is the order of sending; undo it from the end
        # (RFC 6455 9.1).
        self.decoded = True
        for extension in reversed(self.extensions):
            if self.rsv & extension.rsv:
                room = None if self.max_message < 0 else self.max_message - self.total
                try:
                    data = extension.decode(data, fin, room)
                except ProtocolError as exc:
                    if exc.name != "message-too-big" or "inflate_ratio" in exc.detail:
                        raise
                    raise ProtocolError(
                        "message-too-big",
                        f"more than {self.max_message} bytes after decompression, "
                        f"{self._bound()} is {self.max_message}",
                    ) from None
        return data

    def whole_coded(self, opcode: int, rsv: int, data: bytes) -> int:
        """A message that an extension transformed came in a single frame."""
        self.rsv = rsv
        self.total = 0
        data = self._decode(data, True)
        n = len(data)
        self.serial += 1
        if opcode == opcodes.TEXT:
            text = bytesops.unmask_text(data, 0, n, 0)
            if text is None:
                raise ProtocolError("utf8-invalid")
            return self._put(text, n)
        return self._put(data, n)

    def end_frame(self, fin: bool) -> int:
        """The last byte of a data frame has come."""
        if not fin:
            return 0
        if self.rsv:
            self._absorb(b"", True)
        body = self.body
        assert body is not None
        if self.opcode == opcodes.TEXT and not body.is_complete_text():
            raise ProtocolError("utf8-invalid", "it ends within a character")
        n = body.size
        data: str | bytes
        if self.opcode == opcodes.TEXT:
            data = body.take_text()
        else:
            data = body.take_bytes()
        self.opcode = 0
        self.wire = 0
        self.body = self.intake = None
        if self._held:
            self._hold(0)
        if self.discarding:
            self.discarding = False
        elif self.streaming:
            self.streaming = False
            self._put(Piece(data, True), n)
        else:
            self._put(data, n)
        return 0

    # -- streaming -----------------------------------------------------------------------------

    def flush_piece(self) -> int:
        """Hand what has come of the message in progress to its streaming reader."""
        body = self.body
        if not self.opcode or body is None or body.size == 0:
            return 0
        data: str | bytes
        if self.opcode == opcodes.TEXT:
            data = body.take_text_part()
        else:
            data = body.take_bytes()
        n = len(data)
        if n:
            self._put(Piece(data, False), n)
        if self._held:
            self._hold(0)
        return 0

    def _drop_body(self) -> None:
        assert self.body is not None
        if self.opcode == opcodes.TEXT:
            self.body.take_text_part()  # keeps a character that has only begun
        else:
            self.body.clear()

    def abandon(self) -> None:
        """The streaming reader went away: the rest of its message is not wanted."""
        while self.inbox.count and isinstance(self.inbox.first, Piece):
            if self.inbox.pop().fin:
                return
        if self.opcode and self.streaming:
            self.discarding = True
            self._drop_body()
        self.streaming = False

    def clear(self) -> None:
        """Nothing more will come: let go of what is incomplete."""
        self.opcode = 0
        self.body = self.intake = None
        if self._held:
            self._hold(0)
