"""What a server tells whoever watches it from outside: metrics, traces, your own.

Nothing is told for each message: connections count by themselves (``traffic``), and whoever wants
the sums adds them up when asked.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

    from duplexer.http.messages import Request
    from duplexer.policy.guard import Guard

__all__ = ["LAG_INTERVAL", "Observer", "Observers", "Traffic", "lateness", "observer_from"]

logger = logging.getLogger("duplexer.server")

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

    The methods are called by the connections, in the threads of those: they must not block. What
    they raise is logged, the first time, and the connection goes on. Under ``duplexer.sync``
    several may be called at a time.
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
    """Several of them, or one. What one raises is logged, and does no harm to the connection."""

    def __init__(self, observers: Sequence[Observer]) -> None:
        self.observers = tuple(observers)
        self._failed: set[tuple[int, str]] = set()  # who, in what: it has been logged

    def serves(self, guard: Guard) -> None:
        """See :class:`Observer`."""
        self._tell("serves", guard)

    def opened(self, connection: Any) -> None:
        """See :class:`Observer`."""
        self._tell("opened", connection)

    def refused(self, connection: Any, request: Request | None, status: int) -> None:
        """See :class:`Observer`."""
        self._tell("refused", connection, request, status)

    def answered(self, connection: Any, request: Request, status: int) -> None:
        """See :class:`Observer`."""
        self._tell("answered", connection, request, status)

    def ended(self, connection: Any) -> None:
        """See :class:`Observer`."""
        self._tell("ended", connection)

    def pong(self, connection: Any, latency: float) -> None:
        """See :class:`Observer`."""
        self._tell("pong", connection, latency)

    def sent_late(self, connection: Any, seconds: float) -> None:
        """See :class:`Observer`."""
        self._tell("sent_late", connection, seconds)

    def handling(self, connection: Any, message: Any) -> AbstractContextManager[Any]:
        """See :class:`Observer`."""
        return _Handling(self, self.observers, connection, message)

    def lagged(self, seconds: float) -> None:
        """See :class:`Observer`."""
        self._tell("lagged", seconds)

    def _tell(self, name: str, *args: Any) -> None:
        for each in self.observers:
            try:
                getattr(each, name)(*args)
            except Exception as exc:  # noqa: BLE001 - the user's code: it is logged
                self.failed(each, name, exc)

    def failed(self, observer: Observer, name: str, error: Exception) -> None:
        """``observer`` has raised ``error`` in ``name``: to be told once, it may go on for ever."""
        if (id(observer), name) not in self._failed:
            self._failed.add((id(observer), name))
            told = "%s.%s() failed, which is not reported again"
            logger.error(told, type(observer).__name__, name, exc_info=error)


class _Handling:
    """Their context managers for a message; they cannot change what the handler raises."""

    def __init__(
        self, owner: Observers, observers: Sequence[Observer], connection: Any, message: Any
    ) -> None:
        self._owner = owner
        self._observers = observers
        self._message = (connection, message)
        self._entered: list[tuple[Observer, AbstractContextManager[Any]]] = []

    def __enter__(self) -> None:
        for each in self._observers:
            try:
                manager = each.handling(*self._message)
                manager.__enter__()
            except Exception as exc:  # noqa: BLE001 - the user's code: it is logged
                self._owner.failed(each, "handling", exc)
            else:
                self._entered.append((each, manager))

    def __exit__(self, kind: Any, error: Any, traceback: Any) -> None:
        for each, manager in reversed(self._entered):
            try:
                manager.__exit__(kind, error, traceback)
            except Exception as own:  # noqa: BLE001 - the user's code: it is logged
                if own is not error:
                    self._owner.failed(each, "handling", own)


#: Where nobody waits, or nobody wants to know: each send of a front comes by.
_IN_TIME = contextlib.nullcontext()


def lateness(connection: Any, waits: bool = True) -> AbstractContextManager[None]:
    """Surrounds what waits until the peer reads, if it ``waits``: the observer hears how long."""
    return _lateness(connection) if waits and connection.observer is not None else _IN_TIME


@contextlib.contextmanager
def _lateness(connection: Any) -> Iterator[None]:
    since = time.monotonic()
    yield
    connection.observer.sent_late(connection, time.monotonic() - since)


def observer_from(given: Any) -> Observer | None:
    """The argument ``observer=`` of servers, checked: one, several, or none."""
    if given is None or isinstance(given, Observers):
        return given
    if isinstance(given, Observer):
        return Observers([given])
    if isinstance(given, (list, tuple)):
        for each in given:
            if not isinstance(each, Observer):
                raise TypeError(f"observer must be an Observer, not {type(each).__name__}")
        return Observers(given) if given else None
    kind = f"the class {given.__name__}" if isinstance(given, type) else type(given).__name__
    raise TypeError(f"observer must be an Observer, or a list of them, not {kind}")
