"""What was sent and the kernel has not taken yet, for fronts that write by themselves."""

from __future__ import annotations

from collections import deque
from itertools import islice
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sized

__all__ = ["Outbox"]


class Outbox:
    """Pieces in the order they were sent. ``size`` is their bytes, ``written`` those that left."""

    __slots__ = ("_pieces", "size", "written")

    def __init__(self) -> None:
        self._pieces: deque[Any] = deque()
        self.size = 0
        self.written = 0

    def add(self, data: Sized) -> None:
        """Bytes, or a list of bytes, are to be written."""
        if isinstance(data, list):
            self._pieces.extend(data)
            self.size += sum(map(len, data))
        elif data:
            self._pieces.append(data)
            self.size += len(data)

    def first(self, n: int) -> list[Any]:
        """The first ``n`` pieces, for ``writev``."""
        return list(islice(self._pieces, n))

    def head(self, most: int) -> Any:
        """The beginning of the first piece: ``most`` bytes of it."""
        first = self._pieces[0]
        return first if len(first) <= most else memoryview(first)[:most]

    def left(self, n: int) -> None:
        """``n`` bytes have left."""
        self.size -= n
        self.written += n
        pieces = self._pieces
        while pieces and n >= len(pieces[0]):
            n -= len(pieces.popleft())
        if n:
            pieces[0] = memoryview(pieces[0])[n:]

    def take(self) -> bytes:
        """All of it, joined: it is not in here any more."""
        data = b"".join(self._pieces)
        self.clear()
        return data

    def clear(self) -> None:
        """Forget what has not left."""
        self._pieces.clear()
        self.size = 0
