"""Messages there and back: what may be sent, what is received, what is refused."""

from __future__ import annotations

import array

import pytest

from duplexer import ConcurrencyError, ConnectionClosedError, ConnectionClosedOK
from tests.contract.peers import BINARY, CLOSE, CONT, TEXT, close_body

MESSAGES = [
    "hello",
    "",
    b"",
    b"\x00\xff" * 40,
    "héllo wörld",
    "日本語 🎉 \U0010ffff \x00",
    "a" * 125,
    "a" * 126,
    "é" * 65536,
    b"b" * 65535,
    b"b" * 65536,
    b"c" * 1_000_000,
    "d" * 300_000,
]


async def echo(ws):
    async for message in ws:
        await ws.send(message)


@pytest.mark.parametrize("compression", ["deflate", None])
async def test_everything_comes_back_as_it_went(front, compression):
    async with front.serve(echo, compression=compression) as server:
        async with front.connect(server, compression=compression) as ws:
            for message in MESSAGES:
                await ws.send(message)
                received = await ws.recv()
                assert received == message
                assert type(received) is type(message)


async def test_messages_keep_their_order_when_many_are_under_way(front):
    async with front.serve(echo) as server, front.connect(server) as ws:
        for i in range(500):
            await ws.send(str(i))
        assert [await ws.recv() for _ in range(500)] == [str(i) for i in range(500)]


@pytest.mark.parametrize("make", [bytearray, memoryview, lambda data: array.array("B", data)])
async def test_anything_with_bytes_in_it_can_be_sent(front, make):
    async with front.serve(echo) as server, front.connect(server) as ws:
        for data in (b"", b"abc", bytes(range(256)) * 300):
            await ws.send(make(data))
            assert await ws.recv() == data


async def test_a_buffer_may_be_reused_once_send_has_returned(front):
    async with front.serve(echo) as server, front.connect(server) as ws:
        for size in (3, 200, 40_000, 200_000):
            buffer = bytearray(b"x" * size)
            await ws.send(buffer)
            buffer[:] = b"y" * size
            assert await ws.recv() == b"x" * size


@pytest.mark.parametrize(
    "wrong",
    [None, 1, 1.5, object(), {"a": 1}, memoryview(b"abcdefgh")[::2], memoryview(b"1234").cast("I")],
    ids=["None", "int", "float", "object", "dict", "strided", "wide"],
)
async def test_what_is_no_message_is_refused(front, wrong):
    async with front.pair() as (client, server):
        for ws in (client, server):
            with pytest.raises(TypeError, match="message must be"):
                await ws.send(wrong)
            with pytest.raises(TypeError, match="message must be"):
                ws.send_nowait(wrong)
        await client.send("still fine")
        assert await server.recv() == "still fine"


async def test_an_array_of_wide_numbers_is_refused(front):
    async with front.pair() as (client, _):
        with pytest.raises(TypeError, match="message must be"):
            await client.send(array.array("I", [1, 2, 3]))


async def test_a_lone_surrogate_is_refused_and_harms_nothing(front):
    async with front.pair() as (client, server):
        for ws in (client, server):
            with pytest.raises(UnicodeEncodeError):
                await ws.send("a\ud800b")
        await client.send("fine")
        assert await server.recv() == "fine"


async def test_text_says_whether_it_is_text(front):
    async with front.pair() as (client, server):
        await client.send(b"caf\xc3\xa9", text=True)
        assert await server.recv() == "café"
        await client.send("café", text=False)
        assert await server.recv() == b"caf\xc3\xa9"


async def test_decode_says_what_to_give_back(front):
    async with front.pair() as (client, server):
        await client.send("café")
        assert await server.recv(decode=False) == "café".encode()
        await client.send("café".encode())
        assert await server.recv(decode=True) == "café"
        await client.send("café")
        assert await server.recv(decode=True) == "café"
        await client.send(b"\xff")
        assert await server.recv(decode=False) == b"\xff"


