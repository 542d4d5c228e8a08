"""Processor time and memory of the server, from /proc: its children and threads included."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from duplexer.cli.outcome import Failure, Status

__all__ = ["Memory", "Meter", "memory", "processor_time"]

PROC = Path("/proc")


@dataclasses.dataclass(frozen=True, slots=True)
class Memory:
    """Bytes. ``pss`` shares what processes share among them; ``None`` if it may not be read."""

    rss: int
    pss: int | None

    @property
    def best(self) -> int:
        """The better measure of the two that is there."""
        return self.rss if self.pss is None else self.pss


def family(pid: int) -> Iterator[int]:
    """``pid`` and its descendants."""
    yield pid
    for task in _entries(PROC / str(pid) / "task"):
        with contextlib.suppress(OSError):
            for child in (task / "children").read_text().split():
                yield from family(int(child))


def _entries(folder: Path) -> list[Path]:
    with contextlib.suppress(OSError):
        return list(folder.iterdir())
    return []


def processor_time(pid: int) -> int:
    """Nanoseconds, user and system, since the processes began."""
    return sum(map(_processor_time, family(pid)))


def _processor_time(pid: int) -> int:
    # /proc/PID/stat counts ticks of 10 ms; the clock of the process (its id is made as
    # clock_getcpuclockid(3) makes it) counts nanoseconds.
    try:
        return time.clock_gettime_ns((~pid << 3) | 2)
    except OSError:
        return 0


def memory(pid: int) -> Memory:
    """What the processes hold now."""
    rss = 0
    pss: int | None = 0
    for each in family(pid):
        with contextlib.suppress(OSError):
            pages = int((PROC / str(each) / "statm").read_text().split()[1])
            rss += pages * os.sysconf("SC_PAGE_SIZE")
        try:
            lines = (PROC / str(each) / "smaps_rollup").read_text().splitlines()
        except OSError:
            pss = None
            continue
        for line in lines:
            if pss is not None and line.startswith("Pss:"):
                pss += int(line.split()[1]) * 1024
    return Memory(rss, pss)


class Meter:
    """What the load costs the server: memory before, with the connections open, and at the end."""

    def __init__(self, pid: int) -> None:
        if sys.platform != "linux":
            raise Failure(
                "--pid reads /proc, which only Linux has", "leave it out", status=Status.USAGE
            )
        if not (PROC / str(pid)).exists():
            raise Failure(
                f"there is no process {pid}",
                "--pid is the server's process id on this machine: pgrep -f NAME",
                status=Status.USAGE,
            )
        self.pid = pid
        self.before = self.opened = self.after = memory(pid)
        self.processor = 0  # nanoseconds while messages were counted
        self._since = 0

    def connections_open(self) -> None:
        """All connections are open, and no message has been sent."""
        self.opened = memory(self.pid)

    def measuring(self, begins: bool) -> None:
        """Messages are counted from now on, or not any more."""
        now = processor_time(self.pid)
        if begins:
            self._since = now
        else:
            self.processor = max(0, now - self._since)
            self.after = memory(self.pid)
