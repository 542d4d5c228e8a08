from __future__ import annotations

import random

from duplexer.driver.outbox import Outbox


def test_what_goes_in_comes_out_in_order_whatever_the_writes():
    chance = random.Random(1)
    outbox = Outbox()
    sent, got = bytearray(), bytearray()
    for _ in range(500):
        pieces = [chance.randbytes(chance.randrange(1, 40)) for _ in range(chance.randrange(3))]
        data = pieces if chance.random() < 0.5 else b"".join(pieces)
        sent += b"".join(pieces)
        outbox.add(data)
        if not outbox.size:
            continue
        part = outbox.head(16) if chance.random() < 0.5 else b"".join(outbox.first(4))
        n = chance.randrange(len(part) + 1)
        got += part[:n]
        outbox.left(n)
        assert outbox.size == len(sent) - len(got)
        assert outbox.written == len(got)
    got += outbox.take()
    assert got == sent
    assert outbox.size == 0


def test_a_part_is_no_longer_than_asked_for():
    outbox = Outbox()
    outbox.add(b"x" * 100)
    assert len(outbox.head(16)) == 16
    outbox.left(95)
    assert bytes(outbox.head(16)) == b"x" * 5
    assert len(outbox.first(1)) == 1


def test_what_is_cleared_has_not_left():
    outbox = Outbox()
    outbox.add([b"ab", b"cd"])
    outbox.left(1)
    outbox.clear()
    assert (outbox.size, outbox.written) == (0, 1)
    assert outbox.first(4) == []
    outbox.add(b"")
    assert outbox.first(4) == []
