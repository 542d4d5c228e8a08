"""Messages in pieces: sent from iterables, received with ``recv_streaming()``."""

from __future__ import annotations

import pytest

from duplexer import ConcurrencyError, ConnectionClosedError, ConnectionClosedOK, Prepared
from tests.contract.peers import BINARY, CLOSE, CONT, PING, PONG, TEXT, close_body


async def later(*pieces):
    for piece in pieces:
        yield piece


class Gate:
    """An async iterable whose pieces the test gives one by one."""

    def __init__(self, front):
        self.front = front
        self.pieces = []

    def __aiter__(self):
        return self

    async def __anext__(self):
        await self.front.until(lambda: self.pieces)
        piece = self.pieces.pop(0)
        if piece is None:
            raise StopAsyncIteration
        if isinstance(piece, Exception):
            raise piece
        return piece


# -- sending -----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [list, iter, tuple, lambda pieces: later(*pieces)])
@pytest.mark.parametrize("compression", ["deflate", None])
async def test_an_iterable_is_one_message(front, kind, compression):
    client = {"compression": compression}
    async with front.pair(client=client) as (client, server):
        for pieces in (
            ["one"],
            ["one ", "two ", "é🎉"],
            [b"one ", bytearray(b"two "), memoryview(b"three")],
            ["", "a", ""],
            [""],
            [b""],
            ["x" * 100_000] * 3,
        ):
            for ws, other in ((client, server), (server, client)):
                await ws.send(kind(pieces))
                expected = type(pieces[0])().join(pieces)
                assert await other.recv() == expected
        await client.send("whole")
        assert await server.recv() == "whole"


async def test_an_iterable_goes_out_as_fragments(front):
    async with front.raw_pair() as (ws, peer):
        await ws.send(["one", "two", "three"])
        frames = []
        while not frames or not frames[-1].fin:
            frames.append(await front.thread(peer.recv))
        assert [frame.opcode for frame in frames] == [TEXT] + [CONT] * (len(frames) - 1)
        assert len(frames) >= 3
        assert b"".join(frame.payload for frame in frames) == b"onetwothree"


async def test_an_empty_iterable_is_no_message(front):
    async with front.pair() as (client, server):
        await client.send([])
        await client.send(later())
        await client.send("next")
        assert await server.recv() == "next"


async def test_text_says_whether_fragments_are_text(front):
    async with front.pair() as (client, server):
        await client.send([b"caf", b"\xc3", b"\xa9"], text=True)
        assert await server.recv() == "café"
        await client.send(["é", "é"], text=False)
        assert await server.recv() == "éé".encode()


@pytest.mark.parametrize(
    "pieces", [["text", b"bytes"], [b"bytes", "text"], ["text", 1], [b"b", None]]
)
async def test_mixed_pieces_fail_the_connection(front, pieces):
    async with front.pair() as (client, server):
        with pytest.raises(TypeError):
            await client.send(pieces)
        with pytest.raises(ConnectionClosedError) as caught:
            await server.recv()
        assert caught.value.rcvd.code == 1011
        with pytest.raises(ConnectionClosedError):
            await client.send("more")


@pytest.mark.parametrize("pieces", [[1, 2], [None], [["nested"]], [object()]])
async def test_a_first_piece_that_is_none_harms_nothing(front, pieces):
    async with front.pair() as (client, server):
        with pytest.raises(TypeError):
            await client.send(pieces)
        await client.send("fine")
        assert await server.recv() == "fine"


async def test_an_iterable_that_raises_fails_the_connection(front):
    async with front.pair() as (client, server):
        gate = Gate(front)
        gate.pieces = ["begun", ZeroDivisionError()]
        with pytest.raises(ZeroDivisionError):
            await client.send(gate)
        with pytest.raises(ConnectionClosedError) as caught:
            await server.recv()
        assert caught.value.rcvd.code == 1011


async def test_an_iterable_that_raises_at_once_harms_nothing(front):
    async with front.pair() as (client, server):
        gate = Gate(front)
        gate.pieces = [ZeroDivisionError()]
        with pytest.raises(ZeroDivisionError):
            await client.send(gate)
        await client.send("fine")
        assert await server.recv() == "fine"


async def test_other_messages_wait_until_the_fragments_are_out(front):
    async with front.pair() as (client, server):
        gate = Gate(front)
        gate.pieces = ["a"]
        sending = front.spawn(client.send(gate))
        await front.until(lambda: client.session.sending)
        others = []
        for message in ("second", b"third", ["fou", "rth"], Prepared("fifth")):
            others.append(front.spawn(client.send(message)))
            await front.turns()  # tasks may start in any order
        assert not any(task.done() for task in others)
        waiter = await client.ping()  # control frames do not wait
        receiving = front.spawn(server.recv())
        await waiter
        gate.pieces = ["b", "c", None]
        for task in (sending, *others):
            await task
        assert await receiving == "abc"
        got = {await server.recv() for _ in range(4)}
        assert got == {"second", b"third", "fourth", "fifth"}


