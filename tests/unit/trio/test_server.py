from __future__ import annotations

import functools
import socket

import pytest
import trio
import trio.testing

from duplexer.driver import draining
from duplexer.errors import ConnectionClosed, InvalidHandshake, InvalidStatus
from duplexer.http.messages import make_response
from duplexer.limits import Limits
from duplexer.trio.client import connect, unix_connect
from duplexer.trio.router import route
from duplexer.trio.server import ServerConnection, broadcast, serve, unix_serve


async def echo(ws):
    async for message in ws:
        await ws.send(message)


def port_of(server):
    return server.sockets[0].getsockname()[1]


async def ended(ws):
    with pytest.raises(ConnectionClosed) as caught:
        while True:
            await ws.recv()
    return caught.value


async def check(port, host="127.0.0.1"):
    async with connect(f"ws://{host}:{port}/") as ws:
        await ws.send("x")
        assert await ws.recv() == "x"


async def test_it_is_started_in_a_nursery():
    async with trio.open_nursery() as nursery:
        server = await nursery.start(serve, echo, "127.0.0.1", 0)
        await check(port_of(server))
        await server.aclose()


async def test_a_port_is_enough():
    async with trio.open_nursery() as nursery:
        start = functools.partial(serve, echo, 0, compression=None)
        async with await nursery.start(start) as server:
            await check(port_of(server))
        start = functools.partial(serve, echo, 0, host="127.0.0.1")
        async with await nursery.start(start) as server:
            await check(port_of(server))


async def test_several_hosts():
    async with serve(echo, ["127.0.0.1", "127.0.0.2"], 0) as server:
        for sock in server.sockets:
            host, port = sock.getsockname()
            await check(port, host)
    assert server.sockets == ()


async def test_a_host_that_cannot_be_bound_leaves_no_socket(recwarn):
    with pytest.raises(OSError, match=r".+"):
        async with serve(echo, ["127.0.0.1", "192.0.2.1"], 0):
            pass


@pytest.mark.parametrize(
    "arguments", [{}, {"host": "localhost", "listeners": []}, {"port": 1, "path": "/x"}]
)
def test_where_to_listen_is_said_once(arguments):
    with pytest.raises(ValueError, match="one of them"):
        serve(echo, **arguments)


def test_a_handler_has_to_be_callable():
    with pytest.raises(TypeError, match="handler must be"):
        serve("echo", 0)


async def test_trios_own_listeners():
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with serve(echo, listeners=listeners) as server:
        assert server.listeners == listeners
        await check(port_of(server))


async def test_handlers_may_run_in_a_nursery_of_the_users(memory):
    async with trio.open_nursery() as handlers:
        async with memory.served(handler_nursery=handlers) as server, memory.connect():
            while not memory.arrived:
                await trio.lowlevel.checkpoint()
            assert handlers.child_tasks
        assert not server.connections


async def test_cancelling_the_server_says_goodbye(memory):
    async with trio.open_nursery() as nursery, trio.open_nursery() as clients:
        start = functools.partial(serve, echo, listeners=[memory.listener])
        server = await nursery.start(start)
        ws = await memory.connect(nursery=clients)
        nursery.cancel_scope.cancel()
        exc = await ended(ws)
        assert exc.rcvd.code == 1001
        await server.wait_closed()


async def test_closing_waits_for_handlers_and_is_bounded_by_who_waits(memory, autojump):
    async def busy(ws):
        await trio.sleep(60)

    started = trio.current_time()
    with trio.move_on_after(30):
        async with memory.served(busy) as server, memory.connect():
            while not server.connections:
                await trio.lowlevel.checkpoint()
            server.close()
            await server.wait_closed()
    assert trio.current_time() - started == pytest.approx(30)
    assert not server.connections


async def test_serving_for_ever_ends_when_it_is_closed(memory):
    async with memory.served() as server, trio.open_nursery() as nursery:
        nursery.start_soon(server.serve_forever)
        await trio.testing.wait_all_tasks_blocked()
        server.close()


async def test_a_nursery_in_a_handler_that_ends_with_the_connection_is_no_failure(memory, caplog):
    async def handler(ws):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ws.recv)
            await ws.wait_closed()
            await ws.send("too late")

    async with memory.served(handler) as server:
        async with memory.connect():
            pass
        while server.connections:
            await trio.lowlevel.checkpoint()
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


async def test_a_crash_of_one_connection_is_logged_and_ends_only_that(memory, caplog):
    class Broken(ServerConnection):
        def take_in(self, *args):
            raise ZeroDivisionError

    async with memory.served(create_connection=Broken), memory.connect() as ws:
        await ws.send("x")
        assert (await ended(ws)).rcvd.code == 1011
    assert [record.message for record in caplog.records if record.exc_info] == ["connection failed"]


async def test_a_broadcast_may_be_awaited(memory):
    async with memory.pair() as (client, server):
        with trio.testing.assert_checkpoints():
            await broadcast([server], "one")
        broadcast([server], "two")
        assert [await client.recv() for _ in range(2)] == ["one", "two"]


async def test_a_handler_for_each_path():
    from werkzeug.routing import Map, Rule

    async def one(ws, name):
        await ws.send(f"one {name}")

    url_map = Map([Rule("/one/<name>", endpoint=one)])
    async with route(url_map, "127.0.0.1", 0) as server:
        async with connect(f"ws://127.0.0.1:{port_of(server)}/one/x") as ws:
            assert await ws.recv() == "one x"


