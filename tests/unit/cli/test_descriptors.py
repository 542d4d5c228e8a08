"""Open files, and how many connections they are good for."""

from __future__ import annotations

import subprocess
import sys

import pytest

from duplexer.cli.descriptors import room_for

resource = pytest.importorskip("resource", reason="needs POSIX")


def test_the_limit_is_raised_as_far_as_it_may() -> None:
    code = (
        "import resource as r; from duplexer.cli.descriptors import raise_limit;"
        "r.setrlimit(r.RLIMIT_NOFILE, (100, 300)); print(raise_limit(), raise_limit())"
    )
    told = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert told.stdout.split() == ["300", "300"]


@pytest.mark.parametrize(
    ("descriptors", "opening", "room"),
    [
        (None, 2000, None),
        (100_064, 2000, 98_000),
        (100_064, None, 100_000),
        (1064, 2000, 500),  # half of them for those who come
        (10, 2000, 1),
    ],
)
def test_room(descriptors: int | None, opening: int | None, room: int | None) -> None:
    assert room_for(descriptors, opening) == room
