"""What a turn of the loop costs: how many writes, and how long one connection may keep it."""

from __future__ import annotations

import asyncio
import gc
import weakref

import pytest

from duplexer import broadcast
from tests.contract.peers import TEXT

pytestmark = pytest.mark.plain_only


async def echo(ws):
    async for message in ws:
        await ws.send(message)


def count_writes(ws):
    """Replace the connection's way to write by one that counts: the list of sizes."""
    sizes = []
    transport = ws.transport
    write = ws.write or transport.write

    def counting(data):
        sizes.append(len(data))
        write(data)

    class Transport:
        def __getattr__(self, name):
            return getattr(transport, name)

        def writelines(self, pieces):
            sizes.append(sum(map(len, pieces)))
            transport.writelines(pieces)

    ws.write, ws.outlet = counting, None
    ws.transport = Transport()
    return sizes


async def test_a_burst_in_one_read_is_answered_with_one_write(front):
    counted = []

    async def handler(ws):
        counted.append(count_writes(ws))
        await echo(ws)

    async with front.serve(handler) as server, front.raw(server) as peer:
        await front.until(lambda: counted)
        for kind in (1, 2):
            burst = b"".join(peer.frame(kind, b"%064d" % i) for i in range(64))
            await front.thread(peer.send_bytes, burst)
            for i in range(64):
                assert (await front.thread(peer.recv)).payload == b"%064d" % i
        assert len(counted[0]) == 2


async def test_pings_in_one_read_are_answered_with_one_write(front):
    counted = []

    async def handler(ws):
        counted.append(count_writes(ws))
        await echo(ws)

    async with front.serve(handler) as server, front.raw(server) as peer:
        await front.until(lambda: counted)
        await front.thread(peer.send_bytes, b"".join(peer.frame(9, b"%d" % i) for i in range(30)))
        for _ in range(30):
            assert (await front.thread(peer.recv)).opcode == 10
        assert len(counted[0]) == 1


async def test_what_is_sent_in_one_turn_leaves_in_one_write(front):
    async with front.pair() as (client, server):
        sizes = count_writes(client)
        for i in range(50):
            await client.send(str(i))
        assert sizes == []
        assert [await server.recv() for _ in range(50)] == [str(i) for i in range(50)]
        assert len(sizes) == 1


async def test_who_waits_for_an_answer_has_sent_his_question(front):
    async with front.serve(echo) as server, front.connect(server) as ws:
        sizes = count_writes(ws)
        for i in range(10):
            await ws.send(str(i))
            task = asyncio.current_task()
            assert not task.cancelling()
            assert await ws.recv() == str(i)
        assert len(sizes) == 10


async def test_a_broadcast_writes_once_to_each_however_many_messages(front):
    arrived = []

    async def handler(ws):
        arrived.append(ws)
        await ws.wait_closed()

    async with front.serve(handler) as server:
        clients = [await front.connect(server) for _ in range(20)]
        await front.until(lambda: len(arrived) == 20)
        counted = [count_writes(ws) for ws in arrived]
        for i in range(16):
            broadcast(arrived, f"message {i}")
        for ws in clients:
            assert [await ws.recv() for _ in range(16)] == [f"message {i}" for i in range(16)]
        assert [len(sizes) for sizes in counted] == [1] * 20
        for ws in clients:
            await ws.close()


async def test_what_is_collected_is_bounded(front):
    async with front.pair(client={"compression": None}) as (client, server):
        sizes = count_writes(client)
        for _ in range(100):
            client.send_nowait(b"x" * 10_000)
        assert client.session.cork.size <= 64 * 1024 + 10_020
        assert len(sizes) >= 14
        assert max(sizes) <= 64 * 1024 + 10_020
        for _ in range(100):
            assert len(await server.recv()) == 10_000


async def test_a_flood_does_not_delay_another_connection_by_more_than_a_turn(front):
    """Counted in frames of the flood between two turns of the loop, not in time."""
    handled = [0]
    flood: list = []

    async def handler(ws):
        if (await ws.recv()) == "echo":
            await echo(ws)
            return
        flood.append(ws)
        async for _ in ws:
            handled[0] += 1

    most = 0
    turns = 0

    def tick(before):
        nonlocal most, turns
        turns += 1
        most = max(most, handled[0] - before)
        if handled[0] < 20_000:
            loop.call_soon(tick, handled[0])

    loop = asyncio.get_running_loop()
    async with front.serve(handler) as server:
        async with front.raw(server) as peer, front.connect(server) as quick:
            await quick.send("echo")
            await front.thread(peer.send, TEXT, b"flood")
            await front.until(lambda: flood)
            wire = b"".join(peer.frame(TEXT, b"x") for _ in range(20_000))
            sending = front.spawn(front.thread(peer.send_bytes, wire))
            await front.until(lambda: handled[0])
            tick(handled[0])
            echoed = 0
            while handled[0] < 20_000:
                await quick.send("mine")
                assert await quick.recv() == "mine"
                echoed += 1
            await sending
            peer.close()
    # One turn takes in at most Limits.frames_per_turn frames of one connection; a read and the
    # turn that was put off may fall together.
    assert most <= 2 * 256
    assert turns > 20
    assert echoed > 3


async def test_an_empty_connection_is_let_go_of(front):
    gone = []

    async def handler(ws):
        gone.append(weakref.ref(ws))
        await echo(ws)

    async with front.serve(handler) as server:
        async with front.connect(server) as ws:
            await ws.send("x")
            await ws.recv()
            gone.append(weakref.ref(ws))
        del ws
        await front.until(lambda: not server.connections)
        await front.turns()
        gc.collect()
        await front.until(lambda: all(ref() is None for ref in gone))
