"""The framing that hybi-07 brought and RFC 6455 5.2 kept: versions 7, 8 and 13 share every byte.

::

      0                   1                   2                   3
     +-+-+-+-+-------+-+-------------+-------------------------------+
     |F|RSV  |opcode |M| length (7)  |  16 or 64 bits more if 126/127 |
     +-+-+-+-+-------+-+-------------+-------------------------------+
     |  masking key, if M                |  payload                   |
     +-----------------------------------+----------------------------+
"""

from __future__ import annotations

from typing import Any

from duplexer.core import bytesops, opcodes
from duplexer.core.decoder import Decoder
from duplexer.core.encoder import Encoder
from duplexer.core.messages import Assembler
from duplexer.errors import ProtocolError

__all__ = ["FrameDecoder", "FrameEncoder", "frame"]


class FrameDecoder(Decoder):
    """Reads frames. ``masked``: whether they must be (on a server), or must not (on a client)."""

    def __init__(self, assembler: Assembler, masked: bool) -> None:
        super().__init__(assembler)
        self.mask_bit = 0x80 if masked else 0
        self.head: bytes | None = None  # the beginning of a header that the last read cut off
        self.control: bytesops.Growing | None = None  # of a control frame that it cut off
        self.opcode = 0
        self.rsv = 0
        self.fin = False
        self.key = 0
        self.need = -1  # payload bytes that the frame still wants; -1: between frames

    def is_between_frames(self) -> bool:
        """Whether the byte stream may end here without cutting a frame in two."""
        return self.need < 0 and self.head is None

    def feed(self, p: Any, i: int, end: int) -> int:
        """See :meth:`duplexer.core.decoder.Decoder.feed`."""
        while i < end:
            if self.need >= 0:
                i = self._payload(p, i, end)
            elif self.budget <= 0:
                return i
            elif self.head is not None:
                i = self._complete_head(p, i, end)
            else:
                size = self._head_size(p, i, end - i)
                if end - i < size:
                    self.head = bytes(p[i:end])
                    return end
                i = self._frame(p, i, size, end)
        return i

    def _head_size(self, p: Any, i: int, n: int) -> int:
        # The size of the header that starts here, as far as it can be told from n bytes of it;
        # what the first two bytes say must be right before any more is read.
        if n < 2:
            self._check_first(p[i])
            return 2
        self._check_first(p[i])
        b1 = p[i + 1]
        if b1 & 0x80 != self.mask_bit:
            raise ProtocolError("mask-missing" if self.mask_bit else "mask-unexpected")
        size = 6 if self.mask_bit else 2
        if b1 & 0x7F < 126:
            return size
        if p[i] & 0x08:
            raise ProtocolError("control-too-long")
        return size + (2 if b1 & 0x7F == 126 else 8)

    def _check_first(self, b0: int) -> int:
        opcode = b0 & 0x0F
        if opcode > opcodes.PONG or opcodes.BINARY < opcode < opcodes.CLOSE:
            raise ProtocolError("opcode-unknown", str(opcode))
        if opcode & 0x08:
            if b0 & 0x70:
                raise ProtocolError("rsv-unexpected", "on a control frame")
            if not b0 & 0x80:
                raise ProtocolError("control-fragmented")
        elif b0 & 0x70 and ((b0 & 0x70) >> 4) & ~self.assembler.rsv_allowed:
            raise ProtocolError("rsv-unexpected")
        return 0

    def _complete_head(self, p: Any, i: int, end: int) -> int:
        # A header that was cut off: add one byte at a time until it is whole.
        head = self.head
        assert head is not None
        head += bytes(p[i : i + 1])
        size = self._head_size(head, 0, len(head))
        if len(head) < size:
            self.head = head
        else:
            self.head = None
            self._frame(head, 0, size, size)
        return i + 1

    def _frame(self, p: Any, i: int, size: int, end: int) -> int:
        # The header is whole, size bytes from p[i] on; the payload up to end.
        assembler = self.assembler
        b0 = p[i]
        n = p[i + 1] & 0x7F
        if n >= 126:
            n = self._long_size(p, i + 2, n)
        key = 0
        if self.mask_bit:
            key = bytesops.load32(p, i + size - 4)
        i += size
        opcode = b0 & 0x0F
        self.budget -= 1
        self.last_opcode = opcode
        self.last_size = n
        if n <= end - i:  # all of it is here: the usual case
            if opcode & 0x08:
                self._on_control(opcode, bytesops.unmask(p, i, n, key))
                return i + n
            if b0 & 0x80 and opcode and not assembler.opcode and not assembler.streaming:
                assembler.check_size(n, (b0 & 0x70) != 0)
                if b0 & 0x70:
                    assembler.whole_coded(opcode, (b0 & 0x70) >> 4, bytesops.unmask(p, i, n, key))
                elif opcode == opcodes.TEXT:
                    text = bytesops.unmask_text(p, i, n, key)
                    if text is None:
                        raise ProtocolError("utf8-invalid")
                    assembler.whole(text, n)
                else:
                    assembler.whole(bytesops.unmask(p, i, n, key), n)
                return i + n
        self.opcode = opcode
        self.fin = b0 & 0x80 != 0
        self.key = key
        self.need = n
        if opcode & 0x08:
            self.control = bytesops.Growing()
        else:
            assembler.begin_frame(opcode, (b0 & 0x70) >> 4, n)
        return self._payload(p, i, end)

    def _on_control(self, opcode: int, payload: bytes) -> int:
        if self.controls is None:
            self.controls = []
        self.controls.append((opcode, payload))
        if opcode == opcodes.CLOSE:
            self.budget = 0  # what comes after a Close is not looked at (5.5.1)
        return 0

    def _long_size(self, p: Any, i: int, form: int) -> int:
        n = p[i] << 8 | p[i + 1]
        if form == 126:
            if n < 126:
                raise ProtocolError("length-minimal", f"{n} in 16 bits")
            return n
        if p[i] & 0x80:
            raise ProtocolError("length-sign")
        for k in range(i + 2, i + 8):
            n = n << 8 | p[k]
        if n < 65536:
            raise ProtocolError("length-minimal", f"{n} in 64 bits")
        return n

    def _payload(self, p: Any, i: int, end: int) -> int:
        # The next bytes of a frame that did not come in one piece with its header.
        n = min(self.need, end - i)
        if self.opcode & 0x08:
            control = self.control
            assert control is not None
            control.push(p, i, n, self.key, self.need)
            if n == self.need:
                self.control = None
                self._on_control(self.opcode, control.take_bytes())
        else:
            intake = self.assembler.intake
            assert intake is not None
            intake.push(p, i, n, self.key, self.need)
            self.assembler.advance(n)
            if n == self.need:
                self.assembler.end_frame(self.fin)
        if n == self.need:
            self.need = -1
        else:
            self.need -= n
            self.key = bytesops.rotate(self.key, n)
        return i + n


