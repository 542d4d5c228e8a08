from __future__ import annotations

import array
import gc

import pytest

from duplexer.core.prepared import Prepared
from duplexer.driver.streaming import Fragments, Pieces, check_message, control_payload
from duplexer.errors import ConcurrencyError
from tests.contract.peers import BINARY, CONT, TEXT, encode
from tests.unit.driver.test_conduct import Plain, settle

MASK = bytes(4)


def feed(conduct, *frames):
    data = b"".join(frames)
    conduct.take_in(data, 0, len(data), 0.0)


@pytest.fixture
def server():
    return Plain(server=True)


def collect(conduct, pieces):
    found = []
    while not pieces.finished:
        pieces.begin()
        message = conduct.next_message(pieces.reader, 0.0)
        if message is None:
            break
        piece = pieces.take(message)
        if piece is not None:
            found.append(piece)
    return found


def test_what_can_be_sent():
    for message in ("text", b"bytes", bytearray(b"x"), memoryview(b"x"), Prepared("x"), ["a", "b"]):
        assert check_message(message) is message
    assert bytes(check_message(array.array("B", [1, 2]))) == b"\1\2"
    with pytest.raises(TypeError, match="mapping"):
        check_message({"a": 1})
    with pytest.raises(TypeError, match="not int"):
        check_message(7)


def test_what_a_control_frame_carries():
    assert control_payload("é") == "é".encode()
    assert control_payload(memoryview(b"x" * 125)) == b"x" * 125
    with pytest.raises(ValueError, match="125"):
        control_payload(b"x" * 126)


def test_pieces_come_as_the_reads_do(server):
    pieces = Pieces(server, None)
    pieces.begin()
    feed(server, encode(TEXT, b"one", fin=False, mask=MASK))
    assert collect(server, pieces) == ["one"]
    feed(server, encode(CONT, b"two", mask=MASK), encode(TEXT, b"next", mask=MASK))
    assert collect(server, pieces) == ["two"]
    assert pieces.finished
    assert server.streaming is None
    assert server.next_message(None, 0.0) == "next"


@pytest.mark.parametrize(("decode", "wanted"), [(None, ""), (False, b"")])
def test_an_empty_message_is_one_empty_piece(server, decode, wanted):
    feed(server, encode(TEXT, b"", mask=MASK))
    assert collect(server, Pieces(server, decode)) == [wanted]


def test_bytes_are_decoded_across_pieces(server):
    pieces = Pieces(server, True)
    pieces.begin()
    feed(server, encode(BINARY, b"\xc3", fin=False, mask=MASK))
    assert collect(server, pieces) == []
    feed(server, encode(CONT, b"\xa9", mask=MASK))
    assert collect(server, pieces) == ["é"]


def test_only_one_takes_pieces(server):
    first = Pieces(server, None)
    first.begin()
    with pytest.raises(ConcurrencyError):
        Pieces(server, None).begin()


def test_the_rest_is_discarded_when_its_reader_leaves(server):
    pieces = Pieces(server, None)
    pieces.begin()
    feed(server, encode(TEXT, b"one", fin=False, mask=MASK))
    pieces.take(server.next_message(pieces.reader, 0.0))
    del pieces
    gc.collect()
    assert server.streaming is None
    feed(server, encode(CONT, b"two", mask=MASK), encode(TEXT, b"next", mask=MASK))
    assert server.next_message(None, 0.0) == "next"


def test_nothing_is_lost_when_waiting_for_the_first_piece_is_cancelled(server):
    pieces = Pieces(server, None)
    pieces.begin()
    pieces.pause()
    assert server.streaming is None
    feed(server, encode(TEXT, b"whole", mask=MASK))
    assert server.next_message(None, 0.0) == "whole"


def test_one_who_has_begun_keeps_the_message_when_cancelled(server):
    pieces = Pieces(server, None)
    pieces.begin()
    feed(server, encode(TEXT, b"one", fin=False, mask=MASK))
    assert collect(server, pieces) == ["one"]
    pieces.pause()
    assert server.streaming is pieces.reader


def test_fragments_become_one_message(server):
    client = Plain()
    fragments = Fragments(client.session, None, None)
    for piece in ("a", "b", "c"):
        fragments.put(piece)
        settle(client, server)
        assert server.next_message(None, 0.0) is None
    fragments.end()
    settle(client, server)
    assert server.next_message(None, 0.0) == "abc"


def test_no_fragments_are_no_message():
    client = Plain()
    Fragments(client.session, None, None).end()
    assert client.outgoing() == b""


async def test_each_piece_is_handed_over_before_the_next_is_asked_for(server):
    client = Plain()
    happened = []

    async def pieces():
        for piece in "ab":
            happened.append(piece)
            yield piece

    async def hand_over():
        happened.append("over")
        settle(client, server)

    await Fragments(client.session, None, None).send_each(pieces(), hand_over, pytest.fail)
    assert happened == ["a", "over", "b", "over"]
    settle(client, server)
    assert server.next_message(None, 0.0) == "ab"


@pytest.mark.parametrize("count", [0, 1])
async def test_pieces_that_fail_end_the_connection_if_some_are_out(count):
    client = Plain()
    settled = []

    async def pieces():
        for _ in range(count):
            yield "a"
        raise ValueError("broken")

    async def hand_over():
        pass

    fragments = Fragments(client.session, None, None)
    with pytest.raises(ValueError, match="broken"):
        await fragments.send_each(pieces(), hand_over, lambda: settled.append(True))
    assert client.session.is_open is (count == 0)
    assert len(settled) == count


def test_half_a_message_ends_the_connection():
    client = Plain()
    fragments = Fragments(client.session, None, None)
    error = ValueError("broken")
    assert not fragments.fail(error)
    fragments.put("a")
    with pytest.raises(TypeError, match="all pieces"):
        fragments.put(b"b")
    assert fragments.fail(error)
    assert client.session.error is error
