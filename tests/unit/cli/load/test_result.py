"""What came of a load: rates, merging, the exit status."""

from __future__ import annotations

import pytest

from duplexer.cli.load.result import Progress, Result
from duplexer.cli.outcome import Status


def result(opened: int, received: int, seconds: float) -> Result:
    made = Result(opened=opened, received=received, bytes=10 * received, seconds=seconds)
    made.latency.record(received)
    made.subprotocols["a"] += opened
    made.finish()
    return made


def test_rates_of_processes_add_up() -> None:
    total = result(2, 100, 2.0)
    total.merge(result(3, 300, 3.0))
    assert (total.processes, total.opened, total.received, total.seconds) == (2, 5, 400, 3.0)
    assert (total.per_second, total.bytes_per_second) == (150, 1500)
    assert (total.latency.total, total.subprotocols) == (2, {"a": 5})


def test_nothing_was_measured() -> None:
    assert result(1, 0, 0.0).per_second == 0


@pytest.mark.parametrize(
    ("opened", "kinds", "status"),
    [
        (1, [], Status.OK),
        (1, ["unclean-close"], Status.CLOSED),
        (1, ["unsent", "unsent", "lost"], Status.WRONG),
        (0, [], Status.CLOSED),
    ],
)
def test_status(opened: int, kinds: list[str], status: Status) -> None:
    made = result(opened, 0, 1.0)
    for kind in kinds:
        made.mistakes.add(kind)
    assert made.status() is status


def test_the_status_of_what_could_not_be_opened() -> None:
    made = result(0, 0, 0.0)
    made.mistakes.add_failure(TimeoutError(), "ws://x")
    assert made.status() is Status.TIMEOUT


def test_progress_adds_up() -> None:
    total = Progress()
    total.merge(Progress("open", 1, 2, 3, 4))
    total.merge(Progress("measuring", 1, 2, 3, 4))
    assert total == Progress("measuring", 2, 4, 6, 8)
