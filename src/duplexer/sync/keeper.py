"""The keeper: one thread for all connections of the process that no other thread looks after.

A thread in ``recv()`` does all that its connection needs: it reads, answers pings and keeps
deadlines. While the application is busy with something else the keeper does, so that a peer's
pings are answered and our own are, and nobody takes the silence for death. It also writes what
``broadcast()`` could not, and sees connections off.

It looks round every ``PERIOD`` seconds. A connection that no thread has read since its last round
is read by the keeper, as far as ``Limits.queue_messages`` allows, until a thread comes back.
"""

from __future__ import annotations

import logging
import os
import selectors
import socket
import threading
from math import inf
from time import monotonic
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from duplexer.sync.pump import Pump

__all__ = ["KEEPER", "READ", "WRITE", "Keeper"]

READ, WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE

#: Seconds between two rounds; and for how long the thread waits for the next connection.
PERIOD = 1.0


class Keeper:
    """See above. Its thread starts with the first connection, and ends a while after the last."""

    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        """Begin anew: after a fork the connections, and the thread, are the parent's."""
        self._lock = threading.RLock()  # a signal handler may come while it is held
        self._connections: set[Pump] = set()
        self._urgent: set[Pump] = set()
        self._watched: dict[Pump, int] = {}
        self._thread: threading.Thread | None = None

    def add(self, connection: Pump, *, at_once: bool = False) -> None:
        """Look after ``connection`` until it is lost, ``at_once`` or from the next round on."""
        with self._lock:
            self._connections.add(connection)
            if self._thread is None:
                self._selector = selectors.DefaultSelector()
                self._bell, self._ear = socket.socketpair()
                self._ear.setblocking(False)
                self._selector.register(self._ear, READ)
                self._thread = threading.Thread(
                    target=self._run, name="duplexer-keeper", daemon=True
                )
                try:
                    self._thread.start()
                except BaseException:  # the system has no more threads
                    self._end()
                    self._connections.discard(connection)
                    raise
            if at_once and connection not in self._urgent:
                self._urgent.add(connection)
                self._bell.send(b"!")

    def forget(self, connection: Pump) -> None:
        """It is lost, and its socket about to be closed."""
        with self._lock:
            self._connections.discard(connection)
            self._urgent.discard(connection)
            self._watch(connection, 0)

    def _watch(self, connection: Pump, mask: int) -> None:
        before = self._watched.get(connection, 0)
        if mask == before:
            return
        if not mask:
            del self._watched[connection]
            self._selector.unregister(connection.wire.sock)
            return
        self._watched[connection] = mask
        change = self._selector.modify if before else self._selector.register
        change(connection.wire.sock, mask, connection)

    def _run(self) -> None:
        round_at = monotonic() + PERIOD
        dues: dict[Pump, float] = {}
        while True:
            soonest = min(round_at, *dues.values()) if dues else round_at
            events = {
                key.data: mask
                for key, mask in self._selector.select(max(0.0, soonest - monotonic()))
            }
            now = monotonic()
            with self._lock:
                todo = self._urgent | events.keys()
                self._urgent = set()
                if events.pop(None, 0):
                    self._ear.recv(4096)
                if now >= round_at:
                    if not self._connections:
                        self._end()
                        return
                    round_at = now + PERIOD
                    todo = set(self._connections)
            todo |= {connection for connection, due in dues.items() if due <= now}
            for connection in todo - {None}:
                due = self._tend(connection, now, events.get(connection, 0))
                dues.pop(connection, None)
                if due < round_at:
                    dues[connection] = due

    def _tend(self, connection: Pump, now: float, mask: int) -> float:
        try:
            wanted, due = connection.tend(now, bool(mask & READ))
        except Exception as exc:
            logging.getLogger("duplexer").exception("%s failed", connection)
            with connection.mutex:
                connection.drop(exc)
            return inf
        with self._lock:
            if connection.lost:  # it was before it came here, perhaps
                self._connections.discard(connection)
            elif connection in self._connections:
                self._watch(connection, wanted)
        return due

    def _end(self) -> None:
        self._selector.close()
        self._bell.close()
        self._ear.close()
        self._thread = None


#: That of this process.
KEEPER = Keeper()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=KEEPER.begin)
