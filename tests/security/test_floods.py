"""Rows 24 to 30, and rates: fragments, tiny frames, pings, messages that nobody reads."""

from __future__ import annotations

import contextlib
import socket

import pytest

from duplexer import ConnectionClosed, Limits
from tests.contract.peers import BINARY, CONT, PING, PONG, TEXT, encode
from tests.security.attackers import (
    PATIENCE,
    attack,
    dial,
    echo,
    echoes,
    open_raw,
    pieces_of,
    request,
    struck,
)

MASK = bytes(4)


def frame(opcode, payload=b"", **kwargs):
    return encode(opcode, payload, mask=MASK, **kwargs)


# -- 24: fragments ---------------------------------------------------------------------------------


@pytest.mark.parametrize("piece", [b"", b"a"], ids=["empty", "a byte"])
async def test_fragments_without_an_end(front, piece):
    async with front.serve(echo) as server:
        flood = frame(TEXT, b"a", fin=False) + frame(CONT, piece, fin=False) * 200_000
        code, reason = await front.thread(attack, server, *pieces_of(flood, 65536))
        assert (code, reason) == (1008, "too many fragments (max_fragments)")
        await struck(front, server, {"max_fragments": 1})
        assert await front.thread(echoes, server)


async def test_fragments_cost_no_object_each(front):
    """As many as are allowed: what is held is one buffer."""
    async with front.serve(echo) as server:
        peer = await front.thread(open_raw, server)
        try:
            peer.send_bytes(frame(BINARY, b"", fin=False) + frame(CONT, b"a", fin=False) * 1000)
            await front.until(lambda: server.connections, PATIENCE)
            (ws,) = server.connections
            await front.until(lambda: ws.session.assembler.fragments == 1001)
            assert ws.session.assembler.body.size == 1000
            assert ws.session.inbox.count == 0
        finally:
            peer.close()


# -- 25: one byte at a time ------------------------------------------------------------------------


async def test_a_frame_in_segments_of_one_byte(front):
    async with front.serve(echo) as server:
        peer = await front.thread(open_raw, server)
        try:

            def drip():
                peer.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                for piece in pieces_of(frame(BINARY, b"x" * 2000), 1):
                    peer.send_bytes(piece)
                return peer.recv().payload

            assert await front.thread(drip) == b"x" * 2000
        finally:
            peer.close()


# -- 26: a message without an end ------------------------------------------------------------------


async def test_a_message_that_is_never_finished(front):
    async with front.serve(echo, limits=Limits(message_timeout=0.3)) as server:
        peer = await front.thread(open_raw, server)

        def drip():
            # A fragment now and then puts nothing off.
            peer.send(TEXT, b"a", fin=False)
            peer.sock.settimeout(0.05)
            for _ in range(1000):
                with contextlib.suppress(TimeoutError):
                    return peer.recv_close()
                peer.send(CONT, b"a", fin=False)
            return None

        try:
            assert (await front.thread(drip))[0] == 1008
        finally:
            peer.close()
        await struck(front, server, {"message_timeout": 1})


# -- 18 and 26: all connections together -----------------------------------------------------------


async def test_what_all_hold_of_incomplete_messages_is_bounded(front):
    async with front.serve(echo, limits=Limits(max_incomplete=256 * 1024)) as server:
        ledger = server.guard.ledger
        first = await front.thread(open_raw, server)
        second = await front.thread(open_raw, server)
        try:
            half = frame(BINARY, bytes(150 * 1024), fin=False)
            await front.thread(first.send_bytes, half)
            await front.until(lambda: ledger.held == 150 * 1024, PATIENCE)
            await front.thread(second.send_bytes, half)
            code, reason = await front.thread(second.recv_close)
            assert (code, reason) == (1013, "too many incomplete messages (max_incomplete)")
            second.close()
            await struck(front, server, {"max_incomplete": 1})
            assert await front.thread(echoes, server)
            assert ledger.held == 150 * 1024
        finally:
            first.close()
            second.close()
        await front.until(lambda: ledger.held == 0, PATIENCE)
        assert ledger.held == 0


# -- 27: tiny frames -------------------------------------------------------------------------------


async def test_others_have_their_turn_beside_a_flood_of_empty_messages(front):
    seen = []

    async def handler(ws):
        async for message in ws:
            if message == b"":
                seen.append(1)
            else:
                await ws.send(message)

    async with front.serve(handler) as server:
        peer = await front.thread(open_raw, server)
        try:
            flooding = front.spawn(front.thread(peer.send_bytes, frame(BINARY) * 5000))
            for _ in range(5):
                assert await front.thread(echoes, server)
            await flooding
            await front.until(lambda: len(seen) == 5000, PATIENCE)
        finally:
            peer.close()


# -- 28 and 29: pings and pongs --------------------------------------------------------------------


async def test_a_flood_of_pings(front):
    async with front.serve(echo) as server:
        flood = frame(PING, b"x") * 5000
        assert (await front.thread(attack, server, flood))[0] == 1008
        await struck(front, server, {"control_rate": 1})
        assert await front.thread(echoes, server)


