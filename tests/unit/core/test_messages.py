"""From frames to messages: order, limits, and what waits for its reader."""

from __future__ import annotations

import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from duplexer.core import opcodes
from duplexer.core.events import Piece
from duplexer.core.messages import Assembler, Inbox
from duplexer.core.session import Session
from duplexer.errors import (
    Close,
    ProtocolError,
)
from duplexer.policy.ledger import Ledger
from tests.wire.frames import (
    BINARY,
    CLOSE,
    CONT,
    TEXT,
    joined,
)
from tests.wire.sessions import QUIET, carry, feed, make, messages, pair, to

# -- waiting for their reader --------------------------------------------------------------------


@given(st.lists(st.one_of(st.none(), st.text(max_size=5), st.binary(max_size=5))))
def test_the_inbox_is_a_queue(acts: list[Any]) -> None:
    """``None`` takes a message out, if there is one."""
    inbox = Inbox(128)
    waiting: list[Any] = []
    for act in acts:
        if act is not None:
            inbox.put(act, len(act))
            waiting.append(act)
        elif waiting:
            assert inbox.pop() == waiting.pop(0)
        assert inbox.count == len(waiting)
        assert inbox.size == sum(len(message) + 128 for message in waiting)


def test_a_long_queue_does_not_keep_what_was_taken() -> None:
    inbox = Inbox(0)
    for i in range(2000):
        inbox.put(b"%d" % i, 1)
    for i in range(1900):
        assert inbox.pop() == b"%d" % i
    assert inbox.rest is not None and len(inbox.rest) < 600
    assert [inbox.pop() for _ in range(100)] == [b"%d" % i for i in range(1900, 2000)]
    assert (inbox.count, inbox.size, inbox.rest, inbox.first) == (0, 0, None, None)


def test_empty_messages_weigh_something() -> None:
    session = make()
    feed(session, *[to(session, TEXT)] * 100)
    assert session.inbox.size == 100 * session.limits.queue_overhead


def test_text_weighs_its_characters() -> None:
    session = make()
    feed(session, to(session, TEXT, "é".encode() * 10), to(session, TEXT, b"x"))
    assert session.inbox.size == 10 + 1 + 2 * session.limits.queue_overhead
    session.inbox.pop()
    assert session.inbox.size == 1 + session.limits.queue_overhead
    session.inbox.pop()
    assert session.inbox.size == 0


# -- the assembler by itself ---------------------------------------------------------------------


def assembler(**changes: Any) -> Assembler:
    return Assembler(QUIET.replace(**changes), ())


def push(target: Assembler, opcode: int, data: bytes, fin: bool) -> None:
    """A frame as a decoder hands it on, in two pieces."""
    target.begin_frame(opcode, 0, len(data))
    for piece in (data[:1], data[1:]):
        assert target.intake is not None
        target.intake.push(piece, 0, len(piece), 0, len(data))
        target.advance(len(piece))
    target.end_frame(fin)


def broken(name: str) -> Any:
    return pytest.raises(ProtocolError, check=lambda error: error.name == name)


def test_order() -> None:
    target = assembler()
    with broken("continuation-unexpected"):
        target.begin_frame(opcodes.CONT, 0, 0)
    push(target, opcodes.TEXT, b"", False)
    with broken("continuation-expected"):
        target.begin_frame(opcodes.TEXT, 0, 0)
    with broken("continuation-expected"):
        target.whole("x", 1)
    with broken("rsv-unexpected"):
        target.begin_frame(opcodes.CONT, 4, 0)
    push(target, opcodes.CONT, b"", True)
    assert target.inbox.pop() == ""
    with broken("continuation-unexpected"):
        target.begin_frame(opcodes.CONT, 0, 0)
    with broken("rsv-unexpected"):
        target.begin_frame(opcodes.BINARY, 2, 0)


@pytest.mark.parametrize("limit", [1, 125, 126, 65536])
def test_the_size_of_a_message(limit: int) -> None:
    for first in (0, 1, limit - 1, limit):
        target = assembler(max_message=limit)
        push(target, opcodes.BINARY, bytes(first), False)
        with broken("message-too-big"):
            target.check_size(limit - first + 1)
        push(target, opcodes.CONT, bytes(limit - first), True)
        assert target.inbox.pop() == bytes(limit)
        target.check_size(limit)
        with broken("message-too-big"):
            target.check_size(limit + 1)


