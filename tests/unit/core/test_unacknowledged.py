"""What was sent is kept until a Pong shows that it has arrived."""

from __future__ import annotations

import pytest

from duplexer.core import opcodes
from duplexer.core.prepared import Prepared
from duplexer.core.session import Session
from duplexer.core.staying import Staying
from duplexer.core.unacknowledged import Unacknowledged
from duplexer.dialects.rfc6455 import RFC6455
from duplexer.limits import Limits
from tests.wire.frames import CLOSE, PING, PONG, TEXT, close_body
from tests.wire.sessions import feed, sent, to


def make(*, server: bool = False, most: int = 10_000, overhead: int = 10) -> Session:
    limits = Limits(ping_interval=None, unacknowledged_bytes=most, queue_overhead=overhead)
    return Session(RFC6455, server=server, limits=limits, staying=Staying(keep_unacknowledged=True))


def kept(session: Session) -> list[str | bytes]:
    assert session.kept is not None
    return session.kept.messages()


def pong(session: Session, payload: bytes, now: float = 1.0) -> None:
    feed(session, to(session, PONG, payload))
    assert session.events is not None
    session.events.clear()
    session.match_pong(payload, now)


def test_without_the_option_nothing_is_kept() -> None:
    session = Session(RFC6455, server=False, limits=Limits())
    session.send_message("a", None, None)
    assert session.kept is None


def test_every_kind_of_message_in_its_order() -> None:
    session = make()
    session.send_message("é", None, None)
    session.send_message("text", False, None)
    session.send_message(b"binary", None, None)
    session.send_message("é".encode(), True, None)
    session.send_message(memoryview(bytearray(b"view")), None, None)
    session.send_part(b"in ", True, False)
    assert len(kept(session)) == 5  # nobody has received a message that is not finished
    session.send_part(b"parts", True, True)
    session.send_part(b"\0", False, True)
    assert kept(session) == ["é", b"text", b"binary", "é", b"view", "in parts", b"\0"]
    assert all(type(message) in (str, bytes) for message in kept(session))


def test_a_pong_acknowledges_what_was_sent_before_its_ping_and_no_more() -> None:
    session = make()
    session.send_message("1", None, None)
    session.send_ping(b"first", None, 0.0)
    session.send_message("2", None, None)
    session.send_ping(b"second", None, 0.0)
    session.send_message("3", None, None)
    pong(session, b"first")
    assert kept(session) == ["2", "3"]
    pong(session, b"second")
    assert kept(session) == ["3"]
    session.match_pong(b"second", 1.0)  # once more
    session.match_pong(b"nobody's", 1.0)
    assert kept(session) == ["3"]


def test_a_late_pong_acknowledges_what_the_pings_before_it_would_have() -> None:
    session = make()
    for i in range(3):
        session.send_message(str(i), None, None)
        session.send_ping(str(i).encode(), None, 0.0)
    pong(session, b"1")
    assert kept(session) == ["2"]


def test_a_fragmented_message_counts_from_its_end() -> None:
    session = make()
    session.send_part(b"a", True, False)
    session.send_ping(b"within", None, 0.0)
    session.send_part(b"b", True, True)
    pong(session, b"within")
    assert kept(session) == ["ab"]


def test_it_asks_by_itself_but_not_for_each_message() -> None:
    session = make()
    assert not session.restless() and session.tick(0.0) is None
    session.send_message("1", None, None)
    assert session.restless()
    assert session.tick(5.0) == 6.0
    assert not session.restless()
    session.send_message("2", None, None)
    assert session.tick(5.5) == 6.0
    assert session.expire(5.9) is False
    assert [frame.opcode for frame in sent(session)] == [TEXT, TEXT]
    assert session.expire(6.0) is False
    (ping,) = sent(session)
    assert ping.opcode == PING
    pong(session, ping.payload, 6.5)
    assert kept(session) == [] and session.latency == 0.5
    assert session.tick(7.0) is None


def test_what_a_ping_of_others_has_asked_is_not_asked_again() -> None:
    session = make()
    session.send_message("1", None, None)
    session.tick(0.0)
    session.send_ping(b"mine", None, 0.5)
    assert len(sent(session)) == 2
    session.expire(1.0)
    assert sent(session) == []


def test_when_there_is_much_it_asks_at_once() -> None:
    session = make(most=1000, overhead=1)
    session.send_message(b"x" * 249, None, None)
    assert [frame.opcode for frame in sent(session)] == [2]
    session.send_message(b"x", None, None)
    message, ping = sent(session)
    assert (message.opcode, ping.opcode) == (2, PING)
    pong(session, ping.payload)
    assert kept(session) == [] and session.latency == 0.0  # it was no measurement


def test_the_bound() -> None:
    session = make(most=1000, overhead=10)
    session.send_message(b"x" * 980, None, None)
    sent(session)
    with pytest.raises(BufferError, match=r"990 bytes .* 1 more .* Limits.unacknowledged_bytes"):
        session.send_message(b"y", None, None)
    assert sent(session) == [] and len(kept(session)) == 1 and session.is_open
    session.send_ping(b"p", None, 0.0)
    pong(session, b"p")
    session.send_message(b"y", None, None)
    assert kept(session) == [b"y"]


def test_the_bound_holds_for_fragments_together() -> None:
    session = make(most=100, overhead=10)
    session.send_part(b"x" * 50, False, False)
    with pytest.raises(BufferError):
        session.send_part(b"x" * 50, False, False)


def test_before_a_close_it_asks_a_last_time() -> None:
    session = make()
    session.send_message("1", None, None)
    session.send_close(1000, "", 0.0)
    text, ping, close = sent(session)
    assert (text.opcode, ping.opcode, close.opcode) == (TEXT, PING, CLOSE)
    pong(session, ping.payload)
    feed(session, to(session, CLOSE, close_body(1000)))
    assert kept(session) == [] and session.ended_well()


def test_a_close_with_nothing_to_ask_is_only_a_close() -> None:
    session = make()
    session.send_close(1000, "", 0.0)
    assert [frame.opcode for frame in sent(session)] == [CLOSE]


def test_it_is_still_there_after_the_end() -> None:
    session = make()
    session.send_message("1", None, None)
    session.receive_eof(ConnectionResetError())
    assert kept(session) == ["1"]


def test_prepared_messages_are_sent_one_by_one_where_they_are_kept() -> None:
    session = make(server=True)
    assert session.prepare_key() is None
    assert Prepared("all").wire_for(session) is None


def test_text_that_is_none() -> None:
    unacknowledged = Unacknowledged(100, 1)
    unacknowledged.add(opcodes.TEXT, b"\xff", 1)
    assert unacknowledged.messages() == ["�"]
