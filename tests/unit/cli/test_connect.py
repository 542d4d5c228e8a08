"""The options of ``duplexer connect``; what it does is in ``integration/test_cli_connect.py``."""

from __future__ import annotations

import ssl
from typing import Any

import click
import pytest
from click.testing import CliRunner

from duplexer.cli import connect as module
from duplexer.cli.connect import Plan, open_connection, parse_header
from duplexer.cli.outcome import Failure, Status

URI = "wss://example.com"


@pytest.mark.parametrize(
    ("text", "header"),
    [
        ("A: b", ("A", "b")),
        ("A:b:c", ("A", "b:c")),
        ("X-Empty:", ("X-Empty", "")),
        ("Tab:\ta\tb ", ("Tab", "a\tb")),
    ],
)
def test_headers(text: str, header: tuple[str, str]) -> None:
    assert parse_header(text) == header


@pytest.mark.parametrize("text", ["no colon", ": value", "a b: c", "A: b\nC: d", "A: \x7f"])
def test_wrong_headers(text: str) -> None:
    with pytest.raises(click.BadParameter):
        parse_header(text)


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
    more = "--timeout 2.5 --max-size 0 --no-compress --binary --no-history"
    plan = plan_of(monkeypatch, *arguments.split(), *more.split())
    assert plan.headers == (("A", "b"), ("C", "d"))
    assert plan.subprotocols == ("p", "q")
    assert (plan.origin, plan.count, plan.linger, plan.timeout) == ("o", 3, float("inf"), 2.5)
    assert plan.max_size is None
    assert (plan.compress, plan.binary, plan.json, plan.history) == (False, True, True, False)


def test_ctrl_c_before_it_is_open(monkeypatch: pytest.MonkeyPatch) -> None:
    async def interrupted(_plan: Plan) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "_run", interrupted)
    assert CliRunner().invoke(module.connect, [URI]).exit_code == Status.INTERRUPTED


def test_certificates_are_checked_unless_told_loudly() -> None:
    checked = Plan(uri=URI).tls()
    assert checked is not None
    assert (checked.verify_mode, checked.check_hostname) == (ssl.CERT_REQUIRED, True)
    unchecked = Plan(uri=URI, insecure=True).tls()
    assert unchecked is not None
    assert unchecked.verify_mode == ssl.CERT_NONE
    assert Plan(uri="ws://example.com").tls() is None


@pytest.mark.parametrize("options", [{"insecure": True}, {"ca": "file"}])
def test_tls_options_without_tls(options: dict[str, Any]) -> None:
    with pytest.raises(Failure, match="only checked with wss"):
        Plan(uri="ws://example.com", **options).tls()


async def test_failures_have_their_status() -> None:
    with pytest.raises(Failure) as failure:
        await open_connection(Plan(uri="ws://127.0.0.1:1"))
    assert failure.value.exit_code == Status.UNREACHABLE
