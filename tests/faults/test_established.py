"""Open connections that are cut, at every place and in every way: one clean end, in time."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from typing import Any

import pytest

from duplexer.asyncio.client import connect
from duplexer.asyncio.server import ServerConnection, serve
from duplexer.errors import (
    ConnectionClosed,
    ConnectionClosedError,
    ConnectionClosedOK,
    InvalidHandshake,
)
from duplexer.limits import Limits
from tests.faults.peers import (
    CLIENT_FRAMES,
    REQUEST,
    SERVER_FRAMES,
    Counted,
    counted,
    idle,
    port_of,
    program,
    raw_server,
    reset,
    response_to,
)

pytestmark = pytest.mark.both_builds

ENDS = ["fin", "rst"]


class Log:
    """A handler that echoes, and remembers how each connection ended."""

    def __init__(self) -> None:
        self.messages: list[Any] = []
        self.ends: list[ConnectionClosed] = []

    async def __call__(self, ws: ServerConnection) -> None:
        try:
            while True:
                message = await ws.recv()
                self.messages.append(message)
                with contextlib.suppress(ConnectionClosed):  # there may be more to receive
                    await ws.send(message)
        except ConnectionClosed as exc:
            self.ends.append(exc)


def check_lost(exc: ConnectionClosed) -> None:
    """Lost without a word: 1006, an explanation, and the network's error if there was one."""
    assert isinstance(exc, ConnectionClosedError)
    assert (exc.rcvd, exc.close_code) == (None, 1006)
    assert exc.__cause__ is None or isinstance(exc.__cause__, OSError)
    assert exc.explain()


def url(port: int) -> str:
    return f"ws://127.0.0.1:{port}/"


# -- every offset ----------------------------------------------------------------------------------


@pytest.mark.parametrize("end", ENDS)
async def test_client_cuts_at_every_offset(end: str) -> None:
    log = Log()
    script = REQUEST + CLIENT_FRAMES
    limits = Limits(open_timeout=2, close_timeout=2)
    kwargs: Any = {"limits": limits, "create_connection": Counted}
    async with serve(log, "127.0.0.1", 0, **kwargs) as server:
        for offset in range(len(script) + 1):
            log.ends.clear()
            log.messages.clear()
            async with counted(server):
                with socket.create_connection(server.sockets[0].getsockname()) as sock:
                    sock.sendall(script[:offset])
                    if end == "rst":
                        reset(sock)
            if end == "fin":
                assert len(log.ends) == (offset >= len(REQUEST)), offset
            if offset < len(script):
                for exc in log.ends:
                    check_lost(exc)
            elif end == "fin":
                assert isinstance(log.ends[0], ConnectionClosedOK)
                assert log.messages == ["Hello", "€😀", bytes(128)]


@pytest.mark.parametrize("end", ENDS)
async def test_server_cuts_at_every_offset(end: str) -> None:
    offset = 0

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        script = response_to(await reader.readuntil(b"\r\n\r\n")) + SERVER_FRAMES
        writer.write(script[:offset])
        if end == "rst":
            reset(writer.get_extra_info("socket"))
            writer.transport.abort()

    async with raw_server(handler) as port:
        size = len(response_to(REQUEST) + SERVER_FRAMES)
        for offset in range(size + 1):
            began = time.monotonic()
            with pytest.raises((ConnectionClosed, InvalidHandshake, ConnectionError)) as caught:
                async with connect(url(port), proxy=None, open_timeout=2, close_timeout=2) as ws:
                    while True:
                        await ws.recv()
            assert time.monotonic() - began < 3
            if offset == size:
                assert end == "rst" or isinstance(caught.value, ConnectionClosedOK)
            elif isinstance(caught.value, ConnectionClosed):
                check_lost(caught.value)


# -- half-closed -----------------------------------------------------------------------------------