async def test_a_flood_of_pings_by_who_does_not_read(front):
    """However many there are: no more than one answer waits."""
    limits = Limits(control_rate=None)
    pings = 0
    async with front.serve(echo, limits=limits) as server:
        sock = await front.thread(dial, server, 4096)
        try:
            await front.thread(sock.sendall, request())
            await front.until(lambda: server.connections, PATIENCE)
            (ws,) = server.connections
            flood = frame(PING, b"x" * 125) * 500

            def send():
                sock.settimeout(1)
                with contextlib.suppress(OSError):
                    for _ in range(200):
                        sock.sendall(flood)

            await front.thread(send)
            assert ws.buffered_amount < limits.write_high + 256 * 1024 + pings
        finally:
            sock.close()
        assert await front.thread(echoes, server)


async def test_pongs_that_nobody_asked_for(front):
    async with front.serve(echo, limits=Limits(control_rate=None)) as server:
        peer = await front.thread(open_raw, server)
        try:
            await front.thread(peer.send_bytes, frame(PONG, b"never asked") * 20_000)
            await front.thread(peer.send, TEXT, b"and?")
            assert (await front.thread(peer.recv)).payload == b"and?"
        finally:
            peer.close()


async def test_pings_that_are_never_answered_are_forgotten(front):
    async with front.serve(echo, limits=Limits(ping_interval=0.01, ping_timeout=30)) as server:
        peer = await front.thread(open_raw, server)
        try:
            await front.until(lambda: server.connections, PATIENCE)
            (ws,) = server.connections

            def count():
                # It talks, so it is alive; but it answers no ping.
                for _ in range(60):
                    peer.send(TEXT, b"")
                    while peer.recv().opcode != TEXT:
                        pass

            await front.thread(count)
            assert len(ws.session.drop_pings()) <= 16
        finally:
            peer.close()


# -- 30: the queue ---------------------------------------------------------------------------------


@pytest.mark.parametrize("payload", [b"", b"x" * 1000], ids=["empty", "of a kilobyte"])
async def test_messages_that_nobody_reads_stop_the_reading(front, payload):
    async def handler(ws):
        await ws.wait_closed()

    limits = Limits()
    async with front.serve(handler, limits=limits) as server:
        sock = await front.thread(dial, server)
        try:
            await front.thread(sock.sendall, request())
            await front.until(lambda: server.connections, PATIENCE)
            (ws,) = server.connections
            flood = frame(BINARY, payload) * 1000

            def send():
                # Until the kernel takes no more.
                sock.settimeout(1)
                with contextlib.suppress(OSError):
                    for _ in range(20_000):
                        sock.sendall(flood)
                    return False
                return True

            assert await front.thread(send)
            inbox = ws.session.inbox
            assert ws.read_paused
            assert inbox.count <= limits.queue_messages + limits.frames_per_turn
            assert inbox.size <= limits.queue_bytes + 256 * 1024 + inbox.count * 128
        finally:
            sock.close()
            for ws in server.connections:
                ws.abort()


# -- rates -----------------------------------------------------------------------------------------


async def test_messages_of_one_connection(front):
    limits = Limits(message_rate=0.001, message_burst=10)
    async with front.serve(echo, limits=limits) as server:
        code, reason = await front.thread(attack, server, frame(TEXT, b"x") * 11)
        assert (code, reason) == (1008, "too many messages (message_rate)")
        await struck(front, server, {"message_rate": 1})
        assert await front.thread(echoes, server)


async def test_messages_of_one_address(front):
    limits = Limits(address_message_rate=0.001, address_message_burst=10)
    async with front.serve(echo, limits=limits) as server:
        peers = [await front.thread(open_raw, server) for _ in range(3)]
        try:
            for peer in peers[:2]:
                for _ in range(5):
                    await front.thread(peer.send, TEXT, b"x")
                    assert (await front.thread(peer.recv)).payload == b"x"
            await front.thread(peers[2].send, TEXT, b"x")
            assert (await front.thread(peers[2].recv_close))[0] == 1008
        finally:
            for peer in peers:
                peer.close()


async def test_control_frames_of_one_address(front):
    limits = Limits(address_control_rate=0.001, address_control_burst=10)
    async with front.serve(echo, limits=limits) as server:
        peer = await front.thread(open_raw, server)
        try:
            await front.thread(peer.send_bytes, frame(PING) * 10)
            assert {(await front.thread(peer.recv)).opcode for _ in range(10)} == {PONG}
            assert (await front.thread(attack, server, frame(PING)))[0] == 1008
        finally:
            peer.close()


async def test_without_these_bounds_nothing_is_counted(front):
    ends = []

    async def handler(ws):
        assert ws.session.meter is None
        with contextlib.suppress(ConnectionClosed):
            while True:
                await ws.send(await ws.recv())
        ends.append(ws)

    async with front.serve(handler) as server:
        assert await front.thread(echoes, server)
        await front.until(lambda: ends)
        assert server.struck == {}
