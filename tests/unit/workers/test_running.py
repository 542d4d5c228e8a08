"""``run``: real processes, told by signals."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import subprocess
import sys
import urllib.request
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from duplexer.asyncio.client import connect, unix_connect
from duplexer.asyncio.server import serve, unix_serve
from duplexer.errors import ConnectionClosed
from duplexer.workers.running import run, sockets_for

PATIENCE = 30.0

PROGRAM = """
import os
from duplexer import broadcast, serve, unix_serve
from duplexer.workers import Group, run

everybody = Group("everybody")

async def handler(ws):
    everybody.add(ws)
    await ws.send(str(os.getpid()))
    async for message in ws:
        broadcast(everybody, message)

def ready(server):
    where = [s.getsockname() for s in server.sockets]
    os.write(1, f"ready {os.getpid()} {where}\\n".encode())

"""


@contextlib.contextmanager
def running(call: str, **options: Any) -> Iterator[Any]:
    popen = subprocess.Popen(
        [sys.executable, "-c", PROGRAM + call],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )
    try:
        yield popen
    finally:
        if popen.poll() is None:
            popen.kill()
        popen.communicate(timeout=PATIENCE)


def wait_until_ready(popen: Any, times: int = 1) -> tuple[list[int], str]:
    """The processes that say that they are ready, and where they listen."""
    pids = []
    for _ in range(times):
        line = popen.stdout.readline()
        found = re.match(r"ready (\d+) \[(.*)\]", line)
        assert found, popen.stderr.read()
        pids.append(int(found[1]))
    port = re.search(r", (\d+)\)", found[2])
    return pids, f"ws://127.0.0.1:{port[1]}" if port else found[2]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 1012), (signal.SIGINT, 1001)])
async def test_one_process(number: signal.Signals, code: int) -> None:
    with running('run(serve(handler, "127.0.0.1", 0), on_ready=ready)') as popen:
        (pid,), uri = wait_until_ready(popen)
        async with connect(uri, proxy=None) as ws:
            assert await ws.recv() == str(pid) == str(popen.pid)
            popen.send_signal(number)
            with pytest.raises(ConnectionClosed) as closed:
                await asyncio.wait_for(ws.recv(), PATIENCE)
            assert closed.value.rcvd is not None and closed.value.rcvd.code == code
        assert await asyncio.to_thread(popen.wait, PATIENCE) == 0
        assert popen.stderr.read() == ""


async def greet(uri: str) -> tuple[Any, int]:
    ws = await connect(uri, proxy=None)
    return ws, int(await asyncio.wait_for(ws.recv(), PATIENCE))


async def greet_all(uri: str, pids: list[int]) -> list[tuple[Any, int]]:
    """Connect until there is somebody at each worker."""
    clients: list[tuple[Any, int]] = []
    async with asyncio.timeout(PATIENCE):
        while {pid for _, pid in clients} != set(pids):
            clients.append(await greet(uri))
    return clients


async def test_workers_share_a_port_and_their_groups_and_are_replaced() -> None:
    call = 'run(serve(handler, "127.0.0.1", 0), workers=2, on_ready=ready)'
    with running(call) as popen:
        pids, uri = wait_until_ready(popen, 2)
        clients = await greet_all(uri, pids)
        await clients[0][0].send("hello")
        heard = Counter([await asyncio.wait_for(ws.recv(), PATIENCE) for ws, _ in clients])
        assert heard == {"hello": len(clients)}

        os.kill(pids[0], signal.SIGKILL)
        lost = [ws for ws, pid in clients if pid == pids[0]]
        for ws in lost:
            await asyncio.wait_for(ws.wait_closed(), PATIENCE)
            assert ws.close_code == 1006
        (new,), _ = await asyncio.to_thread(wait_until_ready, popen)
        kept = [ws for ws, pid in clients if pid == pids[1]]
        async with asyncio.timeout(PATIENCE):
            while True:
                ws, pid = await greet(uri)
                kept.append(ws)
                if pid == new:
                    break
        await ws.send("again")  # the new one is on the bus
        assert {await asyncio.wait_for(each.recv(), PATIENCE) for each in kept} == {"again"}

        popen.send_signal(signal.SIGHUP)
        await asyncio.to_thread(wait_until_ready, popen, 2)
        for each in kept:
            await asyncio.wait_for(each.wait_closed(), PATIENCE)
            assert each.close_code == 1012
        popen.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(popen.wait, PATIENCE) == 0
        assert "was killed by SIGKILL: it is replaced" in popen.stderr.read()


def scrape(uri: str) -> dict[tuple[str, ...], float]:
    """What a worker answers: each sample by its name and the values of its labels."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(uri.replace("ws:", "http:") + "/metrics", timeout=PATIENCE) as response:
        page = response.read().decode()
    samples = [each for family in text_string_to_metric_families(page) for each in family.samples]
    found = {(each.name, *each.labels.values()): each.value for each in samples}
    assert len(found) == len(samples)  # none comes twice
    return found