async def test_client_shuts_its_sending_side() -> None:
    log = Log()
    async with serve(log, "127.0.0.1", 0) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", port_of(server))
        writer.write(REQUEST)
        await reader.readuntil(b"\r\n\r\n")
        writer.write_eof()
        async with asyncio.timeout(3):
            assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()
        await idle(server)
        check_lost(log.ends[0])


async def test_server_shuts_its_sending_side() -> None:
    ended = asyncio.Event()

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(response_to(await reader.readuntil(b"\r\n\r\n")))
        writer.write_eof()
        await reader.read()
        ended.set()

    async with raw_server(handler) as port, asyncio.timeout(5):
        async with connect(url(port), proxy=None) as ws:
            with pytest.raises(ConnectionClosedError) as caught:
                await ws.recv()
            check_lost(caught.value)
        await ended.wait()


async def test_peer_closes_and_never_ends_tcp() -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(response_to(await reader.readuntil(b"\r\n\r\n")))
        writer.write(bytes.fromhex("8802 03E8"))
        await asyncio.sleep(30)

    async with raw_server(handler) as port:
        began = time.monotonic()
        async with connect(url(port), proxy=None, close_timeout=0.4) as ws:
            with pytest.raises(ConnectionClosedOK):
                await ws.recv()
            await ws.wait_closed()
        assert 0.3 < time.monotonic() - began < 2


async def test_peer_never_answers_a_close() -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(response_to(await reader.readuntil(b"\r\n\r\n")))
        await asyncio.sleep(30)

    async with raw_server(handler) as port:
        ws = await connect(url(port), proxy=None, close_timeout=0.4)
        began = time.monotonic()
        await ws.close()
        assert 0.3 < time.monotonic() - began < 2
        with pytest.raises(ConnectionClosedError) as caught:
            await ws.recv()
        assert isinstance(caught.value.__cause__, TimeoutError)
        assert ws.close_code == 1006


async def test_peer_that_does_not_read() -> None:
    stop = asyncio.Event()

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(response_to(await reader.readuntil(b"\r\n\r\n")))
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        await stop.wait()

    limits = Limits(send_timeout=0.4, ping_interval=None)
    async with raw_server(handler) as port, asyncio.timeout(10):
        async with connect(url(port), proxy=None, limits=limits, compression=None) as ws:
            with pytest.raises(ConnectionClosedError) as caught:
                while True:
                    await ws.send(bytes(1 << 20))
            assert isinstance(caught.value.__cause__, TimeoutError)
            assert "send_timeout" in str(caught.value.__cause__)
        stop.set()


async def test_peer_that_is_silent() -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(response_to(await reader.readuntil(b"\r\n\r\n")))
        await asyncio.sleep(30)

    async with raw_server(handler) as port:
        began = time.monotonic()
        async with connect(url(port), proxy=None, ping_interval=0.3, ping_timeout=0.3) as ws:
            with pytest.raises(ConnectionClosedError) as caught:
                await ws.recv()
        assert 0.5 < time.monotonic() - began < 0.3 + 0.3 + 1
        assert isinstance(caught.value.__cause__, TimeoutError)
        assert "ping_timeout" in str(caught.value.__cause__)


# -- processes that die ----------------------------------------------------------------------------

SERVER = """
    import asyncio, os
    from duplexer.asyncio.server import serve
    async def handler(ws):
        await ws.send("hello")
        await ws.send(os.urandom(50_000_000) if ws.request.path == "/big" else "world")
        await ws.wait_closed()
    async def main():
        async with serve(handler, "{host}", 0, limits=None) as server:
            print(server.sockets[0].getsockname()[1], flush=True)
            await asyncio.sleep(60)
    asyncio.run(main())
"""
CLIENT = """
    import asyncio
    from duplexer.asyncio.client import connect
    async def main():
        async with connect("ws://{host}:{port}/", proxy=None) as ws:
            await ws.send("hello")
            print("sent", flush=True)
            await asyncio.sleep(60)
    asyncio.run(main())
"""


