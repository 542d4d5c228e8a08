"""Connecting again and again, by a clock that the test drives: no connection is made here."""

from __future__ import annotations

import asyncio
import itertools
import logging
import math
import ssl
from collections import deque
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import pytest

from duplexer.core.closing import State
from duplexer.driver.retry import (
    Dial,
    Hand,
    Retry,
    Retrying,
    RetryState,
    Sleep,
    connect_retrying,
    connect_retrying_blocking,
    is_fatal,
    iterate,
    iterate_blocking,
)
from duplexer.driver.steps import Call
from duplexer.errors import (
    Close,
    ConnectionClosed,
    ConnectionClosedError,
    ConnectionClosedOK,
    InvalidMessage,
    InvalidProxy,
    InvalidProxyStatus,
    InvalidStatus,
    InvalidURI,
    NegotiationError,
    ProxyError,
)
from duplexer.http.headers import Headers
from duplexer.http.messages import Response
from duplexer.limits import Limits

LOGGER = logging.getLogger("duplexer.tests.retry")


def refused(status: int, *headers: tuple[str, str]) -> InvalidStatus:
    return InvalidStatus(Response(status, "x", Headers(headers)))


def because(exc: Exception, cause: BaseException) -> Exception:
    exc.__cause__ = cause
    return exc


OK = ConnectionClosedOK(Close(1000), Close(1000), True)
LOST = ConnectionClosedError(None, None)


class Connection:
    """As much of a connection as is looked at."""

    def __init__(
        self,
        end: ConnectionClosed = LOST,
        *,
        messages: int = 0,
        retired: bool = False,
        unacknowledged: list[str | bytes] | None = None,
    ) -> None:
        self.state = State.OPEN
        self.unacknowledged = unacknowledged
        self.undelivered: deque[str | bytes] | tuple[()] = ()
        self.session = SimpleNamespace(
            closed_error=lambda: end,
            ended_well=lambda: isinstance(end, ConnectionClosedOK),
            assembler=SimpleNamespace(serial=messages),
            retired=retired,
        )


class World:
    """Goes through the steps: what is dialled comes from ``outcomes``, delays are the longest."""

    def __init__(self, retry: Retry, *outcomes: Any, once: bool = False, **kwargs: Any) -> None:
        self.now = 1000.0
        self.slept: list[float] = []
        self.dialled: list[Dial] = []
        self.handed: list[Any] = []
        self.lasts = 0.0  # seconds, every connection
        self.on_hand: Callable[[Any], None] = lambda connection: None
        kwargs.setdefault("uniform", lambda low, high: high)
        self.retrying = Retrying(retry, LOGGER, clock=lambda: self.now, **kwargs)
        self.steps = self.retrying.run(once=once)
        self.outcomes = iter(outcomes)

    def go(self) -> Any:
        """To the end of the outcomes; what it gives back or raises before."""
        value: Any = None
        error: Exception | None = None
        while True:
            try:
                step = self.steps.send(value) if error is None else self.steps.throw(error)
            except StopIteration as stop:
                return stop.value
            value = error = None
            try:
                if isinstance(step, Sleep):
                    self.slept.append(step.seconds)
                    self.now += step.seconds
                elif isinstance(step, Call):
                    value = step.function(*step.args)
                elif isinstance(step, Dial):
                    self.dialled.append(step)
                    value = next(self.outcomes)
                    if isinstance(value, Exception):
                        raise value
                else:
                    assert isinstance(step, Hand)
                    self.handed.append(step.connection)
                    self.on_hand(step.connection)
                    self.now += self.lasts
                    step.connection.state = State.CLOSED
            except StopIteration:
                return "no more outcomes"
            except Exception as exc:
                error, value = exc, None


# -- arguments -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kwargs", "error"),
    [
        ({"base": 0}, ValueError),
        ({"base": -1}, ValueError),
        ({"base": None}, TypeError),
        ({"base": "1"}, TypeError),
        ({"base": math.nan}, ValueError),
        ({"cap": math.inf}, ValueError),
        ({"cap": 0.5}, ValueError),
        ({"factor": 0.9}, ValueError),
        ({"attempts": 0}, ValueError),
        ({"attempts": 1.5}, TypeError),
        ({"attempts": True}, TypeError),
        ({"deadline": 0}, ValueError),
        ({"fatal": 5}, TypeError),
        ({"fatal": None}, TypeError),
        ({"before": "x"}, TypeError),
        ({"on_state": []}, TypeError),
        ({"session_limit": 15}, ValueError),
        ({"stable": 0}, ValueError),
    ],
)
def test_what_makes_no_sense(kwargs: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match=next(iter(kwargs))):
        Retry(**kwargs)


