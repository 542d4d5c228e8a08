"""The same turns as in ``test_asyncio_turns``, counted by the kernel instead of by a stand-in.

Without Nagle's delay each system call that writes makes a segment of its own as long as it fits
into one, so that the segments a socket has sent are the writes that there were.
"""

from __future__ import annotations

import socket
import struct
import sys

import pytest

from duplexer import ConnectionClosed, Limits, broadcast
from tests.contract.peers import BINARY, PING, TEXT

pytestmark = [
    pytest.mark.plain_only,
    pytest.mark.skipif(sys.platform != "linux", reason="needs TCP_INFO of Linux"),
]

DATA_SEGS_OUT = 156  #: where it is in ``struct tcp_info``


def segments(ws):
    """So many segments with data this connection has sent; ends are the handshake's."""
    info = ws.transport.get_extra_info("socket").getsockopt(
        socket.IPPROTO_TCP, socket.TCP_INFO, 256
    )
    if len(info) < DATA_SEGS_OUT + 4:
        pytest.skip("needs TCP_INFO of Linux")
    return struct.unpack_from("I", info, DATA_SEGS_OUT)[0]


async def echo(ws):
    async for message in ws:
        await ws.send(message)


async def test_a_burst_of_64_is_answered_with_one_write(front):
    arrived = []

    async def handler(ws):
        arrived.append(ws)
        await echo(ws)

    async with front.serve(handler, compression=None) as server, front.raw(server) as peer:
        await front.until(lambda: arrived)
        for kind in (TEXT, BINARY, PING):
            before = segments(arrived[0])
            burst = b"".join(peer.frame(kind, b"%032d" % i) for i in range(64))
            await front.thread(peer.send_bytes, burst)
            for i in range(64):
                assert (await front.thread(peer.recv)).payload == b"%032d" % i
            assert segments(arrived[0]) - before == 1


async def test_a_broadcast_is_one_write_to_each_however_many_messages(front):
    arrived = []

    async def handler(ws):
        arrived.append(ws)
        await ws.wait_closed()

    async with front.serve(handler, compression=None) as server:
        clients = [await front.connect(server, compression=None) for _ in range(20)]
        await front.until(lambda: len(arrived) == 20)
        before = [segments(ws) for ws in arrived]
        for i in range(16):
            broadcast(arrived, f"message {i}")
        assert [segments(ws) for ws in arrived] == before, "nothing leaves within the turn"
        for ws in clients:
            assert [await ws.recv() for _ in range(16)] == [f"message {i}" for i in range(16)]
        assert [segments(ws) - n for ws, n in zip(arrived, before, strict=True)] == [1] * 20
        for ws in clients:
            await ws.close()


async def test_a_question_leaves_at_once_and_alone(front):
    async with front.serve(echo, compression=None) as server:
        async with front.connect(server, compression=None) as ws:
            before = segments(ws)
            for i in range(10):
                for part in "abc":
                    ws.send_nowait(f"{part}{i}")
                assert [await ws.recv() for _ in range(3)] == [f"a{i}", f"b{i}", f"c{i}"]
            assert segments(ws) - before == 10


async def test_small_messages_to_a_peer_that_reads_nothing_are_bounded(front):
    """They are collected first, but what is collected counts as what waits for the peer does."""
    sent = [0]
    most = [0]

    async def handler(ws):
        sock = ws.transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16384)
        try:
            while True:
                await ws.send(b"x" * 100)
                sent[0] += 1
                most[0] = max(most[0], ws.buffered_amount)
        except ConnectionClosed:
            pass

    limits = Limits(write_high=20_000)
    async with front.serve(handler, compression=None, limits=limits) as server:
        async with front.raw(server, receive_buffer=4096) as peer:
            await front.until(lambda: any(ws.write_paused for ws in server.connections))
            ws = next(iter(server.connections))
            before = sent[0]
            await front.turns(100)
            assert sent[0] == before, "send() waits"
            assert most[0] <= 2 * 20_000 + 200
            assert ws.buffered_amount <= 2 * 20_000 + 200
            assert ws.session.cork.size <= 20_000 + 200
            for _ in range(before):  # what was sent is there, and then it goes on
                assert (await front.thread(peer.recv)).payload == b"x" * 100
            await front.until(lambda: sent[0] > before)
            peer.close()
