"""What every fault is checked for: nothing is left behind, nothing is logged as an error."""

from __future__ import annotations

import contextlib
import gc
import logging
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from duplexer.asyncio.connection import Connection


def open_files() -> set[str]:
    found = set()
    for path in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # the one that lists them
            found.add(f"{path.name} {path.readlink()}")
    return found


def connections() -> list[Connection]:
    gc.collect()
    return [each for each in gc.get_objects() if isinstance(each, Connection)]


def _is_transports(record: logging.LogRecord) -> bool:
    # aiofastnet reports failed TLS handshakes through the loop, with a class for an exception,
    # which asyncio then fails to format. And a child that is signalled when it has just ended is
    # waited for twice, by subprocess and by asyncio's watcher, which then wonders where it is.
    return record.name == "asyncio" and record.getMessage().startswith(
        (
            "SSL handshake failed",
            "Exception in default exception handler",
            "Unknown child process pid",
        )
    )


@pytest.fixture(autouse=True)
def nothing_is_left(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """No descriptor, no connection object, no traceback; tasks are the business of all tests."""
    before = open_files()
    already = len(connections())
    with caplog.at_level(logging.WARNING):
        yield
        # Not `caplog.records`: those of the fixture's own phase alone.
        assert [r.getMessage() for r in caplog.get_records("call") if not _is_transports(r)] == []
    deadline = time.monotonic() + 5
    while (open_files() - before or len(connections()) > already) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert open_files() - before == set()
    assert len(connections()) <= already