async def test_who_waits_for_fragments_learns_of_the_end(front):
    async with front.pair() as (client, server):
        gate = Gate(front)
        gate.pieces = ["a"]
        sending = front.spawn(client.send(gate))
        await front.until(lambda: client.session.sending)
        other = front.spawn(client.send("later"))
        await front.turns()
        await server.close()
        gate.pieces = ["b"]
        for task in (sending, other):
            with pytest.raises(ConnectionClosedOK):
                await task


async def test_a_slow_iterable_flushes_each_piece(front):
    async with front.raw_pair() as (ws, peer):
        gate = Gate(front)
        sending = front.spawn(ws.send(gate))
        for piece in (b"a", b"b"):
            gate.pieces = [piece]
            assert (await front.thread(peer.recv)).payload == piece
        gate.pieces = [None]
        await sending
        assert (await front.thread(peer.recv)).fin


# -- recv_streaming -------------------------------------------------------------------------------


async def test_pieces_come_as_they_come(front):
    async with front.raw_pair() as (ws, peer):
        stream = ws.recv_streaming()
        for i, part in enumerate((b"one ", b"two ", b"three")):
            await front.thread(peer.send, CONT if i else TEXT, part, fin=i == 2)
            piece = await stream.__anext__()
            assert piece == part.decode()
        with pytest.raises(StopAsyncIteration):
            await stream.__anext__()


async def test_a_frame_that_is_not_complete_yet_is_streamed(front):
    async with front.raw_pair() as (ws, peer):
        wire = peer.frame(BINARY, b"x" * 1000)
        await front.thread(peer.send_bytes, wire[:500])
        stream = ws.recv_streaming()
        first = await stream.__anext__()
        assert first == b"x" * len(first)
        assert len(first) < 1000
        await front.thread(peer.send_bytes, wire[500:])
        rest = b"".join([piece async for piece in stream])
        assert first + rest == b"x" * 1000


@pytest.mark.parametrize("compression", ["deflate", None])
async def test_streaming_and_receiving_take_turns(front, compression):
    async with front.pair(client={"compression": compression}, server={"max_size": None}) as pair:
        client, server = pair
        big = "é🎉" * 100_000
        sending = front.spawn(
            send_all(client, ["first", big, b"", "", "fourth", ["a", "b"], "end"])
        )
        assert [piece async for piece in server.recv_streaming()] == ["first"]
        assert "".join([piece async for piece in server.recv_streaming()]) == big
        assert [piece async for piece in server.recv_streaming()] == [b""]
        assert [piece async for piece in server.recv_streaming()] == [""]
        assert await server.recv() == "fourth"
        assert "".join([piece async for piece in server.recv_streaming()]) == "ab"
        assert await server.recv() == "end"
        await sending


async def send_all(ws, messages):
    for message in messages:
        await ws.send(message)


async def test_text_is_split_between_characters_only(front):
    async with front.raw_pair() as (ws, peer):
        text = "aé日🎉z"
        data = text.encode()
        stream = ws.recv_streaming()
        receiving = front.spawn(collect(stream))
        for i in range(len(data)):
            last = i == len(data) - 1
            await front.thread(peer.send, CONT if i else TEXT, data[i : i + 1], fin=last)
            await front.turns()
        pieces = await receiving
        assert "".join(pieces) == text
        assert all(pieces)


async def collect(stream):
    return [piece async for piece in stream]


async def test_decode_while_streaming(front):
    async with front.raw_pair() as (ws, peer):
        data = "aé日🎉z".encode()
        for opcode, decode, join, expected in (
            (TEXT, False, b"".join, data),
            (BINARY, True, "".join, data.decode()),
            (BINARY, False, b"".join, data),
        ):
            receiving = front.spawn(collect(ws.recv_streaming(decode=decode)))
            await front.until(lambda: ws.receiver is not None)
            for i in range(len(data)):
                last = i == len(data) - 1
                await front.thread(peer.send, CONT if i else opcode, data[i : i + 1], fin=last)
                await front.turns()
            assert join(await receiving) == expected


async def test_leaving_early_discards_the_rest_of_the_message(front):
    async with front.raw_pair() as (ws, peer):
        for opcode in (TEXT, BINARY):
            await front.thread(peer.send, opcode, b"beginning", fin=False)
            stream = ws.recv_streaming()
            assert len(await stream.__anext__()) == 9
            await stream.aclose()
            await front.thread(peer.send, CONT, "middlé".encode()[:-1], fin=False)
            await front.thread(peer.send, CONT, "middlé".encode()[-1:], fin=True)
            await front.thread(peer.send, TEXT, b"next")
            assert await ws.recv() == "next"


async def test_leaving_early_when_all_of_it_has_come(front):
    async with front.raw_pair() as (ws, peer):
        wire = peer.frame(TEXT, b"one", fin=False)
        await front.thread(peer.send_bytes, wire)
        stream = ws.recv_streaming()
        assert await stream.__anext__() == "one"
        wire = (
            peer.frame(CONT, b"two", fin=False) + peer.frame(CONT, b"three") + peer.frame(1, b"X")
        )
        await front.thread(peer.send_bytes, wire)
        await front.until(lambda: ws.session.inbox.count >= 2)
        await stream.aclose()
        assert await ws.recv() == "X"


