"""Heartbeats of the application: they keep a connection, and nobody sees them."""

from __future__ import annotations

import pytest

from duplexer import ConnectionClosedError, Heartbeat, PeerTimeout, State
from tests.contract.peers import TEXT

QUIET = {"ping_interval": None}
#: Longer than anything takes here: for what is not to happen.
LONG = 1000.0


async def test_both_ends_together(front):
    """A server that answers, a client that asks: nobody sees any of it, and both are content."""
    asked = []

    def is_beat(message):
        if message != "beat":
            return False
        asked.append(message)
        return True

    asking = Heartbeat(send="beat", expect="alive", every=0.02, timeout=LONG)
    answering = Heartbeat(expect=is_beat, reply="alive", every=LONG, timeout=LONG)
    async with front.pair(
        client={"heartbeat": asking, **QUIET}, server={"heartbeat": answering, **QUIET}
    ) as (client, server):
        await front.until(lambda: len(asked) >= 5)
        await client.send("data")
        assert await server.recv() == "data"
        await server.send(b"data")
        assert await client.recv() == b"data"


async def test_it_is_sent_and_its_answer_is_taken_out(front):
    heartbeat = Heartbeat(send='{"op":"ping"}', expect='{"op":"pong"}', every=0.02, timeout=LONG)
    async with front.raw_pair(heartbeat=heartbeat, **QUIET) as (ws, peer):
        for i in range(5):
            frame = await front.thread(peer.recv)
            assert (frame.opcode, frame.payload) == (TEXT, b'{"op":"ping"}')
            await front.thread(peer.send, TEXT, b"%d" % i)
            await front.thread(peer.send, TEXT, b'{"op":"pong"}')
        assert [await ws.recv() for _ in range(5)] == list("01234")
        assert ws.state is State.OPEN


async def test_a_server_may_send_them_too(front):
    heartbeat = Heartbeat(send=b"\0", every=0.02)
    async with front.serve(lambda ws: ws.wait_closed(), heartbeat=heartbeat, **QUIET) as server:
        async with front.raw(server) as peer:
            for _ in range(3):
                assert (await front.thread(peer.recv)).payload == b"\0"


async def test_the_peer_s_are_answered_though_nobody_receives(front):
    heartbeat = Heartbeat(expect="ping", reply="pong")
    async with front.serve(lambda ws: ws.wait_closed(), heartbeat=heartbeat, **QUIET) as server:
        async with front.raw(server) as peer:
            for _ in range(100):
                await front.thread(peer.send, TEXT, b"ping")
                assert (await front.thread(peer.recv)).payload == b"pong"


@pytest.mark.parametrize("begins", [True, False], ids=["we begin", "the peer begins"])
async def test_a_missing_one_ends_it_and_is_named(front, begins):
    send = "ping" if begins else None
    heartbeat = Heartbeat(send=send, expect="pong", every=0.05, timeout=0.05)
    async with front.raw_pair(heartbeat=heartbeat, **QUIET) as (ws, peer):
        await front.thread(peer.send, TEXT, b"something else")
        async with front.timeout():
            with pytest.raises(ConnectionClosedError) as caught:
                async for message in ws:
                    assert message == "something else"
        cause = caught.value.__cause__
        assert isinstance(cause, PeerTimeout) and isinstance(cause, TimeoutError)
        assert (cause.name, cause.party) == ("heartbeat", "peer")
        assert "no expected message ('pong') came" in caught.value.explain()
        assert await front.thread(peer.recv_close) == (1011, "heartbeat timeout")


async def test_a_function_that_fails_ends_it(front):
    def expect(message):
        raise ZeroDivisionError

    async with front.raw_pair(heartbeat=Heartbeat(expect=expect), **QUIET) as (ws, peer):
        await front.thread(peer.send, TEXT, b"anything")
        with pytest.raises(ConnectionClosedError) as caught:
            await ws.recv()
        assert isinstance(caught.value.__cause__, ZeroDivisionError)
        assert await front.thread(peer.recv_close) == (1011, "heartbeat failed")


async def test_what_is_no_heartbeat(front):
    with pytest.raises(TypeError, match="heartbeat must be a Heartbeat"):
        front.connect("ws://localhost/", ssl=None, heartbeat=20)
    with pytest.raises(TypeError, match="heartbeat must be a Heartbeat"):
        async with front.serve(lambda ws: None, heartbeat="ping"):
            pytest.fail("it serves")
