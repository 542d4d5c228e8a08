"""What a network does to bytes on their way, on purpose: without I/O, for memory and for TCP alike.

::

    write ──► Flow.put() ──► pieces, each with the time when it is there ──► Flow.take() ──► read

A :class:`Link` is the network between a client and a server; each direction has its
:class:`Faults`, which may change at any time. Every connection over it has a :class:`Flow` each
way. Nothing is left to chance but what a seed decides.
"""

from __future__ import annotations

import random
import weakref
from collections import deque
from typing import Any, Literal, Protocol

__all__ = ["END", "RESET", "Faults", "Flow", "Link"]

End = Literal["end", "reset"]

END: End = "end"  #: nothing follows: TCP's FIN
RESET: End = "reset"  #: the connection is void: TCP's RST


class Faults:
    """What happens to what is sent in one direction of a :class:`Link`.

    * ``split``: bytes arrive in pieces of this many, or of a random number in a range
      ``(least, most)``.
    * ``delay``: seconds until a piece arrives, and up to ``jitter`` more at random. The order is
      kept: this is TCP.
    * ``cut_after``: so many bytes arrive of each connection, then it ends: by ``cut="reset"``, or
      in good order by ``cut="end"``.

    All of these may be set at any time, for what is sent from then on. :meth:`stall`,
    :meth:`resume` and :meth:`drop` act on what is under way as well.
    """

    def __init__(
        self,
        *,
        split: int | tuple[int, int] | None = None,
        delay: float = 0.0,
        jitter: float = 0.0,
        cut_after: int | None = None,
        cut: End = RESET,
    ) -> None:
        least, most = split if isinstance(split, tuple) else (split, split)
        if least is not None and most is not None and not 1 <= least <= most:
            raise ValueError(f"split must be at least 1, or (least, most), not {split!r}")
        if delay < 0 or jitter < 0:
            raise ValueError(f"delay and jitter must not be negative: {min(delay, jitter)}")
        if cut_after is not None and cut_after < 0:
            raise ValueError(f"cut_after must not be negative: {cut_after}")
        if cut not in (END, RESET):
            raise ValueError(f"cut must be 'reset' or 'end', not {cut!r}")
        self.split = split
        self.delay = delay
        self.jitter = jitter
        self.cut_after = cut_after
        self.cut: End = cut
        self.stalled = False  #: nothing arrives for the time being
        self.dropping = False  #: nothing that is sent ever arrives
        self._link: weakref.ref[Link] | None = None

    def stall(self) -> None:
        """Nothing arrives until :meth:`resume`; the sender's buffers fill up."""
        self.stalled = True

    def resume(self) -> None:
        """End a stall: what has been waiting arrives."""
        self.stalled = False
        self._changed()

    def drop(self) -> None:
        """From now on nothing arrives, and the sender does not notice: an unplugged cable."""
        self.dropping = True
        self._changed()

    @property
    def is_broken(self) -> bool:
        """Whether nothing arrives now."""
        return self.stalled or self.dropping

    def _changed(self) -> None:
        link = None if self._link is None else self._link()
        if link is not None:
            link.changed()


class Carried(Protocol):
    """A connection over a link, as far as the link knows it."""

    def changed(self) -> None:
        """Something may arrive now that could not before."""

    def break_off(self) -> None:
        """The network resets the connection, both ways."""


