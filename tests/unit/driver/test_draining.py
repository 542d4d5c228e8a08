"""When a server that leaves closes what."""

from __future__ import annotations

import itertools
import logging
import random
from types import SimpleNamespace
from typing import Any

import pytest

from duplexer.driver import draining
from duplexer.driver.draining import (
    Emptied,
    Pause,
    close,
    drain,
    duration,
    follow,
    follow_blocking,
    spread,
)
from duplexer.limits import Limits
from duplexer.policy.guard import Guard


def test_each_has_a_part_of_the_time_to_itself() -> None:
    moments = [moment for moment, _ in spread(range(1000), 30.0, random.Random(1).random)]
    assert [int(moment / 0.03) for moment in moments] == list(range(1000))
    gaps = {round(after - before, 4) for before, after in itertools.pairwise(moments)}
    assert len(gaps) > 300  # by chance, not in step


def test_everybody_in_any_order() -> None:
    orders = set()
    for seed in range(200):
        order = tuple(each for _, each in spread("abc", 1.0, random.Random(seed).random))
        assert sorted(order) == ["a", "b", "c"]
        orders.add(order)
    assert len(orders) == 6


def test_nobody() -> None:
    assert list(spread([], 10.0)) == []


def test_at_once() -> None:
    assert [moment for moment, _ in spread("ab", 0.0)] == [0.0, 0.0]


@pytest.mark.parametrize(
    ("count", "over", "seconds"),
    [(0, None, 0.0), (1, None, 0.01), (100, None, 1.0), (40_000, None, 10.0), (1, 30.0, 30.0)],
)
def test_how_long(count: int, over: float | None, seconds: float) -> None:
    assert duration(count, over, Limits()) == seconds


class Server:
    """A server that writes down what it is told."""

    def __init__(self, *connections: str) -> None:
        self.told: list[Any] = []
        self.serving = SimpleNamespace(
            limits=Limits(handler_timeout=7, close_timeout=3),
            guard=Guard(Limits()),
            routes=SimpleNamespace(leave=lambda: self.told.append("not ready")),
        )
        self.logger = logging.getLogger("test")
        self.closed_with = (1001, "")
        self.closing = False
        self.finishing: Any = None
        self.connections = {Connection(name, self) for name in connections}

    @property
    def staying(self) -> set[Connection]:
        return self.connections

    def begin_closing(self, code: int, reason: str) -> bool:
        if not self.closing:
            self.closing = True
            self.closed_with = (code, reason)
            return True
        return False

    def stop_accepting(self) -> None:
        self.told.append("stop accepting")

    def drop_idle(self) -> None:
        self.told.append("drop idle")

    def drop_opening(self) -> None:
        self.told.append("drop opening")

    def cancel_handlers(self) -> int:
        self.told.append("cancel")
        return len(self.connections)


class Connection:
    def __init__(self, name: str, server: Server) -> None:
        self.name = name
        self.told = server.told

    def finish(self, code: int, reason: str) -> None:
        self.told.append(f"finish {self.name} {code} {reason}")

    def start_close(self, code: int, reason: str) -> None:
        self.told.append(f"close {self.name} {code} {reason}")

    def abort(self) -> None:
        self.told.append(f"abort {self.name}")


def test_the_steps_of_draining() -> None:
    server = Server("a")
    steps = drain(server, 5.0, 2.0, 1012, "later")
    assert server.told == []
    assert next(steps) == Pause(2.0) and server.told == ["not ready"]
    pause = next(steps)
    assert isinstance(pause, Pause) and 0 <= pause.seconds <= 5.0
    assert server.told[1:] == ["stop accepting", "drop idle"]
    assert next(steps) == Emptied(7)
    assert "finish a 1012 later" in server.told
    server.connections.clear()
    assert steps.send(True) == Emptied(0.0) and server.closed_with == (1012, "later")
    with pytest.raises(StopIteration):
        steps.send(True)
    assert "cancel" not in server.told


def test_the_steps_of_closing_what_does_not_end() -> None:
    server = Server("a")
    steps = close(server)
    assert next(steps) == Emptied(7)
    assert server.told == ["stop accepting", "drop opening", "close a 1001 "]
    assert steps.send(False) == Emptied(3)
    with pytest.raises(StopIteration):
        steps.send(False)
    assert server.told[3:] == ["cancel", "abort a"]
    assert server.serving.guard.struck == {"handler_timeout": 1}


def test_connections_that_may_go_on_have_no_bound() -> None:
    server = Server("a")
    steps = close(server, False)
    assert next(steps) == Emptied(None)
    assert server.told == ["stop accepting", "drop opening"]


@pytest.mark.parametrize(
    "wrong", [(-1.0, 0.0, 1012), (None, float("inf"), 1012), (float("nan"), 0, 1012), (0, 0, 1006)]
)
def test_what_is_refused_at_once(wrong: Any) -> None:
    with pytest.raises(ValueError):
        drain(Server(), *wrong, "")


def test_connections_are_finished_evenly_and_with_jitter(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(draining, "monotonic", lambda: now[0])
    server = Server(*map(str, range(50)))
    moments = []
    seen = 0
    for step in drain(server, 5.0, 0.0, 1012, ""):
        moments += [now[0] - 100] * (len(finished(server)) - seen)
        seen = len(finished(server))
        if isinstance(step, Emptied):
            break
        now[0] += step.seconds
    moments = moments[:50]  # in the end all are told once more
    assert [int(moment / 0.1 + 1e-9) for moment in moments] == list(range(50))
    gaps = {round(after - before, 3) for before, after in itertools.pairwise(moments)}
    assert len(gaps) > 10  # by chance, not in step
    assert set(finished(server)[:50]) == {f"finish {number} 1012 " for number in range(50)}


def finished(server: Server) -> list[str]:
    return [each for each in server.told if each.startswith("finish")]


def test_who_closes_meanwhile_ends_the_pauses() -> None:
    server = Server("a")
    steps = drain(server, 3600.0, 3600.0, 1012, "")
    assert next(steps) == Pause(3600.0)
    server.begin_closing(1001, "")
    assert steps.send(True) == Emptied(7)  # for the handlers
    with pytest.raises(StopIteration):
        steps.send(False)
    assert server.closed_with == (1001, "")
    assert server.told == ["not ready"]


def test_who_has_come_in_last_is_told_too() -> None:
    server = Server()
    steps = drain(server, 0.0, 0.0, 1012, "later")
    next(steps)
    assert server.finishing is None
    assert next(steps) == Emptied(7)
    assert server.finishing == (1012, "later")


async def test_following_the_steps_by_awaiting_and_by_blocking() -> None:
    waited: list[Any] = []

    async def pause(seconds: float) -> None:
        waited.append(("pause", seconds))

    async def emptied(seconds: float | None) -> bool:
        waited.append(("emptied", seconds))
        return True

    await follow(close(Server(), False), pause, emptied)
    await follow(drain(Server(), 0.0, 2.0, 1012, ""), pause, emptied)
    assert waited == [("emptied", None), ("pause", 2.0), ("emptied", 7), ("emptied", 0.0)]
    waited.clear()
    follow_blocking(
        drain(Server(), 0.0, 2.0, 1012, ""),
        lambda seconds: bool(waited.append(("pause", seconds))),
        lambda seconds: not waited.append(("emptied", seconds)),
    )
    assert waited == [("pause", 2.0), ("emptied", 7), ("emptied", 0.0)]
