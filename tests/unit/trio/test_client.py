from __future__ import annotations

import socket

import pytest
import trio
import trio.testing

from duplexer.driver.turns import TURNS
from duplexer.errors import ConnectionClosedError, InvalidStatus
from duplexer.limits import Limits
from duplexer.trio.client import ClientConnection, connect, unix_connect
from duplexer.trio.server import serve


async def echo(ws):
    async for message in ws:
        await ws.send(message)


def port_of(server):
    return server.sockets[0].getsockname()[1]


async def test_it_cannot_be_awaited_without_an_owner():
    with pytest.raises(TypeError, match="nursery="):
        await connect("ws://localhost/")


async def test_a_nursery_may_own_it(memory):
    async with memory.served(echo), trio.open_nursery() as nursery:
        ws = await memory.connect(nursery=nursery)
        await ws.send("x")
        assert await ws.recv() == "x"
        await ws.aclose()
        async with memory.connect(nursery=nursery) as ws:
            assert len(nursery.child_tasks) == 1
        while nursery.child_tasks:
            await trio.lowlevel.checkpoint()


async def test_the_nursery_that_owns_it_ends_it(memory):
    async with memory.served():
        async with trio.open_nursery() as nursery:
            ws = await memory.connect(nursery=nursery)
            nursery.cancel_scope.cancel()
        assert ws.lost
        with pytest.raises(ConnectionClosedError) as caught:
            await ws.recv()
        assert caught.value.sent.code == 1001


async def test_what_leaves_the_block_is_not_wrapped(memory):
    async with memory.served(echo):
        with pytest.raises(ZeroDivisionError):
            async with memory.connect():
                raise ZeroDivisionError
        with pytest.raises(ConnectionClosedError):
            async with memory.connect() as ws:
                ws.abort()
                await ws.recv()


async def test_a_stream_is_in_the_way_of_an_address(memory):
    stream = memory.listener.dial()
    for more in ({"host": "x"}, {"port": 1}, {"path": "/x"}):
        with pytest.raises(ValueError, match="stream"):
            connect("ws://memory/", stream=stream, **more)


async def test_a_refused_stream_is_closed(memory):
    def refuse(ws, request):
        return ws.respond(401, "no")

    async with memory.served(process_request=refuse):
        stream = memory.listener.dial()
        with pytest.raises(InvalidStatus):
            async with connect("ws://memory/", stream=stream, auth=("user", "password")):
                pass
        with pytest.raises(trio.ClosedResourceError):
            await stream.send_all(b"x")


async def test_a_handshake_has_a_deadline(autojump):
    ours, _ = trio.testing.memory_stream_pair()
    started = trio.current_time()
    with pytest.raises(TimeoutError, match="opening handshake"):
        async with connect("ws://memory/", stream=ours, open_timeout=10):
            pass
    assert trio.current_time() - started == pytest.approx(10)
    with pytest.raises(trio.ClosedResourceError):
        await ours.send_all(b"x")


async def test_cancelling_the_handshake_closes_the_stream():
    ours, _ = trio.testing.memory_stream_pair()
    with trio.move_on_after(0.01) as scope:
        async with connect("ws://memory/", stream=ours):
            pass
    assert scope.cancelled_caught
    with pytest.raises(trio.ClosedResourceError):
        await ours.send_all(b"x")


async def test_a_socket_may_be_given():
    async with serve(echo, "127.0.0.1", 0) as server:
        sock = socket.create_connection(("127.0.0.1", port_of(server)))
        async with connect("ws://example.com/", sock=sock) as ws:
            await ws.send("x")
            assert await ws.recv() == "x"
            assert ws.request.headers["Host"] == "example.com"


async def test_connections_of_a_class_of_ones_own(memory):
    class Mine(ClientConnection):
        pass

    async with memory.served(), memory.connect(create_connection=Mine) as ws:
        assert type(ws) is Mine


class Resolver(trio.abc.HostnameResolver):
    """Gives the addresses that it is told to, in that order."""

    def __init__(self, *addresses):
        self.addresses = addresses

    async def getaddrinfo(self, host, port, family=0, type=0, proto=0, flags=0):  # noqa: A002
        return [
            (
                socket.AF_INET6 if ":" in address else socket.AF_INET,
                socket.SOCK_STREAM,
                socket.IPPROTO_TCP,
                "",
                (address, int(port), 0, 0) if ":" in address else (address, int(port)),
            )
            for address in self.addresses
        ]

    async def getnameinfo(self, sockaddr, flags):
        raise NotImplementedError