class Link:
    """The network between a client and a server; the arguments are those of :class:`Faults`.

    They hold for both directions; ``to_server`` and ``to_client`` can be changed one by one.
    ``seed`` decides what is random. A sender may have ``capacity`` bytes under way; what it writes
    beyond that stays in its own buffer, as when a kernel takes no more.
    """

    def __init__(
        self,
        *,
        split: int | tuple[int, int] | None = None,
        delay: float = 0.0,
        jitter: float = 0.0,
        cut_after: int | None = None,
        cut: End = RESET,
        seed: int = 0,
        capacity: int = 64 * 1024,
    ) -> None:
        self.to_server, self.to_client = (
            Faults(split=split, delay=delay, jitter=jitter, cut_after=cut_after, cut=cut)
            for _ in range(2)
        )
        for faults in (self.to_server, self.to_client):
            faults._link = weakref.ref(self)
        self.seed = seed
        self.capacity = capacity
        self._carried: weakref.WeakSet[Any] = weakref.WeakSet()
        self._count = 0

    # -- what tests do ---------------------------------------------------------------------------

    def stall(self) -> None:
        """See :meth:`Faults.stall`; in both directions."""
        self.to_server.stall()
        self.to_client.stall()

    def resume(self) -> None:
        """See :meth:`Faults.resume`; in both directions."""
        self.to_server.resume()
        self.to_client.resume()

    def drop(self) -> None:
        """See :meth:`Faults.drop`; in both directions."""
        self.to_server.drop()
        self.to_client.drop()

    def reset(self) -> None:
        """Break off all connections at once, for both ends (TCP's RST)."""
        for carried in list(self._carried):
            carried.break_off()

    @property
    def is_broken(self) -> bool:
        """Whether nothing arrives in one direction or both."""
        return self.to_server.is_broken or self.to_client.is_broken

    # -- what transports do ----------------------------------------------------------------------

    def carry(self, carried: Carried) -> tuple[Flow, Flow]:
        """A connection begins: its flows to the server and to the client.

        The link does not keep it alive.
        """
        self._carried.add(carried)
        self._count += 1
        return (
            Flow(self.to_server, f"{self.seed}/{self._count}/server"),
            Flow(self.to_client, f"{self.seed}/{self._count}/client"),
        )

    def changed(self) -> None:
        """The faults have changed."""
        for carried in list(self._carried):
            carried.changed()


class Flow:
    """One direction of one connection: what was written, and when it is there to be read."""

    def __init__(self, faults: Faults, seed: str) -> None:
        self.faults = faults
        self._random = random.Random(seed)  # noqa: S311 - it has to be the same each time
        self._pieces: deque[tuple[float, bytes | End]] = deque()
        self._last = 0.0
        self.size = 0  #: bytes under way
        self.put_count = 0  #: bytes that were ever written
        self.ended: End | None = None  #: nothing more can be written

    def put(self, data: bytes, now: float) -> None:
        """``data`` is written."""
        if self.ended or not data:
            return
        faults = self.faults
        if faults.dropping:
            self.put_count += len(data)
            return
        cut = None
        if faults.cut_after is not None and self.put_count + len(data) >= faults.cut_after:
            data = data[: max(0, faults.cut_after - self.put_count)]
            cut = faults.cut
        self.put_count += len(data)
        start = 0
        while start < len(data):
            stop = start + self._piece_size(len(data))
            piece = data[start:stop]
            self._pieces.append((self._arrival(now), piece))
            self.size += len(piece)
            start = stop
        if cut is not None:
            self.put_end(cut, now)

    def put_end(self, end: End, now: float) -> None:
        """Nothing is written any more. A reset may still follow an end."""
        if self.ended in (end, RESET):
            return
        self.ended = end
        if not self.faults.dropping:
            self._pieces.append((self._arrival(now), end))

    def _piece_size(self, size: int) -> int:
        split = self.faults.split
        if split is None:
            return size
        return split if isinstance(split, int) else self._random.randint(*split)

    def _arrival(self, now: float) -> float:
        faults = self.faults
        when = now + faults.delay
        if faults.jitter:
            when += faults.jitter * self._random.random()
        self._last = max(self._last, when)  # never overtaking what was sent before
        return self._last

    def due(self) -> float | None:
        """When there is something to take; ``None`` for not before something changes."""
        if self.faults.dropping:
            self.clear()
        if self.faults.stalled or not self._pieces:
            return None
        return self._pieces[0][0]

    def take(self, now: float, most: int) -> bytes | End | None:
        """The next piece that has arrived, ``most`` bytes of it; or the end; or ``None``."""
        due = self.due()
        if due is None or due > now:
            return None
        when, piece = self._pieces.popleft()
        if isinstance(piece, bytes):
            if len(piece) > most:
                self._pieces.appendleft((when, piece[most:]))
                piece = piece[:most]
            self.size -= len(piece)
        return piece

    def clear(self) -> None:
        """What is under way is lost."""
        self._pieces.clear()
        self.size = 0
