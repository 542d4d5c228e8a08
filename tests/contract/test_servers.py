"""Servers: handlers and what becomes of their exceptions, listeners, counting, shutting down."""

from __future__ import annotations

import contextlib

import pytest

from duplexer import (
    ConnectionClosed,
    ConnectionClosedError,
    ConnectionClosedOK,
)
from tests.contract.peers import TEXT


async def echo(ws):
    async for message in ws:
        await ws.send(message)


async def ended(ws):
    with pytest.raises(ConnectionClosed) as caught:
        while True:
            await ws.recv()
    return caught.value


async def test_a_handler_that_returns_closes_with_1000(front):
    async def handler(ws):
        await ws.send("bye")

    async with front.serve(handler) as server, front.connect(server) as ws:
        assert await ws.recv() == "bye"
        exc = await ended(ws)
        assert type(exc) is ConnectionClosedOK and exc.rcvd.code == 1000


@pytest.mark.parametrize("after", [0, 1], ids=["at once", "after a message"])
async def test_a_handler_that_raises_closes_with_1011_and_is_logged(front, after, unlogged):
    error = ZeroDivisionError("private")

    async def handler(ws):
        for _ in range(after):
            await ws.recv()
        raise error

    async with front.serve(handler) as server, front.connect(server) as ws:
        with contextlib.suppress(ConnectionClosed):  # its Close may have come already
            await ws.send("go")
        exc = await ended(ws)
        assert exc.rcvd.code == 1011
        assert "private" not in exc.rcvd.reason
    assert [record.exc_info[1] for record in unlogged] == [error]
    unlogged.clear()


async def test_a_handler_that_raises_what_closed_it_is_not_logged(front):
    async def handler(ws):
        while True:
            await ws.send(await ws.recv())

    async with front.serve(handler) as server:
        async with front.connect(server) as ws:
            await ws.send("x")
            await ws.recv()
        ws = await front.connect(server)
        ws.abort()
        await ws.wait_closed()


async def test_a_handler_that_fails_on_another_connection_is_logged(front, unlogged):
    async def handler(ws):
        if await ws.recv() == "wait":
            await ws.wait_closed()
            return
        async with front.connect(other) as client:
            await client.recv()  # raises ConnectionClosedOK, though this one here is open

    async def goodbye(ws):
        pass

    async with front.serve(goodbye) as other, front.serve(handler) as server:
        async with front.connect(server) as ws:
            await ws.send("go")
            assert (await ended(ws)).rcvd.code == 1011
    assert [type(record.exc_info[1]) for record in unlogged] == [ConnectionClosedOK]
    unlogged.clear()


async def test_connections_are_counted(front):
    async with front.serve(echo) as server:
        assert not server.connections
        async with front.connect(server):
            await front.until(lambda: len(server.connections) == 1)
            async with front.connect(server) as second:
                await front.until(lambda: len(server.connections) == 2)
                second.abort()
                await front.until(lambda: len(server.connections) == 1)
        await front.until(lambda: not server.connections)


@pytest.mark.parametrize("arguments", [{}, {"code": 1012, "reason": "back soon"}])
async def test_closing_the_server_closes_connections(front, arguments):
    finished = []

    async def handler(ws):
        finished.append(await ended(ws))

    async with front.serve(handler) as server:
        clients = [await front.connect(server) for _ in range(5)]
        await front.until(lambda: len(server.connections) == 5)
        assert server.is_serving()
        server.close(**arguments)
        await server.wait_closed()
        assert not server.is_serving()
        assert not server.connections
        assert len(finished) == 5
        for ws in clients:
            exc = await ended(ws)
            assert exc.rcvd.code == arguments.get("code", 1001)
            assert exc.rcvd.reason == arguments.get("reason", "")
            await ws.wait_closed()
        with pytest.raises(OSError, match=r".+"):
            await front.connect(uri_of(front, clients[0]))
        server.close()
        await server.wait_closed()


async def test_closing_with_what_cannot_be_said_does_nothing(front):
    async with front.serve(echo) as server, front.connect(server) as ws:
        with pytest.raises(ValueError, match="must not be sent"):
            server.close(code=1006)
        with pytest.raises(ValueError, match="123 bytes"):
            server.close(reason="x" * 124)
        assert server.is_serving()
        await ws.send("still here")
        assert await ws.recv() == "still here"
        async with front.connect(server) as another:
            await another.send("x")
            assert await another.recv() == "x"


