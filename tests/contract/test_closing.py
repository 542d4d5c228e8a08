"""The end of a connection: who closes, with what, how it is reported, and how long it may take."""

from __future__ import annotations

import pytest

from duplexer import Close, ConnectionClosed, ConnectionClosedError, ConnectionClosedOK, State
from tests.contract.peers import CLOSE, TEXT, close_body

SENDABLE = [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 4999]
NOT_SENDABLE = [-1, 0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65536, 1 << 70]


async def ended(ws):
    with pytest.raises(ConnectionClosed) as caught:
        await ws.recv()
    return caught.value


@pytest.mark.parametrize("by_client", [True, False], ids=["client", "server"])
async def test_both_ends_tell_the_same_story(front, by_client):
    async with front.pair() as pair:
        closer, other = pair if by_client else reversed(pair)
        await closer.close(1001, "gôing")
        ours, theirs = await ended(closer), await ended(other)
        await other.wait_closed()
        assert type(ours) is type(theirs) is ConnectionClosedOK
        close = Close(1001, "gôing")
        assert (ours.sent, ours.rcvd, ours.rcvd_then_sent) == (close, close, False)
        assert (theirs.rcvd, theirs.sent, theirs.rcvd_then_sent) == (close, close, True)
        for ws in pair:
            assert (ws.close_code, ws.close_reason) == (1001, "gôing")
            assert ws.state is State.CLOSED
        assert ours.party == "us"
        assert theirs.party == "peer"


@pytest.mark.plain_only
async def test_every_code_that_may_be_sent_arrives(front):
    for code in SENDABLE:
        async with front.pair() as (client, server):
            await client.close(code, "é" * 61)
            exc = await ended(server)
            assert exc.rcvd == Close(code, "é" * 61)
            assert isinstance(exc, ConnectionClosedOK) is (code in (1000, 1001))


async def test_what_must_not_be_sent_is_refused_and_harms_nothing(front):
    async with front.pair() as (client, server):
        for ws in (client, server):
            for code in NOT_SENDABLE:
                with pytest.raises(ValueError, match="must not be sent"):
                    await ws.close(code)
            for reason in ("x" * 124, "é" * 62):
                with pytest.raises(ValueError, match="longer than 123 bytes"):
                    await ws.close(1000, reason)
            with pytest.raises(ValueError, match="surrogates"):
                await ws.close(1000, "\ud800")
            with pytest.raises(ValueError, match="code"):
                await ws.close(None, "why")
            for code in (True, "1000", 1000.0):
                with pytest.raises(TypeError, match="code must be"):
                    await ws.close(code)
            with pytest.raises(TypeError, match="reason must be"):
                await ws.close(1000, b"bytes")
        await client.send("still open")
        assert await server.recv() == "still open"


async def test_the_longest_reason_arrives(front):
    async with front.pair() as (client, server):
        await client.close(1000, "r" * 123)
        assert (await ended(server)).rcvd == Close(1000, "r" * 123)


async def test_without_a_code_the_close_is_empty(front):
    async with front.raw_pair() as (ws, peer):
        closing = front.spawn(ws.close(None))
        frame = await front.thread(peer.recv)
        assert (frame.opcode, frame.payload) == (CLOSE, b"")
        await front.thread(peer.send, CLOSE)
        peer.close()
        await closing
        exc = await ended(ws)
        assert type(exc) is ConnectionClosedOK
        assert (exc.rcvd, exc.sent) == (Close(1005), Close(1005))
        assert ws.close_code == 1005


async def test_an_empty_close_is_answered_with_one(front):
    async with front.raw_pair() as (ws, peer):
        await front.thread(peer.send, CLOSE)
        frame = await front.thread(peer.recv)
        assert (frame.opcode, frame.payload) == (CLOSE, b"")
        assert type(await ended(ws)) is ConnectionClosedOK


async def test_closing_twice_does_nothing(front):
    async with front.pair() as (client, server):
        await client.close(1000, "first")
        await client.close(1001, "second")
        assert (await ended(server)).rcvd == Close(1000, "first")
        await server.close()