async def test_server_is_killed() -> None:
    async with program(SERVER.format(host="127.0.0.1")) as server:
        assert server.stdout is not None
        port = int(await server.stdout.readline())
        async with connect(url(port), proxy=None) as ws, asyncio.timeout(5):
            assert await ws.recv() == "hello"
            ping = await ws.ping()
            await ping
            server.kill()
            assert await ws.recv() == "world"
            with pytest.raises(ConnectionClosedError) as caught:
                await ws.recv()
            check_lost(caught.value)
            with pytest.raises(ConnectionClosedError):
                await ws.send("too late")
            with pytest.raises(ConnectionClosedError):
                await ws.ping()


async def test_server_is_killed_within_a_message() -> None:
    async with program(SERVER.format(host="127.0.0.1")) as server:
        assert server.stdout is not None
        port = int(await server.stdout.readline())
        async with connect(url(port) + "big", proxy=None, max_size=None) as ws, asyncio.timeout(9):
            assert await ws.recv() == "hello"
            receiving = asyncio.create_task(ws.recv())
            await asyncio.sleep(0.02)
            server.kill()
            with pytest.raises(ConnectionClosedError) as caught:
                await receiving
            check_lost(caught.value)


async def test_clients_are_killed() -> None:
    log = Log()
    async with serve(log, "127.0.0.1", 0) as server:
        source = CLIENT.format(host="127.0.0.1", port=port_of(server))
        async with program(source) as first, program(source) as second:
            for client in (first, second):
                assert client.stdout is not None
                assert await client.stdout.readline() == b"sent\n"
            first.kill()
            second.kill()
        async with asyncio.timeout(5):
            await idle(server)
        assert len(log.ends) == 2
        for exc in log.ends:
            check_lost(exc)


async def test_stopped_process_is_not_taken_for_dead() -> None:
    """A client that was suspended for longer than ping_timeout is the one who judges: not so."""
    source = """
        import asyncio
        from duplexer.asyncio.client import connect
        async def main():
            uri = "ws://127.0.0.1:PORT/"
            async with connect(uri, proxy=None, ping_interval=0.2, ping_timeout=0.2) as ws:
                print("open", flush=True)
                await asyncio.sleep(0.5)
                print(await ws.recv(), flush=True)
        asyncio.run(main())
    """
    served = asyncio.Event()

    async def handler(ws: ServerConnection) -> None:
        await served.wait()
        await ws.send("still there")

    async with serve(handler, "127.0.0.1", 0) as server:
        async with program(source.replace("PORT", str(port_of(server)))) as client:
            assert client.stdout is not None
            assert await client.stdout.readline() == b"open\n"
            client.send_signal(signal.SIGSTOP)
            await asyncio.sleep(1)
            client.send_signal(signal.SIGCONT)
            await asyncio.sleep(0.6)
            served.set()
            assert await client.stdout.readline() == b"still there\n"


# -- the cable is cut ------------------------------------------------------------------------------


@pytest.fixture
def cable() -> Iterator[tuple[str, str, str]]:
    """A network of two machines: the name of the other one, its address, and the way to it."""
    if os.geteuid() != 0 or shutil.which("ip") is None:
        pytest.skip("needs root and /usr/sbin/ip")
    name = f"dx{os.getpid()}"
    net = f"10.{213 + os.getpid() % 40}.{os.getpid() % 250}"
    commands = [
        f"netns add {name}",
        f"link add {name}a type veth peer name {name}b netns {name}",
        f"addr add {net}.1/24 dev {name}a",
        f"link set {name}a up",
        f"-n {name} addr add {net}.2/24 dev {name}b",
        f"-n {name} link set {name}b up",
        f"-n {name} link set lo up",
    ]
    try:
        for command in commands:
            made = subprocess.run(
                ["ip", *command.split()], capture_output=True, check=False, text=True
            )
            if made.returncode:
                pytest.skip("needs network namespaces")
        yield name, net, f"{name}a"
    finally:
        subprocess.run(["ip", "link", "del", f"{name}a"], capture_output=True, check=False)
        subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)


