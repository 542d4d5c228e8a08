"""Every way to the end, towards a peer that reads nothing: none may last for ever.

What we have to say is stuck behind what the peer does not read, and no other deadline helps:
keepalive and ``send_timeout`` are off. ``close_timeout`` alone ends it, on every sort of socket.
"""

from __future__ import annotations

import contextlib

import pytest

from duplexer import Limits
from tests.contract.peers import BINARY, CLOSE, TEXT, close_body

LIMITS = Limits(close_timeout=0.3, send_timeout=None, ping_interval=None, write_hard=1 << 26)


def we_close(ws, peer):
    ws.start_close(4000)


def the_peer_closes(ws, peer):
    peer.send(CLOSE, close_body(1000))


def a_breach(ws, peer):
    peer.send_bytes(peer.frame(TEXT, b"x", rsv=7))


def a_breach_behind_a_message(ws, peer):
    peer.send_bytes(peer.frame(BINARY, b"x") + peer.frame(TEXT, b"x", rsv=7))


def we_close_and_the_peer_sends_on(ws, peer):
    ws.start_close(4000)
    for _ in range(10):
        peer.send(BINARY, b"x" * 1000)


def we_close_and_the_peer_half_closes(ws, peer):
    ws.start_close(4000)
    if not hasattr(peer.sock, "unwrap"):
        peer.shutdown()


WAYS = [
    we_close,
    the_peer_closes,
    a_breach,
    a_breach_behind_a_message,
    we_close_and_the_peer_sends_on,
    we_close_and_the_peer_half_closes,
]


@contextlib.asynccontextmanager
async def narrow_pair(front):
    """A server's connection, and its peer, who has no room for much that it does not read."""
    arrived = []

    async def handler(ws):
        arrived.append(ws)
        await ws.wait_closed()

    async with front.serve(handler, limits=LIMITS, compression=None) as server:
        async with front.raw(server, receive_buffer=4096) as peer:
            await front.until(lambda: arrived)
            yield arrived[0], peer


@pytest.mark.parametrize("stuck", [False, True], ids=["free", "stuck"])
@pytest.mark.parametrize("way", WAYS)
async def test_it_ends_within_close_timeout(front, way, stuck):
    async with narrow_pair(front) as (ws, peer):
        if stuck:
            ws.send_nowait(b"x" * 8_000_000)
            await front.until(lambda: front.unsent(ws))
        way(ws, peer)
        async with front.timeout():
            await ws.wait_closed()
            assert ws.lost


@pytest.mark.parametrize("small", [False, True], ids=["above the mark", "below the mark"])
@pytest.mark.plain_only
async def test_a_peer_that_half_closes_and_reads_nothing(front, small):
    """It sends no more: what is still buffered for it has ``close_timeout`` to leave."""
    async with narrow_pair(front) as (ws, peer):
        if small:
            while not ws.buffered_amount:
                ws.send_nowait(b"x" * 1000)
                ws.flush()
        else:
            ws.send_nowait(b"x" * 8_000_000)
        await front.until(lambda: front.unsent(ws))
        peer.shutdown()
        try:
            async with front.timeout():
                await ws.wait_closed()
        finally:
            ws.abort()
            await ws.wait_closed()
