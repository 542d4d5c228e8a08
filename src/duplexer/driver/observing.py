"""What a server tells whoever watches it from outside: metrics, traces, your own.

Nothing is told for each message: connections count by themselves (``traffic``), and whoever wants
the sums adds them up when asked.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

    from duplexer.http.messages import Request
    from duplexer.policy.guard import Guard

__all__ = ["LAG_INTERVAL", "Observer", "Observers", "Traffic", "observer_from"]

#: Seconds between two looks at the event loop.
LAG_INTERVAL = 0.5


class Traffic(NamedTuple):
    """What has gone over a connection so far: messages, and bytes with all framing."""

    messages_received: int
    messages_sent: int
    bytes_received: int
    bytes_sent: int


class Observer:
    """What happens on a server, for ``serve(observer=...)``: override what you want to hear of.

    The methods are called by the connections, in the threads of those: they must not block, and
    raise nothing. Under ``duplexer.sync`` several may be called at a time.
    """

    def serves(self, guard: Guard) -> None:
        """A server has been made: ``guard.struck`` says how often which of its limits struck."""

    def opened(self, connection: Any) -> None:
        """A handshake has made a WebSocket."""

    def refused(self, connection: Any, request: Request | None, status: int) -> None:
        """A handshake, or something that was no HTTP at all, was answered with ``status``."""

    def answered(self, connection: Any, request: Request, status: int) -> None:
        """A plain HTTP request was answered with ``status``."""

    def ended(self, connection: Any) -> None:
        """The byte stream of a WebSocket has ended; its counters change no more."""

    def pong(self, connection: Any, latency: float) -> None:
        """A Ping of ours was answered after ``latency`` seconds."""

    def sent_late(self, connection: Any, seconds: float) -> None:
        """A message could not be sent at once: it took so long until it could."""

    def handling(self, connection: Any, message: Any) -> AbstractContextManager[Any]:
        """Surrounds the handling of a message by ``dispatch()``."""
        return contextlib.nullcontext()

    def lagged(self, seconds: float) -> None:
        """The event loop was asked for a turn, and gave it so much too late. Twice a second."""


class Observers(Observer):
    """Several of them."""

    def __init__(self, observers: Sequence[Observer]) -> None:
        self.observers = tuple(observers)

    def serves(self, guard: Guard) -> None:
        """See :class:`Observer`."""
        for each in self.observers:
            each.serves(guard)

    def opened(self, connection: Any) -> None:
        """See :class:`Observer`."""
        for each in self.observers:
            each.opened(connection)

    def refused(self, connection: Any, request: Request | None, status: int) -> None:
        """See :class:`Observer`."""
        for each in self.observers:
            each.refused(connection, request, status)

    def answered(self, connection: Any, request: Request, status: int) -> None:
        """See :class:`Observer`."""
        for each in self.observers:
            each.answered(connection, request, status)

    def ended(self, connection: Any) -> None:
        """See :class:`Observer`."""
        for each in self.observers:
            each.ended(connection)

    def pong(self, connection: Any, latency: float) -> None:
        """See :class:`Observer`."""
        for each in self.observers:
            each.pong(connection, latency)

    def sent_late(self, connection: Any, seconds: float) -> None:
        """See :class:`Observer`."""
        for each in self.observers:
            each.sent_late(connection, seconds)

    @contextlib.contextmanager
    def handling(self, connection: Any, message: Any) -> Iterator[None]:
        """See :class:`Observer`."""
        with contextlib.ExitStack() as stack:
            for each in self.observers:
                stack.enter_context(each.handling(connection, message))
            yield

    def lagged(self, seconds: float) -> None:
        """See :class:`Observer`."""
        for each in self.observers:
            each.lagged(seconds)


def observer_from(given: Any) -> Observer | None:
    """The argument ``observer=`` of servers, checked: one, several, or none."""
    if given is None or isinstance(given, Observer):
        return given
    if isinstance(given, (list, tuple)):
        for each in given:
            if not isinstance(each, Observer):
                raise TypeError(f"observer must be an Observer, not {type(each).__name__}")
        return Observers(given) if given else None
    kind = f"the class {given.__name__}" if isinstance(given, type) else type(given).__name__
    raise TypeError(f"observer must be an Observer, or a list of them, not {kind}")
