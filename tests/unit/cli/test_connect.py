"""The options of ``duplexer connect``; what it does is in ``integration/test_cli_connect.py``."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from duplexer.cli import connect as module
from duplexer.cli.connect import Plan, open_connections
from duplexer.cli.outcome import Failure, Status
from duplexer.errors import Close, ConnectionClosed

URI = "wss://example.com"


def plan_of(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> Plan:
    """The plan that the command makes of ``arguments``."""
    plans: list[Plan] = []

    async def keep(plan: Plan) -> int:
        plans.append(plan)
        return 7

    monkeypatch.setattr(module, "_run", keep)
    done = CliRunner().invoke(module.connect, [*arguments, URI])
    assert done.exit_code == 7, done.output
    return plans[0]


def test_the_plan_of_no_options(monkeypatch: pytest.MonkeyPatch) -> None:
    assert plan_of(monkeypatch) == Plan(uri=URI, max_size=16 << 20)


def test_the_plan_of_all_options(monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = "-H A:b -H C:d --subprotocol p --subprotocol q --origin o -n 3 --linger inf --json"
    more = "--timeout 2.5 --max-size 0 --no-compress --binary --no-history --retry inf --front trio"
    plan = plan_of(monkeypatch, *arguments.split(), *more.split())
    assert plan.headers == (("A", "b"), ("C", "d"))
    assert plan.subprotocols == ("p", "q")
    assert (plan.origin, plan.count, plan.linger, plan.timeout) == ("o", 3, float("inf"), 2.5)
    assert plan.max_size is None
    assert (plan.retry, plan.front) == (float("inf"), "trio")
    assert (plan.compress, plan.binary, plan.json, plan.history) == (False, True, True, False)


@pytest.mark.parametrize(
    ("code", "retry", "goes_on"),
    [(None, None, False), (None, 5.0, True), (1000, 5.0, False), (1001, 5.0, True)],
)
def test_when_it_connects_again(code: int | None, retry: float | None, goes_on: bool) -> None:
    closed = ConnectionClosed(None if code is None else Close(code, ""), None)
    assert Plan(uri=URI, retry=retry).goes_on(closed) is goes_on


def test_ctrl_c_before_it_is_open(monkeypatch: pytest.MonkeyPatch) -> None:
    async def interrupted(_plan: Plan) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "_run", interrupted)
    assert CliRunner().invoke(module.connect, [URI]).exit_code == Status.INTERRUPTED


async def test_failures_have_their_status() -> None:
    with pytest.raises(Failure) as failure:
        await anext(open_connections(Plan(uri="ws://127.0.0.1:1", proxies=("none",))))
    assert failure.value.exit_code == Status.UNREACHABLE
