"""Instructions, system calls and page faults for each message: a long run minus a short one."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from benchmarks.measure import (
    MeasurementError,
    Settings,
    figures_of,
    load_command,
    running,
    server_command,
    start_program,
)
from benchmarks.peers import Peer
from benchmarks.scenarios import Scenario

Count = Callable[[Scenario, Peer, Settings], float]
#: Seconds of both runs; under callgrind everything takes fifty times as long.
SHORT, LONG = 0.3, 1.5
CALLGRIND = ("valgrind", "--tool=callgrind", "--quiet")
_TOTAL = re.compile(r"^(?:totals|summary): (\d+)$", re.MULTILINE)


def missing() -> list[str]:
    """The tools that are not installed."""
    return [tool for tool in ("valgrind", "callgrind_control", "strace") if not shutil.which(tool)]


def instructions(scenario: Scenario, peer: Peer, settings: Settings) -> float:
    """In user space, of one message."""
    with tempfile.TemporaryDirectory() as name:
        out = Path(name) / "out"
        command = [*CALLGRIND, f"--callgrind-out-file={out}"]
        command += server_command(peer, scenario, settings)
        with running(command, settings) as (port, pid):
            totals, units = [], []
            for number, seconds in enumerate((SHORT, SHORT, LONG), 1):  # the first one warms up
                units.append(_load(scenario, settings, port, seconds))
                subprocess.run(
                    ["callgrind_control", "--dump", str(pid)], capture_output=True, check=True
                )
                totals.append(int(_TOTAL.findall((Path(f"{out}.{number}")).read_text())[-1]))
    return _each(totals[1:], units[1:])


def calls(scenario: Scenario, peer: Peer, settings: Settings) -> float:
    """Of the kernel, for one message."""
    if not scenario.load:
        return _calls_of_client(scenario, peer, settings)
    with running(server_command(peer, scenario, settings), settings) as (port, pid):
        totals, units = [], []
        for seconds in (SHORT, LONG):
            with tempfile.NamedTemporaryFile("r") as out:
                command = ["strace", "-c", "-f", "-o", out.name, "-p", str(pid)]
                tracing = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
                assert tracing.stderr is not None
                tracing.stderr.readline()  # it has attached
                units.append(_load(scenario, settings, port, seconds))
                tracing.send_signal(signal.SIGINT)
                tracing.communicate()
                totals.append(_strace_total(out.read()))
    return _each(totals, units)


def _calls_of_client(scenario: Scenario, peer: Peer, settings: Settings) -> float:
    totals, units = [], []
    with running([str(settings.binaries.floor)], settings) as (port, _):
        for seconds in (SHORT, LONG):
            with tempfile.NamedTemporaryFile("r") as out:
                module, *options = peer.client
                command = ["strace", "-c", "-f", "-o", out.name, sys.executable]
                command += ["-m", f"benchmarks.echo.clients.{module}", *options]
                command += ["--seconds", str(seconds), "--warm-up", "0", "--loop", settings.loop]
                command += ["--size", str(scenario.message_size), "--port", str(port)]
                units.append(figures_of(start_program(command, None), settings)["units"])
                totals.append(_strace_total(out.read()))
    return _each(totals, units)


def faults(scenario: Scenario, peer: Peer, settings: Settings) -> float:
    """Of pages that the kernel had to map, for one message."""
    with running(server_command(peer, scenario, settings), settings) as (port, pid):
        totals, units = [], []
        for seconds in (SHORT, LONG):
            before = _minor_faults(pid)
            units.append(_load(scenario, settings, port, seconds))
            totals.append(_minor_faults(pid) - before)
    return _each(totals, units)


def _load(scenario: Scenario, settings: Settings, port: int, seconds: float) -> int:
    command = load_command(scenario, settings, port, "--seconds", str(seconds), "--warm-up", "0")
    units = figures_of(start_program(command, settings.load_cpu()), settings)["units"]
    assert isinstance(units, int)
    return units


def _each(totals: list[int], units: list[int]) -> float:
    if units[1] <= units[0]:
        raise MeasurementError("the long run did no more than the short one")
    return (totals[1] - totals[0]) / (units[1] - units[0])


def _minor_faults(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[7])


def _strace_total(text: str) -> int:
    """Of its summary: percents, seconds, microseconds of a call, calls, perhaps errors, name."""
    rows = [line.split() for line in text.splitlines() if not line.endswith("total")]
    return sum(int(row[3]) for row in rows if len(row) > 4 and row[3].isdigit())


COUNTS: dict[str, Count] = {"instructions": instructions, "calls": calls, "faults": faults}