def test_the_size_of_a_frame() -> None:
    target = assembler(max_frame=10, max_message=100)
    target.check_size(9)
    target.check_size(10)
    with broken("frame-too-big"):
        target.check_size(11)


def test_without_limits() -> None:
    target = assembler(max_message=None)
    target.check_size(1 << 61)
    with broken("message-too-big"):
        target.check_size((1 << 63) - 1)


@pytest.mark.parametrize(("size", "allowed"), [(0, 5), (1, 6), (9, 14)])
def test_the_number_of_fragments(size: int, allowed: int) -> None:
    # Five, and one more for each byte.
    target = assembler(max_fragments=5, bytes_per_fragment=1)
    push(target, opcodes.BINARY, bytes(size), False)
    for _ in range(allowed - 1):
        push(target, opcodes.CONT, b"", False)
    with broken("fragments-too-many"):
        target.begin_frame(opcodes.CONT, 0, 0)


def test_fragments_are_counted_anew_for_each_message() -> None:
    target = assembler(max_fragments=2)
    for _ in range(5):
        push(target, opcodes.BINARY, b"a", False)
        push(target, opcodes.CONT, b"b", True)
    assert target.inbox.count == 5


def test_fragments_cost_no_objects() -> None:
    target = assembler(max_fragments=100_000)
    push(target, opcodes.BINARY, b"a", False)
    tracemalloc.start()
    try:
        for _ in range(50_000):
            push(target, opcodes.CONT, b"", False)
        assert tracemalloc.get_traced_memory()[0] < 20_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(("first", "limit"), [(5, 10), (5, None), (50, 10)])
def test_the_first_message_may_have_a_bound_of_its_own(first: int, limit: int | None) -> None:
    target = assembler(max_message=limit)
    target.bound_first(first)
    most = first if limit is None else min(first, limit)
    target.check_size(most)
    with pytest.raises(ProtocolError) as caught:
        target.check_size(most + 1)
    assert caught.value.name == "message-too-big"
    assert ("Limits.first_message" in caught.value.detail) is (first < (limit or 1_000_000))
    assert ("Limits.max_message" in caught.value.detail) is (first > (limit or 1_000_000))
    push(target, opcodes.BINARY, b"x" * (most - 1), False)
    with broken("message-too-big"):
        target.check_size(2)
    push(target, opcodes.CONT, b"x", True)
    assert target.inbox.pop() == b"x" * most
    most = 1_000_000 if limit is None else limit
    target.check_size(most)
    if limit is not None:
        with broken("message-too-big"):
            target.check_size(most + 1)


def test_nobody_listens_any_more() -> None:
    target = assembler()
    target.deaf = True
    target.whole("x", 1)
    push(target, opcodes.TEXT, b"y", True)
    assert target.inbox.count == 0


def test_each_message_has_a_number() -> None:
    target = assembler()
    target.whole("x", 1)
    push(target, opcodes.TEXT, b"y", False)
    assert target.serial == 2
    push(target, opcodes.CONT, b"z", True)
    assert target.serial == 2


def test_clearing() -> None:
    target = assembler()
    push(target, opcodes.TEXT, b"y", False)
    target.clear()
    assert (target.opcode, target.body, target.intake) == (0, None, None)


# -- what many connections hold together -----------------------------------------------------------


def ledgered(ledger: Ledger, **options: Any) -> Session:
    session = make(**options)
    session.assembler.ledger = ledger
    return session


def test_what_is_incomplete_is_counted_until_it_is_complete() -> None:
    ledger = Ledger(100_000)
    first, second = ledgered(ledger), ledgered(ledger)
    feed(first, to(first, BINARY, bytes(40_000), fin=False))
    frame = to(second, BINARY, bytes(50_000))
    feed(second, frame[:30_004])
    assert ledger.held == 70_000 - len(frame) + 50_004
    feed(first, to(first, CONT, bytes(20_000)))
    feed(second, frame[30_004:])
    assert ledger.held == 0
    assert [len(*messages(session)) for session in (first, second)] == [60_000, 50_000]


