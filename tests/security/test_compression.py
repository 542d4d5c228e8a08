"""Rows 38 to 42: bombs, work without output, corrupt data, memory of contexts, secrets."""

from __future__ import annotations

import contextlib
import zlib

import pytest

from duplexer import ConnectionClosed, ConnectionClosedError, Limits
from tests.contract.peers import BINARY, CONT, TEXT, encode
from tests.security.attackers import PATIENCE, attack, echo, echoes, open_raw, pieces_of, struck

pytestmark = pytest.mark.both_builds

OFFER = "Sec-WebSocket-Extensions: permessage-deflate\r\n"
MASK = bytes(4)


def deflated(data: bytes) -> bytes:
    compressor = zlib.compressobj(9, zlib.DEFLATED, -15)
    return (compressor.compress(data) + compressor.flush(zlib.Z_SYNC_FLUSH))[:-4]


def bomb(size: int) -> bytes:
    """Deflate data of ``size`` zeros, made a megabyte at a time."""
    compressor = zlib.compressobj(9, zlib.DEFLATED, -15)
    zeros = bytes(1 << 20)
    pieces = [compressor.compress(zeros) for _ in range(size >> 20)]
    return b"".join(pieces) + compressor.flush(zlib.Z_SYNC_FLUSH)[:-4]


BOMB = bomb(64 << 20)  # 64 KiB


async def test_a_bomb(front):
    async with front.serve(echo) as server:
        whole = encode(BINARY, BOMB, rsv=4, mask=MASK)
        assert (await front.thread(attack, server, whole, headers=OFFER))[0] == 1009
        step = len(BOMB) // 16 + 1
        fragments = [
            encode(CONT if i else BINARY, piece, fin=i == 15, rsv=0 if i else 4, mask=MASK)
            for i, piece in enumerate(pieces_of(BOMB, step))
        ]
        assert (await front.thread(attack, server, *fragments, headers=OFFER))[0] == 1009
        await struck(front, server, {"max_message": 2})
        assert await front.thread(echoes, server)


async def test_a_bomb_by_its_ratio(front):
    limits = Limits(inflate_ratio=100.0, max_message=64 << 20)
    async with front.serve(echo, limits=limits) as server:
        whole = encode(BINARY, bomb(2 << 20), rsv=4, mask=MASK)
        assert (await front.thread(attack, server, whole, headers=OFFER))[0] == 1009
        await struck(front, server, {"inflate_ratio": 1})


@pytest.mark.one_front
def test_a_bomb_is_not_inflated_beyond_the_bound():
    """What comes out at most is the message's bound and a byte, however much there is."""
    from duplexer.errors import ProtocolError
    from duplexer.extensions.deflate import PerMessageDeflate

    codec = PerMessageDeflate(False, False, 15, 15, limits=Limits())
    with pytest.raises(ProtocolError, match="too big"):
        codec.decode(BOMB, True, 1 << 20)


async def test_a_bomb_for_a_client(front):
    async with front.raw_listener() as listener:
        answer = "Sec-WebSocket-Extensions: permessage-deflate\r\n"
        accepting = front.spawn(front.thread(listener.accept, headers=answer))
        ws = await front.connect(listener)
        peer = await accepting
        try:
            await front.thread(peer.send, BINARY, BOMB, rsv=4)
            with pytest.raises(ConnectionClosedError) as caught:
                await ws.recv()
            assert caught.value.sent.code == 1009
        finally:
            peer.close()
            await ws.wait_closed()


async def test_work_without_output(front):
    """A megabyte of empty blocks: it costs time, but others have their turn."""
    blocks = bytes.fromhex("000000ffff") * 200_000
    async with front.serve(echo) as server:
        peer = await front.thread(open_raw, server, OFFER)
        try:
            data = encode(BINARY, blocks + b"\x00", rsv=4, mask=MASK)
            sending = front.spawn(front.thread(peer.send_bytes, data))
            assert await front.thread(echoes, server)
            await sending
            frame = await front.thread(peer.recv)
            assert (frame.opcode, frame.payload) in ((BINARY, b""), (BINARY, b"\x00"))
        finally:
            peer.close()


