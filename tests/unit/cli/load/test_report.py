"""What people and programs are shown of a load."""

from __future__ import annotations

import asyncio
import io
import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from duplexer.cli.load.plan import Plan
from duplexer.cli.load.report import as_json, line, period, progress_line, show
from duplexer.cli.load.result import Progress, Result
from duplexer.cli.load.usage import Memory, Meter

PAGE = Path(__file__).parents[4] / "docs/howto/load-testing.md"
URI = "ws://localhost:1"


def result() -> Result:
    made = Result(opened=4, failed=1, lasted=3, sent=1000, received=1000, bytes=32000, seconds=2.0)
    made.processor = 0.5
    made.finish()
    for number in range(1, 1001):
        made.latency.record(number * 1000)
    made.handshakes.record(2_000_000)
    made.mistakes.add("lost", "the [first]", 3)
    made.subprotocols["chat"] = 4
    return made


def meter() -> Meter:
    made = Meter(os.getpid())
    made.before, made.opened, made.after = Memory(100, 100), Memory(500, 500), Memory(4096, 4096)
    made.processor = 10_000_000
    return made


def report(meter: Meter | None = None, interrupted: bool = False, **options: Any) -> Any:
    plan = Plan(uri=URI, connections=5, **options)
    return as_json(plan, result(), meter, interrupted=interrupted)


def shown(report: Any) -> str:
    file = io.StringIO()
    show(Console(file=file, width=100, highlight=False), report)
    return file.getvalue()


def test_figures() -> None:
    found = json.loads(json.dumps(report(meter())))
    assert found["uri"] == f"{URI}/"
    assert found["exit_status"] == 7
    assert found["connections"]["handshake_us"]["max"] == 2000
    latency = found["messages"]["latency_us"]
    assert (latency["count"], latency["min"], latency["max"]) == (1000, 1, 1000)
    assert latency["p50"] == pytest.approx(500, rel=0.01)
    assert latency["p99.9"] == pytest.approx(999, rel=0.01)
    assert found["messages"]["per_second"] == 500
    assert found["messages"]["bytes_per_second"] == 16000
    assert found["server"]["cpu_us_per_message"] == 10
    assert found["server"]["bytes_per_connection"] == 100
    assert found["load"]["cpu_us_per_message"] == 500
    assert found["load"]["cpu_share"] == 0.25
    assert found["errors"] == [
        {
            "kind": "lost",
            "count": 3,
            "message": "messages never came, but later ones did",
            "example": "the [first]",
            "cure": found["errors"][0]["cure"],
        }
    ]


def test_nothing_was_measured() -> None:
    found = as_json(Plan(uri=URI), Result(), None, interrupted=True)
    assert found["messages"]["latency_us"] is None
    assert found["load"]["cpu_us_per_message"] is None
    text = shown(found)
    assert "no errors" in text and "interrupted" in text and "no messages" in text


def fields(value: Any) -> set[str]:
    """Names of fields, those within others included."""
    if isinstance(value, list):
        return set().union(*map(fields, value)) if value else set()
    if not isinstance(value, dict):
        return set()
    return set(value).union(*map(fields, value.values()))


def test_every_field_is_documented() -> None:
    named = set(re.findall(r"`([\w.]+)`", PAGE.read_text(encoding="utf-8")))
    found = report(meter())
    found["connections"]["subprotocols"] = found["options"] = {}
    assert fields(found) - named == set()


def test_the_tables() -> None:
    text = shown(report(meter(), subprotocols=("chat",), deflate=True, rate=600.0))
    assert "4 opened, 1 failed, 1 ended early" in text
    assert "1,000 in 2.00 s" in text
    assert "500/s (--rate 600)" in text
    assert "10 µs of CPU a message" in text
    assert "4.0 KiB PSS, 100 bytes a connection" in text
    assert "chat (4)" in text
    assert "agreed on by 0" in text
    assert re.search(r"latency +50\d µs +90\d µs", text)
    assert "3 lost: messages never came" in text
    assert "| the [first]" in text and "cure: " in text


def test_a_broadcast_has_deliveries() -> None:
    assert "1,000 in 2.00 s, of 1,000 messages" in shown(report(broadcast="all"))


def test_memory_that_may_not_be_read_is_estimated() -> None:
    given = meter()
    given.after = Memory(8192, None)
    assert "8.0 KiB RSS" in shown(report(given))


def test_a_load_at_its_limit_says_so() -> None:
    made = result()
    made.processor = 1.95
    assert "--processes" in shown(as_json(Plan(uri=URI), made, None, interrupted=False))


@pytest.mark.parametrize(
    ("microseconds", "text"),
    [
        (0.5, "0.5 µs"),
        (41.26, "41.3 µs"),
        (999.0, "999 µs"),
        (1500.0, "1.5 ms"),
        (2_345_678.0, "2.35 s"),
        (1.5e9, "1500 s"),
    ],
)
def test_periods(microseconds: float, text: str) -> None:
    assert period(microseconds) == text


def test_the_progress_line() -> None:
    plan = Plan(uri=URI, connections=1000)
    assert line(Progress("opening", 12), plan, 0.0).plain == "opening  12/1,000 connections"
    text = line(Progress("measuring", 998, 2, 5000, 3), plan, 1234567.0).plain
    assert text == ("measuring  998/1,000 connections, 2 failed  1,234,567 messages/s  3 errors")


class Fixed:
    def progress(self) -> Progress:
        return Progress("measuring", 7)


@pytest.mark.parametrize("terminal", [True, False])
async def test_the_line_is_for_terminals(terminal: bool) -> None:
    file = io.StringIO()
    console = Console(file=file, force_terminal=terminal, width=100)
    plan = Plan(uri=URI)
    async with progress_line(Fixed(), plan, console):
        while terminal and "7/64" not in file.getvalue():  # noqa: ASYNC110 - a file
            await asyncio.sleep(0)
    assert ("7/64" in file.getvalue()) == terminal
