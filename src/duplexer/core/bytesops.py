"""Byte work: what is done to every byte that comes or goes.

The only module with two bodies: this one, which runs interpreted, and ``bytesops.pyx``, which
stands on the C kernels of ``native/``. Both pass the same tests. It knows nothing of any protocol.

Where bytes are read, they are given as an object and a range of it, never as a slice: compiled,
the object is a pointer and nothing is copied.
"""

from __future__ import annotations

import codecs
import os
import sys
from collections import Counter
from typing import Any

__all__ = [
    "Cork",
    "Growing",
    "force_kernels",
    "forget_random",
    "kernels",
    "load32",
    "looks_random",
    "random32",
    "rotate",
    "unmask",
    "unmask_text",
]

#: A payload of this size or more is passed on uncopied, as a piece of its own.
BIG_PAYLOAD = 32768

_POOL = 4096

# What is looked at of a payload: so many stretches of so many bytes, evenly over it.
_STRETCHES = 4
_STRETCH = 256
#: Pairs of equal bytes among 1024 that came by chance: 2046, with a standard deviation of 45. Six
#: of those to either side; at 2317 pairs a byte still says 7.8 bits.
_FEWEST_PAIRS, _MOST_PAIRS = 1776, 2316


def kernels() -> str:
    """Name of the instruction set that the byte kernels use."""
    return "interpreted"


def force_kernels(name: str | None) -> bool:
    """Use another implementation of the kernels (for tests); False if it cannot run here."""
    return name is None or name == "interpreted"


def load32(p: Any, i: int) -> int:
    """The four bytes at ``p[i]``, as a number in the byte order of memory."""
    return int.from_bytes(p[i : i + 4], sys.byteorder)


def rotate(key: int, phase: int) -> int:
    """The repeating pattern ``key`` as it is ``phase`` bytes later."""
    turned = key.to_bytes(4, sys.byteorder) * 2
    return load32(turned, phase & 3)


