"""A peer that does not read fast enough: what its send queue keeps, drops, and lets wait."""

from __future__ import annotations

import contextlib
import socket

import pytest

from duplexer import ConnectionClosedError, OnFull, Prepared, SendQueue

PAD = "." * 20_000
#: Of our kernel, which that of the peer takes so little of that it never makes room in it.
BUFFER = 32_768


@contextlib.asynccontextmanager
async def stuck(front, **rules):
    """A connection whose peer, a plain socket, has not read for so long that messages wait."""
    arrived = []

    async def handler(ws):
        front.socket_of(ws).setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER)
        arrived.append(ws)
        await ws.wait_closed()

    serving = front.serve(handler, send_queue=SendQueue(**rules), compression=None)
    async with serving as server, front.raw(server, receive_buffer=4096) as peer:
        await front.until(lambda: arrived)
        ws = arrived[0]
        async with front.timeout():
            while not ws.send_queue.messages:
                ws.send_nowait(f"fill{PAD}")
        yield ws, peer
        ws.abort()


async def heard(front, peer):
    """What the peer gets, to the end: texts without padding, and the code of the Close."""
    frames = await front.thread(read_on, peer)
    texts = [frame.payload.decode().rstrip(".") for frame in frames if frame.opcode == 1]
    assert all(frame.fin for frame in frames)
    closes = [frame.payload[:2] for frame in frames if frame.opcode == 8]
    return [text for text in texts if text != "fill"], [int.from_bytes(c, "big") for c in closes]


def read_on(peer):
    frames = []
    while (frame := peer.recv()) is not None:
        frames.append(frame)
        if frame.opcode == 8:
            with contextlib.suppress(OSError):  # the server has left
                peer.send(8, frame.payload)
    return frames


def balance(queue):
    return queue.messages + queue.sent + queue.dropped + queue.conflated + queue.lost


async def test_the_oldest_make_room(front):
    async with stuck(front, on_full=OnFull.DROP_OLDEST, max_messages=3) as (ws, peer):
        for i in range(10):
            await ws.send(f"{i}{PAD}")  # does not wait
        queue = ws.send_queue
        assert queue.messages == 3
        assert queue.bytes == 3 * (1 + len(PAD))
        assert queue.dropped == queue.queued - 3
        assert ws.buffered_amount > queue.bytes
        ws.start_close()
        assert await heard(front, peer) == (["7", "8", "9"], [1000])
        assert queue.sent == 3
        assert balance(queue) == queue.queued


@pytest.mark.plain_only
async def test_the_newest_are_not_sent(front):
    async with stuck(front, on_full=OnFull.DROP_NEWEST, max_messages=3) as (ws, peer):
        for i in range(10):
            await ws.send(f"{i}{PAD}")
        assert ws.send_queue.messages == 3
        ws.start_close()
        assert await heard(front, peer) == (["0", "1"], [1000])
        assert balance(ws.send_queue) == ws.send_queue.queued


@pytest.mark.plain_only
async def test_the_newest_of_each_key_is_kept(front):
    def key(message):
        return message[0] if message[0] in "ab" else None

    async with stuck(front, on_full=OnFull.CONFLATE, key=key) as (ws, peer):
        for i in range(10):
            await ws.send(f"a{i}")
            await ws.send(Prepared(f"b{i}"))
            ws.send_nowait("command")
        assert ws.send_queue.conflated == 18
        ws.start_close()
        texts, codes = await heard(front, peer)
        assert texts == ["a9", "b9"] + ["command"] * 10
        assert codes == [1000]


async def test_a_queue_that_is_full_may_end_the_connection(front):
    async with stuck(front, on_full=OnFull.CLOSE, max_messages=3) as (ws, peer):
        with pytest.raises(ConnectionClosedError) as caught:
            for i in range(4):
                await ws.send(f"{i}{PAD}")
        assert caught.value.sent.code == 1013
        assert "Limits.send_queue_messages" in caught.value.explain()
        texts, codes = await heard(front, peer)
        assert texts == []
        assert codes == [1013]  # the peer hears of it when it reads
        peer.close()
        await ws.wait_closed()
        assert ws.send_queue.lost == 3
        assert balance(ws.send_queue) == ws.send_queue.queued


async def test_who_may_wait_does_and_nothing_is_lost(front):
    async with stuck(front, on_full=OnFull.WAIT, max_messages=5) as (ws, peer):

        async def produce():
            for i in range(50):
                await ws.send(f"{i}{PAD}")
            ws.start_close()

        producing = front.spawn(produce())
        await front.until(lambda: ws.send_queue.messages == 5)
        await front.turns()
        assert ws.send_queue.messages == 5
        with pytest.raises(BufferError, match="the send queue is full"):
            ws.send_nowait("cannot wait")
        texts, codes = await heard(front, peer)
        assert texts == [str(i) for i in range(50)]
        assert codes == [1000]
        await producing
        assert ws.send_queue.dropped == ws.send_queue.lost == 0


@pytest.mark.plain_only
async def test_who_waits_hears_of_the_end(front):
    async with stuck(front, on_full=OnFull.WAIT, max_messages=1) as (ws, _):
        sending = front.spawn(caught_of(ws.send("one more")))
        await front.turns()
        ws.abort()
        assert isinstance(await sending, ConnectionClosedError)
        assert ws.send_queue.lost == ws.send_queue.queued - ws.send_queue.sent > 0
        assert ws.buffered_amount == 0