class FrameEncoder(Encoder):
    """Writes frames. ``masked``: with a fresh unpredictable key for each (on a client)."""

    def __init__(self, masked: bool) -> None:
        super().__init__()
        self.mask_bit = 0x80 if masked else 0

    def put_frame(
        self, cork: bytesops.Cork, opcode: int, fin: bool, rsv: int, data: Any, n: int
    ) -> int:
        """See :meth:`duplexer.core.encoder.Encoder.put_frame`."""
        key = 0
        if self.mask_bit:
            key = bytesops.random32()
        self.last_opcode = opcode
        self.last_size = n
        return put_frame(
            cork, (0x80 if fin else 0) | rsv << 4 | opcode, self.mask_bit, key, data, n
        )


def put_frame(cork: bytesops.Cork, b0: int, mask_bit: int, key: int, data: Any, n: int) -> int:
    """One frame into ``cork``: its first byte, its masking, its payload of ``n`` bytes."""
    cork.reserve(14 + (n if n < 32768 else 0))
    if n < 126:
        cork.put2(b0, mask_bit | n)
    elif n < 65536:
        cork.put2(b0, mask_bit | 126)
        cork.put16(n)
    else:
        cork.put2(b0, mask_bit | 127)
        cork.put64(n)
    if mask_bit:
        cork.put32_raw(key)
    return cork.put(data, n, key)


def frame(
    data: bytes,
    opcode: int,
    *,
    fin: bool = True,
    rsv: int = 0,
    mask: bytes | None = None,
) -> bytes:
    """A frame as bytes: a pure function, for tests, tools and messages prepared once.

    ``rsv`` has RSV1 in bit 2, ``mask`` is the masking key (four bytes) or ``None``.
    """
    cork = bytesops.Cork()
    key = 0 if mask is None else bytesops.load32(mask, 0)
    b0 = (0x80 if fin else 0) | rsv << 4 | opcode
    put_frame(cork, b0, 0 if mask is None else 0x80, key, data, len(data))
    taken = cork.take()
    return taken if isinstance(taken, bytes) else b"".join(taken)
