"""Connecting, with a front whose sockets are never connected and whose time is a number."""

from __future__ import annotations

import contextlib
import socket
from typing import Any

import pytest

from duplexer.driver.connecting import ConnectBase, Where
from duplexer.driver.reaching import Await, Begin, reach, resolve
from duplexer.driver.steps import Connect, Resolve
from duplexer.driver.turns import TURNS
from duplexer.limits import Limits

A, B, C = ((f"192.0.2.{n}", 80) for n in (1, 2, 3))
WHERE = Where(host="example.com", port=80)


class Front:
    """Does the steps of one ``reach``; ``going()`` stops where there is something to wait for."""

    def __init__(self, *addresses: Any, turn_at: Any = None, where: Any = WHERE, **kwargs: Any):
        self.opening = ConnectBase("ws://example.com/", **kwargs).new_opening()
        self.now = 0.0
        self.rung = 0
        self.addresses = addresses
        self.begun: dict[Any, socket.socket] = {}
        self.waits: Await | None = None
        self.sock: Any = None
        step = Connect(where, turn_at)
        self.steps = reach(self.opening, step, lambda: self.now, self.ring)

    def ring(self) -> None:
        self.rung += 1

    def going(self, *outcomes: tuple[Any, OSError | None]) -> list[Any]:
        """Go on after ``outcomes``: the addresses that were begun meanwhile."""
        before = set(self.begun)
        told = [(self.begun[address], error) for address, error in outcomes]
        answer: Any = None if self.waits is None else told
        with contextlib.suppress(StopIteration):
            try:
                while True:
                    step = self.steps.send(answer)
                    answer = None
                    if isinstance(step, Begin):
                        self.begun[step.address] = step.sock
                    elif isinstance(step, Resolve):
                        kind = socket.AF_INET, socket.SOCK_STREAM, 0, ""
                        answer = [(*kind, address) for address in self.addresses]
                    else:
                        assert isinstance(step, Await)
                        self.waits = step
                        break
            except StopIteration as stop:
                self.sock = stop.value
                raise
        return [address for address in self.begun if address not in before]

    def end(self) -> None:
        self.steps.close()
        for sock in self.begun.values():
            sock.close()
        self.opening.leave_turns()


@pytest.fixture
def front() -> Any:
    fronts: list[Front] = []

    def make(*args: Any, **kwargs: Any) -> Front:
        fronts.append(Front(*args, **kwargs))
        return fronts[-1]

    yield make
    for one in fronts:
        one.end()
    TURNS.forget()


def test_one_after_the_other_and_the_first_wins(front: Any) -> None:
    one = front(A, B, C)
    assert one.going() == [A]
    assert one.waits.timeout == one.opening.base.limits.happy_eyeballs_delay
    assert not one.waits.in_line and not one.waits.is_idle
    one.now += one.waits.timeout
    assert one.going() == [B]
    assert one.going((A, ConnectionRefusedError(111, "no"))) == [C]  # at once
    assert one.begun[A].fileno() == -1
    one.going((B, None))
    assert one.sock is one.begun[B]


def test_of_two_that_answer_at_once_one_is_closed(front: Any) -> None:
    one = front(A, B, limits=Limits(happy_eyeballs_delay=0.1))
    one.going()
    one.now += 1
    assert one.going() == [B]
    one.going((B, None), (A, None))
    assert one.sock is one.begun[B]
    assert one.begun[A].fileno() == -1


def test_all_fail(front: Any) -> None:
    one = front(A, B)
    one.going()
    assert one.going((A, ConnectionRefusedError(111, "no"))) == [B]
    with pytest.raises(ConnectionRefusedError, match=r"192\.0\.2\.1:80.*192\.0\.2\.2:80"):
        one.going((B, ConnectionRefusedError(111, "no")))


def test_an_address_in_line_holds_up_no_other(front: Any) -> None:
    held = TURNS.enter(A, 1)
    one = front(A, B, limits=Limits(happy_eyeballs_delay=0.1, max_connecting=1))
    assert one.going() == []
    assert one.waits.in_line and one.waits.is_idle  # the time stands still
    one.now += 1
    assert one.going() == [B]
    assert one.waits.in_line and not one.waits.is_idle
    held.leave()
    assert one.rung == 1
    assert one.going() == [A]
    assert not one.waits.in_line
    one.going((B, None))
    assert TURNS.enter(A, 1).granted  # who has lost wants no turn


def test_who_stands_in_line_when_it_is_over_wants_no_turn(front: Any) -> None:
    held = TURNS.enter(A, 1)
    one = front(A, B, limits=Limits(happy_eyeballs_delay=0.1, max_connecting=1))
    one.going()
    one.now += 1
    one.going()
    one.going((B, None))
    held.leave()
    assert one.rung == 0
    assert TURNS.enter(A, 1).granted


def test_one_turn_for_all_addresses(front: Any) -> None:
    place = ("example.com", 80)
    held = TURNS.enter(place, 1)
    one = front(A, B, turn_at=place, limits=Limits(max_connecting=1))
    assert one.going() == []
    assert one.waits.is_idle and one.waits.timeout is None
    assert one.going() == []  # it was rung for something else
    held.leave()
    assert one.going() == [A]
    assert TURNS.enter(A, 1).granted


def test_a_socket_that_cannot_be_made_is_an_address_that_failed(front: Any) -> None:
    one = front(A, B, where=Where(host="x", port=80, local_addr=("192.0.2.9", 0)))
    one.addresses = (A,)
    with pytest.raises(OSError, match=r"192\.0\.2\.1:80"):
        one.going()
    assert not one.begun


def test_a_path(front: Any) -> None:
    one = front(where=Where(path="/nowhere/socket"))
    assert one.going() == ["/nowhere/socket"]
    assert one.begun["/nowhere/socket"].family == socket.AF_UNIX
    with pytest.raises(FileNotFoundError, match="/nowhere/socket"):
        one.going(("/nowhere/socket", FileNotFoundError(2, "no such file")))


def test_a_socket_of_the_users(front: Any) -> None:
    with socket.socket() as mine, socket.socket(type=socket.SOCK_DGRAM) as datagrams:
        one = front(where=Where(sock=mine))
        one.going()
        assert one.sock is mine
        with pytest.raises(ValueError, match="stream"):
            front(where=Where(sock=datagrams)).going()


def test_names_are_asked_for_and_addresses_are_not() -> None:
    steps = resolve(Where(host="192.0.2.1", port=80))
    with pytest.raises(StopIteration) as stop:
        next(steps)
    assert [one.address for one in stop.value.value] == [A]
    steps = resolve(Where(host="name", port=80, family=socket.AF_INET))
    step = next(steps)
    assert (step.host, step.port, step.family) == ("name", 80, socket.AF_INET)
    with pytest.raises(StopIteration) as stop:
        steps.send([(socket.AF_INET, socket.SOCK_STREAM, 6, "", B)])
    assert [one.address for one in stop.value.value] == [B]
