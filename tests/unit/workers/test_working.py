"""A server that does what its supervisor says. What signals do is in test_running.py."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from typing import Any

import pytest

from duplexer.asyncio import accepting
from duplexer.asyncio.client import connect
from duplexer.asyncio.server import Server, broadcast, serve
from duplexer.carriers.readiness import Readiness
from duplexer.driver.metrics import Metrics
from duplexer.driver.observing import Observer
from duplexer.errors import ConnectionClosed
from duplexer.http.headers import Headers
from duplexer.http.messages import Request
from duplexer.limits import Limits
from duplexer.workers.groups import Group
from duplexer.workers.parcels import ANSWER, ASK, Unpacker, pack
from duplexer.workers.sockets import bind
from duplexer.workers.working import Leaving, work

PATIENCE = 20.0


async def echo(ws: Any) -> None:
    Group("all").add(ws)
    async for message in ws:
        await ws.send(message)


class Office:
    """A worker within this process, and our end of its channel."""

    def __init__(self) -> None:
        self.ours, self.theirs = socket.socketpair()
        ((self.sock,),) = bind("127.0.0.1", 0)
        self.uri = f"ws://127.0.0.1:{self.sock.getsockname()[1]}"
        self.server: Server | None = None

    def begin(
        self, leaving: Leaving | None = None, shared: bool = False, **options: Any
    ) -> asyncio.Task[None]:
        return asyncio.ensure_future(
            work(
                lambda: serve(echo, **options),
                leaving or Leaving(),
                sockets=[self.sock],
                shared=shared,
                channel=self.theirs,
                number=7,
                on_ready=self.on_ready,
            )
        )

    async def on_ready(self, server: Server) -> None:
        self.server = server

    async def until_ready(self) -> None:
        self.ours.setblocking(False)
        word = await asyncio.wait_for(asyncio.get_running_loop().sock_recv(self.ours, 1), PATIENCE)
        assert word == b"R"

    def close(self) -> None:
        self.ours.close()
        self.theirs.close()
        self.sock.close()


@pytest.fixture
def office() -> Any:
    one = Office()
    yield one
    one.close()


@pytest.mark.parametrize(("word", "code"), [(b"D", 1012), (b"S", 1001), (b"", 1012)])
async def test_words_of_the_supervisor(office: Office, word: bytes, code: int) -> None:
    task = office.begin()
    await office.until_ready()
    async with connect(office.uri, proxy=None) as ws:
        await ws.send("x")
        assert await ws.recv() == "x"
        if word:
            office.ours.send(word)
        else:  # it has ended
            office.ours.close()
        with pytest.raises(ConnectionClosed) as closed:
            await asyncio.wait_for(ws.recv(), PATIENCE)
        assert closed.value.rcvd is not None and closed.value.rcvd.code == code
    await asyncio.wait_for(task, PATIENCE)


class Crowd(Readiness):
    """As soon as the server is about to stop, more connect than it accepts until it does."""

    def __init__(self, address: Any) -> None:
        super().__init__()
        self.address = address
        self.came = 0

    def leave(self) -> None:
        for _ in range(100):
            socket.create_connection(self.address, PATIENCE).close()
            self.came += 1


@pytest.mark.parametrize(
    ("word", "shared", "waiting"),
    [
        ("D", False, False),  # nobody else has the sockets
        ("D", True, True),  # systemd has them
        ("H", False, True),  # the worker that takes our place has them
        ("end", False, False),  # no supervisor, and soon no worker
        ("SIGTERM", False, True),  # the supervisor replaces us
    ],
)
async def test_who_takes_those_that_wait_in_the_kernel(
    office: Office, word: str, shared: bool, waiting: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(accepting, "BATCH", 2)
    crowd = Crowd(office.sock.getsockname())
    with office.sock.dup() as kernel:  # what waits is to be seen when the worker has left
        task = office.begin(shared=shared, http={"/readyz": crowd})
        await office.until_ready()
        if word == "SIGTERM":
            os.kill(os.getpid(), signal.SIGTERM)
        elif word == "end":
            office.ours.close()
        else:
            office.ours.send(word.encode())
        await asyncio.wait_for(task, PATIENCE)
        kernel.setblocking(False)
        if waiting:
            kernel.accept()[0].close()
        else:
            with pytest.raises(BlockingIOError):
                kernel.accept()
    assert crowd.came == 100


async def test_alone_nobody_else_takes_them() -> None:
    crowd = Crowd(None)
    servers: list[Server] = []

    def ready(server: Server) -> None:
        servers.append(server)
        crowd.address = server.sockets[0].getsockname()
        os.kill(os.getpid(), signal.SIGTERM)

    serving = serve(echo, "127.0.0.1", 0, http={"/readyz": crowd})
    await asyncio.wait_for(work(lambda: serving, Leaving(), on_ready=ready), PATIENCE)
    assert not servers[0].shares_sockets
    assert crowd.came == 100


async def test_without_a_supervisor_nobody_waits_for_a_load_balancer(office: Office) -> None:
    task = office.begin(Leaving(notice=3600))
    await office.until_ready()
    office.ours.close()
    await asyncio.wait_for(task, PATIENCE)


async def test_a_stop_ends_a_drain(office: Office) -> None:
    task = office.begin(Leaving(notice=3600))
    await office.until_ready()
    office.ours.send(b"D")
    async with asyncio.timeout(PATIENCE):
        while office.server is None or not office.server.leaving:  # noqa: ASYNC110
            await asyncio.sleep(0)
    office.ours.send(b"S")
    await asyncio.wait_for(task, PATIENCE)


async def test_a_signal_of_its_own_drains_it(office: Office) -> None:
    task = office.begin()
    await office.until_ready()
    os.kill(os.getpid(), signal.SIGTERM)
    await asyncio.wait_for(task, PATIENCE)


async def test_it_is_on_the_bus_before_it_serves(office: Office) -> None:
    other, its = socket.socketpair()
    with other:
        socket.send_fds(office.ours, [b"B"], [its.fileno()])
        its.close()
        task = office.begin()
        await office.until_ready()
        async with connect(office.uri, proxy=None) as ws:
            await ws.send("x")
            assert await ws.recv() == "x"
            broadcast(Group("all"), "to all")
            assert await ws.recv() == "to all"
        other.setblocking(False)
        told = await asyncio.wait_for(asyncio.get_running_loop().sock_recv(other, 100), PATIENCE)
        assert told.endswith(b"allto all")
        office.ours.send(b"S")
        await asyncio.wait_for(task, PATIENCE)


async def test_without_a_descriptor_for_another_worker_it_serves_on(
    office: Office, caplog: pytest.LogCaptureFixture
) -> None:
    task = office.begin()
    await office.until_ready()
    # So it arrives where no descriptor is left: the kernel drops the one that came along.
    office.ours.send(b"B")
    async with asyncio.timeout(PATIENCE):
        while "no descriptor is left" not in caplog.text:  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(0)
    async with connect(office.uri, proxy=None) as ws:
        await ws.send("x")
        assert await ws.recv() == "x"
    assert office.server is not None and not office.server.leaving
    office.ours.send(b"S")
    await asyncio.wait_for(task, PATIENCE)


async def test_its_metrics_answer_the_others(office: Office) -> None:
    metrics = Metrics()
    loop = asyncio.get_running_loop()
    other, its = socket.socketpair()
    with other:
        other.setblocking(False)
        socket.send_fds(office.ours, [b"B"], [its.fileno()])
        its.close()
        limits = Limits(bus_timeout=PATIENCE)
        task = office.begin(observer=[Observer(), metrics], limits=limits)
        await office.until_ready()
        await loop.sock_sendall(other, pack(ASK, b"0", b""))
        unpacker, told = Unpacker(1 << 20), []
        async with asyncio.timeout(PATIENCE):
            while not told:
                told += unpacker.feed(await loop.sock_recv(other, 1 << 16))
        ((kind, name, page),) = told
        assert (kind, name) == (ANSWER, b"0")
        assert b'duplexer_connections{worker="7"} 0\n' in page
        asking = asyncio.ensure_future(metrics(Request("/metrics", Headers())))  # type: ignore[arg-type]
        assert await asyncio.wait_for(loop.sock_recv(other, 100), PATIENCE) == pack(ASK, b"0", b"")
        await loop.sock_sendall(other, pack(ANSWER, b"0", page.replace(b'"7"', b'"8"')))
        whole = (await asyncio.wait_for(asking, PATIENCE)).body
        assert whole.count(b"# TYPE duplexer_connections gauge\n") == 1
        assert b'{worker="7"} 0\nduplexer_connections{worker="8"} 0\n' in whole
        office.ours.send(b"S")
        await asyncio.wait_for(task, PATIENCE)


def test_how_long_leaving_may_take() -> None:
    limits = Limits(drain_time=10, handler_timeout=20, close_timeout=5)
    assert Leaving().patience(limits) == 35
    assert Leaving(over=1, notice=2).patience(limits) == 28
    assert Leaving().patience(Limits(handler_timeout=None)) is None