@pytest.mark.one_front
def test_more_compressed_input_than_a_message_may_have():
    from duplexer.core.session import Session
    from duplexer.dialects.rfc6455 import RFC6455
    from duplexer.extensions.deflate import PerMessageDeflate

    limits = Limits(ping_interval=None)
    codec = PerMessageDeflate(False, False, 15, 15, limits=limits)
    session = Session(RFC6455, server=True, limits=limits, extensions=(codec,))
    data = encode(BINARY, bytes.fromhex("000000ffff") * 300_000, rsv=4, mask=MASK)
    session.receive(data, 0, len(data))
    assert session.error.name == "message-too-big"


async def test_corrupt_data(front):
    text = "so much text that there is something to compress in it, text and text again"
    good = deflated(text.encode())
    wrong = [b"\xff" * 20, good[:10] + b"\xff" * 10, deflated(b"x")[:1] + b"\x07" * 30, b"\x06\x00"]
    async with front.serve(echo) as server:
        for data in wrong:
            sent = encode(TEXT, data, rsv=4, mask=MASK)
            code, _ = await front.thread(attack, server, sent, headers=OFFER)
            assert code in (1002, 1007), data
        assert await front.thread(echoes, server)


@pytest.mark.one_front
def test_every_bit_flipped():
    """Refused, or text as zlib sees it: nothing is delivered that would not inflate to it."""
    from duplexer.core.session import Session
    from duplexer.dialects.rfc6455 import RFC6455
    from duplexer.errors import ProtocolError
    from duplexer.extensions.deflate import PerMessageDeflate

    limits = Limits(ping_interval=None)
    good = deflated(b"so much text that there is something to compress in it, text and text again")
    for bit in range(len(good) * 8):
        bad = bytearray(good)
        bad[bit // 8] ^= 1 << bit % 8
        codec = PerMessageDeflate(False, False, 15, 15, limits=limits)
        session = Session(RFC6455, server=True, limits=limits, extensions=(codec,))
        data = encode(TEXT, bytes(bad), rsv=4, mask=MASK)
        session.receive(data, 0, len(data))
        if session.inbox.count:
            inflated = zlib.decompressobj(-15).decompress(bytes(bad) + b"\0\0\xff\xff")
            assert session.inbox.pop().encode() == inflated
        else:
            assert isinstance(session.error, ProtocolError)


async def test_idle_connections_have_no_contexts(front):
    seen = []

    async def handler(ws):
        (codec,) = ws.extensions
        seen.append(codec)
        assert codec._inflater is None and codec._deflater is None
        await ws.send("something to compress" * 100)
        seen.append(codec._deflater is not None)
        seen.append(len(await ws.recv()))
        with contextlib.suppress(ConnectionClosed):
            await ws.wait_closed()

    async with front.serve(handler, limits=Limits(deflate_idle=0.2)) as server:
        async with front.connect(server) as ws:
            await ws.send("something to compress" * 100)
            await front.until(lambda: len(seen) == 3, PATIENCE)
            assert seen[1:] == [True, 2100]
            # The peer may refer to what it sent before: that is kept, and the own side's is not.
            await front.until(lambda: seen[0]._deflater is None, PATIENCE)


async def test_a_secret_stays_out_of_the_window(front):
    """Row 42: sent uncompressed, it is in no window: nothing that follows refers to it."""
    secret = "secret=0123456789abcdef0123456789abcdef" * 4

    async def handler(ws):
        await ws.send(secret, compress=False)
        await ws.send(secret, compress=True)

    async with front.serve(handler) as server:
        peer = await front.thread(open_raw, server, OFFER)
        try:
            first = await front.thread(peer.recv)
            second = await front.thread(peer.recv)
            assert (first.rsv, first.payload) == (0, secret.encode())
            assert second.rsv == 4
            inflater = zlib.decompressobj(-15)
            assert inflater.decompress(second.payload + b"\0\0\xff\xff") == secret.encode()
        finally:
            peer.close()
