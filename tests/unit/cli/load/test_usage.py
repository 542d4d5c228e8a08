"""Processor time and memory of a process and its children."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from duplexer.cli.load import usage as module
from duplexer.cli.load.usage import Memory, Meter, family, memory, processor_time
from duplexer.cli.outcome import Failure, Status


def test_processor_time_passes_while_we_work() -> None:
    meter = Meter(os.getpid())
    meter.measuring(True)
    before = processor_time(os.getpid())
    while processor_time(os.getpid()) == before:
        pass
    meter.measuring(False)
    assert meter.processor > 0


def test_memory_grows_with_what_we_hold() -> None:
    meter = Meter(os.getpid())
    held = bytearray(os.urandom(32 << 20))
    meter.connections_open()
    assert meter.opened.rss - meter.before.rss > len(held) // 2
    assert meter.before.pss is not None and meter.opened.pss is not None
    assert meter.opened.pss - meter.before.pss > len(held) // 2


def test_children_count() -> None:
    code = "import sys; print('ready', flush=True); sys.stdin.read()"
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", code], stdin=pipe, stdout=pipe) as child:
        assert child.stdout is not None and child.stdin is not None
        child.stdout.readline()
        assert child.pid in set(family(os.getpid()))
        assert processor_time(os.getpid()) > processor_time(child.pid) > 0
        child.stdin.close()
    assert processor_time(child.pid) == 0


def test_memory_of_somebody_elses_process(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "7").mkdir()
    (tmp_path / "7/statm").write_text("100 10 5 1 0 20 0\n")
    monkeypatch.setattr(module, "PROC", tmp_path)
    found = memory(7)
    assert found == Memory(10 * os.sysconf("SC_PAGE_SIZE"), None)
    assert found.best == found.rss


def test_a_process_that_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Failure, match="no process") as failure:
        Meter(1 << 30)
    assert failure.value.exit_code == Status.USAGE
    monkeypatch.setattr(module.sys, "platform", "darwin")
    with pytest.raises(Failure, match="only Linux"):
        Meter(os.getpid())
