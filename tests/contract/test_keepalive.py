"""Pings, and what they are for: a dead peer is noticed in time, a living one is never accused."""

from __future__ import annotations

import pytest

from duplexer import (
    ConcurrencyError,
    ConnectionClosed,
    ConnectionClosedError,
    ConnectionClosedOK,
    Limits,
    PeerTimeout,
    State,
)
from tests.contract.peers import BINARY, CLOSE, PING, PONG, TEXT

pytestmark = pytest.mark.plain_only  # it is about time, and takes some


async def test_ping_and_latency(front):
    async with front.pair() as (client, server):
        for ws in (client, server):
            assert ws.latency == 0
            waiter = await ws.ping()
            latency = await waiter
            assert 0 < latency < 5
            assert ws.latency == latency


async def test_ping_carries_what_it_is_given(front):
    async with front.raw_pair() as (ws, peer):
        for data, payload in (
            ("é", "é".encode()),
            (b"abc", b"abc"),
            (bytearray(b"x" * 125), b"x" * 125),
            (b"", b""),
        ):
            waiter = await ws.ping(data)
            frame = await front.thread(peer.recv)
            assert (frame.opcode, frame.payload) == (PING, payload)
            await front.thread(peer.send, PONG, payload)
            await waiter
        await ws.ping()
        assert len((await front.thread(peer.recv)).payload) == 4


async def test_a_ping_that_is_none_is_refused(front):
    async with front.pair() as (client, _):
        for data in (b"x" * 126, "é" * 63):
            with pytest.raises(ValueError, match="125"):
                await client.ping(data)
            with pytest.raises(ValueError, match="125"):
                await client.pong(data)
        for data in (1, [b"x"]):
            with pytest.raises(TypeError):
                await client.ping(data)


async def test_two_pings_with_the_same_data(front):
    async with front.raw_pair() as (ws, peer):
        waiter = await ws.ping(b"same")
        with pytest.raises(ConcurrencyError):
            await ws.ping(b"same")
        await front.thread(peer.send, PONG, b"same")
        await waiter
        await ws.ping(b"same")


async def test_a_pong_answers_the_pings_before_it_too(front):
    async with front.raw_pair() as (ws, peer):
        waiters = [await ws.ping(str(i)) for i in range(4)]
        await front.thread(peer.send, PONG, b"2")
        for waiter in waiters[:3]:
            assert await waiter > 0
        assert not front.has_pong(waiters[3])
        await front.thread(peer.send, PONG, b"3")
        await waiters[3]


async def test_pongs_that_nobody_asked_for_are_ignored(front):
    async with front.pair() as (client, server):
        await client.pong()
        await client.pong(b"hello")
        await client.send("after")
        assert await server.recv() == "after"


async def test_pings_are_answered_in_order_while_nobody_reads(front):
    async with front.serve(lambda ws: ws.wait_closed()) as server, front.raw(server) as peer:
        for i in range(20):
            await front.thread(peer.send, PING, b"%d" % i)
        for i in range(20):
            frame = await front.thread(peer.recv)
            assert (frame.opcode, frame.payload) == (PONG, b"%d" % i)


@pytest.mark.parametrize("how", ["lost", "closed"])
async def test_pings_are_settled_when_the_connection_ends(front, how):
    async with front.raw_pair() as (ws, peer):
        waiters = [await ws.ping() for _ in range(40)]
        if how == "lost":
            peer.close()
        else:
            await front.thread(peer.send, 8, b"\x03\xe8")
            await front.thread(peer.recv_close)
            peer.close()
        for waiter in waiters:
            with pytest.raises(ConnectionClosedError if how == "lost" else ConnectionClosedOK):
                await waiter


async def test_pings_of_the_keepalive_do_not_forget_those_of_the_user(front):
    limits = Limits(ping_interval=0.005, ping_timeout=None, max_pings=3)
    async with front.raw_pair(limits=limits) as (ws, peer):
        mine = await ws.ping(b"mine")
        for _ in range(8):
            await front.thread(peer.recv)
        await front.thread(peer.send, PONG, b"mine")
        async with front.timeout(5):
            await mine


async def test_pings_are_settled_when_nobody_looks(front):
    async with front.raw_pair() as (ws, peer):
        await ws.ping()
        peer.close()
        await ws.wait_closed()


@pytest.mark.parametrize("by_client", [True, False], ids=["client", "server"])
async def test_a_peer_that_is_dead_is_noticed_in_time(front, by_client):
    keepalive = {"ping_interval": 0.3, "ping_timeout": 0.2}
    told = []

    async def handler(ws):
        told.append(ws)
        await ws.wait_closed()

    async def check(ws):
        # How soon is tested with a clock of its own (tests/unit/core/test_keepalive.py).
        async with front.timeout():
            with pytest.raises(ConnectionClosedError) as caught:
                await ws.recv()
        exc = caught.value
        assert isinstance(exc.__cause__, PeerTimeout) and isinstance(exc.__cause__, TimeoutError)
        assert exc.party == "network"
        assert "ping_timeout" in str(exc.__cause__)
        assert exc.rcvd is None and exc.sent.code == 1011
        assert "keepalive" in exc.explain()
        with pytest.raises(ConnectionClosedError):
            await ws.send("x")

    if by_client:
        async with front.raw_pair(**keepalive) as (ws, _):
            await check(ws)
    else:
        async with front.serve(handler, **keepalive) as server, front.raw(server):
            await front.until(lambda: told)
            await check(told[0])