def uri_of(front, ws):
    host, port = ws.remote_address[:2]
    return f"{'wss' if front.secure else 'ws'}://{host}:{port}/"


async def test_closing_the_server_waits_for_handlers(front):
    order = []

    async def handler(ws):
        await ws.wait_closed()
        await front.sleep(0.05)
        order.append("handler")

    async with front.serve(handler) as server:
        async with front.connect(server) as ws:
            await front.until(lambda: server.connections)
            server.close()
            await ws.wait_closed()
            await server.wait_closed()
            order.append("server")
    assert order == ["handler", "server"]


async def test_closing_the_server_may_leave_connections(front):
    async with front.serve(echo) as server:
        async with front.connect(server) as ws:
            await front.until(lambda: server.connections)
            server.close(close_connections=False)
            await ws.send("still here")
            assert await ws.recv() == "still here"
        await server.wait_closed()


async def test_waiting_for_a_server_that_is_closed_later(front):
    async with front.serve(echo) as server:
        waiting = front.spawn(server.wait_closed())
        async with front.connect(server):
            await front.until(lambda: server.connections)
            await front.turns()
            assert not waiting.done()
            server.close()
            await waiting
            assert not server.connections


async def test_closing_the_server_drops_half_open_connections(front):
    async with front.serve(echo, close_timeout=0.3) as server:
        async with front.raw(server, handshake=False):
            await front.until(lambda: server.opening)
            async with front.timeout(3):
                server.close()
                await server.wait_closed()
                await front.until(lambda: not server.opening)


async def test_closing_the_server_with_a_peer_that_never_answers(front):
    async with front.serve(echo, close_timeout=0.2) as server, front.raw(server) as peer:
        await front.thread(peer.send, TEXT, b"here")
        await front.thread(peer.recv)
        started = front.now()
        server.close()
        await server.wait_closed()
        assert front.now() - started < 2


@pytest.mark.cancels
async def test_an_async_hook_that_runs_when_the_peer_leaves(front):
    started, ended = [], []

    async def process_request(ws, request):
        started.append(ws)
        try:
            await front.sleep(0.3)
        finally:
            ended.append(ws)

    async with front.serve(echo, process_request=process_request) as server:
        connecting = front.spawn(opened(front.connect(server)))
        await front.until(lambda: started)
        connecting.cancel()
        await front.until(lambda: ended)
        await front.until(lambda: not server.opening and not server.connections)
        with pytest.raises(BaseException) as caught:
            await connecting
        assert "Cancel" in type(caught.value).__name__


async def opened(connecting):
    return await connecting


@pytest.mark.plain_only
async def test_a_handler_that_is_none(front):
    for wrong in (None, 1, "handler"):
        with pytest.raises(TypeError, match="handler must be"):
            async with front.serve(wrong):
                pass


# -- explanations ----------------------------------------------------------------------------------


async def test_explanations_name_who_did_it(front):
    async with front.pair() as (client, server):
        assert "open" in client.explain()
        await client.close(4000, "because")
        ours, theirs = await ended(client), await ended(server)
        assert "We closed" in ours.explain() and "4000" in ours.explain()
        assert "The peer closed" in theirs.explain() and "because" in theirs.explain()
        assert client.explain() == ours.explain()


async def test_explanations_of_a_loss(front):
    async with front.raw_pair() as (ws, peer):
        await front.thread(peer.send, TEXT, b"twelve bytes")
        await ws.recv()
        peer.close()
        exc = await ended(ws)
        assert "lost" in exc.explain()
        assert "text, 12 bytes" in exc.explain()
        assert "Nothing was sent" in exc.explain()


async def test_explanations_of_a_breach(front):
    async with front.raw_pair() as (ws, peer):
        await front.thread(peer.send_bytes, b"\x83\x00")
        exc = await ended(ws)
        assert type(exc) is ConnectionClosedError
        text = exc.explain()
        assert "the peer broke a rule" in text and "opcode" in text and "83 00" in text
        assert exc.__cause__.party == "peer"
        assert (await front.thread(peer.recv_close))[0] == 1002
