"""What follows from the options of a load."""

from __future__ import annotations

import json

import pytest

from duplexer.cli.load.plan import Plan

URI = "ws://localhost:1"


def test_messages_in_flight() -> None:
    assert Plan(uri=URI).depth == 1
    assert Plan(uri=URI, rate=5.0).depth == 100
    assert Plan(uri=URI, rate=5.0, in_flight=3).depth == 3
    assert Plan(uri=URI, in_flight=0).depth == 0


def test_how_fast_connections_are_opened() -> None:
    assert Plan(uri=URI).opening is None
    assert Plan(uri=URI, open_rate=7.0).opening == 7
    assert Plan(uri=URI, connections=100, ramp_up=20.0).opening == 5


@pytest.mark.parametrize("processes", [1, 2, 3])
def test_processes_share_everything(processes: int) -> None:
    plan = Plan(uri=URI, connections=7, count=11, processes=processes)
    numbers = [number for each in range(processes) for number in plan.numbers(each)]
    assert sorted(numbers) == list(range(7))
    assert sum(plan.messages(each) or 0 for each in range(processes)) == 11
    assert Plan(uri=URI).messages(0) is None


def test_limits_leave_room() -> None:
    limits = Plan(uri=URI, size=100 << 20, open_timeout=3.0, close_timeout=4.0).limits()
    assert limits.max_message == 200 << 20
    assert (limits.open_timeout, limits.close_timeout) == (3, 4)
    assert limits.ping_interval is None and limits.max_connecting is None


def test_json_keeps_secrets() -> None:
    plan = Plan(uri="ws://me:secret@localhost:1/", headers=(("Authorization", "secret"),))
    text = json.dumps(plan.as_json())
    assert "Authorization" in text
    assert "secret" not in text
