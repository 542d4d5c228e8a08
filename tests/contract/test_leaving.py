"""Servers that leave without an outage, and connections that are finished between two messages."""

from __future__ import annotations

import contextlib

import pytest

from duplexer import ConnectionClosed, Limits
from duplexer.carriers.readiness import Readiness
from duplexer.carriers.routes import text
from tests.contract.peers import TEXT, Raw

REQUEST = (
    b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
PAGE = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"

#: A test that waits for these has failed.
PATIENT = Limits(open_timeout=60, handler_timeout=60)
#: With these nothing ends what is under way: who waits for it waits for ever.
ENDLESS = Limits(open_timeout=None, handler_timeout=None, keep_alive_timeout=3600)


async def echo(ws):
    async for message in ws:
        await ws.send(message)


class Slow:
    """A handler that answers each message when it may; it tells what it has begun to handle."""

    def __init__(self, front):
        self.front = front
        self.begun = []
        self.may_go = False

    async def __call__(self, ws):
        async for message in ws:
            self.begun.append(message)
            await self.front.until(lambda: self.may_go)
            await ws.send(message)


async def all_of(ws):
    """What comes before the connection is closed, and the code that it is closed with."""
    messages = []
    with pytest.raises(ConnectionClosed) as closed:
        while True:
            messages.append(await ws.recv())
    return messages, closed.value.rcvd.code


async def known(front, server):
    """The server's end of the one connection."""
    await front.until(lambda: server.connections)
    (connection,) = server.connections
    return connection


def address(server):
    return server.sockets[0].getsockname()[:2]


async def test_each_connection_is_told_and_the_server_ends(front):
    async with front.serve(echo) as server:
        uri = front.uri(server)
        clients = [await front.connect(uri) for _ in range(7)]
        await front.until(lambda: len(server.connections) == 7)
        await server.drain(0.05, reason="new version")
        assert server.leaving and not server.connections
        assert not server.sockets and not server.is_serving()
        for ws in clients:
            await ws.wait_closed()
            assert (ws.close_code, ws.close_reason) == (1012, "new version")
        with pytest.raises(OSError, match=r".+"):
            await front.connect(uri)


async def test_a_message_at_work_is_finished_and_the_rest_left(front):
    slow = Slow(front)
    async with front.serve(slow) as server, front.connect(server) as ws:
        await ws.send("first")
        await front.until(lambda: slow.begun)
        connection = await known(front, server)
        draining = front.spawn(server.drain(0.0))
        await front.until(lambda: connection.finishing)
        await ws.send("too late")
        slow.may_go = True
        assert await all_of(ws) == (["first"], 1012)
        assert slow.begun == ["first"]
        await draining


@pytest.mark.plain_only
async def test_what_waited_for_the_handler_is_handled(front):
    slow = Slow(front)
    async with front.serve(slow) as server, front.connect(server) as ws:
        for message in "123":
            await ws.send(message)
        await front.until(lambda: slow.begun)
        connection = await known(front, server)
        await front.until(lambda: connection.session.inbox.count == 2)
        connection.finish(1012, "")
        slow.may_go = True
        assert await all_of(ws) == (["1", "2", "3"], 1012)


@pytest.mark.plain_only
async def test_a_message_in_pieces_is_read_to_its_end(front):
    pieces, ended = [], []
    more = []

    async def stream(ws):
        async for piece in ws.recv_streaming():
            pieces.append(piece)  # noqa: PERF401 - as they come
        await ws.send("got it")
        with pytest.raises(ConnectionClosed):
            await ws.recv()
        ended.append(ws)

    async def parts():
        yield "one "
        await front.until(lambda: more)
        yield "two"

    async with front.serve(stream) as server, front.connect(server) as ws:
        sending = front.spawn(ws.send(parts()))
        await front.until(lambda: pieces)
        connection = await known(front, server)
        draining = front.spawn(server.drain(0.0))
        await front.until(lambda: connection.finishing)
        more.append(True)
        await sending
        assert await all_of(ws) == (["got it"], 1012)
        await draining
    assert "".join(pieces) == "one two"
    assert ended


@pytest.mark.plain_only
async def test_who_waits_for_a_message_in_pieces_is_closed_at_once(front):
    pieces = []

    async def stream(ws):
        while True:
            async for piece in ws.recv_streaming():
                pieces.append(piece)  # noqa: PERF401 - as they come
            await ws.send("got it")

    limits = Limits(handler_timeout=None)  # it is not for that
    async with front.serve(stream, limits=limits) as server, front.connect(server) as ws:
        await ws.send("x")
        assert await ws.recv() == "got it"
        connection = await known(front, server)
        await front.until(lambda: connection.is_receiving())
        await server.drain(0.0)
        assert await all_of(ws) == ([], 1012)
    assert pieces == ["x"]


@pytest.mark.plain_only
async def test_a_message_in_pieces_that_nobody_has_begun_to_take_is_left(front):
    pieces, begun, may_go = [], [], []

    async def handler(ws):
        await ws.recv()
        begun.append(ws)
        await front.until(lambda: may_go)
        await ws.send("answer")
        async for piece in ws.recv_streaming():
            pieces.append(piece)  # noqa: PERF401 - as they come

    async with front.serve(handler) as server, front.raw(server) as peer:
        await front.thread(peer.send, TEXT, b"question")
        await front.until(lambda: begun)
        await front.thread(peer.send, TEXT, b"half", fin=False)
        await front.until(lambda: begun[0].session.assembler.opcode)
        begun[0].finish(1012, "")
        may_go.append(True)
        answer = await front.thread(peer.recv)
        assert answer.payload == b"answer"
        assert (await front.thread(peer.recv)).payload[:2] == (1012).to_bytes(2, "big")
    assert pieces == []


@pytest.mark.plain_only
async def test_a_handler_that_only_sends_is_closed_at_once(front):
    ended = []

    async def clock(ws):
        with pytest.raises(ConnectionClosed):
            while True:
                await ws.send("tick")
        ended.append(ws)

    limits = Limits(handler_timeout=None)  # it is not for that
    async with front.serve(clock, limits=limits) as server, front.connect(server) as ws:
        receiving = front.spawn(all_of(ws))
        await front.until(lambda: server.connections)
        await server.drain(0.0)
        messages, code = await receiving
        assert set(messages) <= {"tick"} and code == 1012
        assert ended


@pytest.mark.plain_only
async def test_several_messages_at_work_are_finished(front):
    begun, may_go = [], []

    async def handler(ws):
        async def handle(message):
            begun.append(message)
            await front.until(lambda: message in may_go)
            await ws.send(f"done {message}")

        await ws.dispatch(handle, concurrency=5)

    async with front.serve(handler) as server, front.connect(server) as ws:
        for message in "abc":
            await ws.send(message)
        await front.until(lambda: len(begun) == 3)
        connection = await known(front, server)
        connection.finish(1012, "restart")
        may_go.append("a")
        assert await ws.recv() == "done a"
        assert connection.session.is_open
        may_go.extend("bc")
        messages, code = await all_of(ws)
        assert (sorted(messages), code) == (["done b", "done c"], 1012)


@pytest.mark.plain_only
async def test_finishing_what_is_no_connection_any_more(front):
    async with front.serve(echo) as server, front.connect(server) as ws:
        await ws.close()
        ws.finish()
        assert ws.close_code == 1000
        with pytest.raises(ValueError, match="must not be sent"):
            ws.finish(1006)
        assert not server.leaving


def answer_to(server, request):
    """The head of the answer; empty if there is none before the end."""
    peer = Raw.dial(address(server), handshake=False)
    try:
        peer.send_bytes(request)
        return peer.read_head()
    finally:
        peer.close()


@pytest.mark.plain_only
async def test_readiness_says_so_first(front):
    request = b"GET /readyz HTTP/1.1\r\nHost: a\r\n\r\n"
    async with front.serve(echo, http={"/readyz": Readiness()}) as server:
        assert b" 200 " in await front.thread(answer_to, server, request)
        draining = front.spawn(server.drain(0.0, notice=3600))
        await front.until(lambda: server.leaving)
        answer = await front.thread(answer_to, server, request)
        assert b" 503 " in answer and b"Connection: close" in answer
        async with front.connect(server) as ws:  # while it is only announced
            await ws.send("x")
            assert await ws.recv() == "x"
        server.close()  # which does not wait any longer
        await draining


@pytest.mark.plain_only
async def test_handshakes_under_way_are_refused(front):
    slow = Slow(front)
    async with front.serve(slow) as server, front.connect(server) as ws:
        await ws.send("x")
        await front.until(lambda: slow.begun)
        peer = await front.thread(Raw.dial, address(server), handshake=False)
        await front.until(lambda: server.opening)
        draining = front.spawn(server.drain(0.0))
        await front.until(lambda: not server.sockets)
        await front.thread(peer.send_bytes, REQUEST)
        answer = await front.thread(everything, peer)
        assert b" 503 " in answer and b"Retry-After:" in answer
        assert b"max_" not in answer and not server.struck  # no bound is why
        peer.close()
        slow.may_go = True
        assert await all_of(ws) == (["x"], 1012)
        await draining


@pytest.mark.plain_only
async def test_what_the_kernel_has_accepted_is_answered(front):
    slow = Slow(front)
    async with front.serve(slow) as server, front.connect(server) as ws:
        await ws.send("x")
        await front.until(lambda: slow.begun)
        peer = Raw.dial(address(server), handshake=False)  # without letting the server run
        peer.send_bytes(REQUEST)
        draining = front.spawn(server.drain(0.0))
        answer = await front.thread(peer.read_head)
        assert b" 503 " in answer or b" 101 " in answer  # it is not reset
        peer.close()
        slow.may_go = True
        assert await all_of(ws) == (["x"], 1012)
        await draining


# -- requests under way --------------------------------------------------------------------------


def everything(peer):
    """What comes until the stream ends."""
    with contextlib.suppress(ConnectionResetError):
        while data := peer.sock.recv(65536):
            peer.buffer += data
    return peer.buffer


def begin(front, server, how):
    """Leave; what this gives back is to be awaited."""
    if how == "drain":
        return front.spawn(server.drain(0.0))
    server.close()
    return front.spawn(server.wait_closed())


async def test_a_request_that_has_begun_is_read_to_its_end(front):
    async with front.serve(echo, limits=PATIENT) as server:
        async with front.raw(server, handshake=False) as peer:
            await front.thread(peer.send_bytes, REQUEST[:40])
            await front.until(lambda: server.opening)
            draining = front.spawn(server.drain(0.0))
            await front.until(lambda: not server.sockets)
            await front.thread(peer.send_bytes, REQUEST[40:])
            answer = await front.thread(everything, peer)
            assert answer.startswith(b"HTTP/1.1 503 ")
            assert b"Connection: close" in answer and b"Retry-After:" in answer
        await draining


async def test_who_has_only_connected_may_ask(front):
    def ask():
        if front.secure:
            peer.sock = front.client_context.wrap_socket(peer.sock, server_hostname="127.0.0.1")
        peer.send_bytes(REQUEST)
        return everything(peer)

    async with front.serve(echo, limits=PATIENT) as server:
        peer = Raw.dial(address(server), handshake=False)  # without letting the server run
        draining = front.spawn(server.drain(0.0))
        await front.until(lambda: not server.sockets)
        assert (await front.thread(ask)).startswith(b"HTTP/1.1 503 ")
        peer.close()
        await draining


async def test_a_request_that_was_just_sent_is_answered(front):
    async with front.serve(echo, limits=PATIENT) as server:
        async with front.raw(server, handshake=False) as peer:
            peer.send_bytes(REQUEST)
            draining = front.spawn(server.drain(0.0))
            head = await front.thread(peer.read_head)
            assert head.startswith((b"HTTP/1.1 503 ", b"HTTP/1.1 101 "))
            if b" 101 " in head:
                assert await front.thread(peer.recv_close) == (1012, "")
        await draining


@pytest.mark.parametrize("how", ["drain", "close"])
async def test_what_is_being_answered_is_answered(front, how):
    begun, may_go = [], []

    async def ask(ws, request):
        begun.append(request)
        await front.until(lambda: may_go)
        return None if "Upgrade" in request.headers else ws.respond(200, "done")

    async with front.serve(echo, process_request=ask, limits=PATIENT) as server:
        async with (
            front.raw(server, handshake=False) as page,
            front.raw(server, handshake=False) as socket,
        ):
            await front.thread(page.send_bytes, PAGE)
            await front.thread(socket.send_bytes, REQUEST)
            await front.until(lambda: len(begun) == 2)
            leaving = begin(front, server, how)
            await front.until(lambda: not server.sockets)
            may_go.append(True)
            answer = await front.thread(everything, page)
            assert answer.startswith(b"HTTP/1.1 200 ") and answer.endswith(b"done")
            assert b"Connection: close" in answer
            answer = await front.thread(everything, socket)
            assert answer.startswith(b"HTTP/1.1 503 ")
        await leaving


@pytest.mark.plain_only
@pytest.mark.parametrize("how", ["drain", "close"])
async def test_an_answer_on_its_way_arrives_whole(front, how):
    size = 1_000_000
    limits = PATIENT.replace(write_high=2 * size, write_hard=2 * size)  # it is written at once
    async with front.serve(echo, http={"/": text("x" * size)}, limits=limits) as server:
        async with front.raw(server, handshake=False, receive_buffer=4096) as peer:
            await front.thread(peer.send_bytes, PAGE)
            await front.thread(peer.read_head)
            leaving = begin(front, server, how)
            await front.until(lambda: not server.sockets)
            assert len(await front.thread(everything, peer)) == size
        await leaving


async def test_a_next_request_that_has_begun_is_read_to_its_end(front):
    async with front.serve(echo, http={"/": text("hi")}, limits=PATIENT) as server:
        async with front.raw(server, handshake=False) as peer:
            await front.thread(peer.send_bytes, PAGE + REQUEST[:40])
            await front.thread(peer.read_head)
            draining = front.spawn(server.drain(0.0))
            await front.until(lambda: not server.sockets)
            await front.thread(peer.send_bytes, REQUEST[40:])
            assert (await front.thread(everything, peer)).startswith(b"hiHTTP/1.1 503 ")
        await draining


async def test_who_is_kept_alive_holds_nothing_up(front):
    async with front.serve(echo, http={"/": text("hi")}, limits=ENDLESS) as server:
        async with front.raw(server, handshake=False) as peer:
            await front.thread(peer.send_bytes, PAGE)
            assert b"Connection:" not in await front.thread(peer.read_head)
            await front.until(lambda: server.idle)
            await server.drain(0.0)
            assert await front.thread(everything, peer) == b"hi"


@pytest.mark.plain_only
async def test_nobody_is_kept_alive_from_when_it_is_announced(front):
    async with front.serve(echo, http={"/": text("hi")}, limits=ENDLESS) as server:
        async with front.raw(server, handshake=False) as peer:
            await front.thread(peer.send_bytes, PAGE)
            assert b"Connection:" not in await front.thread(peer.read_head)
            draining = front.spawn(server.drain(0.0, notice=3600))
            await front.until(lambda: server.leaving)
            await front.thread(peer.send_bytes, PAGE)
            answer = await front.thread(everything, peer)
            assert b"HTTP/1.1 200 " in answer and b"Connection: close" in answer
        server.close()
        await draining


async def test_who_does_not_finish_a_request_has_so_long(front):
    limits = ENDLESS.replace(handler_timeout=0.05)
    async with front.serve(echo, limits=limits) as server:
        async with front.raw(server, handshake=False) as peer:
            await front.thread(peer.send_bytes, REQUEST[:40])
            await front.until(lambda: server.opening)
            await server.drain(0.0)
            assert await front.thread(everything, peer) == b""
        await front.until(lambda: not server.opening)


@pytest.mark.plain_only
async def test_nor_longer_than_at_any_time(front):
    limits = ENDLESS.replace(open_timeout=0.2)
    async with front.serve(echo, limits=limits) as server:
        async with front.raw(server, handshake=False) as peer:
            await front.thread(peer.send_bytes, REQUEST[:40])
            draining = front.spawn(server.drain(0.0))
            assert (await front.thread(everything, peer)).startswith(b"HTTP/1.1 408 ")
        await draining


@pytest.mark.parametrize("drains", [False, True])
async def test_closing_waits_for_no_request(front, drains):
    async with front.serve(echo, http={"/": text("hi")}, limits=ENDLESS) as server:
        async with (
            front.raw(server, handshake=False) as half,
            front.raw(server, handshake=False) as idle,
        ):
            await front.thread(half.send_bytes, REQUEST[:40])
            await front.thread(idle.send_bytes, PAGE)
            await front.thread(idle.read_head)
            await front.until(lambda: len(server.opening) == 2)
            if drains:
                draining = front.spawn(server.drain(0.0))
                await front.until(lambda: not server.sockets)
            server.close()
            await server.wait_closed()
            if drains:
                await draining
            assert await front.thread(everything, half) == b""
            assert await front.thread(everything, idle) == b"hi"
        await front.until(lambda: not server.opening)


async def cut(front, how, unlogged):
    """Leave while something is answered that takes too long."""
    begun, may_go = [], []

    async def ask(ws, request):
        begun.append(request)
        await front.until(lambda: may_go)
        return ws.respond(200, "done")

    limits = Limits(handler_timeout=0.05, close_timeout=0.05)
    async with front.serve(echo, process_request=ask, limits=limits) as server:
        async with front.raw(server, handshake=False) as peer:
            await front.thread(peer.send_bytes, PAGE)
            await front.until(lambda: begun)
            await begin(front, server, how)
            assert await front.thread(everything, peer) == b""
        may_go.append(True)  # a thread cannot be cancelled
        await front.until(lambda: not server.opening)
    assert all("handlers" in record.getMessage() for record in unlogged)
    unlogged.clear()


@pytest.mark.plain_only
async def test_who_is_being_answered_has_as_long_as_handlers(front, unlogged):
    await cut(front, "drain", unlogged)


@pytest.mark.plain_only
@pytest.mark.cancels
async def test_and_so_when_it_closes(front, unlogged):
    await cut(front, "close", unlogged)


# -- bounds, and what is refused -----------------------------------------------------------------


@pytest.mark.plain_only
async def test_draining_twice_and_closing_meanwhile(front):
    async with front.serve(echo) as server, front.connect(server) as ws:
        await front.until(lambda: server.connections)
        both = [front.spawn(server.drain(3600)) for _ in range(2)]
        await front.until(lambda: not server.most)
        server.close()
        for draining in both:
            await draining
        await ws.wait_closed()
        assert ws.close_code == 1001
        await server.drain()  # which is nothing new


@pytest.mark.plain_only
async def test_handlers_have_so_long(front, unlogged):
    slow, limits = Slow(front), Limits(handler_timeout=0.05, close_timeout=0.05)
    async with front.serve(slow, limits=limits) as server, front.connect(server) as ws:
        await ws.send("x")
        await front.until(lambda: slow.begun)
        await server.drain(0.0)
        await ws.wait_closed()
        assert ws.close_code in (1012, 1006)
        slow.may_go = True  # a thread cannot be cancelled
    assert unlogged
    assert all("handlers" in record.getMessage() for record in unlogged)
    unlogged.clear()


@pytest.mark.plain_only
@pytest.mark.parametrize("wrong", [{"over": -1}, {"notice": float("inf")}, {"code": 1006}])
async def test_what_is_refused_at_once(front, wrong):
    async with front.serve(echo) as server:
        with pytest.raises(ValueError, match=r".+"):
            await server.drain(**wrong)
        assert not server.leaving
        async with front.connect(server) as ws:
            await ws.send("x")
            assert await ws.recv() == "x"


async def test_none_is_lost_and_none_handled_twice(front):
    """Clients that send each message until it is answered, while one server takes over."""
    handled, answered, codes = [], [], []

    async def handler(ws):
        async for message in ws:
            handled.append(message)
            await front.turns(1)
            await ws.send(message)

    async def ask(ws, name):
        message = f"{name}-{len([each for each in answered if each.startswith(name)])}"
        await ws.send(message)
        assert await ws.recv() == message
        answered.append(message)

    async def client(name):
        async with front.connect(first) as ws:
            with contextlib.suppress(ConnectionClosed):
                while True:  # the server is the one to end it
                    await ask(ws, name)
            codes.append(ws.close_code)
        async with front.connect(second) as ws:
            for _ in range(5):
                await ask(ws, name)

    async with front.serve(handler) as first, front.serve(handler) as second:
        clients = [front.spawn(client(name)) for name in "abcdef"]
        await front.until(lambda: {message[0] for message in answered} == set("abcdef"))
        await first.drain(0.1)
        for each in clients:
            await each
    assert codes == [1012] * 6
    assert sorted(handled) == sorted(answered)
    assert len(set(handled)) == len(handled)
