"""Listeners: callbacks in place of a coroutine, which asyncio alone has."""

from __future__ import annotations

import contextlib

import pytest

from duplexer import ConcurrencyError, ConnectionClosed, Listener
from tests.contract.peers import CLOSE, TEXT, close_body


async def ended(ws):
    with pytest.raises(ConnectionClosed) as caught:
        while True:
            await ws.recv()
    return caught.value


class Recorder(Listener):
    def __init__(self):
        self.log = []

    def on_open(self, ws):
        self.log.append(("open", ws.request.path))
        ws.send_nowait("welcome")

    def on_message(self, ws, message):
        self.log.append(("message", message))
        ws.send_nowait(message)

    def on_close(self, ws, exc):
        self.log.append(("close", exc.rcvd.code if exc.rcvd else None))


async def test_a_listener_is_told_everything_in_order(front):
    recorder = Recorder()
    async with front.serve(recorder) as server:
        async with front.connect(server) as ws:
            assert await ws.recv() == "welcome"
            for i in range(50):
                await ws.send(str(i))
            assert [await ws.recv() for _ in range(50)] == [str(i) for i in range(50)]
            await ws.send(b"x" * 500_000)
            assert len(await ws.recv()) == 500_000
            await ws.close(1001)
        await front.until(lambda: not server.connections)
    assert recorder.log[0] == ("open", "/")
    assert recorder.log[1:51] == [("message", str(i)) for i in range(50)]
    assert recorder.log[52:] == [("close", 1001)]


async def test_a_listener_class_has_an_instance_for_each_connection(front):
    made = []

    class Mine(Recorder):
        def __init__(self):
            super().__init__()
            made.append(self)

    async with front.serve(Mine) as server:
        async with front.connect(server) as a, front.connect(server) as b:
            await a.recv()
            await b.recv()
            await a.send("a")
            await a.recv()
        await front.until(lambda: not server.connections)
    assert len(made) == 2
    assert sorted(len(each.log) for each in made) == [2, 3]


@pytest.mark.parametrize("where", ["on_open", "on_message", "on_close"])
async def test_a_listener_that_raises(front, where, unlogged):
    class Broken(Listener):
        pass

    def fail(self, ws, *args):
        raise ZeroDivisionError(where)

    setattr(Broken, where, fail)
    async with front.serve(Broken) as server:
        async with front.connect(server) as ws:
            with contextlib.suppress(ConnectionClosed):
                await ws.send("go")
            if where != "on_close":
                assert (await ended(ws)).rcvd.code == 1011
        async with front.timeout(3):
            await ws.wait_closed()
            await front.until(lambda: not server.connections)
    assert [str(record.exc_info[1]) for record in unlogged] == [where]
    unlogged.clear()


async def test_a_listener_may_close(front):
    class Goodbye(Listener):
        def on_message(self, ws, message):
            ws.start_close(4000, message)

    async with front.serve(Goodbye) as server, front.connect(server) as ws:
        await ws.send("enough")
        exc = await ended(ws)
        assert (exc.rcvd.code, exc.rcvd.reason) == (4000, "enough")


async def test_a_listener_that_is_flooded_handles_everything(front):
    recorder = Recorder()
    recorder.on_message = lambda ws, message: recorder.log.append(message)
    async with front.serve(recorder) as server, front.raw(server) as peer:
        wire = b"".join(peer.frame(TEXT, b"%d" % i) for i in range(20_000))
        await front.thread(peer.send_bytes, wire + peer.frame(CLOSE, close_body(1000)))
        await front.thread(peer.recv_close)
        peer.close()
        async with front.timeout(2):
            await front.until(lambda: not server.connections)
    assert recorder.log[1:-1] == [str(i) for i in range(20_000)]


async def test_a_client_may_listen_too(front):
    recorder = Recorder()
    recorder.on_open = lambda ws: recorder.log.append(("open", ws.response.status_code))

    async def handler(ws):
        for i in range(3):
            await ws.send(str(i))
        assert [await ws.recv() for _ in range(3)] == ["0", "1", "2"]
        await ws.close(4001)

    async with front.serve(handler) as server:
        async with front.connect(server, listener=recorder) as ws:
            with pytest.raises(ConcurrencyError, match="listener"):
                await ws.recv()
            await ws.wait_closed()
    messages = [("message", str(i)) for i in range(3)]
    assert recorder.log == [("open", 101), *messages, ("close", 4001)]


@pytest.mark.parametrize("where", ["on_open", "on_message", "on_close"])
async def test_a_client_whose_listener_raises(front, where, unlogged):
    def fail(self, ws, *args):
        raise ZeroDivisionError(where)

    async def handler(ws):
        await ws.send("go")
        if where != "on_close":
            await ws.wait_closed()

    broken = type("Broken", (Listener,), {where: fail})
    async with front.serve(handler) as server:
        async with front.connect(server, listener=broken) as ws, front.timeout(3):
            await ws.wait_closed()
        await front.until(lambda: not server.connections)
    if where != "on_close":
        assert ws.session.close_sent.code == 1011
    assert [str(record.exc_info[1]) for record in unlogged] == [where]
    unlogged.clear()