def cut(net: str) -> None:
    subprocess.run(["ip", "route", "add", "blackhole", f"{net}.2/32"], check=True)


def mend(net: str) -> None:
    subprocess.run(["ip", "route", "del", "blackhole", f"{net}.2/32"], check=False)


@contextlib.contextmanager
def cut_cable(net: str) -> Iterator[None]:
    cut(net)
    try:
        yield
    finally:
        mend(net)


@pytest.mark.parametrize("busy", [False, True], ids=["idle", "sending"])
async def test_client_notices_a_cut_cable(cable: tuple[str, str, str], busy: bool) -> None:
    name, net, _ = cable
    source = SERVER.format(host=f"{net}.2")
    async with program(source, "ip", "netns", "exec", name) as server:
        assert server.stdout is not None
        port = int(await server.stdout.readline())
        uri = f"ws://{net}.2:{port}/"
        async with connect(
            uri, proxy=None, ping_interval=0.5, ping_timeout=0.5, close_timeout=0.5
        ) as ws:
            assert [await ws.recv(), await ws.recv()] == ["hello", "world"]
            with cut_cable(net):
                began = time.monotonic()
                with pytest.raises(ConnectionClosedError) as caught:
                    async with asyncio.timeout(5):
                        while busy:
                            await ws.send(bytes(10_000))
                            await asyncio.sleep(0.01)
                        await ws.recv()
                assert time.monotonic() - began < 0.5 + 0.5 + 1
    assert isinstance(caught.value.__cause__, TimeoutError)
    assert caught.value.rcvd is None


async def test_server_notices_a_cut_cable(cable: tuple[str, str, str]) -> None:
    name, net, _ = cable
    log = Log()
    limits = Limits(ping_interval=0.5, ping_timeout=0.5, close_timeout=0.5)
    async with serve(log, f"{net}.1", 0, limits=limits) as server:
        source = CLIENT.format(host=f"{net}.1", port=port_of(server))
        async with program(source, "ip", "netns", "exec", name) as client:
            assert client.stdout is not None
            assert await client.stdout.readline() == b"sent\n"
            with cut_cable(net):
                async with asyncio.timeout(0.5 + 0.5 + 1):
                    await idle(server)
    assert isinstance(log.ends[0].__cause__, TimeoutError)


async def test_closing_over_a_cut_cable(cable: tuple[str, str, str]) -> None:
    name, net, _ = cable
    source = SERVER.format(host=f"{net}.2")
    async with program(source, "ip", "netns", "exec", name) as server:
        assert server.stdout is not None
        port = int(await server.stdout.readline())
        ws = await connect(f"ws://{net}.2:{port}/", proxy=None, close_timeout=0.5)
        with cut_cable(net):
            began = time.monotonic()
            await ws.close()
            assert time.monotonic() - began < 1.5
            with pytest.raises(OSError):  # TimeoutError is one, and so is what a route may say
                await connect(f"ws://{net}.2:{port}/", proxy=None, open_timeout=0.5)


# -- again and again -------------------------------------------------------------------------------


async def test_hundreds_of_lost_connections_leave_no_memory() -> None:
    """What ended badly is freed without the garbage collector's having to look for it."""
    import gc

    log = Log()
    kwargs: Any = {"ping_interval": None, "create_connection": Counted}
    async with serve(log, "127.0.0.1", 0, **kwargs) as server:

        async def lose(count: int) -> None:
            for _ in range(count):
                async with counted(server):
                    with socket.create_connection(server.sockets[0].getsockname()) as sock:
                        sock.sendall(REQUEST + CLIENT_FRAMES[:20])
                        await asyncio.sleep(0)
                        reset(sock)
            log.ends.clear()
            log.messages.clear()
            gc.collect()

        await lose(100)
        before = len(gc.get_objects())
        await lose(300)
        assert len(gc.get_objects()) - before < 100
