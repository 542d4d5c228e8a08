"""``duplexer serve`` in production: restarts under traffic, workers, reloads, what it logs."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import fcntl
import os
import re
import signal
import socket
import ssl
from pathlib import Path
from typing import Any

import pytest
import trustme

from duplexer.asyncio.client import connect
from duplexer.errors import ConnectionClosed, InvalidHandshake
from tests.integration.cli_process import Process, process, server, write_module

PATIENCE = 30.0

#: Writes down what it handles, and only then says so. Between the two there is time for anything.
LEDGER = """
import asyncio, os

ledger = os.open("ledger", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
VERSION = 1

async def handle(ws):
    await ws.send(f"version {VERSION}")
    async for message in ws:
        await asyncio.sleep(0.002)
        os.write(ledger, f"{message}\\n".encode())
        await asyncio.sleep(0.002)
        await ws.send(message)
"""


class Client:
    """Sends numbers one after another, each until it was acknowledged, on as many connections."""

    def __init__(self, name: str, uri: str) -> None:
        self.name = name
        self.uri = uri
        self.acknowledged = 0
        self.restarts: list[int] = []  # close codes
        self.versions: list[str] = []
        self.enough = False

    async def run(self) -> None:
        while not self.enough:
            try:
                async with connect(self.uri, proxy=None) as ws:
                    self.versions.append(str(await ws.recv()))
                    await self.talk(ws)
            except ConnectionClosed as closed:
                self.restarts.append(0 if closed.rcvd is None else closed.rcvd.code)
            except (InvalidHandshake, OSError, EOFError):
                await asyncio.sleep(0.01)  # nobody is there, or not for us

    async def talk(self, ws: Any) -> None:
        while not self.enough:
            message = f"{self.name} {self.acknowledged}"
            await ws.send(message)
            assert await ws.recv() == message
            self.acknowledged += 1

    async def until(self, acknowledged: int) -> None:
        async with asyncio.timeout(PATIENCE):
            while self.acknowledged < acknowledged:  # noqa: ASYNC110 - nothing tells of it
                await asyncio.sleep(0.005)


async def all_go_on(clients: list[Client], more: int = 5) -> None:
    """Wait until each has been answered ``more`` times from now on."""
    await asyncio.gather(*[each.until(each.acknowledged + more) for each in clients])


async def finish(clients: list[Client], tasks: list[Any], folder: Path) -> None:
    """None was lost, and none handled twice."""
    for each in clients:
        each.enough = True
    await asyncio.wait_for(asyncio.gather(*tasks), PATIENCE)
    lines = (folder / "ledger").read_text().splitlines()
    twice = [line for line, count in collections.Counter(lines).items() if count > 1]
    assert twice == []
    assert set(lines) == {f"{each.name} {n}" for each in clients for n in range(each.acknowledged)}


def complaints(errors: str) -> list[str]:
    """Lines of ``errors``, but for clients that came while a server left: those come back."""
    return [line for line in errors.splitlines() if ", 503 this server takes no more" not in line]


def begin(uri: str, count: int = 8) -> tuple[list[Client], list[Any]]:
    clients = [Client(f"client{number}", uri) for number in range(count)]
    return clients, [asyncio.create_task(each.run()) for each in clients]


async def until(is_so: Any) -> None:
    async with asyncio.timeout(PATIENCE):
        while not is_so():  # noqa: ASYNC110 - nothing tells of these
            await asyncio.sleep(0.01)


async def test_new_code_by_sighup_under_traffic(tmp_path: Path) -> None:
    write_module(tmp_path, "app", LEDGER)
    arguments = ("serve", "app:handle", "--workers", "2", "--drain", "0.2")
    with server(*arguments, cwd=tmp_path) as (running, uri):
        clients, tasks = begin(uri)
        for version in (2, 3):
            await all_go_on(clients)
            write_module(tmp_path, "app", LEDGER.replace("VERSION = 1", f"VERSION = {version}"))
            running.popen.send_signal(signal.SIGHUP)
            wanted = f"version {version}"
            await until(lambda: all(wanted == each.versions[-1] for each in clients))  # noqa: B023
        await all_go_on(clients)
        await finish(clients, tasks, tmp_path)
        assert {code for each in clients for code in each.restarts} == {1012}
        status, _, errors = await asyncio.to_thread(running.stop)
        assert (status, complaints(errors)) == (0, [])


async def test_one_server_takes_over_from_another_under_traffic(tmp_path: Path) -> None:
    write_module(tmp_path, "app", LEDGER)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    uri = f"ws://127.0.0.1:{port}"
    arguments = ("serve", "app:handle", "--reuse-port", "--port", port, "--drain", "0.2")
    with process(*arguments, cwd=tmp_path) as old:
        await asyncio.to_thread(old.wait_for, "listening on")
        clients, tasks = begin(uri)
        await all_go_on(clients)
        with process(*arguments, cwd=tmp_path) as new:
            await asyncio.to_thread(new.wait_for, "listening on")
            status, output, errors = await asyncio.to_thread(old.stop)
            assert (status, output) == (0, f"listening on {uri}\n")
            assert complaints(errors) == []
            await all_go_on(clients)
            await finish(clients, tasks, tmp_path)
            assert {code for each in clients for code in each.restarts} <= {1012}
            assert await asyncio.to_thread(new.stop) == (0, f"listening on {uri}\n", "")


#: Takes as long for a message as the file "go" is not there.
SLOW = """
import asyncio, pathlib

async def handle(ws):
    async for message in ws:
        await ws.send("begun")
        while not pathlib.Path("go").exists():
            await asyncio.sleep(0.01)
        await ws.send(message)
"""


def is_refused(uri: str) -> bool:
    try:
        socket.create_connection(where(uri), PATIENCE).close()
    except ConnectionRefusedError:
        return True
    except OSError:
        pass  # it came while they were closing
    return False


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
async def test_while_workers_drain_the_port_is_free(number: signal.Signals, tmp_path: Path) -> None:
    """Whoever connects is told so at once, or comes to the successor, which can listen."""
    write_module(tmp_path, "app", SLOW)
    arguments = ("serve", "app:handle", "--workers", "2", "--grace", "3600", "--drain", "0")
    with contextlib.ExitStack() as last, server(*arguments, cwd=tmp_path) as (old, uri):
        last.callback((tmp_path / "go").touch)  # whatever happens, no worker waits for ever
        ws = await connect(uri, proxy=None)
        await ws.send("slow")
        assert await ws.recv() == "begun"
        old.popen.send_signal(number)
        await until(lambda: is_refused(uri))
        port = str(where(uri)[1])
        with process(*arguments, "--port", port, cwd=tmp_path) as new:
            await asyncio.to_thread(new.wait_for, "listening on")
            assert (await get(uri, "/readyz")).startswith(b"HTTP/1.1 200 ")
            (tmp_path / "go").touch()
            assert await asyncio.wait_for(ws.recv(), PATIENCE) == "slow"
            await asyncio.wait_for(ws.wait_closed(), PATIENCE)
            assert ws.close_code == 1012
            assert (await asyncio.to_thread(new.stop))[0] == 0
        assert await asyncio.to_thread(old.end) == (0 if number == signal.SIGTERM else -number)


async def test_a_worker_that_is_killed(tmp_path: Path) -> None:
    write_module(tmp_path, "app", LEDGER.replace("version {VERSION}", "{os.getpid()}"))
    arguments = ("--workers", "2", "--metrics", "--limit", f"bus_timeout={PATIENCE}")
    with server("serve", "app:handle", *arguments, cwd=tmp_path) as (running, uri):
        clients, tasks = begin(uri, 4)
        await all_go_on(clients)
        page = await get(uri, "/metrics")
        assert page.count(b'\nduplexer_connections{worker="') == 2
        assert b'\nduplexer_workers{answered="yes"} 2\n' in page
        victim = int(clients[0].versions[-1])
        os.kill(victim, signal.SIGKILL)
        await until(lambda: all(int(each.versions[-1]) != victim for each in clients))
        await all_go_on(clients)
        for each in clients:
            each.enough = True
        await asyncio.wait_for(asyncio.gather(*tasks), PATIENCE)
        status, _, errors = await asyncio.to_thread(running.stop)
        assert status == 0
        assert "was killed by SIGKILL: it is replaced" in errors


@pytest.mark.parametrize("workers", [(), ("--workers", "1")])
async def test_health_and_the_access_log(tmp_path: Path, workers: tuple[str, ...]) -> None:
    write_module(tmp_path, "app", LEDGER)
    arguments = ("serve", "app:handle", "--access-log", "--metrics", *workers)
    with server(*arguments, cwd=tmp_path) as (running, uri):
        for path in ("/healthz", "/readyz", "/metrics"):
            assert (await get(uri, path)).startswith(b"HTTP/1.1 200 ")
        async with connect(f"{uri}/chat?token=secret", proxy=None) as ws:
            await ws.recv()
        for line in (r'"GET /readyz" 200', r'"GET /chat" 101', r'"GET /chat" closed 1000'):
            whole = rf"\n\d{{4}}-\d\d-\d\dT\S+[+-]\d{{4}} 127\.0\.0\.1:\d+ [0-9a-f]{{8}} {line}"
            await asyncio.to_thread(running.wait_for, whole)
        async with connect(f"{uri}/to-the-end", proxy=None) as ws:
            await ws.recv()
            _, output, errors = await asyncio.to_thread(running.stop)
        assert re.search(r'"GET /to-the-end" closed 1012 .*\n$', output)  # nothing is cut off
        assert "secret" not in output + errors


async def test_a_log_that_nobody_reads_stops_nothing(tmp_path: Path) -> None:
    write_module(tmp_path, "app", LEDGER)
    arguments = ("--access-log", "--health", "--limit", "log_lines=10")
    with server("serve", "app:handle", *arguments, cwd=tmp_path) as (running, uri):
        assert running.popen.stdout is not None
        fcntl.fcntl(running.popen.stdout, 1031, 4096)  # F_SETPIPE_SZ: it is full soon
        reader, writer = await asyncio.open_connection(*where(uri))
        async with asyncio.timeout(PATIENCE):
            for _ in range(300):
                writer.write(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n")
                assert (await reader.readuntil(b"ok\n")).startswith(b"HTTP/1.1 200 ")
        writer.close()
        await writer.wait_closed()
        await asyncio.to_thread(running.wait_for, r"\n\d+ lines were dropped")
        assert "GET /healthz" in running.seen()
        assert (await asyncio.to_thread(running.stop))[0] == 0


async def get(uri: str, path: str) -> bytes:
    reader, writer = await asyncio.open_connection(*where(uri))
    writer.write(f"GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode())
    answer = await asyncio.wait_for(reader.read(), PATIENCE)
    writer.close()
    await writer.wait_closed()
    return answer


def where(uri: str) -> tuple[str, int]:
    host, _, port = uri.removeprefix("ws://").rpartition(":")
    return host, int(port)


async def test_code_that_changes_is_reloaded(tmp_path: Path) -> None:
    write_module(tmp_path, "app", LEDGER)
    with server("serve", "app:handle", "--reload", cwd=tmp_path) as (running, uri):
        ws = await connect(uri, proxy=None)
        assert await ws.recv() == "version 1"
        write_module(tmp_path, "app", LEDGER.replace("VERSION = 1", "VERSION = 22"))
        await asyncio.wait_for(ws.wait_closed(), PATIENCE)
        assert ws.close_code == 1012
        async with connect(uri, proxy=None) as ws:
            assert await ws.recv() == "version 22"
        assert (await asyncio.to_thread(running.stop))[0] == 0


def test_a_mistake_is_told_once(tmp_path: Path) -> None:
    write_module(tmp_path, "app", "import no_such_package_here")
    with process("serve", "app:handle", "--workers", "3", "--port", "0", cwd=tmp_path) as running:
        status, output, errors = running.finish()
    assert (status, output) == (2, "")
    assert errors.count("no_such_package_here") == 2  # what is wrong, and the cure
    assert "Traceback" not in errors


def test_from_a_file_with_warnings(tmp_path: Path) -> None:
    write_module(tmp_path, "app", LEDGER)
    (tmp_path / "server.toml").write_text(
        'target = "app:handle"\nport = 0\nworkers = 2\nany-origin = true\n'
    )
    running: Process
    with process("serve", "--config", "server.toml", cwd=tmp_path) as running:
        running.wait_for(r"listening on ws://127.0.0.1:\d+\n")
        status, _, errors = running.stop(signal.SIGINT)
    assert status == 0
    assert re.match("warning: --any-origin", errors)


def write_certificate(path: Path) -> ssl.SSLContext:
    """A new authority's certificate in ``path``, and who trusts it."""
    authority = trustme.CA()
    issued = authority.issue_cert("127.0.0.1")
    chain = b"".join(pem.bytes() for pem in issued.cert_chain_pems)
    path.write_bytes(issued.private_key_pem.bytes() + chain)
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


async def test_a_new_certificate_by_sighup_disturbs_nobody(tmp_path: Path) -> None:
    write_module(tmp_path, "app", LEDGER)
    path = tmp_path / "server.pem"
    trusting = write_certificate(path)
    with server("serve", "app:handle", "--certfile", str(path), cwd=tmp_path) as (running, uri):
        async with connect(uri, proxy=None, ssl=trusting) as ws:
            await ws.recv()
            path.write_text("half a file")
            running.popen.send_signal(signal.SIGHUP)
            assert running.popen.stderr is not None
            line = await asyncio.to_thread(running.popen.stderr.readline)
            assert b"not reloaded" in line
            trusting = write_certificate(path)
            running.popen.send_signal(signal.SIGHUP)
            async with asyncio.timeout(PATIENCE):
                while True:
                    try:
                        other = await connect(uri, proxy=None, ssl=trusting)
                        break
                    except ssl.SSLCertVerificationError:
                        await asyncio.sleep(0.01)  # the signal is on its way
            await other.close()
            await ws.send("still here")
            assert await ws.recv() == "still here"
        assert (await asyncio.to_thread(running.stop))[0] == 0
