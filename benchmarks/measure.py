"""One measurement: start a server, put the load or a client on it, stop it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.build import Binaries
from benchmarks.peers import Peer
from benchmarks.scenarios import Scenario

Figures = dict[str, Any]
ROOT = Path(__file__).parent.parent


class MeasurementError(Exception):
    """A server or client failed; the text says how, in a few words."""


@dataclass(frozen=True)
class Settings:
    binaries: Binaries
    loop: str
    seconds: float
    warm_up: float
    server_cpu: int | None
    load_cpu: int | None


def measure(scenario: Scenario, peer: Peer, settings: Settings) -> Figures:
    """What the load or the client printed."""
    seconds = str(scenario.seconds or settings.seconds)
    times = ["--seconds", seconds, "--warm-up", str(settings.warm_up)]
    if scenario.load:
        with _server(_server_command(peer, settings), settings) as (port, pid):
            mode, *options = scenario.load
            command = [str(settings.binaries.load), mode, *options, *times, "--pid", str(pid)]
            return _run([*command, "127.0.0.1", str(port), scenario.path], settings)
    with _server([str(settings.binaries.floor)], settings) as (port, _):
        command = [sys.executable, "-m", f"benchmarks.echo.clients.{peer.client}", *times]
        command += ["--loop", settings.loop, "--size", str(scenario.message_size), str(port)]
        return _run(command, settings)


def _server_command(peer: Peer, settings: Settings) -> list[str]:
    if peer.is_floor:
        return [str(settings.binaries.floor)]
    module, *options = peer.server
    command = [sys.executable, "-m", f"benchmarks.echo.servers.{module}", *options]
    return [*command, "--loop", settings.loop]


@contextmanager
def _server(command: Sequence[str], settings: Settings) -> Iterator[tuple[int, int]]:
    """Run a server; gives its port and its process id."""
    with tempfile.TemporaryFile("w+") as complaints:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=complaints,
            text=True,
            env=_environment(),
            cwd=ROOT,
        )
        _pin(process.pid, settings.server_cpu)
        try:
            assert process.stdout is not None
            port = process.stdout.readline().strip()
            if not port.isdigit():
                process.wait()
                complaints.seek(0)
                raise MeasurementError(_last_line(complaints.read()) or "ended at once")
            yield int(port), process.pid
        finally:
            process.kill()
            process.wait()
            if process.stdout is not None:
                process.stdout.close()


def _run(command: Sequence[str], settings: Settings) -> Figures:
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=_environment(),
        cwd=ROOT,
    )
    _pin(process.pid, settings.load_cpu)
    try:
        output, complaints = process.communicate(timeout=120 + settings.seconds)
    except subprocess.TimeoutExpired:
        raise MeasurementError("took too long") from None
    finally:
        process.kill()
        process.wait()
    if process.returncode and not output:
        raise MeasurementError(_last_line(complaints) or f"exit status {process.returncode}")
    figures: Figures = json.loads(output)
    if "error" in figures:
        raise MeasurementError(figures["error"])
    return figures


def _environment() -> dict[str, str]:
    """Ours, without the proxies that some clients would go through."""
    return {key: value for key, value in os.environ.items() if not key.lower().endswith("_proxy")}


def _pin(pid: int, cpu: int | None) -> None:
    if cpu is not None:
        os.sched_setaffinity(pid, {cpu})


def _last_line(text: str) -> str:
    return text.strip().rpartition("\n")[2]
