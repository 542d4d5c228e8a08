"""``duplexer bench`` as a process, against servers in processes of their own."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme

from benchmarks.build import build
from duplexer.cli.outcome import Status
from tests.integration.cli_process import process, run, server, terminal, write_module

QUICK = ("bench", "--connections", "3", "--count", "300", "--warm-up", "0")


def measured(*arguments: str) -> dict[str, Any]:
    """The report of a load in which everything was as it should be."""
    done = run(*QUICK, *arguments, "--json", "-")
    assert done.returncode == 0, done.stderr + done.stdout
    report: dict[str, Any] = json.loads(done.stdout)
    assert report["errors"] == []
    return report


@pytest.fixture(scope="module")
def echo() -> Iterator[str]:
    with server("echo") as (_, url):
        yield url


@pytest.mark.parametrize("loop", ["--uvloop", "--no-uvloop"])
def test_an_echo_server(echo: str, loop: str) -> None:
    report = measured(echo, loop)
    assert (report["connections"]["opened"], report["messages"]["received"]) == (3, 300)
    assert report["messages"]["bytes"] == 300 * 32


@pytest.mark.parametrize(
    "options",
    [
        "--in-flight 8 --size 5000 --text",
        "--deflate --payload json --size 2048",
        "--rate 5000",
        "--processes 2 --connections 4 --in-flight 3",
        "--processes 2 --connections 4 --rate 5000",
        "--ramp-up 0.1 --no-check",
    ],
)
def test_kinds_of_loads(echo: str, options: str) -> None:
    report = measured(echo, *options.split())
    assert report["messages"]["received"] == 300
    assert report["messages"]["latency_us"]["count"] == 300


def test_the_servers_processor_and_memory() -> None:
    with server("echo") as (running, url):
        report = measured(url, "--pid", str(running.popen.pid))
    assert report["server"]["cpu_us_per_message"] > 0
    assert report["server"]["pss_bytes"] > 1 << 20


def test_broadcast() -> None:
    with subprocess.Popen([build().floor], stdout=subprocess.PIPE, text=True) as floor:
        assert floor.stdout is not None
        url = f"ws://127.0.0.1:{floor.stdout.readline().strip()}/broadcast"
        try:
            report = measured(url, "--broadcast", "all", "--in-flight", "4")
        finally:
            floor.kill()
    assert (report["messages"]["sent"], report["messages"]["received"]) == (300, 900)


def test_tls(tmp_path: Path) -> None:
    authority = trustme.CA()
    pem, ca = tmp_path / "server.pem", tmp_path / "ca.pem"
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(pem)
    authority.cert_pem.write_to_path(ca)
    with server("echo", "--certfile", str(pem)) as (_, url):
        assert measured(url, "--ca", str(ca))["messages"]["received"] == 300
        assert measured(url, "--insecure-no-certificate-check")["messages"]["received"] == 300
        done = run(*QUICK, url)
        assert done.returncode == Status.UNREACHABLE
        assert "not trusted" in done.stderr and "--ca FILE" in done.stderr


HANDLERS = """
async def upper(ws):
    async for message in ws:
        await ws.send(bytes(reversed(message)))

async def mute(ws):
    async for message in ws:
        pass

async def leaves(ws):
    await ws.send(await ws.recv())
    await ws.close(1013, "closing time")
"""


@pytest.mark.parametrize(
    ("handler", "kind", "words"),
    [
        ("upper", "wrong-bytes", "--no-check"),
        ("mute", "unanswered", "duplexer echo"),
        ("leaves", "closed", "closing time"),
    ],
)
def test_what_a_server_does_wrong(tmp_path: Path, handler: str, kind: str, words: str) -> None:
    write_module(tmp_path, "app", HANDLERS)
    with server("serve", f"app:{handler}", cwd=tmp_path) as (_, url):
        done = run(*QUICK, url, "--in-flight", "2", "--answer-timeout", "0.5")
    assert done.returncode == Status.WRONG
    assert re.search(rf"^[\d,]+ {kind}: ", done.stdout, re.MULTILINE)
    assert words in done.stdout


def test_nobody_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        url = f"ws://127.0.0.1:{sock.getsockname()[1]}"
    done = run(*QUICK, url)
    assert (done.returncode, done.stdout) == (Status.UNREACHABLE, "")
    assert f"nothing listens at {url}" in done.stderr


def test_wrong_usage() -> None:
    done = run("bench", "example.com")
    assert done.returncode == Status.USAGE
    assert "cure: write ws://example.com" in done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("processes", ["1", "2"])
def test_interrupted_it_reports(tmp_path: Path, number: signal.Signals, processes: str) -> None:
    write_module(
        tmp_path,
        "app",
        "async def tell(ws):\n"
        "    count = 0\n"
        "    async for message in ws:\n"
        "        await ws.send(message)\n"
        "        count += 1\n"
        "        if count == 100:\n"
        "            print('under way', flush=True)\n",
    )
    arguments = ("bench", "--duration", "1000", "--connections", "2", "--warm-up", "0")
    with server("serve", "app:tell", cwd=tmp_path) as (serving, url):
        with process(*arguments, "--processes", processes, url) as running:
            serving.wait_for("under way")
            status, output, errors = running.stop(number)
    assert (status, errors) == (0, "")
    assert re.search(r"messages +\d[\d,]+ in ", output)
    assert "interrupted" in output and "no errors" in output


def test_progress_on_a_terminal(echo: str) -> None:
    with terminal("bench", "--duration", "1000", "--connections", "2", echo) as running:
        running.wait_for(r"measuring  2/2 connections  [\d,]+ messages/s")
        running.popen.send_signal(signal.SIGINT)
        assert running.end() == 0
        assert "latency" in running.seen() and "no errors" in running.seen()


def test_no_progress_in_a_pipe(echo: str) -> None:
    done = run(*QUICK, echo)
    assert (done.returncode, done.stderr) == (0, "")
    assert "\x1b" not in done.stdout
