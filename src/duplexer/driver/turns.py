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
    from collections.abc import Callable, Hashable, Iterator

__all__ = ["TURNS", "Line", "Patience", "Turn", "Turns", "is_counted"]


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


class Patience:
    """The time for connecting, which stands still while all that goes on is standing in line.

    Of several addresses that are tried at once (RFC 8305) some may wait for their turn while
    others are being connected to: then it runs, and it runs on whichever of them is given up.
    ``stop()`` stops a front's clock and gives the seconds that were left, ``go(left)`` sets it
    going again.
    """

    def __init__(self, stop: Callable[[], float], go: Callable[[float], None]) -> None:
        self._stop = stop
        self._go = go
        self._left: float | None = None  # when it was stopped
        self._waiting = 0
        self._trying = 0

    @contextlib.contextmanager
    def waiting(self) -> Iterator[None]:
        """An address waits for its turn."""
        self._waiting += 1
        self._settle()
        try:
            yield
        finally:
            self._waiting -= 1
            self._settle()

    @contextlib.contextmanager
    def trying(self) -> Iterator[None]:
        """An address is being connected to."""
        self._trying += 1
        self._settle()
        try:
            yield
        finally:
            self._trying -= 1
            self._settle()

    def _settle(self) -> None:
        left = self._left
        if self._waiting and not self._trying:
            if left is None:
                self._left = self._stop()
        elif left is not None:
            self._left = None
            self._go(left)


class Line:
    """Who waits for a turn beside sockets that are being connected, for a front that blocks.

    Give ``ring`` to the turns as their ``wake``. ``bell`` is then readable when it may be the turn
    of one of those who were added; without any there is no bell.
    """

    def __init__(self) -> None:
        self.bell: socket.socket | None = None
        self._rope: socket.socket | None = None
        self._waiting: list[tuple[Turn, Any]] = []

    def add(self, turn: Turn, who: Any) -> None:
        """``who`` waits for ``turn``."""
        if self.bell is None:
            self.bell, self._rope = socket.socketpair()
            self.bell.setblocking(False)
            self._rope.setblocking(False)
        self._waiting.append((turn, who))
        if turn.granted:  # before there was a bell
            self.ring()

    def ring(self) -> None:
        """Somebody has got a turn; in any thread."""
        rope = self._rope
        if rope is not None:
            with contextlib.suppress(OSError):  # it rings already, or nobody listens any more
                rope.send(b"!")

    def called(self) -> list[tuple[Turn, Any]]:
        """Those who have got their turns meanwhile, who leave the line."""
        if self.bell is not None:
            with contextlib.suppress(BlockingIOError):
                self.bell.recv(4096)
        called = [each for each in self._waiting if each[0].granted]
        self._waiting = [each for each in self._waiting if each not in called]
        return called

    def close(self) -> None:
        """Nobody waits any more."""
        for turn, _ in self._waiting:
            turn.leave()
        self._waiting = []
        for end in (self.bell, self._rope):
            if end is not None:
                end.close()


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
