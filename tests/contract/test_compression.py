"""permessage-deflate as a user sees it: on, off, per message; and it gives its memory back."""

from __future__ import annotations

import random

import pytest

from duplexer import Limits
from tests.contract.peers import BINARY, TEXT


async def echo(ws):
    async for message in ws:
        await ws.send(message)


@pytest.mark.parametrize("ours", ["deflate", None])
@pytest.mark.parametrize("theirs", ["deflate", None])
async def test_it_is_used_where_both_want_it(front, ours, theirs):
    async with front.serve(echo, compression=theirs) as server:
        async with front.connect(server, compression=ours) as ws:
            assert bool(ws.extensions) is (ours is not None and theirs is not None)
            for message in ("x" * 10_000, "short", "é" * 1000, b"\x00" * 3000):
                await ws.send(message)
                assert await ws.recv() == message


async def test_every_sort_of_message_survives_in_any_order(front):
    rng = random.Random(7)
    alphabet = "abcdefgh é日🎉"
    async with front.serve(echo, max_size=None) as server:
        async with front.connect(server, max_size=None) as ws:
            for _ in range(60):
                size = rng.choice([0, 1, 127, 128, 1000, 4096, 70_000])
                message = "".join(rng.choices(alphabet, k=size))
                message = message.encode() if rng.random() < 0.4 else message
                compress = rng.choice([None, True, False])
                if rng.random() < 0.3 and size:
                    await ws.send([message[:7], message[7:]], compress=compress)
                else:
                    await ws.send(message, compress=compress)
                assert await ws.recv() == message


async def test_what_looks_random_goes_as_it_is(front):
    """It would cost the most and gain nothing; where it may enter the window, who asks decides."""
    noise = random.Random(1).randbytes(5000)
    async with front.serve(echo) as server:
        headers = "Sec-WebSocket-Extensions: permessage-deflate\r\n"
        async with front.raw(server, headers=headers) as peer:
            await front.until(lambda: server.connections)
            ws = next(iter(server.connections))
            for message, compress, rsv in (
                (noise, None, 0),
                (noise, True, 4),
                (b"structure " * 500, None, 4),
                ([noise, noise], None, 0),
            ):
                await ws.send(message, compress=compress)
                frame = await front.thread(peer.recv)
                assert (frame.opcode, frame.rsv) == (BINARY, rsv)


async def test_compress_decides_for_one_message(front):
    async with front.serve(echo) as server:
        headers = "Sec-WebSocket-Extensions: permessage-deflate\r\n"
        async with front.raw(server, headers=headers) as peer:
            await front.until(lambda: server.connections)
            ws = next(iter(server.connections))
            for message, compress, rsv in (
                ("short", None, 0),
                ("x" * 1000, None, 4),
                ("short", True, 4),
                ("x" * 1000, False, 0),
            ):
                await ws.send(message, compress=compress)
                frame = await front.thread(peer.recv)
                assert (frame.opcode, frame.rsv) == (TEXT, rsv)


async def test_contexts_are_given_back_after_a_while(front):
    limits = Limits(deflate_idle=0.05)
    released = []
    async with front.pair(server={"limits": limits}) as (client, server):
        extension = server.extensions[0]
        release = type(extension).release

        class Watched(type(extension)):
            def release(self):
                released.append(self)
                release(self)

        try:
            extension.__class__ = Watched
        except TypeError:
            pytest.fail("the extension cannot be watched")
        await server.send("x" * 5000)
        assert await client.recv() == "x" * 5000
        await front.until(lambda: released)
        for i in range(3):
            await server.send(f"{i}" * 5000)
            assert await client.recv() == f"{i}" * 5000
            await client.send(f"{i}" * 5000)
            assert await server.recv() == f"{i}" * 5000


async def test_corrupt_data_fails_the_connection(front):
    async with front.serve(lambda ws: ws.recv()) as server:
        headers = "Sec-WebSocket-Extensions: permessage-deflate\r\n"
        async with front.raw(server, headers=headers) as peer:
            await front.thread(peer.send, TEXT, b"\xff" * 20, rsv=4)
            code, reason = await front.thread(peer.recv_close)
            assert (code, reason) == (1002, "corrupt compressed data")


async def test_a_bomb_is_stopped(front):
    import zlib

    squeeze = zlib.compressobj(9, zlib.DEFLATED, -15)
    bomb = squeeze.compress(b"\0" * 50_000_000) + squeeze.flush(zlib.Z_SYNC_FLUSH)
    async with front.serve(lambda ws: ws.recv()) as server:
        headers = "Sec-WebSocket-Extensions: permessage-deflate\r\n"
        async with front.raw(server, headers=headers) as peer:
            await front.thread(peer.send, TEXT, bomb[:-4], rsv=4)
            assert (await front.thread(peer.recv_close))[0] == 1009
