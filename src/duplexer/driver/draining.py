"""How a server leaves, at once or without an outage: what it does, and when. Without I/O.

::

    drain() ──notice──► readiness says 503, connections are taken still
            ──over────► the listener is closed; connections are finished, one after another
            ──bound───► handlers end (Limits.handler_timeout); those left are closed and cancelled
"""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable, Generator, Iterable, Iterator
from time import monotonic
from typing import Any, Protocol, TypeVar

from duplexer.core.session import check_close
from duplexer.limits import Limits

__all__ = ["Draining", "Emptied", "Leaver", "Pause", "close", "drain", "duration", "spread"]


@dataclasses.dataclass(frozen=True, slots=True)
class Pause:
    """Wait so many seconds."""

    seconds: float


@dataclasses.dataclass(frozen=True, slots=True)
class Emptied:
    """Wait until no connection is left, but no longer; send whether none is."""

    seconds: float | None


#: What a front does, step by step.
Draining = Generator[Pause | Emptied, Any, None]


class Leaver(Protocol):
    """A server, as far as leaving goes."""

    serving: Any
    logger: Any
    closed_with: tuple[int, str]

    @property
    def connections(self) -> Iterable[Any]:
        """Those whose handshake is done, until their handler has ended as well."""

    def stop_accepting(self) -> None:
        """Close the listening sockets, and answer handshakes with 503 from now on.

        What the kernel has accepted for us is answered too; to close the sockets would reset it.
        If the sockets are another process's as well, that one has it.
        """

    def begin_closing(self, code: int, reason: str) -> bool:
        """See :class:`~duplexer.driver.roster.Roster`."""

    def drop_opening(self) -> None:
        """Close the connections whose handshake is not done."""

    def cancel_handlers(self) -> int:
        """Cancel those that run; how many that were."""


def drain(server: Leaver, over: float | None, notice: float, code: int, reason: str) -> Draining:
    """The steps of ``Server.drain()``; raises ``ValueError`` at once for wrong arguments."""
    for name, value in (("over", over), ("notice", notice)):
        if value is not None and not 0 <= value < float("inf"):
            raise ValueError(f"{name} must be a number of seconds, not {value}")
    check_close(code, reason)
    return _drain(server, over, notice, code, reason)


def _drain(server: Leaver, over: float | None, notice: float, code: int, reason: str) -> Draining:
    limits = server.serving.limits
    if server.serving.routes is not None:
        server.serving.routes.leave()
    yield Pause(notice)
    server.stop_accepting()
    connections = list(server.connections)
    start = monotonic()
    for moment, connection in spread(connections, duration(len(connections), over, limits)):
        delay = start + moment - monotonic()
        if delay > 0:
            yield Pause(delay)
        connection.finish(code, reason)
    for connection in list(server.connections):  # some handshakes were about to end
        connection.finish(code, reason)
    yield Emptied(limits.handler_timeout)
    server.begin_closing(code, reason)
    yield from _close(server, 0.0)


def close(server: Leaver, close_connections: bool = True) -> Draining:
    """The steps of ``Server.close()``. Connections that it leaves alone go on without a bound."""
    if close_connections:
        return _close(server, server.serving.limits.handler_timeout)
    return _leave_alone(server)


def _leave_alone(server: Leaver) -> Draining:
    server.stop_accepting()
    server.drop_opening()
    yield Emptied(None)


def _close(server: Leaver, patience: float | None) -> Draining:
    server.stop_accepting()
    server.drop_opening()
    for connection in list(server.connections):
        connection.start_close(*server.closed_with)
    if (yield Emptied(patience)):
        return
    cancelled = server.cancel_handlers()
    if cancelled:
        server.serving.guard.strike("handler_timeout", cancelled)
        server.logger.warning(
            "%d handlers had not ended in time and are cancelled (Limits.handler_timeout)",
            cancelled,
        )
    if (yield Emptied(server.serving.limits.close_timeout)):
        return
    left = list(server.connections)
    server.logger.error("%d handlers go on though they were cancelled", len(left))
    for connection in left:
        connection.abort()


T = TypeVar("T")


def duration(count: int, over: float | None, limits: Limits) -> float:
    """Seconds in which ``count`` connections are to be closed: ``over``, if that was said.

    By default no longer than it takes at ``Limits.drain_rate``: a few clients stampede nobody.
    """
    return min(limits.drain_time, count / limits.drain_rate) if over is None else over


def spread(
    connections: Iterable[T], over: float, chance: Callable[[], float] = random.random
) -> Iterator[tuple[float, T]]:
    """When each of ``connections`` is to be finished, in seconds from now, the first one first.

    Each has a part of the time to itself and a moment of it by chance: so they are even at any
    scale, and the clients of two servers that leave together do not march in step. The order is by
    chance too: who came first would be the first to be sent away each time otherwise.
    """
    shuffled = list(connections)
    for last in range(len(shuffled) - 1, 0, -1):
        other = int(chance() * (last + 1))
        shuffled[last], shuffled[other] = shuffled[other], shuffled[last]
    for number, connection in enumerate(shuffled):
        yield over * (number + chance()) / len(shuffled), connection