def test_short_messages_are_not_counted_however_they_are_cut() -> None:
    ledger = Ledger(1)
    session, other = ledgered(ledger), ledgered(ledger)
    feed(other, to(other, BINARY, bytes(20_000), fin=False))  # it is alone, and fills all
    feed(session, *(to(session, BINARY, bytes(10_000), fin=False), to(session, CONT, bytes(5_000))))
    assert len(*messages(session)) == 15_000
    feed(session, to(session, BINARY, bytes(500_000)))  # and what comes in one read is complete
    assert len(*messages(session)) == 500_000
    assert ledger.held == 20_000


@pytest.mark.parametrize("deflate", [False, True])
def test_who_wants_more_than_there_is_has_to_come_again(deflate: bool) -> None:
    ledger = Ledger(100_000)
    first = ledgered(ledger)
    feed(first, to(first, BINARY, bytes(60_000), fin=False))
    client, server = pair(deflate=deflate)
    server.assembler.ledger = ledger
    client.send_part(b"a" * 30_000, False, False)
    carry(client, server)
    assert server.is_open and ledger.held == 90_000
    client.send_part(b"a" * 30_000, False, False)
    carry(client, server)
    assert isinstance(server.error, ProtocolError) and server.error.name == "messages-incomplete"
    assert server.close_sent == Close(1013, "too many incomplete messages (max_incomplete)")
    assert ledger.held == 60_000


@pytest.mark.parametrize("end", ["close", "eof", "breach"])
def test_whoever_goes_gives_it_back(end: str) -> None:
    ledger = Ledger(100_000)
    session = ledgered(ledger)
    feed(session, to(session, TEXT, b"x" * 50_000, fin=False))
    assert ledger.held == 50_000
    if end == "close":
        feed(session, to(session, CLOSE))
    elif end == "eof":
        session.receive_eof()
    else:
        feed(session, to(session, TEXT))
    assert ledger.held == 0


def test_what_its_reader_takes_in_pieces_is_not_held() -> None:
    ledger = Ledger(100_000)
    session = ledgered(ledger)
    feed(session, to(session, TEXT, b"x" * 50_000, fin=False))
    session.assembler.streaming = True
    feed(session, to(session, CONT, b"x" * 50_000, fin=False))
    assert ledger.held == 0
    session.assembler.abandon()
    feed(session, to(session, CONT, b"x" * 50_000, fin=False))
    assert ledger.held == 0


# -- streaming -------------------------------------------------------------------------------------


def test_a_message_in_pieces() -> None:
    session = make()
    session.assembler.streaming = True
    frame = to(session, TEXT, "aé€😀z".encode() * 2)
    got: list[Any] = []
    for i in range(len(frame)):
        feed(session, frame[i : i + 1])
        got += messages(session)
    assert all(isinstance(piece, Piece) for piece in got)
    assert "".join(piece.data for piece in got) == "aé€😀z" * 2
    assert [piece.fin for piece in got] == [False] * (len(got) - 1) + [True]
    assert len(got) > 5
    feed(session, to(session, TEXT, b"whole"))
    assert messages(session) == ["whole"]


@pytest.mark.parametrize("deflate", [False, True])
@pytest.mark.parametrize("opcode", [TEXT, BINARY])
def test_a_message_whose_reader_went_away(opcode: int, deflate: bool) -> None:
    client, server = pair(deflate=deflate)
    text = "aé€😀z" * 100
    client.send_message(text, opcode == TEXT, None)
    client.send_message("next", None, None)
    wire = joined(client.cork.take())
    server.assembler.streaming = True
    feed(server, wire[:40])
    server.assembler.abandon()
    for i in range(40, len(wire)):
        feed(server, wire[i : i + 1])
    assert messages(server) == ["next"] and server.error is None


def test_a_discarded_message_is_still_checked() -> None:
    session = make()
    session.assembler.streaming = True
    feed(session, to(session, TEXT, b"abc", fin=False))
    session.assembler.abandon()
    assert messages(session) == []
    feed(session, to(session, CONT, b"\xff", fin=False))
    assert isinstance(session.error, ProtocolError) and session.error.name == "utf8-invalid"