async def test_plain_requests_on_the_same_port():
    async with serve(
        echo, "127.0.0.1", 0, http={"/health": lambda request: make_response(200, b"fine")}
    ) as server:

        def ask():
            with socket.create_connection(("127.0.0.1", port_of(server))) as sock:
                sock.sendall(b"GET /health HTTP/1.0\r\nHost: x\r\n\r\n")
                return b"".join(iter(lambda: sock.recv(4096), b""))

        assert (await trio.to_thread.run_sync(ask)).endswith(b"fine")


async def test_hooks_that_block_run_in_a_thread(memory):
    import threading

    threads = []

    async def process_request(ws, request):
        await trio.to_thread.run_sync(lambda: threads.append(threading.current_thread()))

    async with memory.served(process_request=process_request), memory.connect():
        assert threads != [threading.main_thread()]


async def test_a_server_that_closes_turns_away_who_has_just_come(memory):
    hook = trio.Event()

    async def process_request(ws, request):
        hook.set()
        await trio.sleep_forever()

    limits = Limits(handler_timeout=0.05)  # which is what a hook has then
    async with memory.served(process_request=process_request, limits=limits) as server:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(refused, memory)
            await hook.wait()
            server.close()
        assert not server.opening


async def refused(memory):
    with pytest.raises(Exception, match=r".+"):
        async with memory.connect():
            pass


async def test_no_more_connections_than_there_may_be_however_many_come_at_once(memory):
    opened, refused = [], []
    arrived = trio.Event()

    async def come():
        try:
            async with memory.connect():
                opened.append(1)
                await arrived.wait()
        except InvalidStatus as exc:
            refused.append(exc.response.status_code)
        if len(refused) == 4:
            arrived.set()

    async with memory.served(limits=Limits(max_connections=1)):
        with trio.move_on_after(60) as patience:
            async with trio.open_nursery() as nursery:
                for _ in range(5):
                    nursery.start_soon(come)
        assert not patience.cancelled_caught, (opened, refused)
        assert (opened, refused) == ([1], [503] * 4)
        async with memory.connect():  # there is room again
            pass


async def test_a_connection_that_cannot_be_made_ends_only_itself(memory, caplog):
    made = []

    class Mine(ServerConnection):
        def __init__(self, server, stream):
            made.append(stream)
            if len(made) == 1:
                raise ValueError("not the first")
            super().__init__(server, stream)

    async with memory.served(create_connection=Mine):
        with pytest.raises((OSError, InvalidHandshake)):
            async with memory.connect():
                pass
        async with memory.connect():
            pass
    assert "not the first" in caplog.text


async def test_a_path_may_be_served_again(tmp_path):
    path = tmp_path / "socket"
    for _ in range(2):
        async with unix_serve(echo, path), unix_connect(str(path)) as ws:
            await ws.send("x")
            assert await ws.recv() == "x"
    path.unlink()
    path.write_text("not a socket")
    with pytest.raises(OSError):
        async with unix_serve(echo, path):
            pass
    assert path.read_text() == "not a socket"


async def test_draining_goes_on_though_nobody_waits_for_it(memory):
    async with memory.served(echo) as server, memory.connect() as ws:
        await ws.send("x")
        assert await ws.recv() == "x"
        with trio.CancelScope() as scope:
            scope.cancel()
            await server.drain(0.0)
        assert scope.cancelled_caught
        assert (await ended(ws)).rcvd.code == 1012
        await server.wait_closed()
        await server.drain()  # which is nothing new


async def test_handlers_that_go_on_when_it_has_drained_are_cancelled(memory, autojump, caplog):
    cancelled = []

    async def busy(ws):
        try:
            await ws.recv()
            await trio.sleep(3600)
        except trio.Cancelled:
            cancelled.append(trio.current_time() - started)
            raise

    async with memory.served(busy) as server, memory.connect() as ws:
        await ws.send("x")
        while not server.connections:
            await trio.lowlevel.checkpoint()
        await trio.testing.wait_all_tasks_blocked()
        started = trio.current_time()
        await server.drain(0.0)
        assert (await ended(ws)).rcvd.code == 1012
    assert cancelled == [pytest.approx(Limits().handler_timeout)]
    assert "1 handlers had not ended in time" in caplog.text


async def test_the_time_to_leave_is_kept(memory, autojump, monkeypatch):
    monkeypatch.setattr(draining, "monotonic", trio.current_time)
    codes = []

    async def client():
        async with memory.connect() as ws:
            codes.append((await ended(ws)).rcvd.code)
            times.append(trio.current_time() - started)

    times = []
    started = 0.0
    async with memory.served(echo) as server, trio.open_nursery() as nursery:
        for _ in range(10):
            nursery.start_soon(client)
        while len(server.connections) < 10:
            await trio.lowlevel.checkpoint()
        started = trio.current_time()
        await server.drain(10.0, notice=5.0)
    assert codes == [1012] * 10
    assert [int(moment) for moment in times] == [5 + number for number in range(10)]


async def test_the_listeners_of_somebody_else_are_only_closed(memory):
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with serve(echo, listeners=listeners) as server:
        assert server.is_serving()
        await server.drain()
        assert not server.is_serving()
    assert listeners[0].socket.fileno() == -1