async def test_a_break_takes_effect_at_once(front):
    async with front.raw_pair() as (ws, peer):
        for _ in range(3):
            await front.thread(peer.send, TEXT, b"beginning", fin=False)
            async for _ in ws.recv_streaming():
                break
            wire = peer.frame(CONT, b"end") + peer.frame(TEXT, b"next")
            await front.thread(peer.send_bytes, wire)
            assert await ws.recv() == "next"


@pytest.mark.cancels
async def test_a_stream_that_was_cancelled_goes_on(front):
    async with front.raw_pair() as (ws, peer):
        stream = ws.recv_streaming()
        pieces = []
        for i in range(4):
            with pytest.raises(TimeoutError):
                async with front.timeout(0.01):
                    await stream.__anext__()
            await front.thread(peer.send, CONT if i else BINARY, b"%d" % i, fin=i == 3)
            pieces.append(await stream.__anext__())
        assert pieces == [b"0", b"1", b"2", b"3"]
        with pytest.raises(StopAsyncIteration):
            await stream.__anext__()


async def test_a_stream_that_never_begins_takes_nothing(front):
    async with front.pair() as (client, server):
        stream = server.recv_streaming()
        await stream.aclose()
        server.recv_streaming()
        await client.send("whole")
        assert await server.recv() == "whole"


@pytest.mark.cancels
async def test_cancelling_a_stream_before_its_message_takes_nothing(front):
    async with front.pair() as (client, server):
        with pytest.raises(TimeoutError):
            async with front.timeout(0.01):
                await server.recv_streaming().__anext__()
        await client.send(["wh", "ole"])
        assert await server.recv() == "whole"


async def test_recv_does_not_come_between_the_pieces(front):
    async with front.raw_pair() as (ws, peer):
        await front.thread(peer.send, TEXT, b"one", fin=False)
        stream = ws.recv_streaming()
        assert await stream.__anext__() == "one"
        await front.thread(peer.send, CONT, b"two", fin=False)
        await front.until(lambda: ws.session.inbox.count)
        for receive in (ws.recv, lambda: ws.recv(decode=True), ws.__anext__):
            with pytest.raises(ConcurrencyError):
                await receive()
        with pytest.raises(ConcurrencyError):
            await ws.recv_streaming().__anext__()
        await front.thread(peer.send, CONT, b"three")
        assert "".join([piece async for piece in stream]) == "twothree"
        await front.thread(peer.send, TEXT, b"after")
        assert await ws.recv() == "after"


async def test_control_frames_between_the_pieces(front):
    async with front.raw_pair() as (ws, peer):
        receiving = front.spawn(collect(ws.recv_streaming()))
        await front.thread(peer.send, TEXT, b"one", fin=False)
        await front.thread(peer.send, PING, b"p")
        assert (await front.thread(peer.recv)).opcode == PONG
        await front.thread(peer.send, CONT, b"two")
        assert "".join(await receiving) == "onetwo"


async def test_the_end_comes_while_streaming(front):
    async with front.raw_pair() as (ws, peer):
        await front.thread(peer.send, TEXT, b"one", fin=False)
        stream = ws.recv_streaming()
        assert await stream.__anext__() == "one"
        await front.thread(peer.send, CLOSE, close_body(1000))
        with pytest.raises(ConnectionClosedOK):
            await stream.__anext__()


async def test_bad_text_while_streaming(front):
    async with front.raw_pair() as (ws, peer):
        await front.thread(peer.send, TEXT, b"one\xc3", fin=False)
        stream = ws.recv_streaming()
        assert await stream.__anext__() == "one"
        await front.thread(peer.send, CONT, b"\xff")
        with pytest.raises(ConnectionClosedError):
            await stream.__anext__()
        assert (await front.thread(peer.recv_close))[0] == 1007


async def test_the_bound_on_messages_holds_while_streaming(front):
    async with front.raw_pair(max_size=1000) as (ws, peer):
        receiving = front.spawn(collect(ws.recv_streaming()))
        await front.thread(peer.send, BINARY, b"x" * 600, fin=False)
        await front.thread(peer.send, CONT, b"x" * 401)
        with pytest.raises(ConnectionClosedError):
            await receiving
        assert (await front.thread(peer.recv_close))[0] == 1009


async def test_a_stream_that_nobody_reads_stops_the_peer(front):
    """What has been received but not read is bounded, whatever the size of the message."""
    async with front.pair(server={"max_size": None}, client={"compression": None}) as pair:
        client, server = pair
        sending = front.spawn(client.send(b"x" * 20_000_000))
        stream = server.recv_streaming()
        total = len(await stream.__anext__())
        await front.until(lambda: server.read_paused)
        assert server.session.inbox.size < 2_000_000
        async for piece in stream:
            total += len(piece)
        assert total == 20_000_000
        await sending