def test_replace() -> None:
    retry = Retry(base=0.5)
    assert (retry.replace(cap=5.0).base, retry.replace(cap=5.0).cap) == (0.5, 5.0)
    with pytest.raises(ValueError, match="cap"):
        retry.replace(cap=0.1)


# -- which errors are fatal ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "exc",
    [
        OSError(),
        ConnectionRefusedError(),
        TimeoutError(),
        EOFError(),
        ssl.SSLError(),
        *map(refused, (408, 425, 429, 500, 502, 503, 504)),
        InvalidProxyStatus(Response(503, "x", Headers())),
        because(ProxyError("cannot connect"), ConnectionRefusedError()),
        because(InvalidMessage("closed"), EOFError()),
        LOST,
        ConnectionClosedError(Close(1012), None),
    ],
    ids=repr,
)
def test_what_may_pass(exc: Exception) -> None:
    assert not is_fatal(exc)


@pytest.mark.parametrize(
    "exc",
    [
        ssl.SSLCertVerificationError(),
        *map(refused, (200, 301, 400, 401, 403, 404, 426, 501, 505)),
        InvalidURI("x", "y"),
        InvalidProxy("x", "y"),
        InvalidProxyStatus(Response(407, "x", Headers())),
        because(ProxyError("certificate"), ssl.SSLCertVerificationError()),
        ProxyError("not HTTP"),
        InvalidMessage("not HTTP"),
        NegotiationError("no subprotocol"),
        ValueError(),
    ],
    ids=repr,
)
def test_what_does_not_get_better_by_itself(exc: Exception) -> None:
    assert is_fatal(exc)


def test_a_fatal_error_is_raised_as_it_is() -> None:
    exc = refused(404)
    world = World(Retry(), exc)
    with pytest.raises(InvalidStatus) as caught:
        world.go()
    assert caught.value is exc and world.slept == []
    assert world.retrying.state is RetryState.GAVE_UP and world.retrying.error is exc


def test_the_user_decides_what_is_fatal() -> None:
    world = World(
        Retry(fatal=lambda exc: isinstance(exc, ZeroDivisionError)),
        refused(404),
        OSError(),
        ZeroDivisionError(),
    )
    with pytest.raises(ZeroDivisionError):
        world.go()
    assert len(world.dialled) == 3


def test_a_connection_that_was_lost_may_be_fatal_too() -> None:
    def fatal(exc: Exception) -> bool:
        return isinstance(exc, ConnectionClosed) and exc.code == 4001

    end = ConnectionClosedError(Close(4001, "token expired"), Close(4001), True)
    world = World(Retry(fatal=fatal), Connection(), Connection(end), Connection())
    with pytest.raises(ConnectionClosedError) as caught:
        world.go()
    assert caught.value is end and len(world.handed) == 2


@pytest.mark.parametrize("raises", [False, True])
def test_process_exception_goes_first(raises: bool) -> None:
    other = ZeroDivisionError()

    def process_exception(exc: Exception) -> Exception | None:
        if isinstance(exc, InvalidStatus):
            return None
        if raises:
            raise other
        return other

    world = World(
        Retry(fatal=lambda exc: True),
        refused(404),
        OSError("down"),
        process_exception=process_exception,
    )
    with pytest.raises(ZeroDivisionError) as caught:
        world.go()
    assert isinstance(caught.value.__cause__, OSError)


# -- delays ----------------------------------------------------------------------------------------


def test_delays_grow_up_to_the_cap() -> None:
    world = World(Retry(base=1.0, factor=3.0, cap=20.0), *[OSError()] * 6)
    world.go()
    assert world.slept == [1, 3, 9, 20, 20, 20]


