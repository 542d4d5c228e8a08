"""One measurement: start a server, put the load or a client on it, stop it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from benchmarks.build import Binaries
from benchmarks.peers import Peer
from benchmarks.scenarios import Scenario
from benchmarks.tls import Certificate

Figures = dict[str, Any]
Process = subprocess.Popen[str]
ROOT = Path(__file__).parent.parent


class MeasurementError(Exception):
    """A server or client failed; the text says how, in a few words."""


@dataclass(frozen=True)
class Settings:
    binaries: Binaries
    loop: str
    seconds: float
    warm_up: float
    cpus: tuple[int, ...]
    """Processors to pin to: the servers' come first. None at all: nothing is pinned."""
    certificate: Certificate | None = None

    def server_cpu(self, number: int = 0) -> int | None:
        return self.cpus[number] if self.cpus else None

    def load_cpu(self, number: int = 0, servers: int = 1) -> int | None:
        return self.cpus[servers + number] if self.cpus else None


def measure(scenario: Scenario, peer: Peer, settings: Settings) -> Figures:
    """What the load or the client printed."""
    if scenario.processes > 1:
        return _several(scenario, peer, settings)
    seconds = str(scenario.seconds or settings.seconds)
    times = ["--seconds", seconds, "--warm-up", str(settings.warm_up)]
    if scenario.load:
        with running(server_command(peer, scenario, settings), settings) as (port, pid):
            command = load_command(scenario, settings, port, "--pid", str(pid), *times)
            return figures_of(start_program(command, settings.load_cpu()), settings)
    floor = [str(settings.binaries.floor), *_server_tls(scenario, settings)]
    with running(floor, settings) as (port, _):
        module, *options = peer.client_for(scenario)
        command = [sys.executable, "-m", f"benchmarks.echo.clients.{module}", *options, *times]
        command += ["--loop", settings.loop, "--size", str(scenario.message_size)]
        if scenario.tls and settings.certificate:
            command += ["--tls", str(settings.certificate.authority)]
        return figures_of(
            start_program([*command, "--port", str(port)], settings.load_cpu()), settings
        )


def _several(scenario: Scenario, peer: Peer, settings: Settings) -> Figures:
    """One server, then as many as there are to be on the same port; as many loads on both."""
    times = ["--seconds", str(settings.seconds), "--warm-up", str(settings.warm_up)]
    throughput = []
    for servers in (1, scenario.processes):
        with ExitStack() as stack:
            port = 0
            for number in range(servers):
                command = server_command(peer, scenario, settings)
                command += ["--port", str(port)]
                port, _ = stack.enter_context(running(command, settings, number))
            load = load_command(scenario, settings, port, *times)
            loads = [
                start_program(load, settings.load_cpu(number, scenario.processes))
                for number in range(scenario.processes)
            ]
            figures = [figures_of(one, settings) for one in loads]
            if not all("per_second" in each for each in figures):
                raise MeasurementError(f"nothing came back within {settings.seconds} s")
            throughput.append(sum(each["per_second"] for each in figures))
    return {"times_of_one": throughput[-1] / throughput[0], "per_second": throughput}


def load_command(scenario: Scenario, settings: Settings, port: int, *more: str) -> list[str]:
    """What puts the load of ``scenario`` on a server at ``port``."""
    mode, *options = scenario.load
    if scenario.tls:
        options.append("--tls")
    command = [str(settings.binaries.load), mode, *options, *more]
    return [*command, "127.0.0.1", str(port), scenario.path]


def server_command(peer: Peer, scenario: Scenario, settings: Settings) -> list[str]:
    """What starts the server of ``peer`` for ``scenario``."""
    if peer.is_compiled:
        return [peer.binary(settings.binaries)]
    module, *options = peer.server
    command = [sys.executable, "-m", f"benchmarks.echo.servers.{module}", *options]
    command += ["--loop", scenario.loop or settings.loop]
    tls = _server_tls(scenario, settings)
    return [*command, "--tls", *tls] if tls else command


def _server_tls(scenario: Scenario, settings: Settings) -> list[str]:
    if not scenario.tls or settings.certificate is None:
        return []
    return [str(settings.certificate.chain), str(settings.certificate.key)]


@contextmanager
def running(
    command: Sequence[str], settings: Settings, number: int = 0
) -> Iterator[tuple[int, int]]:
    """Run a server; gives its port and its process id."""
    with tempfile.TemporaryFile("w+") as complaints:
        process = start_program(command, settings.server_cpu(number), complaints)
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


def start_program(
    command: Sequence[str], cpu: int | None, complaints: IO[str] | int = subprocess.PIPE
) -> Process:
    """Start it on the processor ``cpu``; its standard output is piped."""
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=complaints,
        text=True,
        env=_environment(),
        cwd=ROOT,
    )
    if cpu is not None:
        os.sched_setaffinity(process.pid, {cpu})
    return process


def figures_of(process: Process, settings: Settings) -> Figures:
    """What a load or a client prints at its end."""
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


def _last_line(text: str) -> str:
    return text.strip().rpartition("\n")[2]