def _xor(data: bytes, key: int) -> bytes:
    n = len(data)
    pattern = key.to_bytes(4, sys.byteorder) * ((n + 3) // 4)
    mixed = int.from_bytes(data, "little") ^ int.from_bytes(pattern[:n], "little")
    return mixed.to_bytes(n, "little")


def unmask(p: Any, i: int, n: int, key: int) -> bytes:
    """``n`` bytes from ``p[i]`` on, each XORed with the four-byte pattern ``key`` (0: none)."""
    data = bytes(p[i : i + n])
    return _xor(data, key) if key else data


def unmask_text(p: Any, i: int, n: int, key: int) -> str | None:
    """The same, decoded; ``None`` if it is not UTF-8 (RFC 3629: no surrogates, no overlong)."""
    try:
        return unmask(p, i, n, key).decode()
    except UnicodeDecodeError:
        return None


def looks_random(data: Any) -> bool:
    """Whether the bytes-like ``data`` is as evenly mixed as if by chance: compressed, encrypted.

    A compressor finds next to nothing in that. A sample of 1024 bytes tells; shorter data doesn't.
    """
    view = memoryview(data).cast("B")
    if len(view) < _STRETCHES * _STRETCH:
        return False
    step = (len(view) - _STRETCH) // (_STRETCHES - 1)
    starts = range(0, _STRETCHES * step, step)
    sample = b"".join(view[start : start + _STRETCH] for start in starts)
    pairs = sum(count * (count - 1) for count in Counter(sample).values()) // 2
    return _FEWEST_PAIRS <= pairs <= _MOST_PAIRS


_pool = b""


def random32() -> int:
    """An unpredictable number (RFC 6455 10.3), from a pool that ``os.urandom`` fills."""
    global _pool
    if not _pool:
        _pool = os.urandom(_POOL)
    value = load32(_pool, 0)
    _pool = _pool[4:]
    return value


def forget_random() -> None:
    """Throw the pool away: after a fork the child must not use the parent's numbers."""
    global _pool
    _pool = b""


os.register_at_fork(after_in_child=forget_random)

_decoder = codecs.getincrementaldecoder("utf-8")


class Growing:
    """A message on its way in. It grows with the bytes that came, not with what was announced."""

    __slots__ = ("_bytes", "_utf8", "size")

    def __init__(self) -> None:
        self._bytes = bytearray()
        self._utf8 = _decoder()
        self.size = 0

    def push(self, p: Any, i: int, n: int, key: int, expected: int) -> int:
        """Append ``n`` bytes from ``p[i]`` on, XORed with ``key``; ``expected`` are announced."""
        self._bytes += unmask(p, i, n, key)
        self.size += n
        return 0

    def is_text(self, start: int) -> bool:
        """Whether the bytes from ``start`` on continue those before as UTF-8.

        Each byte is to be passed once, in order; the first one that cannot be right says False.
        """
        try:
            self._utf8.decode(bytes(self._bytes[start : self.size]))
        except UnicodeDecodeError:
            return False
        # Python waits for the third byte of a surrogate; it is wrong at the second.
        rest = self._utf8.getstate()[0]
        return not (len(rest) == 2 and rest[0] == 0xED and rest[1] >= 0xA0)

    def is_complete_text(self) -> bool:
        """Whether what ``is_text`` saw ends with a whole character."""
        return not self._utf8.getstate()[0]

    def take_bytes(self) -> bytes:
        """Everything, as bytes; nothing is left."""
        out = bytes(self._bytes)
        self.clear()
        return out

    def take_text(self) -> str:
        """Everything, decoded; nothing is left. ``is_text`` has seen it all."""
        out = self._bytes.decode()
        self.clear()
        return out

    def take_text_part(self) -> str:
        """Everything but the beginning of a character whose rest has not come."""
        rest = self._utf8.getstate()[0]
        out = self._bytes[: self.size - len(rest)].decode()
        self.clear()
        self.push(rest, 0, len(rest), 0, 0)
        self._utf8.decode(rest)
        return out

    def clear(self) -> int:
        """Forget everything."""
        self._bytes = bytearray()
        self._utf8 = _decoder()
        self.size = 0
        return 0


class Cork:
    """Bytes on their way out, collected until ``take()``. ``size`` is their number."""

    __slots__ = ("_open", "_sealed", "size")

    def __init__(self) -> None:
        self._open = bytearray()
        self._sealed: list[bytes] | None = None
        self.size = 0

    def reserve(self, n: int) -> int:
        """``n`` more bytes are about to come."""
        return 0

    def _add(self, data: bytes) -> int:
        self._open += data
        self.size += len(data)
        return 0

    def put2(self, b0: int, b1: int) -> int:
        """Two bytes."""
        return self._add(bytes((b0, b1)))

    def put16(self, value: int) -> int:
        """A 16-bit number in network byte order."""
        return self._add(value.to_bytes(2, "big"))

    def put64(self, value: int) -> int:
        """A 64-bit number in network byte order."""
        return self._add(value.to_bytes(8, "big"))

    def put32_raw(self, value: int) -> int:
        """A 32-bit number in the byte order of memory, as ``load32`` reads it."""
        return self._add(value.to_bytes(4, sys.byteorder))

    def put(self, data: Any, n: int, key: int) -> int:
        """The ``n`` bytes of ``data`` (bytes-like, or ASCII text), XORed with ``key``."""
        if n == 0:
            return 0
        if isinstance(data, str):
            data = data.encode("ascii")
        elif type(data) is bytes and n >= BIG_PAYLOAD and key == 0:
            self._seal()
            assert self._sealed is not None
            self._sealed.append(data)
            self.size += n
            return 0
        view = memoryview(data)
        if view.nbytes != n:
            raise BufferError("the payload changed its size while it was being sent")
        return self._add(unmask(view, 0, n, key))

    def _seal(self) -> None:
        if self._sealed is None:
            self._sealed = []
        if self._open:
            self._sealed.append(bytes(self._open))
            self._open = bytearray()

    def put_shared(self, data: bytes) -> int:
        """Bytes that others send as well: uncopied if they are the first."""
        if self.size:
            return self.put(data, len(data), 0)
        self._sealed = [data]
        self.size = len(data)
        return 0

    def take(self) -> bytes | list[bytes]:
        """Everything, as bytes or as a list of pieces that are better not joined."""
        if self._sealed is not None:
            self._seal()
            pieces, self._sealed = self._sealed, None
            self.size = 0
            return pieces[0] if len(pieces) == 1 else pieces
        out = bytes(self._open)
        self._open = bytearray()
        self.size = 0
        return out