def test_delays_are_random_from_nothing_on() -> None:
    asked: list[tuple[float, float]] = []

    def uniform(low: float, high: float) -> float:
        asked.append((low, high))
        return low

    world = World(Retry(base=2.0, cap=6.0), *[OSError()] * 3, uniform=uniform)
    world.go()
    assert asked == [(0, 2.0), (0, 4.0), (0, 6.0)] and world.slept == [0, 0, 0]


@pytest.mark.parametrize("delay", [-1.0, math.inf, math.nan])
def test_delays_that_are_none(delay: float) -> None:
    world = World(Retry(delays=lambda: iter([delay])), *[OSError()] * 3)
    with pytest.raises(ValueError, match=r"Retry\.delays gave"):
        world.go()


def test_delays_of_one_s_own() -> None:
    world = World(Retry(delays=lambda: itertools.chain([5.0, 7.0])), *[OSError()] * 3)
    world.go()
    assert world.slept == [5.0, 7.0, 60.0]  # what has no end of its own ends in the cap


def test_a_server_that_accepts_and_closes_at_once_is_not_hammered() -> None:
    world = World(Retry(), *[Connection(OK) for _ in range(5)])
    world.go()
    assert world.slept == [1, 2, 4, 8, 16]
    assert world.retrying.attempt == 6


@pytest.mark.parametrize("good", ["it lasted", "it had a message"])
def test_after_a_good_connection_it_begins_anew(good: str) -> None:
    messages = 1 if good == "it had a message" else 0
    world = World(
        Retry(stable=30.0), OSError(), OSError(), Connection(messages=messages), OSError()
    )
    world.lasts = 30.0 if good == "it lasted" else 0.0
    world.go()
    assert world.slept == [1, 2, 1, 2]
    assert world.retrying.attempt == 2


@pytest.mark.parametrize(
    ("exc", "delay"),
    [
        (refused(503, ("Retry-After", "30")), 31.0),  # at most a second on top, at random
        (refused(429, ("Retry-After", "0")), 1.0),
        (refused(503, ("Retry-After", "soon")), 1.0),
        (refused(503, ("Retry-After", "99999")), 301.0),
        (refused(502), 1.0),
    ],
)
def test_what_a_refusal_asks_for_is_honoured_within_bounds(exc: Exception, delay: float) -> None:
    world = World(Retry(), exc)
    world.go()
    assert world.slept == [delay] and world.retrying.delay == delay


@pytest.mark.parametrize(
    ("code", "reason", "expected"),
    [
        (1012, "", (0, 5.0)),
        (1013, "", (15.0, 30.0)),
        (1012, "retry-after=100", (0, 1.0)),
        (1013, "retry-after=100000", (0, 1.0)),
    ],
)
def test_close_codes_that_ask_to_wait(
    code: int, reason: str, expected: tuple[float, float]
) -> None:
    asked: list[tuple[float, float]] = []

    def uniform(low: float, high: float) -> float:
        asked.append((low, high))
        return high

    world = World(
        Retry(), Connection(ConnectionClosedError(Close(code, reason), None)), uniform=uniform
    )
    world.go()
    assert asked == [(0, 1.0), expected]
    assert world.slept == [{"": expected[1], "retry-after=100": 101.0}.get(reason, 301.0)]


# -- giving up -------------------------------------------------------------------------------------


def test_attempts() -> None:
    world = World(Retry(attempts=3), *[OSError(str(i)) for i in range(9)])
    with pytest.raises(OSError, match="2") as caught:
        world.go()
    assert caught.value.__notes__ == ["Gave up after 3 attempts in 3.0 s (Retry.attempts)."]
    assert len(world.dialled) == 3 and world.retrying.state == "gave_up"


def test_attempts_are_counted_from_the_last_good_connection() -> None:
    world = World(Retry(attempts=2), OSError(), Connection(messages=1), OSError(), OSError("end"))
    with pytest.raises(OSError, match="end"):
        world.go()


def test_connections_that_are_closed_at_once_are_attempts_too() -> None:
    world = World(Retry(attempts=2), Connection(), Connection())
    with pytest.raises(ConnectionClosedError):
        world.go()
    assert len(world.handed) == 2


