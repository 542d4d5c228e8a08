"""What goes wrong below or above a connection, and what it must not lead to."""

from __future__ import annotations

import asyncio
import gc
import logging

import pytest

from duplexer import ConnectionClosed, Listener
from duplexer.core.session import Session
from duplexer.http.headers import Headers
from duplexer.http.messages import Response
from duplexer.limits import DEFAULT_LIMITS
from tests.contract.peers import Raw

pytestmark = pytest.mark.plain_only


async def test_a_write_that_raises_ends_the_connection(front):
    """What was collected is gone, perhaps in the middle of a frame: nothing may follow it."""
    front.forgiven.append("write failed")
    got = []

    async def handler(ws):
        try:
            async for message in ws:
                got.append(message)  # noqa: PERF401 - before the end
        except ConnectionClosed:
            got.append("the end")

    async with front.serve(handler) as server, front.connect(server) as ws:
        write, outlet = ws.write, ws.outlet

        def failing(data):
            ws.write, ws.outlet = write, outlet
            raise MemoryError

        ws.write, ws.outlet = failing, None
        await ws.send("lost")
        await front.turns(3)
        try:
            await ws.send("next")
        except ConnectionClosed:
            pass
        await front.until(lambda: got)
        assert got == ["the end"]


class Failing(Listener):
    def on_open(self, ws):
        raise ValueError("a bug")


@pytest.mark.parametrize("whose", ["client", "server"])
async def test_a_callback_that_raises_is_blamed_for_nothing_else(front, unlogged, whose):
    """Its traceback is its own: no StopIteration, and no headers of ours, in the user's log."""

    async def handler(ws):
        await ws.wait_closed()

    listening = Failing() if whose == "server" else handler
    async with front.serve(listening) as server:
        ws = await front.connect(server, listener=Failing() if whose == "client" else None)
        async with front.timeout():
            await ws.wait_closed()
    found = [record for record in unlogged if record.exc_info]
    texts = [logging.Formatter().formatException(record.exc_info) for record in found]
    unlogged.clear()
    assert texts
    for text in texts:
        assert "ValueError: a bug" in text
        assert "Sec-WebSocket-Accept" not in text
        assert "StopIteration" not in text


async def test_what_is_no_listener_is_refused_at_the_call(front, unlogged):
    async def handler(ws):
        await ws.wait_closed()

    try:
        async with front.serve(handler) as server:
            with pytest.raises(TypeError):
                ws = await front.connect(server, listener=object())
                await ws.close()
    finally:
        unlogged.clear()


async def test_an_exception_that_is_kept_keeps_nothing_of_its_connection(front):
    """Least of all what the peer sent and nobody read: that is for ``Limits`` to bound, and is."""
    kept = []

    async def handler(ws):
        await ws.wait_closed()
        assert ws.session.inbox.size > 100_000
        try:
            await ws.send("x")
        except ConnectionClosed as exc:
            kept.append(exc.with_traceback(None))

    def sessions():
        gc.collect()
        return [each for each in gc.get_objects() if isinstance(each, Session)]

    before = len(sessions())
    async with front.serve(handler) as server:
        async with front.connect(server) as ws:
            for _ in range(10):
                await ws.send(b"x" * 20_000)
        del ws
        await front.until(lambda: kept and not server.connections)
        await front.turns()
    assert len(sessions()) == before


async def test_an_exception_tells_what_was_so_when_it_was_raised(front):
    """Not what came to be since, as long as nobody had asked."""
    async with front.raw_pair() as (ws, peer):
        ws.start_close(1000)
        with pytest.raises(ConnectionClosed) as caught:
            await ws.send("x")
        await front.thread(peer.recv_close)
        await front.thread(peer.send, 8, (4001).to_bytes(2, "big"))
        await front.until(lambda: ws.session.close_rcvd)
        assert caught.value.rcvd is None
        assert "did not confirm" in caught.value.explain()


# -- plain HTTP on the same port -------------------------------------------------------------------

GET = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"


async def nothing(ws):
    await ws.wait_closed()


async def test_answers_that_nobody_reads_are_bounded(front):
    """A few kilobytes of requests in one segment must not become megabytes of our memory."""
    body = b"x" * 100_000

    def page(request):
        return Response(200, "OK", Headers(), body)

    async with front.serve(nothing, http={"/": page}) as server:
        address = server.sockets[0].getsockname()[:2]
        peer = await front.thread(Raw.dial, address, receive_buffer=4096, handshake=False)
        try:
            await front.thread(peer.send_bytes, GET * 500)
            await front.until(lambda: server.opening)
            ws = next(iter(server.opening))
            await front.until(lambda: ws.transport.get_write_buffer_size())
            await front.turns(100)
            assert ws.transport.get_write_buffer_size() < 64 * 1024 + 3 * len(body)
        finally:
            peer.reset()
            await front.until(lambda: not server.opening)


def answers(peer, count):
    got = bytearray()
    while got.count(b"HTTP/1.1 200 ") < count:
        data = peer.sock.recv(1 << 16)
        assert data
        got += data


async def test_requests_in_one_read_leave_the_others_their_turn(front):
    answered = [0]
    most = [0]

    def page(request):
        answered[0] += 1
        return Response(200, "OK", Headers(), b"")

    def tick(before):
        most[0] = max(most[0], answered[0] - before)
        if answered[0] < 4000:
            loop.call_soon(tick, answered[0])

    loop = asyncio.get_running_loop()
    async with front.serve(nothing, http={"/": page}) as server:
        address = server.sockets[0].getsockname()[:2]
        peer = await front.thread(Raw.dial, address, handshake=False)
        try:
            tick(0)
            sending = front.spawn(front.thread(peer.send_bytes, GET * 4000))
            await front.thread(answers, peer, 4000)  # who does not read gets no more
            await sending
        finally:
            peer.reset()
            await front.until(lambda: not server.opening)
    assert most[0] <= 2 * DEFAULT_LIMITS.frames_per_turn
