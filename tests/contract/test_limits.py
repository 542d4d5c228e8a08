"""Nothing grows without a bound, and a bound that strikes says its name."""

from __future__ import annotations

import socket
import time

import pytest

from duplexer import ConnectionClosedError, Limits, State
from tests.contract.peers import BINARY, CONT, TEXT


async def lost(ws):
    with pytest.raises(ConnectionClosedError) as caught:
        while True:
            await ws.recv()
    return caught.value


async def send_all(ws, messages):
    for message in messages:
        await ws.send(message)


# -- the size of messages --------------------------------------------------------------------------


@pytest.mark.parametrize("compression", ["deflate", None])
@pytest.mark.parametrize("kind", [str, bytes])
@pytest.mark.parametrize("to_client", [True, False], ids=["to-client", "to-server"])
async def test_the_largest_message_passes_and_one_byte_more_does_not(
    front, compression, kind, to_client
):
    unit = "x" if kind is str else b"x"
    bounded = {"max_size": 5000, "compression": compression}
    free = {"compression": compression}
    pair = {"client": bounded, "server": free} if to_client else {"client": free, "server": bounded}
    async with front.pair(**pair) as (client, server):
        sender, receiver = (server, client) if to_client else (client, server)
        for message in (unit * 5000, [unit * 2500, unit * 2500]):
            await sender.send(message)
            assert len(await receiver.recv()) == 5000
        await sender.send(unit * 5001)
        exc = await lost(receiver)
        assert exc.sent.code == 1009
        assert "max_message" in exc.sent.reason
        assert "5000" in exc.explain() and "max_size" in exc.explain()
        exc = await lost(sender)
        assert exc.rcvd.code == 1009


@pytest.mark.parametrize("sizes", [(3000, 2001), (5001, 0), (0, 5001), (5000, 0, 1)])
async def test_the_bound_counts_all_fragments(front, sizes):
    async with front.raw_pair(max_size=5000) as (ws, peer):
        for i, size in enumerate(sizes):
            last = i == len(sizes) - 1
            await front.thread(peer.send, CONT if i else BINARY, b"x" * size, fin=last)
        assert (await front.thread(peer.recv_close))[0] == 1009
        await lost(ws)


async def test_a_length_is_refused_before_any_of_it_comes(front):
    async with front.raw_pair(max_size=5000) as (ws, peer):
        await front.thread(peer.send_bytes, b"\x82\x7f" + (1 << 62).to_bytes(8, "big"))
        assert (await front.thread(peer.recv_close))[0] == 1009
        await lost(ws)


async def test_no_bound_on_messages(front):
    async with front.pair(server={"max_size": None}) as (client, server):
        await client.send(b"x" * 3_000_000)
        assert len(await server.recv()) == 3_000_000


async def test_a_bound_on_frames_alone(front):
    async with front.pair(server={"max_size": (None, 1000)}, client={"compression": None}) as pair:
        client, server = pair
        await client.send([b"x" * 1000] * 5)
        assert len(await server.recv()) == 5000
        await client.send(b"x" * 1001)
        exc = await lost(server)
        assert exc.sent.code == 1009
        assert "max_frame" in exc.explain()


async def test_too_many_fragments(front):
    limits = Limits(max_fragments=10, bytes_per_fragment=100)
    async with front.raw_pair(limits=limits) as (ws, peer):
        # Ten, and one more for every hundred bytes.
        for i in range(20):
            await front.thread(peer.send, CONT if i else TEXT, b"x" * 100, fin=i == 19)
        assert len(await ws.recv()) == 2000
        for i in range(11):
            await front.thread(peer.send, CONT if i else TEXT, b"x", fin=False)
        code, reason = await front.thread(peer.recv_close)
        assert code == 1008
        assert "max_fragments" in reason
        exc = await lost(ws)
        assert "Limits.max_fragments" in exc.explain()


async def test_a_message_that_is_never_finished(front):
    async with front.raw_pair(limits=Limits(message_timeout=0.1)) as (ws, peer):
        await front.thread(peer.send, TEXT, b"begun", fin=False)
        assert (await front.thread(peer.recv_close))[0] == 1008
        exc = await lost(ws)
        assert "message_timeout" in exc.explain()


# -- a peer that sends faster than we read ---------------------------------------------------------


@pytest.mark.parametrize("size", [10, 2000, 100_000])
async def test_a_peer_that_floods_is_made_to_wait(front, size):
    limits = Limits(queue_messages=16, queue_bytes=64 * 1024)
    total = 300 if size > 10_000 else 40_000 if size < 100 else 8000
    connections = []

    async def handler(ws):
        connections.append(ws)
        await ws.wait_closed()

    async with front.serve(handler, limits=limits) as server, front.raw(server) as peer:
        wire = peer.frame(BINARY, b"x" * size) * total
        sending = front.spawn(front.thread(peer.send_bytes, wire))
        await front.until(lambda: connections and connections[0].read_paused)
        ws = connections[0]
        await front.sleep(0.05)
        inbox = ws.session.inbox
        # One read of 256 KiB, or one turn of 256 frames, may come on top of the bound.
        assert inbox.count > 16 or inbox.size > 64 * 1024
        assert inbox.count <= 16 + 256
        assert inbox.size <= 64 * 1024 + 512 * 1024
        if total * size > 8_000_000:
            assert not sending.done()
        for _ in range(total):
            assert len(await ws.recv()) == size
        await sending
        assert not ws.read_paused
        peer.close()