def test_deadline() -> None:
    world = World(Retry(deadline=10.0), *[OSError() for _ in range(9)])
    with pytest.raises(OSError) as caught:
        world.go()
    assert world.slept == [1, 2, 4]  # 8 more would have been too many
    assert "Gave up after 4 attempts in 7.0 s (Retry.deadline" in caught.value.__notes__[0]


# -- state -----------------------------------------------------------------------------------------


def test_its_state_is_told() -> None:
    told: list[tuple[Any, ...]] = []

    def on_state(retrying: Retrying) -> None:
        told.append((str(retrying.state), retrying.attempt, retrying.error))

    down = OSError("down")
    gone = refused(410)
    world = World(Retry(on_state=on_state), down, Connection(messages=1), Connection(OK), gone)
    assert world.retrying.state is None
    with pytest.raises(InvalidStatus):
        world.go()
    assert told == [
        ("connecting", 1, None),
        ("connecting", 2, down),
        ("open", 2, down),
        ("lost", 2, LOST),
        ("connecting", 1, LOST),
        ("open", 1, LOST),
        ("lost", 1, None),
        ("connecting", 2, None),
        ("gave_up", 2, gone),
    ]


def test_of_one_connection_it_says_when_that_is_lost() -> None:
    connection = Connection()
    world = World(Retry(), OSError(), connection, once=True)
    assert world.go() is connection
    assert world.retrying.state is RetryState.OPEN and world.retrying.connection is connection
    connection.state = State.CLOSED
    assert world.retrying.state is RetryState.LOST


def test_an_error_in_a_callback_is_the_user_s() -> None:
    def on_state(retrying: Retrying) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        World(Retry(on_state=on_state), Connection()).go()


# -- before each attempt ---------------------------------------------------------------------------


def test_before_each_attempt_there_is_a_chance_to_change_it() -> None:
    seen = []

    def before(retrying: Retrying) -> Any:
        seen.append((retrying.attempt, retrying.error))
        return f"ws://a/?token={len(seen)}"

    down = OSError()
    world = World(Retry(before=before), down, Connection(messages=1), OSError())
    world.go()
    assert seen[:3] == [(1, None), (2, down), (1, LOST)]
    assert [dial.changes for dial in world.dialled][:2] == ["ws://a/?token=1", "ws://a/?token=2"]


def test_what_it_raises_counts_as_the_attempt_s_error() -> None:
    def before(retrying: Retrying) -> None:
        raise OSError("no token") if retrying.attempt < 3 else ZeroDivisionError

    world = World(Retry(before=before))
    with pytest.raises(ZeroDivisionError):
        world.go()
    assert world.dialled == [] and world.slept == [1, 2]


# -- session limits --------------------------------------------------------------------------------


def test_a_known_limit_is_kept_and_the_next_connection_follows_at_once() -> None:
    world = World(
        Retry(session_limit=3600.0, session_margin=20.0),
        Connection(OK, retired=True),
        Connection(OK, retired=True),
    )
    world.go()
    assert [dial.lifetime for dial in world.dialled] == [3560.0] * 3
    assert world.slept == [] and world.retrying.attempt == 1


def test_without_one_connections_live_as_long_as_they_may() -> None:
    world = World(Retry(), Connection(OK))
    world.go()
    assert world.dialled[0].lifetime is None


# -- what may not have arrived ---------------------------------------------------------------------


def test_it_is_handed_to_the_next_connection() -> None:
    world = World(
        Retry(),
        Connection(unacknowledged=["a", b"b"]),
        OSError(),
        Connection(unacknowledged=["a"]),
        Connection(unacknowledged=[]),
        Connection(),
    )
    got = []

    def on_hand(connection: Any) -> None:
        got.append(list(connection.undelivered))
        if connection.undelivered:
            connection.undelivered.popleft()  # as take_undelivered() does

    world.on_hand = on_hand
    world.go()
    assert got == [[], ["a", b"b"], ["a", b"b"], [b"b"]]
    assert world.retrying.undelivered == []


def test_while_there_is_no_connection_it_is_to_be_seen() -> None:
    world = World(Retry(attempts=2), Connection(unacknowledged=["a"]), OSError())
    with pytest.raises(OSError):
        world.go()
    assert world.retrying.undelivered == ["a"]


