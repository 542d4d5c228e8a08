"""Rows 17 to 23, 31, 33 and 34: frames that lie or break a rule, and what we send ourselves."""

from __future__ import annotations

import array
import struct

import pytest

from duplexer import Limits, State
from duplexer.errors import close_code_is_sendable
from tests.contract.peers import BINARY, CLOSE, CONT, PING, PONG, TEXT, close_body, encode
from tests.security.attackers import PATIENCE, attack, echo, echoes, head, open_raw, struck

pytestmark = pytest.mark.both_builds

MASK = bytes(4)


def frame(opcode, payload=b"", **kwargs):
    return encode(opcode, payload, mask=MASK, **kwargs)


LENGTHS = {
    2**20 + 1: 1009,
    2**31 - 1: 1009,
    2**31: 1009,
    2**32 - 1: 1009,
    2**32: 1009,
    2**63 - 1: 1009,
    2**63: 1002,
    2**64 - 14: 1002,
    2**64 - 1: 1002,
}


async def test_lengths_that_lie(front):
    """Refused as soon as the header is there: none of the payload is ever sent."""
    async with front.serve(echo) as server:
        for length, code in LENGTHS.items():
            assert (await front.thread(attack, server, head(BINARY, length)))[0] == code, length
            # ... and in the middle of a message, where a sum might wrap round.
            begun = frame(BINARY, b"x" * 100, fin=False)
            assert (await front.thread(attack, server, begun + head(CONT, length)))[0] == code
        assert await front.thread(echoes, server)
        await struck(front, server, {"max_message": 12})


async def test_a_frame_that_is_announced_costs_what_has_come(front):
    """Row 18: 200 connections announce 1 MiB each and send a byte of it."""
    async with front.serve(echo) as server:
        peers = [await front.thread(open_raw, server) for _ in range(50)]
        try:
            for peer in peers:
                peer.send_bytes(head(BINARY, 2**20) + b"x")
            await front.until(lambda: len(server.connections) == 50, PATIENCE)
            sessions = [ws.session for ws in server.connections]
            await front.until(lambda: all(s.assembler.body for s in sessions), PATIENCE)
            await front.until(lambda: all(s.assembler.body.size for s in sessions), PATIENCE)
            for session in sessions:
                body = session.assembler.body
                assert body.size == 1
                # What lies ready for the rest is in proportion to what has come.
                assert body.__sizeof__() < 10_000
            assert await front.thread(echoes, server)
        finally:
            for peer in peers:
                peer.close()


BREACHES = {
    "length of 5 in 16 bits": (head(BINARY, 5, form=126) + b"hello", 1002),
    "length of 5 in 64 bits": (head(BINARY, 5, form=127) + b"hello", 1002),
    "length of 65535 in 64 bits": (head(BINARY, 65535, form=127), 1002),
    **{f"opcode {op}": (head(op, 2**40), 1002) for op in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)},
    **{
        f"rsv {rsv} on opcode {op}": (frame(op, rsv=rsv), 1002)
        for op in (CONT, TEXT, BINARY, CLOSE, PING, PONG)
        for rsv in range(1, 8)
    },
    "unmasked": (encode(TEXT, b"x", mask=None), 1002),
    "unmasked ping": (encode(PING, b"", mask=None), 1002),
    "ping of 126 bytes": (frame(PING, b"x" * 126), 1002),
    "fragmented ping": (frame(PING, fin=False), 1002),
    "fragmented close": (frame(CLOSE, close_body(1000), fin=False), 1002),
    "continuation of nothing": (frame(CONT, b"x"), 1002),
    "message in a message": (frame(TEXT, b"x", fin=False) + frame(TEXT, b"y"), 1002),
    "message in an empty one": (frame(TEXT, b"", fin=False) + frame(TEXT, b"y"), 1002),
    "begun twice, empty": (frame(TEXT, b"", fin=False) + frame(BINARY, b"", fin=False), 1002),
    "close of one byte": (frame(CLOSE, b"x"), 1002),
    "close with a bad reason": (frame(CLOSE, close_body(1000) + b"\xff"), 1007),
    "overlong": (frame(TEXT, b"\xc0\x80"), 1007),
    "surrogate": (frame(TEXT, b"\xed\xa0\x80"), 1007),
    "beyond the last": (frame(TEXT, b"\xf4\x90\x80\x80"), 1007),
    "cut in a character": (frame(TEXT, b"\xe2\x82"), 1007),
    "late": (frame(TEXT, b"a" * 5000 + b"\xff"), 1007),
    "in a fragment": (frame(TEXT, b"\xe2", fin=False) + frame(CONT, b"\x28", fin=False), 1007),
}


