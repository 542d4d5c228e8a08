"""Lines in and out. The whole of it is in ``integration/test_cli_connect.py``."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from duplexer.cli.connect import Plan
from duplexer.cli.outcome import Failure
from duplexer.cli.pipe import CHUNK, Input, Output, Pipe, now


class End:
    """One of a pipe. Its descriptor is closed once: another thread's may have its number then."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self.is_open = True

    def close(self) -> None:
        if self.is_open:
            self.is_open = False
            os.close(self.descriptor)


@pytest.fixture
def ends() -> Iterator[tuple[End, End]]:
    """A pipe: the end to read, the end to write."""
    both = [End(descriptor) for descriptor in os.pipe()]
    yield both[0], both[1]
    for end in both:
        end.close()


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
async def test_lines(ends: tuple[End, End], data: bytes, lines: list[bytes]) -> None:
    os.write(ends[1].descriptor, data)
    ends[1].close()
    assert await all_lines(Input(ends[0].descriptor)) == lines


async def test_lines_come_one_by_one_while_the_input_is_open(ends: tuple[End, End]) -> None:
    source = Input(ends[0].descriptor)
    async with asyncio.timeout(10):
        for word in (b"one", b"two"):
            os.write(ends[1].descriptor, word + b"\n")
            assert await source.lines() == [word]
    ends[1].close()
    assert await source.lines() is None


async def test_lines_of_a_file_and_across_chunks(tmp_path: Path) -> None:
    path = tmp_path / "input"
    lines = [b"x" * length for length in (CHUNK - 1, CHUNK, CHUNK + 1, 3)]
    path.write_bytes(b"\n".join(lines))
    with path.open("rb") as file:
        assert await all_lines(Input(file.fileno())) == lines


async def test_output_waits_for_a_slow_reader_without_stopping_the_loop(
    ends: tuple[End, End],
) -> None:
    text = "x" * 1_000_000  # no pipe holds that much
    writing = asyncio.ensure_future(Output(ends[1].descriptor).line(text))
    turns, size = 0, 0
    while size <= len(text):
        await asyncio.sleep(0)  # the loop goes round while the writer waits
        turns += 1
        size += len(await asyncio.to_thread(os.read, ends[0].descriptor, 65536))
    await writing
    assert turns > 1
    assert size == len(text) + 1


async def test_output_without_a_reader(ends: tuple[End, End]) -> None:
    ends[0].close()
    with pytest.raises(BrokenPipeError):
        await Output(ends[1].descriptor).line("x")


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
