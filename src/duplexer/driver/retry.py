"""Connecting again and again: when, how often, and what becomes of what was under way.

``Retry`` says how; ``Retrying`` is one use of it: what state it is in, and the steps to go through,
as a generator. Who dials, sleeps and hands connections out is the front, in one of the loops at the
end of this file.
"""

from __future__ import annotations

import dataclasses
import enum
import math
import random
import ssl
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterator
from time import monotonic
from typing import TYPE_CHECKING, Any

from duplexer.driver.following import call, call_blocking
from duplexer.driver.retry_after import asked_delay
from duplexer.driver.steps import Call
from duplexer.errors import (
    ConnectionClosed,
    InvalidMessage,
    InvalidProxyStatus,
    InvalidStatus,
    ProxyError,
)
from duplexer.limits import DEFAULT_LIMITS

if TYPE_CHECKING:
    import logging

    from duplexer.limits import Limits

__all__ = ["Dial", "Hand", "Retry", "RetryState", "Retrying", "Sleep", "advance", "is_fatal"]

#: Statuses that a later request may not meet with.
_TRANSIENT = frozenset({408, 425, 429, 500, 502, 503, 504})


def is_fatal(exc: Exception) -> bool:
    """Whether trying again after ``exc`` is of no use: what ``Retry`` thinks by default.

    Not fatal are errors of the network, time-outs, connections that were open, and the statuses
    408, 425, 429, 500, 502, 503 and 504, be they a server's or a proxy's. Certificates that cannot
    be verified, other statuses, wrong addresses and failed negotiations are: they do not get
    better by themselves.
    """
    if isinstance(exc, (InvalidStatus, InvalidProxyStatus)):
        return exc.response.status_code not in _TRANSIENT
    if isinstance(exc, ssl.SSLCertVerificationError):
        return True
    if isinstance(exc, (OSError, EOFError, ConnectionClosed)):
        return False
    cause = exc.__cause__
    if isinstance(exc, (InvalidMessage, ProxyError)) and isinstance(cause, Exception):
        return is_fatal(cause)  # the network's fault after all
    return True


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """How to connect again: the same for every front. Times are in seconds.

    Before each attempt but the first it waits a random time of up to ``base``, ``base * factor``,
    ... and at most ``cap`` ("full jitter": the clients of a server that restarts do not come back
    all at once). That begins anew only after a connection that has exchanged a message or lasted
    for ``stable``: a server that accepts and closes at once is not hammered.

    * ``attempts``, ``deadline``: give up after so many attempts, or so many seconds, in a row; the
      last error is raised, with a note that says so. ``None``: never.
    * ``fatal(exc)``: whether to give up at once; by default :func:`is_fatal`. It is also asked
      about connections that were lost (:exc:`~duplexer.errors.ConnectionClosed`).
    * ``before(retrying)``: is called before each attempt, and may give back what to change: a URI,
      or a mapping of arguments of ``connect`` (``uri``, ``additional_headers``, ...): a token that
      expires is fetched here. It may be a coroutine function where the front can await it.
    * ``on_state(retrying)``: is called, or awaited, when ``retrying.state`` changes.
    * ``restart_delay``, ``overload_delay``: at most so much more after the close codes 1012
      (service restart), and 1013 (try again later; at least half of it).
    * ``retry_after``: the longest that a server may ask for with ``Retry-After``, or with
      ``retry-after=SECONDS`` in the reason of a 1012 or 1013.
    * ``session_limit``: how long connections last before the server cuts them. They are closed
      with 1000 ``session_margin`` to twice that before, at random, and followed by the next one at
      once.
    * ``delays()``: gives an iterator of delays in place of ``base``, ``factor`` and ``cap``.

    Raises ``ValueError`` or ``TypeError`` for what makes no sense.
    """

    base: float = 1.0
    factor: float = 2.0
    cap: float = 60.0
    stable: float = 10.0
    attempts: int | None = None
    deadline: float | None = None
    fatal: Callable[[Exception], bool] = is_fatal
    before: Callable[[Retrying], Any] | None = None
    on_state: Callable[[Retrying], Any] | None = None
    restart_delay: float = 5.0
    overload_delay: float = 30.0
    retry_after: float = 300.0
    session_limit: float | None = None
    session_margin: float = 10.0
    delays: Callable[[], Iterator[float]] | None = None

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if "Callable" in str(field.type):
                if not callable(value) and (value is not None or "None" not in str(field.type)):
                    raise TypeError(f"{field.name} must be a function, not {type(value).__name__}")
            elif value is not None or "None" not in str(field.type):
                _check_number(field.name, value, whole=field.name == "attempts")
        if self.factor < 1:
            raise ValueError(f"factor must be at least 1, not {self.factor}: delays do not shrink")
        if self.cap < self.base:
            raise ValueError(f"cap ({self.cap}) must not be less than base ({self.base})")
        if self.session_limit is not None and self.session_limit <= 2 * self.session_margin:
            raise ValueError(
                f"session_limit ({self.session_limit}) must be more than twice session_margin "
                f"({self.session_margin})"
            )

    def replace(self, **changes: Any) -> Retry:
        """A copy with some of it changed."""
        return dataclasses.replace(self, **changes)

    def ceilings(self) -> Iterator[float]:
        """The longest delay before the second attempt, the third, ..."""
        ceiling = self.base
        while True:
            yield ceiling
            ceiling = min(ceiling * self.factor, self.cap)