async def test_breaches(front):
    async with front.serve(echo) as server:
        for name, (data, code) in BREACHES.items():
            if front.names.__class__.__name__ != "module" and name.startswith("rsv"):
                continue  # once is enough: nothing of it is the front's
            assert (await front.thread(attack, server, data))[0] == code, name
        assert await front.thread(echoes, server)


@pytest.mark.one_front
async def test_bits_of_compression_that_was_agreed_on(front):
    headers = "Sec-WebSocket-Extensions: permessage-deflate\r\n"
    wrong = [
        frame(opcode, rsv=rsv)
        for opcode in (TEXT, BINARY, CLOSE, PING, PONG)
        for rsv in (1, 2, 3, 5, 6, 7)
    ]
    wrong += [frame(opcode, rsv=4) for opcode in (CLOSE, PING, PONG)]
    wrong.append(frame(TEXT, b"\x02\x00", fin=False, rsv=4) + frame(CONT, rsv=4))
    async with front.serve(echo) as server:
        for data in wrong:
            assert (await front.thread(attack, server, data, headers=headers))[0] == 1002, data


async def test_a_bad_character_is_refused_before_its_message_ends(front):
    async with front.serve(echo) as server:
        data = frame(TEXT, b"ok\xff", fin=False)
        assert (await front.thread(attack, server, data))[0] == 1007


@pytest.mark.one_front
async def test_every_close_code(front):
    """All 65536; around the edges as the session sees them, and some of each kind on the wire."""
    from duplexer.core.session import Session
    from duplexer.dialects.rfc6455 import RFC6455

    allowed = {*range(1000, 1004), *range(1007, 1015), *range(3000, 5000)}
    assert {code for code in range(65536) if close_code_is_sendable(code)} == allowed
    limits = Limits(ping_interval=None)
    edges = {code + i for code in (0, 1000, 1016, 3000, 5000, 65535) for i in range(-20, 20)}
    for code in edges & set(range(65536)):
        session = Session(RFC6455, server=True, limits=limits)
        data = frame(CLOSE, struct.pack("!H", code))
        session.receive(data, 0, len(data))
        assert session.close_sent.code == (code if code in allowed else 1002)
    async with front.serve(echo) as server:
        for code in (0, 999, 1000, 1004, 1005, 1006, 1011, 1015, 1016, 2999, 3000, 4999, 5000):
            expected = code if code in allowed else 1002
            assert (await front.thread(attack, server, frame(CLOSE, close_body(code))))[
                0
            ] == expected


async def test_two_closes_and_what_follows_a_close(front):
    got = []

    async def handler(ws):
        got.extend([message async for message in ws])

    async with front.serve(handler) as server:
        data = frame(CLOSE, close_body(1000)) * 2 + frame(TEXT, b"late") + b"\xff" * 100
        assert (await front.thread(attack, server, data)) == (1000, "")
        begun = frame(TEXT, b"a", fin=False) + frame(CLOSE, close_body(1001)) + frame(CONT, b"b")
        assert (await front.thread(attack, server, begun)) == (1001, "")
        assert got == []


@pytest.mark.parametrize("data", [1, [1, 2], None, object(), 1.5, array.array("I", [1])])
async def test_what_is_no_message_is_not_sent(front, data):
    """Row 34: nobody's memory goes out by mistake."""
    async with front.pair() as (client, _):
        for call in (client.ping, client.pong):
            if data is not None:
                with pytest.raises(TypeError):
                    await call(data)
        if not isinstance(data, (list, array.array)):
            with pytest.raises(TypeError):
                await client.send(data)
        with pytest.raises(TypeError):
            await client.close(1000, data)
        assert client.state is State.OPEN


async def test_a_buffer_with_gaps_is_not_sent(front):
    async with front.pair() as (client, server):
        with pytest.raises((TypeError, ValueError, BufferError)):
            await client.send(memoryview(b"abcdef")[::2])
        await client.send(b"ace")
        assert await server.recv() == b"ace"