async def caught_of(awaitable):
    try:
        await awaitable
    except ConnectionClosedError as exc:
        return exc
    return None


async def test_who_reads_never_meets_the_queue(front):
    rules = SendQueue(on_full=OnFull.DROP_OLDEST, max_messages=1)
    async with front.pair(server={"send_queue": rules}) as (client, server):
        for i in range(100):
            await server.send(str(i))
            server.send_nowait(str(i))
            assert [await client.recv(), await client.recv()] == [str(i)] * 2
        assert server.send_queue.queued == 0
        assert client.send_queue is None
        client.send_queue = rules
        await client.send(iter(["in ", "parts"]))
        assert await server.recv() == "in parts"


async def test_a_message_for_many_waits_behind_fragments(front):
    class Pieces:
        def __init__(self):
            self.left = ["begun, "]

        def __aiter__(self):
            return self

        async def __anext__(self):
            if self.left == ["begun, "]:
                return self.left.pop()
            await front.until(lambda: self.left)
            if self.left == ["ended"]:
                return self.left.pop()
            raise StopAsyncIteration

    rules = SendQueue(on_full=OnFull.WAIT)
    async with front.pair(server={"send_queue": rules}) as (client, server):
        pieces = Pieces()
        sending = front.spawn(server.send(pieces))
        await front.until(lambda: server.session.sending)
        front.names.broadcast([server], "news", raise_exceptions=True)
        await server.send("more")
        assert server.send_queue.messages == 2
        pieces.left.append("end")
        await sending
        assert [await client.recv() for _ in range(3)] == ["begun, ", "news", "more"]
        assert server.send_queue.sent == 2


@pytest.mark.plain_only
async def test_fragments_wait_for_what_was_sent_before(front):
    async with stuck(front, on_full=OnFull.WAIT) as (ws, peer):
        await ws.send(f"before{PAD}")
        sending = front.spawn(ws.send(iter(["in ", "parts"])))
        reading = front.spawn(front.thread(read_on, peer))
        await sending
        await front.until(lambda: not ws.send_queue.messages)
        ws.start_close()
        frames = [frame for frame in await reading if not frame.payload.startswith(b"fill")]
        texts = [(frame.opcode, frame.payload.rstrip(b".")) for frame in frames]
        assert texts[:1] == [(1, b"before")]
        assert b"".join(payload for opcode, payload in texts[1:] if opcode < 8) == b"in parts"


async def test_one_who_does_not_read_holds_up_nobody(front):
    arrived = []

    async def handler(ws):
        front.socket_of(ws).setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER)
        arrived.append(ws)
        await ws.wait_closed()

    rules = SendQueue(on_full=OnFull.DROP_OLDEST, max_messages=10)
    async with front.serve(handler, send_queue=rules, compression=None) as server:
        async with front.raw(server, receive_buffer=4096) as peer, front.connect(server) as good:
            await front.until(lambda: len(arrived) == 2)
            slow = arrived[0]
            n = 0
            async with front.timeout():
                while slow.send_queue.dropped < 50:
                    front.names.broadcast(arrived, f"{n}{PAD}", raise_exceptions=True)
                    assert (await good.recv()).rstrip(".") == str(n)
                    n += 1
            assert slow.send_queue.messages == 10
            slow.start_close()
            texts, codes = await heard(front, peer)
            assert codes == [1000]
            assert texts[-10:] == [str(i) for i in range(n - 10, n)]
            assert texts == sorted(set(texts), key=int)
            assert len(texts) == n - slow.send_queue.dropped


@pytest.mark.plain_only
async def test_control_frames_pass_by(front):
    async with stuck(front, on_full=OnFull.WAIT) as (ws, peer):
        for i in range(50):
            await ws.send(f"{i}{PAD}")
        pinging = front.spawn(ws.ping(b"now"))
        await front.until(lambda: ws.session.is_pinging(b"now"))
        reading = front.spawn(front.thread(read_on, peer))
        await pinging
        await front.until(lambda: not ws.send_queue.messages)
        ws.start_close()
        frames = await reading
        kinds = [frame.opcode for frame in frames]
        last = [frame.payload.rstrip(b".") for frame in frames].index(b"49")
        assert kinds.index(9) < last


@pytest.mark.plain_only
async def test_rules_that_cannot_be(front):
    async def handler(ws):
        await ws.wait_closed()

    async def serve(**kwargs):
        async with front.serve(handler, **kwargs):
            pass

    with pytest.raises(TypeError, match="send_queue must be a SendQueue, not str"):
        await serve(send_queue="drop_oldest")
    with pytest.raises(ValueError, match="exclude each other"):
        await serve(send_queue=SendQueue(), keep_unacknowledged=True)
    async with front.pair(client={"keep_unacknowledged": True}) as (client, server):
        with pytest.raises(ValueError, match="exclude each other"):
            client.send_queue = SendQueue()
        server.send_queue = None
        with pytest.raises(TypeError, match="send_queue must be a SendQueue, not int"):
            server.send_queue = 5
        server.send_queue = SendQueue(max_messages=5)
        server.send_queue = SendQueue(max_messages=7)
        assert server.send_queue.most_messages == 7