def by_worker(found: dict[tuple[str, ...], float], name: str) -> dict[str, float]:
    return {key[1]: value for key, value in found.items() if key[0] == name}


async def scrape_until(uri: str, is_so: Any) -> dict[tuple[str, ...], float]:
    async with asyncio.timeout(PATIENCE):
        while not is_so(found := await asyncio.to_thread(scrape, uri)):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    return found


async def test_a_scrape_of_any_worker_is_about_all_of_them() -> None:
    call = (
        "from duplexer import Limits, Metrics, Observer\n"
        "metrics = Metrics()\n"
        'run(serve(handler, "127.0.0.1", 0, observer=[Observer(), metrics],'
        f' http={{"/metrics": metrics}}, limits=Limits(bus_timeout={PATIENCE})),'
        " workers=3, on_ready=ready)"
    )
    with running(call) as popen:
        pids, uri = wait_until_ready(popen, 3)
        clients = await greet_all(uri, pids)
        for _ in range(4):  # whichever it is
            found = await asyncio.to_thread(scrape, uri)
            counts = by_worker(found, "duplexer_connections")
            assert set(counts) == {"0", "1", "2"}
            assert sum(counts.values()) == len(clients)
            assert sorted(counts.values()) == sorted(Counter(pid for _, pid in clients).values())
            assert by_worker(found, "duplexer_workers") == {"yes": 3, "no": 0}
        before = by_worker(found, "duplexer_start_time_seconds")

        os.kill(pids[0], signal.SIGKILL)
        await asyncio.to_thread(wait_until_ready, popen)
        left = [ws for ws, pid in clients if pid != pids[0]]
        found = await scrape_until(
            uri, lambda found: by_worker(found, "duplexer_workers") == {"yes": 3, "no": 0}
        )
        counts = by_worker(found, "duplexer_connections_total")
        assert sum(counts.values()) == len(left)
        after = by_worker(found, "duplexer_start_time_seconds")
        (new,) = [worker for worker in before if before[worker] != after[worker]]
        assert after[new] > before[new]
        assert counts[new] == 0

        popen.send_signal(signal.SIGTERM)
        for ws in left:
            await asyncio.wait_for(ws.wait_closed(), PATIENCE)
        assert await asyncio.to_thread(popen.wait, PATIENCE) == 0
        errors = popen.stderr.read()
        assert errors.count("\n") == errors.count("was killed by SIGKILL: it is replaced") == 1


@pytest.mark.parametrize("workers", [None, 2])
async def test_a_unix_socket_is_removed_at_the_end(workers: int | None, tmp_path: Path) -> None:
    path = tmp_path / "socket"
    call = f"run(unix_serve(handler, {str(path)!r}), workers={workers}, on_ready=ready)"
    with running(call) as popen:
        pids, _ = wait_until_ready(popen, workers or 1)
        with pytest.raises(OSError):  # and is not taken away from who has it
            run(unix_serve(print, str(path)), workers=workers)  # type: ignore[arg-type]
        async with unix_connect(str(path)) as ws:
            assert int(await ws.recv()) in pids
        popen.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(popen.wait, PATIENCE) == 0
    assert not path.exists()


async def test_sockets_of_systemd() -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as sock:
        uri = f"ws://127.0.0.1:{sock.getsockname()[1]}"
        call = (
            f"os.dup2({sock.fileno()}, 3)\n"
            'os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1")\n'
            'run(serve(handler, "192.0.2.1", 1), workers=2, on_ready=ready)'
        )
        with running(call, pass_fds=[sock.fileno()]) as popen:
            pids, where = wait_until_ready(popen, 2)
            assert where == uri
            ws, pid = await greet(uri)
            assert pid in pids
            popen.send_signal(signal.SIGTERM)
            await asyncio.wait_for(ws.wait_closed(), PATIENCE)
            assert await asyncio.to_thread(popen.wait, PATIENCE) == 0


@pytest.mark.parametrize("workers", [0, -1, True, 1.5, "2"])
def test_numbers_of_workers_that_are_none(workers: Any) -> None:
    with pytest.raises(ValueError, match="workers must be"):
        run(serve(print, "127.0.0.1", 0), workers=workers)


def test_without_fork(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "fork")
    with pytest.raises(ValueError, match="leave workers out"):
        run(serve(print, "127.0.0.1", 0), workers=2)


def test_where_workers_listen(tmp_path: Path) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as sock:
        assert sockets_for(serve(print, sock=sock), 2) == ([[sock], [sock]], None)
        taken = serve(print, "127.0.0.1", sock.getsockname()[1])
        with pytest.raises(OSError):
            run(taken, workers=2)
    abstract = unix_serve(print, f"\0{tmp_path}")  # type: ignore[arg-type]
    (((sock,),), nothing) = sockets_for(abstract, 1)
    assert nothing is None
    sock.close()
    path = str(tmp_path / "s")
    places, (where, inode) = sockets_for(unix_serve(print, path), 2)  # type: ignore[misc]
    assert (where, inode) == (path, Path(path).stat().st_ino)
    assert places[0] == places[1]
    places[0][0].close()
