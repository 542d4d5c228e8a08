"""Lines of the log, and a pipe that nobody empties."""

from __future__ import annotations

import fcntl
import io
import logging
import os
import threading
from collections.abc import Iterator
from typing import Any, TextIO

import pytest

from duplexer.cli.lines import LineHandler, line_handler
from duplexer.limits import Limits

F_SETPIPE_SZ = 1031
SMALL = 4096


class Pipe:
    """A pipe of the least size, and the handler that writes to it."""

    def __init__(self, **limits: Any) -> None:
        self.reading, writing = os.pipe()
        self.writer: TextIO = os.fdopen(writing, "w", encoding="ascii")
        fcntl.fcntl(writing, F_SETPIPE_SZ, SMALL)
        self.handler = LineHandler(self.writer, Limits(**limits))

    def log(self, text: str, *args: Any) -> None:
        self.handler.handle(logging.LogRecord("x", logging.INFO, "", 0, text, args, None))

    def read_until(self, end: bytes) -> list[str]:
        data = b""
        while not data.endswith(end):
            more = os.read(self.reading, 65536)
            assert more, data
            data += more
        return data.decode().splitlines()

    def close(self) -> None:
        os.close(self.reading)
        self.handler._patience = 30  # or it would write to who gets the descriptor next
        self.handler.flush()
        self.writer.close()


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    pipe = Pipe(log_lines=100, log_flush_timeout=30)
    yield pipe
    pipe.close()


def test_lines_come_in_their_order(pipe: Pipe) -> None:
    for number in range(20):
        pipe.log("line %d", number)
    assert pipe.read_until(b"line 19\n") == [f"line {number}" for number in range(20)]


def test_what_cannot_be_encoded_is_escaped(pipe: Pipe) -> None:
    pipe.log("caf\xe9")
    assert pipe.read_until(b"\n") == [r"caf\xe9"]


@pytest.mark.parametrize("blocking", [True, False])
def test_what_nobody_reads_is_dropped_and_counted(pipe: Pipe, blocking: bool) -> None:
    os.set_blocking(pipe.writer.fileno(), blocking)
    long = "x" * SMALL
    for _ in range(1000):
        pipe.log(long)  # does not wait
    lines, dropped = 0, 0
    while lines + dropped < 1000:
        for line in pipe.read_until(b"(Limits.log_lines)\n"):
            if line == long:
                lines += 1
            else:
                count, _, text = line.partition(" ")
                assert text == "lines were dropped: nobody read them (Limits.log_lines)"
                dropped += int(count)
    assert (lines, dropped) == (100, 900)
    pipe.log("there is room again")
    assert pipe.read_until(b"\n") == ["there is room again"]


def test_when_there_is_no_thread_to_be_had(pipe: Pipe, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", fail)
        pipe.log("one")
    pipe.log("two")
    assert pipe.read_until(b"two\n") == ["one", "two"]


def test_what_is_no_file_of_the_system(capsys: pytest.CaptureFixture[str]) -> None:
    page = io.StringIO()
    for stream in (page, None):  # sys.stderr is None where it was closed from the beginning
        handler = line_handler(stream, Limits())
        handler.handle(logging.LogRecord("x", logging.INFO, "", 0, "here", (), None))
    assert page.getvalue() == "here\n"
    assert capsys.readouterr().err == "here\n"


def test_a_flush_waits_until_all_is_written(pipe: Pipe) -> None:
    for _ in range(10):
        pipe.log("x" * SMALL)
    seen: list[str] = []
    reader = threading.Thread(target=lambda: seen.extend(pipe.read_until(b"the end\n")))
    pipe.log("the end")
    reader.start()
    pipe.handler.flush()
    assert pipe.handler._unwritten == 0
    reader.join(30)
    assert len(seen) == 11


def test_a_flush_does_not_wait_for_ever() -> None:
    pipe = Pipe(log_lines=5, log_flush_timeout=0.01)
    for _ in range(5):
        pipe.log("x" * SMALL)
    pipe.handler.flush()
    assert pipe.handler._unwritten == 5
    pipe.close()


def test_a_reader_that_has_gone(pipe: Pipe) -> None:
    os.close(pipe.reading)
    pipe.log("nobody hears")
    pipe.handler.flush()
    assert pipe.handler._unwritten == 0
    pipe.reading = os.open(os.devnull, os.O_RDONLY)


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # which is what it is about
def test_after_a_fork_each_process_writes_its_own(pipe: Pipe) -> None:
    line = "x" * (SMALL // 4)
    for _ in range(50):
        pipe.log(line)  # these wait, and the child has a copy
    child = os.fork()
    if not child:
        pipe.log("the child")
        pipe.handler.flush()
        os._exit(pipe.handler._unwritten)
    lines: list[str] = []
    while len(lines) < 51:
        lines += pipe.read_until(b"\n")
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert sorted(lines) == ["the child"] + [line] * 50


def test_a_record_that_cannot_be_formatted(pipe: Pipe, capsys: pytest.CaptureFixture[str]) -> None:
    pipe.log("%d", "no number")
    assert "Logging error" in capsys.readouterr().err
    pipe.log("the next one")
    assert pipe.read_until(b"\n") == ["the next one"]
