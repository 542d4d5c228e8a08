"""How a server leaves, at once or without an outage: what it does, and when. Without I/O.

::

    drain() ──notice──► readiness says 503, connections are taken still
            ──over────► the listener is closed, and who is kept alive without a request; open
                        connections are finished, one after another
            ──bound───► handlers end, and so do requests and handshakes under way
                        (Limits.handler_timeout); what is left is closed and cancelled

    close() ──bound───► who has not sent a whole request is dropped, open connections are closed;
                        handlers end, those of plain HTTP too; what is left is cancelled
"""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Awaitable, Callable, Generator, Iterable, Iterator
from time import monotonic
from typing import TYPE_CHECKING, Any, Protocol, Self, TypeVar, cast

from duplexer.core.session import check_close
from duplexer.driver import following
from duplexer.limits import Limits

__all__ = [
    "AwaitedLeaver",
    "Draining",
    "Emptied",
    "Leaver",
    "Pause",
    "close",
    "drain",
    "duration",
    "follow",
    "follow_blocking",
    "report_unfinished",
    "spread",
]


@dataclasses.dataclass(frozen=True, slots=True)
class Pause:
    """Wait so many seconds; send whether ``close()`` has come meanwhile, if that ends the wait."""

    seconds: float


@dataclasses.dataclass(frozen=True, slots=True)
class Emptied:
    """Wait until nobody is left who is waited for, but no longer; send whether that is so."""

    seconds: float | None


#: What a front does, step by step.
Draining = Generator[Pause | Emptied, Any, None]


class Leaver(Protocol):
    """A server, as far as leaving goes."""

    serving: Any
    logger: Any
    closed_with: tuple[int, str]
    finishing: tuple[int, str] | None

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

    @property
    def staying(self) -> Iterable[Any]:
        """Those whom ``Emptied`` waits for."""

    def drop_idle(self) -> None:
        """Close the connections that are kept alive for a request that has not begun."""

    def drop_opening(self) -> None:
        """Close the connections whose handshake is not done, but for those being answered."""

    def cancel_handlers(self) -> int:
        """Cancel those that run, where they can be, and close who is being answered.

        Gives how many that were.
        """


async def follow(
    steps: Draining,
    pause: Callable[[float], Awaitable[Any]],
    emptied: Callable[[float | None], Awaitable[bool]],
) -> None:
    """Go through ``steps``, for fronts that await."""
    await following.follow(steps, _waiting(pause, emptied))


def follow_blocking(
    steps: Draining, pause: Callable[[float], bool], emptied: Callable[[float | None], bool]
) -> None:
    """The same for a front that blocks."""
    following.follow_blocking(steps, _waiting(pause, emptied))


def _waiting(pause: Callable[..., Any], emptied: Callable[..., Any]) -> Callable[..., Any]:
    return lambda step: (pause if isinstance(step, Pause) else emptied)(step.seconds)


class AwaitedLeaver:
    """What servers of all fronts that await do alike."""

    leaving: bool

    if TYPE_CHECKING:
        close: Callable[[], None]
        wait_closed: Callable[[], Awaitable[None]]
        start_leaving: Callable[[Draining], None]  #: follow the steps, whoever waits for that

    async def drain(
        self, over: float | None = None, *, notice: float = 0.0, code: int = 1012, reason: str = ""
    ) -> None:
        """Leave without an outage, and wait until that is done: what a restart is preceded by.

        1. Each :class:`~duplexer.carriers.readiness.Readiness` of ``http=`` answers 503 from now
           on. For ``notice`` seconds all else goes on: so long a load balancer may need to notice.
        2. The listening sockets are closed, and connections that are kept alive for a next
           request. What is under way is answered: handshakes with 503, plain HTTP with
           ``Connection: close``. Who has not sent all of a request has what is left of
           ``Limits.open_timeout`` for that.
        3. The connections are closed with ``code`` (1012: service restart) and ``reason``, evenly
           and with jitter over ``over`` seconds, each between two messages (see
           :meth:`~duplexer.driver.finishing.Finishing.finish`). By default that takes a second
           for each ``Limits.drain_rate`` connections, and ``Limits.drain_time`` at most.
        4. Handlers that have not ended ``Limits.handler_timeout`` seconds later are cancelled,
           those of plain HTTP too; who still has not sent a request is dropped.

        ``close()`` ends it at once. Raises ``ValueError`` for times that are none.
        """
        steps = drain(cast("Leaver", self), over, notice, code, reason)
        if not self.leaving:
            self.leaving = True
            self.start_leaving(steps)
        await self.wait_closed()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, exc_type: object, exc: object, tb: object) -> None:
        self.close()
        await self.wait_closed()


def drain(server: Leaver, over: float | None, notice: float, code: int, reason: str) -> Draining:
    """The steps of ``Server.drain()``; raises ``ValueError`` at once for wrong arguments."""
    for name, value in (("over", over), ("notice", notice)):
        if value is not None and not 0 <= value < float("inf"):
            raise ValueError(f"{name} must be a number of seconds, not {value}")
    check_close(code, reason)
    return _drain(server, over, notice, code, reason)


def _drain(server: Leaver, over: float | None, notice: float, code: int, reason: str) -> Draining:
    if server.serving.routes is not None:
        server.serving.routes.leave()
    if not (yield Pause(notice)):
        server.stop_accepting()
        server.drop_idle()
        yield from _finish(server, over, code, reason)
    yield Emptied(server.serving.limits.handler_timeout)
    if server.begin_closing(code, reason):
        yield from _close(server, 0.0)


def _finish(server: Leaver, over: float | None, code: int, reason: str) -> Draining:
    connections = list(server.connections)
    start = monotonic()
    seconds = duration(len(connections), over, server.serving.limits)
    for moment, connection in spread(connections, seconds):
        delay = start + moment - monotonic()
        if delay > 0 and (yield Pause(delay)):
            return
        connection.finish(code, reason)
    server.finishing = (code, reason)
    for connection in list(server.connections):  # some handshakes were about to end
        connection.finish(code, reason)


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
            "%d handlers had not ended in time and are cut off (Limits.handler_timeout)",
            cancelled,
        )
    if (yield Emptied(server.serving.limits.close_timeout)):
        return
    report_unfinished(server)
    for connection in list(server.connections):
        connection.abort()


def report_unfinished(server: Leaver) -> None:
    """Name in the log whose handlers go on."""
    names = ", ".join(map(str, server.staying))
    server.logger.error("handlers have not finished: %s", names)


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