async def test_a_subclass_of_str_or_bytes_is_one(front):
    class Text(str):
        __slots__ = ()

    class Data(bytes):
        pass

    async with front.pair() as (client, server):
        for message in (Text("plain"), Text("é"), Data(b"data" * 20_000)):
            await client.send(message)
            assert await server.recv() == message


async def test_iteration_ends_when_the_peer_closes_properly(front):
    async with front.pair() as (client, server):
        await client.send("one")
        await client.send(b"two")
        closing = front.spawn(client.close())
        assert [message async for message in server] == ["one", b"two"]
        await closing


async def test_iteration_raises_when_the_peer_closes_with_an_error(front):
    async with front.pair() as (client, server):
        await client.send("one")
        closing = front.spawn(client.close(1011, "oops"))
        seen = []
        with pytest.raises(ConnectionClosedError) as caught:
            async for message in server:
                seen.append(message)  # noqa: PERF401 - it raises
        assert seen == ["one"]
        assert caught.value.rcvd.code == 1011
        assert caught.value.rcvd.reason == "oops"
        await closing


async def test_what_was_received_before_the_end_can_be_read_after_it(front):
    async with front.pair() as (client, server):
        for i in range(5):
            await client.send(str(i))
        await client.close()
        await server.wait_closed()
        assert [await server.recv() for _ in range(5)] == ["0", "1", "2", "3", "4"]
        with pytest.raises(ConnectionClosedOK):
            await server.recv()


async def test_sending_after_the_end_raises_what_ended_it(front):
    async with front.pair() as (client, server):
        await client.close(1001, "bye")
        for ws in (client, server):
            await ws.wait_closed()
            for message in ("text", b"data", ["a", "b"]):
                with pytest.raises(ConnectionClosedOK):
                    await ws.send(message)
            with pytest.raises(ConnectionClosedOK):
                ws.send_nowait("text")
            with pytest.raises(ConnectionClosedOK):
                await ws.ping()
            with pytest.raises(ConnectionClosedOK):
                await ws.pong()


async def test_only_one_may_receive(front):
    async with front.pair() as (client, server):
        first = front.spawn(server.recv())
        await front.until(lambda: server.receiver is not None)
        with pytest.raises(ConcurrencyError):
            await server.recv()
        with pytest.raises(ConcurrencyError):
            async for _ in server:
                pass
        with pytest.raises(ConcurrencyError):
            async for _ in server.recv_streaming():
                pass
        await client.send("for the first")
        assert await first == "for the first"
        await client.send("again")
        assert await server.recv() == "again"


async def test_both_ends_may_send_and_receive_at_once(front):
    async def talk(ws, mark):
        sending = front.spawn(send(ws, mark))
        seen = [await ws.recv() for _ in range(200)]
        await sending
        return seen

    async def send(ws, mark):
        for i in range(200):
            await ws.send(f"{mark}{i}" + "." * (i * 37 % 3000))

    async with front.pair() as (client, server), front.timeout():
        there = front.spawn(talk(server, "s"))
        here = await talk(client, "c")
        assert [message.split(".")[0] for message in here] == [f"s{i}" for i in range(200)]
        assert [message.split(".")[0] for message in await there] == [f"c{i}" for i in range(200)]


async def test_fragments_pieces_of_frames_and_control_frames_between_make_no_difference(front):
    got = []

    async def handler(ws):
        got.extend([message async for message in ws])

    async with front.serve(handler) as server, front.raw(server) as peer:
        text = "日本語 ascii é".encode()
        wire = b""
        for i, byte in enumerate(text):
            last = i == len(text) - 1
            wire += peer.frame(CONT if i else TEXT, bytes([byte]), fin=last)
            wire += peer.frame(9, b"p")
        wire += peer.frame(BINARY, b"", fin=False) + peer.frame(CONT, b"", fin=True)
        wire += peer.frame(CLOSE, close_body(1000))
        for i in range(0, len(wire), 7):
            await front.thread(peer.send_bytes, wire[i : i + 7])
        code, _ = await front.thread(peer.recv_close)
        assert code == 1000
        await front.until(lambda: len(got) == 2)
    assert got == [text.decode(), b""]
