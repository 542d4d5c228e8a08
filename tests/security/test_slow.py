"""Rows 32, 43, 44 and 50: peers that do not read, do not close, or are not there any more."""

from __future__ import annotations

import contextlib
import socket

from duplexer import ConnectionClosed, ConnectionClosedError, Limits
from tests.contract.peers import CLOSE, PING, TEXT
from tests.security.attackers import PATIENCE, dial, echo, open_raw, request, struck


async def test_who_never_reads_is_dropped_and_holds_a_bounded_amount(front):
    ends, most = [], []

    async def handler(ws):
        try:
            while True:
                await ws.send(b"x" * 100_000)
                most.append(ws.buffered_amount)
        except ConnectionClosedError as exc:
            ends.append(exc)
            raise

    limits = Limits(send_timeout=0.5)
    async with front.serve(handler, limits=limits, compression=None) as server:
        sock = await front.thread(dial, server, 4096)
        try:
            await front.thread(sock.sendall, request())
            await front.until(lambda: ends, PATIENCE)
            assert "send_timeout" in ends[0].explain()
            assert max(most, default=0) <= limits.write_high + 2 * 100_014
            await struck(front, server, {"send_timeout": 1})
        finally:
            sock.close()


async def test_the_kernel_does_not_take_megabytes_for_who_never_reads(front):
    """What somebody asks for and does not read costs compression and memory: so it is little."""
    sent = []

    async def handler(ws):
        with contextlib.suppress(ConnectionClosed):
            while True:
                sent.append(await ws.send(b"x" * 10_000))

    limits = Limits(send_timeout=0.5, write_unsent=20_000)
    async with front.serve(handler, limits=limits, compression=None) as server:
        sock = await front.thread(dial, server, 4096)
        try:
            await front.thread(sock.sendall, request())
            await struck(front, server, {"send_timeout": 1})
            # Beside what the peer's kernel takes: the kernel's part, ours, and a message each.
            assert len(sent) * 10_000 <= limits.write_high + limits.write_unsent + 60_000
        finally:
            sock.close()


async def test_a_broadcast_waits_for_nobody(front):
    """The stuck ones are dropped with 1008, all others get everything in its order."""
    stuck, fast = 3, 5

    async def handler(ws):
        with contextlib.suppress(ConnectionClosed):
            await ws.wait_closed()

    limits = Limits(write_hard=200_000)
    async with front.serve(handler, limits=limits, compression=None) as server:
        peers = [await front.thread(open_raw, server) for _ in range(fast)]
        slow = [await front.thread(open_raw, server, "", 4096) for _ in range(stuck)]
        try:
            await front.until(lambda: len(server.connections) == fast + stuck, PATIENCE)
            sent = 0
            while len(server.connections) > fast:
                for _ in range(10):
                    front.names.broadcast(server.connections, b"%06d" % sent + bytes(10_000))
                    sent += 1
                for peer in peers:

                    def read(peer=peer, first=sent - 10):
                        return [int(peer.recv().payload[:6]) - first for _ in range(10)]

                    assert await front.thread(read) == list(range(10))
                assert sent < 20_000
            await struck(front, server, {"write_hard": stuck})
        finally:
            for peer in peers + slow:
                peer.close()


async def test_who_does_not_finish_the_close_is_dropped(front):
    """Its window is full, it ignores our Close, and what it sends is not looked at."""

    async def handler(ws):
        for _ in range(20):
            ws.send_nowait(b"x" * 30_000)
        await ws.close()

    limits = Limits(close_timeout=0.5, send_timeout=None)
    async with front.serve(handler, limits=limits, compression=None) as server:
        peer = await front.thread(open_raw, server, "", 4096)
        try:
            await front.until(lambda: not server.connections, PATIENCE)
        finally:
            peer.close()


async def test_who_goes_on_sending_after_our_close_is_dropped(front):
    async def handler(ws):
        await ws.close()

    async with front.serve(handler, limits=Limits(close_timeout=0.5)) as server:
        peer = await front.thread(open_raw, server)
        try:

            def talk():
                assert peer.recv().opcode == CLOSE
                with contextlib.suppress(OSError):
                    for _ in range(1_000_000):
                        peer.send(TEXT, b"x" * 1000)
                    return False
                return True

            assert await front.thread(talk)
            await front.until(lambda: not server.connections, PATIENCE)
        finally:
            peer.close()


async def test_a_peer_that_is_gone_is_noticed(front):
    """It says nothing and answers no Ping; where it has gone nobody knows."""
    limits = Limits(ping_interval=0.2, ping_timeout=0.3)
    async with front.serve(echo, limits=limits) as server:
        peer = await front.thread(open_raw, server)
        try:

            def listen():
                frames = peer.recv_all()
                return [frame.opcode for frame in frames]

            opcodes = await front.thread(listen)
            assert opcodes[0] == PING
            await struck(front, server, {"ping_timeout": 1})
        finally:
            peer.close()


async def test_a_peer_that_half_closes_is_gone(front):
    async with front.serve(echo) as server:
        peer = await front.thread(open_raw, server)
        try:
            peer.sock.shutdown(socket.SHUT_WR)
            assert await front.thread(peer.recv_all) is not None
            await front.until(lambda: not server.connections, PATIENCE)
        finally:
            peer.close()