def test_it_is_bounded(caplog: pytest.LogCaptureFixture) -> None:
    limits = Limits(unacknowledged_bytes=100, queue_overhead=10)
    world = World(
        Retry(attempts=2),
        Connection(unacknowledged=["a" * 40, "b" * 40, "c" * 40]),
        OSError(),
        limits=limits,
    )
    with caplog.at_level(logging.WARNING), pytest.raises(OSError):
        world.go()
    assert world.retrying.undelivered == ["b" * 40, "c" * 40]
    assert "1 messages that may not have arrived are given up" in caplog.text


def test_the_bound_is_of_bytes() -> None:
    limits = Limits(unacknowledged_bytes=100, queue_overhead=10)
    kept = Connection(unacknowledged=["\N{SNOWMAN}" * 15, "\N{SNOWMAN}" * 15])  # 45 bytes each
    world = World(Retry(attempts=2), kept, OSError(), limits=limits)
    with pytest.raises(OSError):
        world.go()
    assert world.retrying.undelivered == ["\N{SNOWMAN}" * 15]


# -- the loops of the fronts -----------------------------------------------------------------------


class Connector:
    """Dials what comes from ``outcomes``."""

    def __init__(self, retry: Retry, *outcomes: Any) -> None:
        self.retrying = Retrying(retry, LOGGER, uniform=lambda low, high: high)
        self.outcomes = iter(outcomes)
        self.changes: list[Any] = []
        self.closed: list[Any] = []

    def begin_retrying(self) -> Retrying:
        return self.retrying

    def varied(self, dial: Dial) -> Connector:
        self.changes.append(dial.changes)
        return self

    def next(self) -> Any:
        outcome = next(self.outcomes)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome


class Blocking(Connector):
    def open_once(self) -> Any:
        connection = self.next()
        connection.close = lambda: self.closed.append(connection)
        return connection


class Waiting(Connector):
    async def open_once(self) -> Any:
        connection = self.next()

        async def close() -> None:
            self.closed.append(connection)

        connection.close = close
        return connection


def sleeper(slept: list[float]) -> Callable[[float], Awaitable[None]]:
    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    return sleep


def test_one_connection_by_waiting() -> None:
    async def before(retrying: Retrying) -> str:
        await asyncio.sleep(0)
        return "ws://b/"

    connection, slept = Connection(), list[float]()
    connector = Waiting(Retry(before=before), OSError(), connection)
    assert asyncio.run(connect_retrying(connector, sleeper(slept))) is connection
    assert slept == [1.0] and connector.changes == ["ws://b/"] * 2


def test_one_connection_by_blocking() -> None:
    connection, slept = Connection(), list[float]()
    connector = Blocking(Retry(before=lambda retrying: "ws://b/"), OSError(), connection)
    assert connect_retrying_blocking(connector, slept.append) is connection
    assert slept == [1.0] and connector.changes == ["ws://b/"] * 2


def test_who_blocks_cannot_await() -> None:
    async def before(retrying: Retrying) -> None:
        """Never awaited."""

    connector = Blocking(Retry(before=before), Connection())
    with pytest.raises(TypeError, match="must not be async"):
        connect_retrying_blocking(connector, lambda seconds: None)


def test_one_after_the_other_by_waiting() -> None:
    connections, slept = [Connection(), Connection(OK)], list[float]()
    connector = Waiting(Retry(), connections[0], OSError(), connections[1], refused(404))

    async def main() -> list[Any]:
        return [connection async for connection in iterate(connector, sleeper(slept))]

    with pytest.raises(InvalidStatus):
        asyncio.run(main())
    assert connector.closed == connections and slept == [1.0, 2.0, 4.0]


def test_one_after_the_other_by_blocking() -> None:
    connections, slept = [Connection(), Connection(OK)], list[float]()
    connector = Blocking(Retry(), connections[0], OSError(), connections[1], refused(404))
    with pytest.raises(InvalidStatus):
        list(iterate_blocking(connector, slept.append))
    assert connector.closed == connections and slept == [1.0, 2.0, 4.0]


def test_who_leaves_has_the_connection_closed() -> None:
    connection = Connection()
    connector = Blocking(Retry(), connection)
    iteration = iterate_blocking(connector)
    assert next(iteration) is connection
    iteration.close()  # type: ignore[attr-defined]
    assert connector.closed == [connection]
