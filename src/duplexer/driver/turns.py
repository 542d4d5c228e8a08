"""Taking turns: so many connections to one address may be in the CONNECTING state (RFC 6455 4.1).

The rule keeps a program that opens many connections at once from flooding a server with half-open
ones. It holds for the whole process, whatever its fronts, loops and threads. Connections to this
very machine are not counted: nobody else could be harmed.
"""

from __future__ import annotations

import collections
import contextlib
import os
import socket
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

__all__ = ["TURNS", "Bell", "Turn", "Turns", "is_counted"]


class Turn:
    """One connection's place: waiting, then ``granted``, then given back by ``leave()``."""

    __slots__ = ("_turns", "_wake", "granted", "most", "place")

    def __init__(
        self, turns: Turns, place: _Place, most: int, wake: Callable[[], object] | None
    ) -> None:
        self._turns: Turns | None = turns
        self._wake = wake
        self.place = place
        self.most = most
        self.granted = False

    def leave(self) -> None:
        """The connection is open or has failed, or does not want to wait any more."""
        turns, self._turns, self._wake = self._turns, None, None
        if turns is not None:
            turns.left(self)

    def grant(self) -> bool:
        """It is this one's turn; false if there is nobody any more who would take it."""
        self.granted = True
        wake = self._wake
        try:
            if wake is not None:
                wake()
        except RuntimeError:  # its event loop is closed
            self._turns = self._wake = None
            return False
        return True


class _Place:
    """Who connects to one address, and who waits to."""

    __slots__ = ("count", "key", "waiting")

    def __init__(self, key: Hashable) -> None:
        self.key = key
        self.count = 0
        self.waiting: collections.deque[Turn] = collections.deque()


class Turns:
    """The turns of one process."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Begin anew: after a fork the connections under way are the parent's."""
        # A collection of garbage may close a coroutine that gives its turn back, in the midst of
        # any of this: the same thread must be let in again.
        self._lock = threading.RLock()
        self._places: dict[Hashable, _Place] = {}

    def enter(self, key: Hashable, most: int, wake: Callable[[], object] | None = None) -> Turn:
        """Ask for a turn at ``key``, where ``most`` may be at a time.

        It is granted at once, or later: then ``wake`` is called, in any thread.
        """
        with self._lock:
            place = self._places.get(key)
            if place is None:
                place = self._places[key] = _Place(key)
            turn = Turn(self, place, most, wake)
            if place.count < most and not place.waiting:
                place.count += 1
                turn.granted = True
            else:
                place.waiting.append(turn)
        return turn

    def left(self, turn: Turn) -> None:
        """``turn`` is over: the next ones may have theirs."""
        with self._lock:
            place = turn.place
            if self._places.get(place.key) is not place:
                return  # it was taken before a fork: the parent's, whatever is here now
            if turn.granted:
                place.count -= 1
            else:
                place.waiting.remove(turn)
            while place.waiting and place.count < place.waiting[0].most:
                if place.waiting.popleft().grant():
                    place.count += 1
            if not place.count and not place.waiting:
                del self._places[place.key]


class Bell:
    """What wakes a front that waits for sockets: ``ear`` is readable once somebody has rung."""

    def __init__(self) -> None:
        self.ear, self._rope = socket.socketpair()
        self.ear.setblocking(False)
        self._rope.setblocking(False)

    def ring(self) -> None:
        """In any thread."""
        with contextlib.suppress(OSError):  # it rings already, or nobody listens any more
            self._rope.send(b"!")

    def hush(self) -> None:
        """It was heard."""
        with contextlib.suppress(BlockingIOError):
            self.ear.recv(4096)

    def close(self) -> None:
        """Nobody listens any more."""
        self.ear.close()
        self._rope.close()


#: Those of this process.
TURNS = Turns()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=TURNS.forget)


def is_counted(address: Any) -> bool:
    """Whether connections to ``address``, a pair or more of IP address and port, take turns."""
    return not (
        isinstance(address, (str, bytes))  # a Unix socket
        or str(address[0]).startswith(("127.", "::ffff:127."))
        or address[0] == "::1"
    )