def _check_number(name: str, value: Any, *, whole: bool) -> None:
    if isinstance(value, bool) or not isinstance(value, int if whole else (int, float)):
        kind = "int" if whole else "number"
        raise TypeError(f"{name} must be a positive {kind}, not {value!r}")
    if not 0 < value < math.inf:
        raise ValueError(f"{name} must be positive, not {value}")


class RetryState(enum.StrEnum):
    """What a :class:`Retrying` is doing."""

    CONNECTING = "connecting"  #: about to connect, or connecting
    OPEN = "open"  #: the connection is open
    LOST = "lost"  #: the connection has ended; what comes next is another attempt, if anything
    GAVE_UP = "gave_up"  #: there will be no more attempts


# -- steps: beside ``Call``, whose result may be awaited -------------------------------------------


class Sleep:
    """Wants ``seconds`` to pass."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds


class Dial:
    """Wants a connection, or its error thrown in; see ``ConnectBase.varied``."""

    def __init__(self, changes: Any, lifetime: float | None) -> None:
        self.changes = changes  #: what ``Retry.before`` gave back
        self.lifetime = lifetime  #: as in :class:`~duplexer.core.staying.Staying`


class Hand:
    """Wants ``connection`` to be handed out, and to be called again when it is closed."""

    def __init__(self, connection: Any) -> None:
        self.connection = connection


RetrySteps = Generator[Call | Sleep | Dial | Hand, Any, Any]


def _now() -> float:
    return monotonic()  # looked up each time: a test's clock may stand in for it


class Retrying:
    """One use of a :class:`Retry`, for its user to look at."""

    def __init__(
        self,
        retry: Retry,
        logger: logging.Logger | logging.LoggerAdapter[Any],
        *,
        limits: Limits = DEFAULT_LIMITS,
        process_exception: Callable[[Exception], Exception | None] | None = None,
        clock: Callable[[], float] = _now,
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self.retry = retry
        #: which attempt it is since the last connection that was any good; 1 is the first
        self.attempt = 0
        #: why the last attempt failed, or the last connection ended; ``None`` before and after 1000
        self.error: Exception | None = None
        #: seconds of the last delay
        self.delay = 0.0
        #: the connection that is open, or was last
        self.connection: Any = None
        #: what was sent and may not have arrived, and is in no connection's ``undelivered`` yet
        self.undelivered: list[str | bytes] = []
        self._state: RetryState | None = None
        self._logger = logger
        self._limits = limits
        self._process_exception = process_exception
        self._clock = clock
        self._uniform = uniform
        self._ceilings: Iterator[float] = iter(())
        self._since = 0.0
        self._opened_at = 0.0

    @property
    def state(self) -> RetryState | None:
        """What it is doing; ``None`` before anything."""
        if self._state is RetryState.OPEN and self.connection.state.name == "CLOSED":
            return RetryState.LOST
        return self._state

    def run(self, *, once: bool) -> RetrySteps:
        """The steps: to the first open connection and its end, or for ever.

        Raises what makes it give up.
        """
        self._begin_anew()
        while True:
            self.attempt += 1
            yield from self._enter(RetryState.CONNECTING)
            try:
                changes = None
                if self.retry.before is not None:
                    changes = yield Call(self.retry.before, (self,))
                connection = yield Dial(changes, self._lifetime())
            except Exception as exc:  # noqa: BLE001 - whether it is fatal is decided there
                yield from self._failed(exc)
                continue
            self._opened_at = self._clock()
            self.connection = connection
            connection.undelivered, self.undelivered = deque(self.undelivered), []
            yield from self._enter(RetryState.OPEN)
            if once:
                return connection
            yield Hand(connection)
            yield from self._ended(connection)

    def _begin_anew(self) -> None:
        retry = self.retry
        self.attempt = 0
        self._since = self._clock()
        self._ceilings = retry.ceilings() if retry.delays is None else iter(retry.delays())

    def _enter(self, state: RetryState) -> RetrySteps:
        self._state = state
        if self.retry.on_state is not None:
            yield Call(self.retry.on_state, (self,))

    def _lifetime(self) -> float | None:
        retry = self.retry
        if retry.session_limit is None:
            return None
        early = self._uniform(retry.session_margin, 2 * retry.session_margin)
        return retry.session_limit - early

    def _failed(self, exc: Exception) -> RetrySteps:
        # An attempt has failed.
        self.error = exc
        final = self._final(exc)
        if final is not None:
            yield from self._enter(RetryState.GAVE_UP)
            if final is exc:
                raise exc
            raise final from exc
        yield from self._wait(exc, "connect failed")

    def _final(self, exc: Exception) -> Exception | None:
        if self._process_exception is None:
            return exc if self.retry.fatal(exc) else None
        try:
            return self._process_exception(exc)
        except Exception as raised:  # noqa: BLE001 - a frequent way to write it
            return raised

    def _ended(self, connection: Any) -> RetrySteps:
        # A connection that was open has ended.
        retry = self.retry
        exc: Exception = connection.session.closed_error()
        fine = connection.session.ended_well()
        self.error = None if fine else exc
        self._collect(connection)
        yield from self._enter(RetryState.LOST)
        now = self._clock()
        session = connection.session
        if session.retired or session.assembler.serial or now - self._opened_at >= retry.stable:
            self._begin_anew()
        if session.retired:
            return  # as planned
        if not fine and retry.fatal(exc):
            yield from self._enter(RetryState.GAVE_UP)
            raise exc
        yield from self._wait(exc, "connection lost")

    def _collect(self, connection: Any) -> None:
        # What may not have arrived is the next connection's, within bounds.
        left = [*(connection.unacknowledged or ()), *connection.undelivered]
        connection.undelivered = ()
        room = self._limits.unacknowledged_bytes
        keep = len(left)
        while keep and room >= (size := _size(left[keep - 1]) + self._limits.queue_overhead):
            room -= size
            keep -= 1
        if keep:
            self._logger.warning(
                "%d messages that may not have arrived are given up: there are more than "
                "Limits.unacknowledged_bytes allows",
                keep,
            )
        self.undelivered = left[keep:]

    # -- delays ----------------------------------------------------------------------------------

    def _wait(self, exc: Exception, what: str) -> RetrySteps:
        retry = self.retry
        ceiling = next(self._ceilings, retry.cap)
        if not 0 <= ceiling < math.inf:  # some clocks take these for "at once", again and again
            raise ValueError(
                f"Retry.delays gave {ceiling!r}: delays are 0 or more seconds"
            ) from exc
        delay = ceiling if retry.delays is not None else self._uniform(0, ceiling)
        self.delay = delay = self._lengthened(delay, exc)
        passed = self._clock() - self._since
        reason = ""
        if retry.attempts is not None and self.attempt >= retry.attempts:
            reason = "Retry.attempts"
        elif retry.deadline is not None and passed + delay > retry.deadline:
            reason = f"Retry.deadline; the next one was due in {delay:.1f} s"
        if reason:
            exc.add_note(f"Gave up after {self.attempt} attempts in {passed:.1f} s ({reason}).")
            yield from self._enter(RetryState.GAVE_UP)
            raise exc
        self._logger.info("%s; trying again in %.1f s: %s", what, delay, exc)
        yield Sleep(delay)

    def _lengthened(self, delay: float, exc: Exception) -> float:
        # What the server has asked for. A bit at random comes on top, for it asked others too.
        retry = self.retry
        asked = asked_delay(exc)
        if asked is not None:
            asked = min(asked, retry.retry_after)
            return max(delay, asked + self._uniform(0, min(retry.base, asked)))
        if isinstance(exc, ConnectionClosed) and exc.rcvd is not None:
            if exc.rcvd.code == 1012:
                return max(delay, self._uniform(0, retry.restart_delay))
            if exc.rcvd.code == 1013:
                most = retry.overload_delay
                return max(delay, self._uniform(most / 2, most))
        return delay


def _size(message: str | bytes) -> int:
    return len(message.encode()) if isinstance(message, str) else len(message)


# -- the loops of the fronts -----------------------------------------------------------------------


async def connect_retrying(connector: Any, sleep: Callable[[float], Awaitable[Any]]) -> Any:
    """Connect, and try again as ``connector.retry`` says; gives back the open connection."""
    return await advance(connector.begin_retrying().run(once=True), connector, sleep)


async def iterate(connector: Any, sleep: Callable[[float], Awaitable[Any]]) -> AsyncIterator[Any]:
    """One connection after the other; each is closed when the next one is asked for."""
    steps = connector.begin_retrying().run(once=False)
    while True:
        connection = await advance(steps, connector, sleep)
        try:
            yield connection
        finally:
            await connection.close()


async def advance(
    steps: RetrySteps, connector: Any, sleep: Callable[[float], Awaitable[Any]]
) -> Any:
    """Go through ``steps`` to the next open connection; an iterator of its own may call it."""
    value: Any = None
    error: Exception | None = None
    while True:
        try:
            step = steps.send(value) if error is None else steps.throw(error)
        except StopIteration as stop:
            return stop.value
        value = error = None
        try:
            if isinstance(step, Sleep):
                await sleep(step.seconds)
            elif isinstance(step, Dial):
                value = await connector.varied(step).open_once()
            elif isinstance(step, Call):
                value = await call(step)
            else:
                return step.connection
        except Exception as exc:  # noqa: BLE001 - thrown in where it belongs
            error = exc


def connect_retrying_blocking(connector: Any, sleep: Callable[[float], Any] = time.sleep) -> Any:
    """The same for a front that blocks: its ``open_once()`` does."""
    return _advance_blocking(connector.begin_retrying().run(once=True), connector, sleep)


def iterate_blocking(connector: Any, sleep: Callable[[float], Any] = time.sleep) -> Iterator[Any]:
    """The same for a front that blocks: its ``open_once()`` and ``close()`` do."""
    steps = connector.begin_retrying().run(once=False)
    while True:
        connection = _advance_blocking(steps, connector, sleep)
        try:
            yield connection
        finally:
            connection.close()


def _advance_blocking(steps: RetrySteps, connector: Any, sleep: Callable[[float], Any]) -> Any:
    value: Any = None
    error: Exception | None = None
    while True:
        try:
            step = steps.send(value) if error is None else steps.throw(error)
        except StopIteration as stop:
            return stop.value
        value = error = None
        try:
            if isinstance(step, Sleep):
                sleep(step.seconds)
            elif isinstance(step, Dial):
                value = connector.varied(step).open_once()
            elif isinstance(step, Call):
                value = call_blocking(step)
            else:
                return step.connection
        except Exception as exc:  # noqa: BLE001 - thrown in where it belongs
            error = exc
