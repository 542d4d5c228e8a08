"""Faults, by the clock of the test."""

from __future__ import annotations

from typing import Any

import pytest

from duplexer.testing.links import END, RESET, Faults, Flow, Link


class Carried:
    def __init__(self) -> None:
        self.told: list[str] = []

    def changed(self) -> None:
        self.told.append("changed")

    def break_off(self) -> None:
        self.told.append("reset")


def flows(link: Link) -> tuple[Flow, Flow]:
    return link.carry(Carried())


def all_of(flow: Flow, now: float = 0.0) -> list[Any]:
    taken = []
    while (piece := flow.take(now, 1 << 20)) is not None:
        taken.append(piece)
    return taken


def test_without_faults_nothing_happens_to_it() -> None:
    to_server, to_client = flows(Link())
    to_server.put(b"hello", 1.0)
    to_server.put(b"world", 1.0)
    to_server.put_end(END, 1.0)
    assert to_server.due() == 1.0 and to_server.size == 10
    assert all_of(to_server, 1.0) == [b"hello", b"world", END]
    assert to_server.size == 0 and to_server.due() is None
    assert all_of(to_client) == []


def test_a_reader_may_take_less() -> None:
    flow, _ = flows(Link())
    flow.put(b"hello", 0)
    assert [flow.take(0, 3), flow.take(0, 3), flow.take(0, 3)] == [b"hel", b"lo", None]


def test_split() -> None:
    flow, _ = flows(Link(split=2))
    flow.put(b"hello", 0)
    flow.put(b"!", 0)
    assert all_of(flow) == [b"he", b"ll", b"o", b"!"]


def test_random_pieces_are_those_of_the_seed() -> None:
    def pieces(seed: int) -> list[Any]:
        flow, _ = flows(Link(split=(1, 9), seed=seed))
        flow.put(bytes(1000), 0)
        return all_of(flow)

    assert pieces(1) == pieces(1) != pieces(2)
    assert sum(map(len, pieces(1))) == 1000
    assert {len(piece) for piece in pieces(1)} == set(range(1, 10))


def test_each_connection_and_direction_has_a_chance_of_its_own() -> None:
    link = Link(split=(1, 9))
    found = []
    for _ in range(2):
        for flow in link.carry(Carried()):
            flow.put(bytes(1000), 0)
            found.append(tuple(all_of(flow)))
    assert len(set(found)) == 4


def test_delay() -> None:
    flow, _ = flows(Link(delay=0.5))
    flow.put(b"a", 10.0)
    flow.put(b"b", 10.2)
    assert flow.due() == 10.5
    assert flow.take(10.4, 9) is None
    assert flow.take(10.5, 9) == b"a"
    assert flow.take(10.6, 9) is None
    assert flow.take(10.7, 9) == b"b"


def test_jitter_keeps_the_order() -> None:
    flow, _ = flows(Link(delay=0.1, jitter=1.0))
    dues = []
    for i in range(50):
        flow.put(b"%d," % i, 0.0)
    while (due := flow.due()) is not None:
        dues.append(due)
        assert flow.take(due, 9) == b"%d," % (len(dues) - 1)
    assert dues == sorted(dues) and len(set(dues)) > 1
    assert dues[0] >= 0.1 and dues[-1] <= 1.1


@pytest.mark.parametrize("cut", [END, RESET])
def test_cut(cut: Any) -> None:
    flow, other = flows(Link(cut_after=7, cut=cut))
    flow.put(b"hello", 0)
    flow.put(b"world", 0)
    flow.put(b"!", 0)
    assert all_of(flow) == [b"hello", b"wo", cut]
    other.put(b"1234567", 0)
    assert all_of(other) == [b"1234567", cut]


def test_stall_and_resume() -> None:
    link = Link()
    carried = Carried()
    flow, _ = link.carry(carried)
    flow.put(b"a", 0)
    link.to_server.stall()
    assert link.is_broken and link.to_server.is_broken and not link.to_client.is_broken
    flow.put(b"b", 0)
    assert flow.due() is None and flow.take(9, 9) is None and flow.size == 2
    link.resume()
    assert "changed" in carried.told and not link.is_broken
    assert all_of(flow) == [b"a", b"b"]


def test_drop_takes_what_is_under_way() -> None:
    link = Link()
    carried = Carried()
    flow, _ = link.carry(carried)
    flow.put(b"a", 0)
    link.drop()
    assert "changed" in carried.told
    flow.put(b"b", 0)
    flow.put_end(END, 0)
    assert all_of(flow) == [] and flow.size == 0 and flow.put_count == 2


def test_reset_is_for_all_that_are_left() -> None:
    link = Link()
    carried, gone = Carried(), Carried()
    link.carry(carried)
    link.carry(gone)
    del gone
    link.reset()
    assert carried.told == ["reset"]


def test_nothing_comes_after_the_end() -> None:
    flow, _ = flows(Link())
    flow.put_end(END, 0)
    flow.put(b"late", 0)
    flow.put_end(END, 0)
    assert all_of(flow) == [END]


def test_an_end_may_turn_into_a_reset() -> None:
    flow, _ = flows(Link())
    flow.put_end(END, 0)
    flow.put_end(RESET, 0)
    flow.put_end(END, 0)
    assert all_of(flow) == [END, RESET]


@pytest.mark.parametrize(
    ("wrong", "complaint"),
    [
        ({"split": 0}, "split must be"),
        ({"split": (3, 2)}, "split must be"),
        ({"delay": -1}, "delay"),
        ({"jitter": -1}, "jitter"),
        ({"cut_after": -1}, "cut_after"),
        ({"cut": "badly"}, "cut must be"),
    ],
)
def test_wrong_faults(wrong: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        Faults(**wrong)
    with pytest.raises(ValueError, match=complaint):
        Link(**wrong)