async def test_closes_at_once_from_several_tasks(front):
    async with front.pair() as (client, server), front.timeout():
        closing = [front.spawn(client.close(1000, str(i))) for i in range(5)]
        for task in closing:
            await task
        assert (await ended(server)).rcvd.code == 1000


async def test_closes_that_cross(front):
    async with front.pair() as (client, server), front.timeout():
        one, two = front.spawn(client.close(1001)), front.spawn(server.close(4000))
        await one
        await two
        ours, theirs = await ended(client), await ended(server)
        # Either one was faster, or both were as fast.
        assert ours.rcvd in (Close(1001), Close(4000))
        assert theirs.rcvd in (Close(1001), Close(4000))


async def test_closes_that_cross_on_the_wire(front):
    async with front.raw_pair() as (ws, peer):
        closing = front.spawn(ws.close(1001))
        assert await front.thread(peer.recv_close) == (1001, "")
        await front.thread(peer.send, CLOSE, close_body(4000, "mine"))
        peer.close()
        await closing
        exc = await ended(ws)
        assert (exc.sent, exc.rcvd) == (Close(1001), Close(4000, "mine"))
        assert exc.rcvd_then_sent is False
        assert type(exc) is ConnectionClosedError


async def test_closing_wakes_the_own_reader(front):
    async with front.pair() as (client, _):
        reading = front.spawn(ended(client))
        await front.until(lambda: client.receiver is not None)
        await client.close()
        assert type(await reading) is ConnectionClosedOK


async def test_the_code_is_known_when_the_reader_learns_of_the_end(front):
    async with front.pair() as (client, server):
        reading = front.spawn(ended(client))
        await front.until(lambda: client.receiver is not None)
        closing = front.spawn(server.close(1001, "bye"))
        await reading
        assert (client.close_code, client.close_reason) == (1001, "bye")
        assert client.state is not State.OPEN
        await closing


async def test_messages_under_way_arrive_before_the_end(front):
    async with front.pair() as (client, server):
        for i in range(100):
            server.send_nowait(str(i))
        closing = front.spawn(server.close())
        assert [message async for message in client] == [str(i) for i in range(100)]
        await closing


async def test_the_peer_may_finish_what_it_was_saying(front):
    async with front.raw_pair() as (ws, peer):
        closing = front.spawn(ws.close())
        await front.thread(peer.recv_close)
        await front.thread(peer.send, TEXT, b"one more")
        await front.thread(peer.send, CLOSE, close_body(1000))
        peer.close()
        await closing
        assert await ws.recv() == "one more"
        assert type(await ended(ws)) is ConnectionClosedOK


@pytest.mark.parametrize("n", [3, 40, 1000])
async def test_messages_that_nobody_reads_do_not_hold_up_the_close(front, n):
    async with front.pair(server={"close_timeout": 8}, client={"close_timeout": 8}) as pair:
        client, server = pair
        for i in range(n):
            client.send_nowait(str(i))
        await front.until(lambda: server.session.inbox.count >= min(n, 17))
        async with front.timeout(4):
            await server.close()
        assert type(server.session.closed_error()) is ConnectionClosedOK
        assert type(client.session.closed_error()) is ConnectionClosedOK


async def test_a_peer_that_never_answers_is_dropped_in_time(front):
    async with front.raw_pair(close_timeout=0.2) as (ws, _):
        started = front.now()
        await ws.close()
        assert 0.15 <= front.now() - started < 1.2
        exc = await ended(ws)
        assert type(exc) is ConnectionClosedError
        assert (exc.rcvd, exc.sent) == (None, Close(1000))
        assert isinstance(exc.__cause__, TimeoutError)
        assert ws.close_code == 1006


async def test_a_peer_that_answers_but_stays_is_dropped_in_time(front):
    async with front.serve(lambda ws: ws.recv(), close_timeout=0.2) as server:
        async with front.raw(server) as peer:
            await front.thread(peer.send, TEXT, b"return")
            assert await front.thread(peer.recv_close) == (1000, "")
            await front.thread(peer.send, CLOSE, close_body(1000))
            async with front.timeout(2):
                await front.until(lambda: not server.connections)


