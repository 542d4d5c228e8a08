"""The options of ``duplexer bench``, and what it refuses; its running is tested as a process."""

from __future__ import annotations

import dataclasses
import json
import socket
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from duplexer.cli import bench as module
from duplexer.cli.load.plan import Plan
from duplexer.cli.load.result import Result
from duplexer.cli.outcome import Status

URI = "ws://localhost:1"


class Over:
    """A load that is over."""

    def __init__(self, result: Result) -> None:
        self.outcome = lambda: result


def bench(
    monkeypatch: pytest.MonkeyPatch, *arguments: str, opened: int = 1, interrupted: bool = False
) -> tuple[Any, Plan]:
    """Run the command with a load that does nothing: how it ended, the plan it made."""
    plans: list[Plan] = []

    async def run(plan: Plan, _meter: Any) -> tuple[Any, bool]:
        plans.append(plan)
        return Over(Result(opened=opened)), interrupted

    monkeypatch.setattr(module, "_run", run)
    done = CliRunner().invoke(module.bench, [*arguments, URI])
    return done, plans[0]


def test_the_plan_of_no_options(monkeypatch: pytest.MonkeyPatch) -> None:
    done, plan = bench(monkeypatch)
    assert plan == Plan(uri=URI)
    assert done.exit_code == 0
    assert "no errors" in done.output


def test_the_plan_of_all_options(monkeypatch: pytest.MonkeyPatch) -> None:
    options = (
        "--connections 9 --in-flight 8 --size 7 --text --payload json --count 6 --warm-up 5 "
        "--rate 4 --open-rate 3 --deflate --no-check --processes 2 --open-timeout 1.5 "
        "--close-timeout 2.5 --answer-timeout 3.5 --no-uvloop --subprotocol a --origin o -H A:b"
    )
    plan = bench(monkeypatch, *options.split())[1]
    assert plan == Plan(
        uri=URI,
        connections=9,
        in_flight=8,
        size=7,
        text=True,
        payload="json",
        count=6,
        warm_up=5,
        rate=4,
        open_rate=3,
        deflate=True,
        check=False,
        processes=2,
        open_timeout=1.5,
        close_timeout=2.5,
        answer_timeout=3.5,
        uvloop=False,
        subprotocols=("a",),
        origin="o",
        headers=(("A", "b"),),
    )
    named = {field.name for field in dataclasses.fields(Plan)}
    given = {parameter.name for parameter in module.bench.params}
    assert named - given == set()


def test_some_more_options(monkeypatch: pytest.MonkeyPatch) -> None:
    options = "--duration 3 --ramp-up 2 --broadcast others --binary"
    plan = bench(monkeypatch, *options.split())[1]
    assert (plan.duration, plan.ramp_up, plan.broadcast) == (3, 2, "others")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("--duration 1 --count 1", "--count are both given"),
        ("--open-rate 1 --ramp-up 1", "--ramp-up are both given"),
        ("--processes 3 --connections 2", "3 processes cannot share 2 connections"),
        ("--in-flight 0 --rate 5", "--in-flight 0 sends nothing"),
        ("--in-flight 0 --count 5", "--in-flight 0 sends nothing"),
        ("--broadcast all --processes 2", "leave out --processes"),
        ("--broadcast others --connections 1", "there are no others"),
        ("--insecure-no-certificate-check", "only checked with wss"),
        ("--pid 1073741824", "there is no process"),
        ("--rate 0", "--rate"),
        ("--size -1", "--size"),
        ("--json no/such/folder/file", "file"),
        ("--payload nonsense", "nonsense"),
    ],
)
def test_wrong_usage(arguments: str, words: str) -> None:
    done = CliRunner().invoke(module.bench, [*arguments.split(), URI])
    assert done.exit_code == Status.USAGE
    assert words in done.output


def test_a_wrong_address() -> None:
    done = CliRunner().invoke(module.bench, ["http://localhost"])
    assert done.exit_code == Status.USAGE
    assert "write ws://localhost" in done.output


def test_interrupted_before_anything_was_open(monkeypatch: pytest.MonkeyPatch) -> None:
    done, _ = bench(monkeypatch, opened=0, interrupted=True)
    assert done.exit_code == Status.INTERRUPTED


def test_json_to_standard_output_is_alone_there(monkeypatch: pytest.MonkeyPatch) -> None:
    done, _ = bench(monkeypatch, "--json", "-")
    assert json.loads(done.stdout)["connections"]["opened"] == 1


def test_json_to_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "report.json"
    done, _ = bench(monkeypatch, "--json", str(file), interrupted=True)
    assert json.loads(file.read_text())["interrupted"] is True
    assert "connections" in done.output


def test_nothing_could_be_opened() -> None:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        uri = f"ws://127.0.0.1:{sock.getsockname()[1]}"
    done = CliRunner().invoke(module.bench, [uri, "--connections", "1", "--json", "-"])
    assert done.exit_code == Status.UNREACHABLE
    assert f"nothing listens at {uri}/" in done.stderr
    assert json.loads(done.stdout)["exit_status"] == Status.UNREACHABLE
