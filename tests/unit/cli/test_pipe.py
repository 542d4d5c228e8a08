"""Lines in and out. The whole of it is in ``integration/test_cli_connect.py``."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from duplexer.cli.connect import Plan
from duplexer.cli.outcome import Failure
from duplexer.cli.pipe import CHUNK, Input, Output, Pipe, now


@pytest.fixture
def ends() -> Iterator[tuple[int, int]]:
    """A pipe: the end to read, the end to write."""
    reading, writing = os.pipe()
    yield reading, writing
    for descriptor in (reading, writing):
        with contextlib.suppress(OSError):
            os.close(descriptor)


async def all_lines(source: Input) -> list[bytes]:
    """Every line up to the end."""
    found: list[bytes] = []
    async with asyncio.timeout(10):
        while (lines := await source.lines()) is not None:
            found += lines
    return found


@pytest.mark.parametrize(
    ("data", "lines"),
    [
        (b"", []),
        (b"a\nb\n", [b"a", b"b"]),
        (b"a\r\n\r\nb", [b"a", b"", b"b"]),
        (b"\xff\x00\n", [b"\xff\x00"]),
    ],
)
async def test_lines(ends: tuple[int, int], data: bytes, lines: list[bytes]) -> None:
    os.write(ends[1], data)
    os.close(ends[1])
    assert await all_lines(Input(ends[0])) == lines


async def test_lines_come_one_by_one_while_the_input_is_open(ends: tuple[int, int]) -> None:
    source = Input(ends[0])
    async with asyncio.timeout(10):
        for word in (b"one", b"two"):
            os.write(ends[1], word + b"\n")
            assert await source.lines() == [word]
    os.close(ends[1])
    assert await source.lines() is None


async def test_lines_of_a_file_and_across_chunks(tmp_path: Path) -> None:
    path = tmp_path / "input"
    lines = [b"x" * length for length in (CHUNK - 1, CHUNK, CHUNK + 1, 3)]
    path.write_bytes(b"\n".join(lines))
    with path.open("rb") as file:
        assert await all_lines(Input(file.fileno())) == lines


async def test_output_waits_for_a_slow_reader_without_stopping_the_loop(
    ends: tuple[int, int],
) -> None:
    text = "x" * 1_000_000  # no pipe holds that much
    writing = asyncio.ensure_future(Output(ends[1]).line(text))
    turns, size = 0, 0
    while size <= len(text):
        await asyncio.sleep(0)  # the loop goes round while the writer waits
        turns += 1
        size += len(await asyncio.to_thread(os.read, ends[0], 65536))
    await writing
    assert turns > 1
    assert size == len(text) + 1


async def test_output_without_a_reader(ends: tuple[int, int]) -> None:
    os.close(ends[0])
    with pytest.raises(BrokenPipeError):
        await Output(ends[1]).line("x")


def test_now_is_utc() -> None:
    assert now().endswith("+00:00")


@pytest.mark.parametrize(
    ("binary", "line", "message"), [(False, b"text", "text"), (True, b"00 ff", b"\x00\xff")]
)
def test_a_line_as_a_message(binary: bool, line: bytes, message: Any) -> None:
    nothing: Any = None
    pipe = Pipe(Plan(uri="ws://x", binary=binary), nothing, nothing)
    assert pipe._message(line, 1) == message


def test_a_line_that_is_no_message() -> None:
    nothing: Any = None
    pipe = Pipe(Plan(uri="ws://x"), nothing, nothing)
    with pytest.raises(Failure, match="line 3 of the input is not UTF-8"):
        pipe._message(b"\xff", 3)