async def test_a_client_does_not_wait_for_ever_for_the_end_of_tcp(front):
    async with front.raw_pair(close_timeout=0.2) as (ws, peer):
        await front.thread(peer.send, CLOSE, close_body(1000))
        exc = await ended(ws)
        async with front.timeout(2):
            await ws.wait_closed()
        assert type(exc) is ConnectionClosedOK


@pytest.mark.parametrize("how", ["close", "reset"])
async def test_a_connection_that_is_lost(front, how):
    async with front.raw_pair() as (ws, peer):
        await front.thread(peer.send, TEXT, b"last words")
        await front.until(lambda: ws.session.inbox.count)
        getattr(peer, how)()
        async with front.timeout():
            await ws.wait_closed()
        assert await ws.recv() == "last words"
        exc = await ended(ws)
        assert type(exc) is ConnectionClosedError
        assert (exc.rcvd, exc.sent) == (None, None)
        assert (ws.close_code, ws.close_reason) == (1006, "")
        assert exc.party == "network"


async def test_a_connection_that_is_lost_under_a_reader(front):
    async with front.raw_pair() as (ws, peer):
        reading = front.spawn(ended(ws))
        await front.until(lambda: ws.receiver is not None)
        peer.close()
        assert type(await reading) is ConnectionClosedError


async def test_the_peer_that_sends_no_more_is_gone(front):
    async with front.raw_pair() as (ws, peer):
        if front.secure:
            peer.close()
        else:
            peer.shutdown()
        assert type(await ended(ws)) is ConnectionClosedError


async def test_abort_drops_at_once(front):
    async with front.pair() as (client, server):
        reading = front.spawn(ended(client))
        await front.until(lambda: client.receiver is not None)
        client.abort()
        assert type(await reading) is ConnectionClosedError
        assert type(await ended(server)) is ConnectionClosedError
        client.abort()


async def test_many_may_wait_for_the_end(front):
    async with front.pair() as (client, server):
        waiting = [front.spawn(ws.wait_closed()) for ws in (client, server) for _ in range(3)]
        await client.close()
        for task in waiting:
            await task
        await client.wait_closed()


@pytest.mark.parametrize(
    ("body", "code", "rule"),
    [
        (b"\x03", 1002, "close-length"),
        (close_body(1005), 1002, "close-code"),
        (close_body(999), 1002, "close-code"),
        (close_body(5000), 1002, "close-code"),
        (b"\x03\xe8\xff", 1007, "close-utf8"),
    ],
)
async def test_a_close_that_breaks_a_rule(front, body, code, rule):
    async with front.raw_pair() as (ws, peer):
        await front.thread(peer.send, CLOSE, body)
        assert (await front.thread(peer.recv_close))[0] == code
        peer.close()
        exc = await ended(ws)
        assert type(exc) is ConnectionClosedError
        assert exc.__cause__.name == rule


async def test_nothing_is_sent_after_our_close(front):
    async with front.raw_pair(close_timeout=0.3) as (ws, peer):
        closing = front.spawn(ws.close())
        await front.until(lambda: ws.state is State.CLOSING)
        with pytest.raises(ConnectionClosed):
            await ws.send("too late")
        await front.thread(peer.send, 9, b"ping")
        await front.thread(peer.send, CLOSE, close_body(1000))
        if not front.secure:
            peer.shutdown()
        await closing
        assert [frame.opcode for frame in await front.thread(peer.recv_all)] == [CLOSE]


async def test_leaving_the_context_closes(front):
    async with front.pair() as (client, server):
        async with client:
            pass
        assert (await ended(server)).rcvd == Close(1000)
    async with front.pair() as (client, server):
        with pytest.raises(ZeroDivisionError):
            async with client:
                raise ZeroDivisionError
        assert (await ended(server)).rcvd == Close(1011)
