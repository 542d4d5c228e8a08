"""When a server that leaves closes what."""

from __future__ import annotations

import itertools
import logging
import random
from types import SimpleNamespace
from typing import Any

import pytest

from duplexer.driver.draining import Emptied, Pause, close, drain, duration, spread
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
        self.connections = {Connection(name, self) for name in connections}

    def begin_closing(self, code: int, reason: str) -> bool:
        self.closed_with = (code, reason)
        return True

    def stop_accepting(self) -> None:
        self.told.append("stop accepting")

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
    assert server.told[1:] == ["stop accepting"]
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