async def test_a_queue_without_a_bound_on_messages(front):
    limits = Limits(queue_messages=None, queue_bytes=10_000_000)
    async with front.pair(server={"limits": limits}) as (client, server):
        for i in range(3000):
            await client.send(str(i))
        await front.until(lambda: server.session.inbox.count == 3000)
        assert [await server.recv() for _ in range(3000)] == [str(i) for i in range(3000)]


async def test_reading_goes_on_when_the_reader_comes_back(front):
    limits = Limits(queue_messages=4)
    async with front.pair(server={"limits": limits}) as (client, server):
        for batch in range(5):
            messages = [f"{batch}-{i}" for i in range(50)]
            sending = front.spawn(send_all(client, messages))
            await front.until(lambda: server.read_paused)
            assert [await server.recv() for _ in range(50)] == messages
            await sending


async def test_text_that_is_not_ascii_is_weighed_right(front):
    """What is taken out weighs what was put in: or reading would stop for good."""
    async with front.pair(server={"limits": Limits(queue_messages=None)}) as (client, server):
        await client.send("é🎉" * 1000)
        await client.send("keep")
        for _ in range(200):
            await client.send("é🎉" * 1000)
            await server.recv()
        await front.until(lambda: server.session.inbox.count == 2)
        assert server.session.inbox.size < 20_000
        assert not server.read_paused


# -- a peer that reads slower than we send ---------------------------------------------------------


async def test_send_waits_for_a_peer_that_does_not_read(front):
    sent = []

    async def handler(ws):
        for i in range(100):
            await ws.send(b"x" * 100_000)
            sent.append(i)

    async with front.serve(handler, compression=None) as server:
        async with front.raw(server, receive_buffer=4096) as peer:
            await front.until(lambda: any(ws.write_paused for ws in server.connections))
            await front.sleep(0.05)
            n = len(sent)
            assert n < 99
            ws = next(iter(server.connections))
            await front.until(lambda: 0 < ws.buffered_amount < 64 * 1024 + 2 * 100_000)
            frames = [await front.thread(peer.recv) for _ in range(100)]
            assert {len(frame.payload) for frame in frames} == {100_000}
            await front.until(lambda: len(sent) == 100)


async def test_many_senders_wait_and_go_on(front):
    done = []

    async def handler(ws):
        async def send(i):
            await ws.send(b"x" * 60_000)
            done.append(i)

        tasks = [front.spawn(send(i)) for i in range(40)]
        for task in tasks:
            await task

    async with front.serve(handler, compression=None) as server:
        async with front.raw(server, receive_buffer=4096) as peer:
            frames = [await front.thread(peer.recv) for _ in range(40)]
            assert len(frames) == 40
            await front.until(lambda: len(done) == 40)


async def test_a_peer_that_never_reads_is_dropped(front):
    problems = []

    async def handler(ws):
        try:
            while True:
                await ws.send(b"x" * 100_000)
        except ConnectionClosedError as exc:
            problems.append(exc)

    limits = Limits(send_timeout=0.3)
    async with front.serve(handler, limits=limits, compression=None) as server:
        async with front.raw(server, receive_buffer=4096):
            await front.until(lambda: problems)
            exc = problems[0]
            assert isinstance(exc.__cause__, TimeoutError)
            assert "send_timeout" in exc.explain()
            await front.until(lambda: not server.connections)


async def test_a_peer_that_reads_slowly_is_not_dropped(front):
    """It reads all the time, while more is queued than it has read: that is progress."""
    limits = Limits(send_timeout=0.2, write_hard=20_000_000)
    ends = []

    async def handler(ws):
        # With little room in the kernel, so that what is read is soon replaced.
        sock = front.socket_of(ws)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16384)
        for _ in range(30):
            ws.send_nowait(b"x" * 200_000)
            await front.sleep(0.03)
        ends.append(ws.state)

    async with front.serve(handler, limits=limits, compression=None) as server:
        async with front.raw(server, receive_buffer=4096) as peer:

            def read():
                while not ends:
                    peer.sock.recv(20_000)
                    time.sleep(0.005)

            await front.thread(read)
            assert ends == [State.OPEN]
            peer.close()


async def test_what_cannot_wait_has_a_bound(front):
    limits = Limits(write_hard=200_000)
    reached = []

    async def handler(ws):
        try:
            while True:
                ws.send_nowait(b"x" * 50_000)
        except BufferError as exc:
            reached.append((str(exc), ws.buffered_amount))
        await ws.wait_closed()

    async with front.serve(handler, limits=limits, compression=None) as server:
        async with front.raw(server, receive_buffer=4096) as peer:
            await front.until(lambda: reached)
            text, amount = reached[0]
            assert "Limits.write_hard" in text
            assert 200_000 < amount < 400_000
            peer.close()


async def test_pongs_do_not_pile_up_for_a_peer_that_does_not_read(front):
    limits = Limits(control_rate=None)

    async def handler(ws):
        while True:
            await ws.send(b"x" * 100_000)

    async with front.serve(handler, limits=limits, compression=None) as server:
        async with front.raw(server, receive_buffer=4096) as peer:
            await front.until(lambda: any(ws.write_paused for ws in server.connections))
            ws = next(iter(server.connections))
            before = ws.buffered_amount
            pings = b"".join(peer.frame(9, b"%05d" % i) for i in range(5000))
            await front.thread(peer.send_bytes, pings)
            await front.until(lambda: ws.session.decoder.last_opcode == 9)
            await front.turns(50)
            assert ws.buffered_amount <= before + 1000
            peer.close()
