"""Which messages of a connection may be handled now, when several are handled at a time.

::

    take(message) ──► a lane of its own, or one that is free ──► handle it now
                  └─► its key's lane is busy ──► it waits in that lane, behind the others
    done(lane)    ──► the next message of that lane, or the lane is gone
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Awaitable, Callable, Hashable, Iterator
from typing import Any

from duplexer.driver.observing import Observer
from duplexer.errors import ConnectionClosed, ConnectionClosedOK

__all__ = ["NOTHING", "Lane", "Lanes", "outcome", "raise_outcome", "receive", "work"]

#: There is no message: ``None`` could be one.
NOTHING: Any = object()


class Lane:
    """Messages with one key, that are handled in their order."""

    __slots__ = ("key", "waiting")

    def __init__(self, key: Hashable) -> None:
        self.key = key
        self.waiting: deque[Any] = deque()


class Lanes:
    """At most ``concurrency`` messages are at work, and ``Limits.queue_messages`` wait for others.

    ``key`` is a function of the message: those with the same key are handled in the order in which
    they came; ``None`` is the key of messages that need not wait for any. Without ``key`` none has
    to.

    Raises ``ValueError`` or ``TypeError`` for what cannot be.
    """

    def __init__(
        self, connection: Any, concurrency: int, key: Callable[[Any], Hashable] | None
    ) -> None:
        if isinstance(concurrency, bool) or not isinstance(concurrency, int):
            raise TypeError(f"concurrency must be an int, not {type(concurrency).__name__}")
        if concurrency < 1:
            raise ValueError(f"concurrency must be positive, not {concurrency}")
        if key is not None and not callable(key):
            raise TypeError(f"key must be a function, not {type(key).__name__}")
        self._connection = connection
        self._concurrency = concurrency
        self._key = key
        self._most = connection.limits.queue_messages
        #: who is told of each message
        self.observer: Observer = connection.observer or Observer()
        self._busy: dict[Hashable, Lane] = {}
        self.running = 0
        self.waiting = 0

    @property
    def has_room(self) -> bool:
        """Whether to receive one more message."""
        return self.running < self._concurrency and (
            self._most is None or self.waiting < self._most
        )

    def take(self, message: Any) -> Lane | None:
        """A message has come: the lane to handle it in now, ``None`` if it has to wait in one."""
        key = None if self._key is None else self._key(message)
        if key is None:
            self._count(1)
            return Lane(None)
        lane = self._busy.get(key)
        if lane is not None:
            lane.waiting.append(message)
            self.waiting += 1
            return None
        lane = self._busy[key] = Lane(key)
        self._count(1)
        return lane

    def done(self, lane: Lane) -> Any:
        """A message of ``lane`` has been handled: the next one, or ``NOTHING``."""
        if lane.waiting:
            self.waiting -= 1
            return lane.waiting.popleft()
        if lane.key is not None:
            del self._busy[lane.key]
        self._count(-1)
        return NOTHING

    def _count(self, n: int) -> None:
        self.running += n
        connection = self._connection
        connection.at_work = self.running  # whoever closes between two messages waits for them
        if not self.running and connection.finishing is not None:
            connection.finish(*connection.finishing)


def raise_outcome(connection: Any, errors: BaseExceptionGroup | None = None) -> None:
    """All is over: raise what a handler raised, or why the connection ended unless it did well.

    A single error is raised as itself. That the connection has ended is no error of a handler's.
    """
    session = connection.open_session()
    if errors is not None:
        rest: BaseException | None = errors
        if not session.is_open:
            rest = errors.split(ConnectionClosed)[1]
        while isinstance(rest, BaseExceptionGroup) and len(rest.exceptions) == 1:
            rest = rest.exceptions[0]
        if rest is not None:
            raise rest
    error = session.closed_error()
    if not isinstance(error, ConnectionClosedOK):
        raise error


# -- what fronts that await do with them -----------------------------------------------------------


@contextlib.contextmanager
def outcome(connection: Any, beside: type[BaseException] | None = None) -> Iterator[None]:
    """Around a group of tasks: ``raise_outcome`` of what leaves it, ``beside`` which it is over."""
    errors: BaseExceptionGroup | None = None
    try:
        yield
    except BaseExceptionGroup as group:
        errors = group if beside is None else group.split(beside)[1]
    raise_outcome(connection, errors)


async def receive(
    connection: Any,
    lanes: Lanes,
    room: Callable[[], Awaitable[object]],
    start: Callable[[Lane, Any], object],
) -> None:
    """``start`` what may begin, until no message can come; ``room()`` waits for a change."""
    with contextlib.suppress(ConnectionClosed):
        while True:
            while not lanes.has_room:
                await room()
            message = await connection.recv()
            lane = lanes.take(message)
            if lane is not None:
                start(lane, message)


async def work(
    connection: Any,
    handle: Callable[[Any], Awaitable[None]],
    lanes: Lanes,
    changed: Callable[[], object],
    lane: Lane,
    message: Any,
) -> None:
    """Handle ``message``, and what has come in its lane meanwhile."""
    while message is not NOTHING:
        with lanes.observer.handling(connection, message):
            await handle(message)
        message = lanes.done(lane)
        changed()