async def test_a_suspension_is_noticed_and_named(front, monkeypatch):
    """The clock of suspensions jumps; what the machine does after one is to be heard no more."""
    from duplexer.driver import clock

    async with front.raw_pair(ping_interval=0.1, ping_timeout=0.3) as (ws, peer):
        assert (await front.thread(peer.recv)).opcode == PING
        real = clock._always
        monkeypatch.setattr(clock, "_always", lambda: real() + 3600.0)
        async with front.timeout():
            with pytest.raises(ConnectionClosedError) as caught:
                await ws.recv()
        assert "This machine was suspended for 3600 s" in caught.value.explain()
        frames = await front.thread(peer.recv_all)
        assert {frame.opcode for frame in frames[:-1]} == {PING} and frames[-1].opcode == CLOSE


async def test_a_connection_that_survives_a_suspension_is_kept(front, monkeypatch):
    from duplexer.driver import clock

    keepalive = {"ping_interval": 0.05, "ping_timeout": 5.0}
    async with front.pair(client=keepalive, server=keepalive) as (client, server):
        real = clock._always
        monkeypatch.setattr(clock, "_always", lambda: real() + 3600.0)
        await front.until(lambda: client.latency and server.latency)
        await front.until(lambda: "suspended for 3600 s" in client.explain())
        await client.send("alive")
        assert await server.recv() == "alive"


async def test_a_peer_that_reads_slowly_is_alive(front):
    """Its Pong cannot come before a long message that it is still reading: that is no silence."""
    limits = Limits(ping_interval=0.1, ping_timeout=1.0)
    async with front.raw_pair(limits=limits, compression=None) as (ws, peer):
        size = 1 << 25
        sending = front.spawn(ws.send(b"x" * size))
        started = front.now()
        while front.now() - started < 1.5:  # longer than it takes to judge who is silent
            size -= len(await front.thread(peer.sock.recv, 1 << 18))
            await front.sleep(0.02)
            assert ws.state is State.OPEN, ws.explain()
        assert size > 0, "it has read all of it long ago"
        while size > 0:
            size -= len(await front.thread(peer.sock.recv, 1 << 20))
        await sending


@pytest.mark.parametrize("jitter", [0.1, 0.5])
async def test_the_default_jitter_keeps_the_promise(front, jitter):
    """A ping is never later than its interval, whatever chance says."""
    from duplexer.core.keepalive import Keepalive

    limits = Limits(ping_jitter=jitter)
    dues = [Keepalive(20.0, 20.0, limits.ping_jitter, 1000.0).due for _ in range(200)]
    assert all(1000 + 20 * (1 - jitter) <= due <= 1020 for due in dues)
    assert len(set(dues)) > 100


async def test_a_peer_that_is_busy_sending_is_alive(front):
    """It never answers a ping, but its bytes come: one very long frame."""
    keepalive = {"ping_interval": 0.1, "ping_timeout": 0.1, "max_size": None}
    async with front.raw_pair(**keepalive) as (ws, peer):
        wire = peer.frame(BINARY, b"x" * 400)
        started = front.now()
        for i in range(0, len(wire), 10):
            await front.thread(peer.send_bytes, wire[i : i + 10])
            await front.sleep(0.015)
        assert front.now() - started > 0.5
        assert await ws.recv() == b"x" * 400
        assert ws.state is State.OPEN


async def test_a_peer_that_answers_is_alive(front):
    keepalive = {"ping_interval": 0.05, "ping_timeout": 0.05}
    async with front.pair(client=keepalive, server=keepalive) as (client, server):
        await front.sleep(0.5)
        await client.send("alive")
        assert await server.recv() == "alive"
        assert client.latency > 0 and server.latency > 0


async def test_an_application_that_does_not_read_never_kills_its_peer(front):
    limits = Limits(ping_interval=0.05, ping_timeout=0.05, queue_messages=2)
    async with front.raw_pair(limits=limits) as (ws, peer):
        for i in range(10):
            await front.thread(peer.send, TEXT, b"%d" % i)
        await front.until(lambda: ws.read_paused)
        await front.sleep(0.4)  # many intervals and timeouts, in which nothing is read
        assert ws.state is State.OPEN
        for i in range(10):
            assert await ws.recv() == str(i)


async def test_a_slow_application_never_kills_its_peer(front):
    """The loop is blocked for longer than the timeout: the late clock accuses nobody."""
    import time

    keepalive = {"ping_interval": 0.05, "ping_timeout": 0.05}
    async with front.pair(client=keepalive, server=keepalive) as (client, server):
        time.sleep(0.6)  # noqa: ASYNC251 - that is the point
        await front.turns()
        await client.send("alive")
        assert await server.recv() == "alive"


async def test_without_keepalive_nothing_is_sent(front):
    async with front.raw_pair(ping_interval=None) as (ws, peer):
        await front.sleep(0.1)
        await ws.send("first")
        assert (await front.thread(peer.recv)).opcode == TEXT


async def test_without_a_timeout_pings_are_sent_and_nobody_is_judged(front):
    async with front.raw_pair(ping_interval=0.02, ping_timeout=None) as (ws, peer):
        for _ in range(10):
            assert (await front.thread(peer.recv)).opcode == PING
        assert ws.state is State.OPEN


async def test_a_flood_of_control_frames_ends_it(front):
    limits = Limits(control_burst=20, control_rate=1.0)
    async with front.raw_pair(limits=limits) as (ws, peer):
        for _ in range(30):
            await front.thread(peer.send, PING, b"x")
        code, reason = await front.thread(peer.recv_close)
        assert (code, reason) == (1008, "too many control frames")
        with pytest.raises(ConnectionClosed) as caught:
            await ws.recv()
        assert "Limits.control_rate" in caught.value.explain()