async def test_the_time_runs_on_when_one_that_waited_is_given_up(monkeypatch):
    monkeypatch.setattr("duplexer.driver.opening.is_counted", lambda address: True)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        held = TURNS.enter(("127.0.0.2", port), 1)
        trio.socket.set_custom_hostname_resolver(Resolver("127.0.0.2", "127.0.0.1"))
        limits = Limits(open_timeout=0.3, happy_eyeballs_delay=0.01)
        with trio.fail_after(30):
            with pytest.raises(TimeoutError, match="opening handshake"):
                async with connect(f"ws://example.com:{port}/", proxy=None, limits=limits):
                    pass
    held.leave()
    TURNS.forget()


async def test_the_next_address_is_tried_at_once_where_one_refuses():
    async with serve(echo, "127.0.0.1", 0) as server:
        trio.socket.set_custom_hostname_resolver(Resolver("127.0.0.2", "127.0.0.3", "127.0.0.1"))
        uri = f"ws://several.example:{port_of(server)}/"
        async with connect(uri, proxy=None) as ws:
            assert ws.remote_address[0] == "127.0.0.1"
        with pytest.raises(OSError, match=r"127\.0\.0\.2.*127\.0\.0\.3"):
            trio.socket.set_custom_hostname_resolver(Resolver("127.0.0.2", "127.0.0.3"))
            async with connect(uri, proxy=None):
                pass


async def test_an_address_that_does_not_answer_holds_up_nobody():
    full = socket.socket()
    full.bind(("127.0.0.2", 0))
    full.listen(0)
    port = full.getsockname()[1]
    fillers = []
    for _ in range(4):  # now the kernel lets nobody else in
        filler = socket.socket()
        filler.setblocking(False)
        filler.connect_ex(("127.0.0.2", port))
        fillers.append(filler)
    try:
        async with serve(echo, "127.0.0.1", port):
            trio.socket.set_custom_hostname_resolver(Resolver("127.0.0.2", "127.0.0.1"))
            async with connect(f"ws://several.example:{port}/", proxy=None) as ws:
                assert ws.remote_address == ("127.0.0.1", port)
    finally:
        for sock in (full, *fillers):
            sock.close()


async def test_unix_sockets_have_a_path(tmp_path):
    path = tmp_path / "socket"
    async with serve(echo, path=path), unix_connect(path) as ws:
        await ws.send("x")
        assert await ws.recv() == "x"


# -- iterating -------------------------------------------------------------------------------------


async def test_leaving_an_iteration_closes_the_last_connection():
    ended = trio.Event()

    async def handler(ws):
        await ws.wait_closed()
        assert ws.close_code == 1000
        ended.set()

    async with serve(handler, "127.0.0.1", 0) as server:
        async for _ in connect(f"ws://127.0.0.1:{port_of(server)}/"):
            break
        with trio.fail_after(40):
            await ended.wait()


async def test_an_iteration_may_live_in_a_nursery():
    seen = []

    async def handler(ws):
        await ws.send("x")

    async with serve(handler, "127.0.0.1", 0) as server, trio.open_nursery() as nursery:
        async for ws in connect(f"ws://127.0.0.1:{port_of(server)}/", nursery=nursery):
            assert len(nursery.child_tasks) == 1
            seen.extend([message async for message in ws])
            if len(seen) == 3:
                break
    assert seen == ["x"] * 3


async def test_an_iteration_is_cancelled_like_anything_else():
    async with serve(lambda ws: ws.wait_closed(), "127.0.0.1", 0) as server:
        with trio.move_on_after(0.1) as scope:
            async for ws in connect(f"ws://127.0.0.1:{port_of(server)}/"):
                await ws.recv()
        assert scope.cancelled_caught
        while server.connections:  # noqa: ASYNC110
            await trio.sleep(0.001)


async def test_a_nursery_that_has_been_left_owns_nothing(memory, autojump):
    async with memory.served(ping_interval=None):
        async with trio.open_nursery() as nursery:
            pass
        with pytest.raises(RuntimeError, match="closed"):
            await memory.connect(nursery=nursery)
        with trio.move_on_after(60):
            while not memory.arrived:
                await trio.lowlevel.checkpoint()
            await memory.arrived[0].wait_closed()
        assert memory.arrived[0].close_code == 1006
