"""One WebSocket without I/O, in both roles. What arrives is tested in tests/wire/ as well."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from duplexer.core.events import MessagesReceived, PingReceived, PongReceived
from duplexer.core.extension import Extension
from duplexer.core.session import Session
from duplexer.core.staying import Staying
from duplexer.dialects import hybi
from duplexer.dialects.rfc6455 import RFC6455
from duplexer.errors import Close, ProtocolError
from duplexer.limits import Limits
from tests.wire.frames import (
    CLOSE,
    CONT,
    PING,
    PONG,
    TEXT,
    Frame,
    build,
    close_body,
    joined,
    parse,
)
from tests.wire.sessions import feed, make, messages, pair, sent, to

# -- both roles together ---------------------------------------------------------------------------


@given(
    st.lists(
        st.one_of(
            st.text(st.characters(exclude_categories=["Cs"]), max_size=300),
            st.binary(max_size=300),
        ),
        max_size=8,
    ),
    st.booleans(),
    st.data(),
)
def test_what_is_sent_arrives(sending: list[Any], deflate: bool, data: st.DataObject) -> None:
    for source, target in (pair(deflate=deflate), pair(deflate=deflate)[::-1]):
        for message in sending:
            source.send_message(message, None, data.draw(st.sampled_from([None, True, False])))
        wire = joined(source.cork.take())
        cut = data.draw(st.integers(0, len(wire)))
        feed(target, wire[:cut], wire[cut:])
        assert messages(target) == sending
        assert target.error is None


def test_fragments_with_deflate() -> None:
    client, server = pair(deflate=True)
    for _ in range(3):
        client.send_part(b"Hello " * 20, True, False, None)
        client.send_part(b"", True, False)
        client.send_part(b"Hello " * 20, True, True)
        frames = parse(bytes(joined(client.cork.take())))
        assert [frame.rsv for frame in frames] == [4, 0, 0]
        for frame in frames:
            feed(server, to(server, frame.opcode, frame.payload, fin=frame.fin, rsv=frame.rsv))
        assert messages(server) == ["Hello " * 40]


def test_compress_is_the_users_say() -> None:
    session = make(deflate=True)
    session.send_message("x" * 1000, None, False)
    session.send_message("x", None, True)
    session.send_message("x" * 127, None, None)
    session.send_message("x" * 128, None, None)
    assert [frame.rsv for frame in sent(session)] == [0, 4, 0, 4]


# -- control frames --------------------------------------------------------------------------------


def test_pings_are_answered_in_order(session: Session) -> None:
    feed(session, to(session, PING, b"1") + to(session, PONG, b"2") + to(session, PING, b"3"))
    assert session.events == [PingReceived(b"1"), PongReceived(b"2"), PingReceived(b"3")]
    assert sent(session) == [Frame(PONG, b"1"), Frame(PONG, b"3")]


def test_only_the_newest_answer_waits_for_congestion_to_end(session: Session) -> None:
    session.congested = True
    feed(session, *[to(session, PING, b"%d" % i) for i in range(10)])
    assert session.cork.size == 0
    session.resume_sending()
    assert sent(session) == [Frame(PONG, b"9")]
    session.resume_sending()
    assert session.cork.size == 0


def test_a_pong_answers_the_pings_before_it(session: Session) -> None:
    for i in range(4):
        session.send_ping(b"%d" % i, f"token {i}", float(i))
    assert session.is_pinging(b"2") and not session.is_pinging(b"9")
    assert session.match_pong(b"9", 10.0) == []
    assert session.match_pong(b"2", 10.0) == [("token 0", 10.0), ("token 1", 9.0), ("token 2", 8.0)]
    assert session.latency == 8.0
    assert session.match_pong(b"2", 10.0) == []
    assert session.drop_pings() == ["token 3"]
    assert session.drop_pings() == []


def test_old_keepalive_pings_are_forgotten_but_no_users(session: Session) -> None:
    session.send_ping(b"user", "token", 0.0)
    for i in range(100):
        session.send_ping(b"%d" % i, None, float(i))
    assert session.is_pinging(b"user")
    assert not session.is_pinging(b"0") and session.is_pinging(b"99")
    assert len(session.drop_pings()) <= session.limits.max_pings


def test_users_pings_alone_fill_the_list(session: Session) -> None:
    for i in range(20):
        session.send_ping(b"%d" % i, i, 0.0)
    session.send_ping(b"keepalive", None, 0.0)
    session.send_ping(b"keepalive 2", None, 0.0)
    assert session.drop_pings() == [*range(20), None]


def test_ping_payloads_are_new(session: Session) -> None:
    payload = session.new_ping_payload()
    assert len(payload) == 4
    session.send_ping(payload, None, 0.0)
    assert session.new_ping_payload() != payload


def test_the_allowance_of_control_frames() -> None:
    session = make(control_burst=10, control_rate=2.0)
    session.charge([PingReceived(b"")] * 10, 0.0)
    session.charge([PingReceived(b"")], 0.5)
    assert session.error is None
    session.charge([PingReceived(b"")] * 10, 100.0)  # no more than a burst is saved up
    session.charge([PingReceived(b"")], 100.0)
    assert isinstance(session.error, ProtocolError) and session.error.name == "control-rate"
    assert sent(session) == [Frame(CLOSE, close_body(1008, "too many control frames"))]


class Meter:
    """Notes what it is charged, and answers what it is told to."""

    def __init__(self) -> None:
        self.charged: list[tuple[int, int, float]] = []
        self.answer: tuple[str, str] | None = None

    def charge(self, messages: int, controls: int, now: float) -> tuple[str, str] | None:
        self.charged.append((messages, controls, now))
        return self.answer


def take(session: Session, data: bytes) -> list[Any]:
    session.receive(data, 0, len(data))
    events, session.events = session.events or [], None
    return events


def test_a_meter_is_told_of_messages_and_control_frames() -> None:
    session = make()
    session.meter = meter = Meter()
    whole = hybi.frame(b"a", TEXT, mask=b"\0\0\0\0")
    begun = hybi.frame(b"b", TEXT, fin=False, mask=b"\0\0\0\0")
    ping = hybi.frame(b"", PING, mask=b"\0\0\0\0")
    rest = hybi.frame(b"c", CONT, mask=b"\0\0\0\0")
    events = take(session, whole + whole + ping + begun)
    assert MessagesReceived(2) in events and len(events) == 2
    session.charge(events, 1.0)
    assert not [e for e in take(session, rest[:3]) if isinstance(e, MessagesReceived)]
    session.charge(take(session, rest[3:]), 2.0)
    assert meter.charged == [(2, 1, 1.0), (1, 0, 2.0)]
    assert session.error is None
    meter.answer = "message-rate", "why"
    session.charge(take(session, whole), 3.0)
    assert isinstance(session.error, ProtocolError)
    assert (session.error.name, session.error.detail) == ("message-rate", "why")


def test_without_a_meter_messages_are_no_events() -> None:
    assert take(make(), hybi.frame(b"a", TEXT, mask=b"\0\0\0\0")) == []


def test_no_allowance() -> None:
    session = make(control_rate=None)
    session.charge([PingReceived(b"")] * 100_000, 0.0)
    assert session.error is None


# -- turns -----------------------------------------------------------------------------------------


def test_a_turn_has_so_many_frames() -> None:
    session = make(frames_per_turn=3)
    frame = to(session, TEXT, b"x")
    data = frame * 8 + frame[:4]
    stops = []
    stop = 0
    while stop < len(data):
        stop = session.receive(data, stop, len(data))
        stops.append((stop, session.inbox.count))
    n = len(frame)
    assert stops == [(3 * n, 3), (6 * n, 6), (len(data), 8)]
    feed(session, frame[4:])
    assert session.inbox.count == 9


def test_a_range_of_a_larger_buffer() -> None:
    session = make()
    frame = to(session, TEXT, b"Hello")
    data = bytearray(b"\xff" * 10 + frame + b"\xff" * 10)
    assert session.receive(data, 10, 10 + len(frame)) == 10 + len(frame)
    assert messages(session) == ["Hello"]
    assert session.error is None


def fragments(rounds: int) -> Iterator[bytes]:
    yield build(TEXT, b"a", fin=False)
    for _ in range(rounds):
        yield build(CONT, b"", fin=False)


def test_a_flood_of_empty_fragments_is_stopped() -> None:
    session = make()
    count = 0
    for frame in fragments(2000):
        feed(session, frame)
        count += session.error is None
    assert count == session.limits.max_fragments
    assert isinstance(session.error, ProtocolError) and session.error.name == "fragments-too-many"


class Doubling(Extension):
    """Not a useful extension: it sends every byte twice."""

    name = "doubling"
    rsv = 4

    def __init__(self) -> None:
        self.released = 0

    def decode(self, data: bytes, fin: bool, room: int | None) -> bytes:
        return data[::2]

    def release(self) -> None:
        self.released += 1


def test_a_connection_that_only_receives_gives_its_contexts_back() -> None:
    extension = Doubling()
    limits = Limits(ping_interval=None, deflate_idle=5)
    server = Session(RFC6455, server=True, limits=limits, extensions=(extension,))
    wire = hybi.frame(b"aabb", 2, rsv=4, mask=b"mask")
    feed(server, wire)
    assert messages(server) == [b"ab"]
    assert server.restless()
    assert server.tick(100.0) == 105.0
    server.expire(105.0)  # it was used since that deadline was set
    assert server.tick(105.0) == 110.0
    server.expire(110.0)
    assert extension.released == 1


def test_an_incompressible_message_of_the_greatest_size_is_taken() -> None:
    data = random.Random(1).randbytes(5000)
    client, server = pair(deflate=True, max_message=5000)
    client.send_message(data, None, True)
    wire = joined(client.cork.take())
    assert len(wire) > 5000 + 8
    feed(server, wire)
    assert messages(server) == [data]


def test_after_a_breach_nothing_of_the_broken_message_can_be_read() -> None:
    """A reader that takes the message before it may already be about to stream the next one."""
    server = Session(RFC6455, server=True, limits=Limits(ping_interval=None))
    good = hybi.frame(b"hi", 1, mask=b"mask")
    bad = hybi.frame(b"\x80" * 1000, 1, fin=False, mask=b"mask")
    wire = bytearray(good + bad)
    server.receive(wire, 0, len(wire))
    assert server.breach is not None
    assert server.inbox.pop() == "hi"
    server.assembler.streaming = True
    server.assembler.flush_piece()
    server.assembler.abandon()
    assert server.inbox.count == 0
    server.conclude()
    assert isinstance(server.error, ProtocolError)
    assert server.error.name == "utf8-invalid"


def test_a_message_is_not_late_while_we_do_not_read() -> None:
    limits = Limits(ping_interval=None, message_timeout=10)
    server = Session(RFC6455, server=True, limits=limits)
    wire = bytearray(hybi.frame(b"begun", 1, fin=False, mask=b"mask"))
    server.receive(wire, 0, len(wire))
    assert server.tick(0.0) == 10.0
    server.reading = False
    server.expire(10.0)
    assert server.error is None
    server.reading = True
    assert server.tick(10.0) == 20.0
    server.expire(20.0)
    assert isinstance(server.error, ProtocolError)
    assert server.error.name == "message-timeout"


class TestLifetime:
    """When we close, whatever the peer does."""

    def make(self, **staying: Any) -> Session:
        limits = Limits(ping_interval=None)
        return Session(RFC6455, server=True, limits=limits, staying=Staying(**staying))

    def test_it_ends(self) -> None:
        session = self.make(lifetime=5.0, farewell=(3000, "token expired"))
        assert session.tick(10.0) == 15.0
        assert session.expire(14.9) is False and session.is_open
        assert session.expire(15.0) is False and not session.is_open
        assert session.close_sent == Close(3000, "token expired") and session.retired

    def test_it_is_put_off_and_brought_forward(self) -> None:
        session = self.make(lifetime=5.0)
        assert session.tick(0.0) == 5.0
        session.set_lifetime(100.0, (3000, ""))
        session.expire(5.0)
        assert session.is_open and session.tick(5.0) == 105.0
        session.set_lifetime(1.0, (3000, "now"))
        assert session.tick(6.0) == 7.0
        session.set_lifetime(None, (3000, ""))
        assert session.tick(6.0) is None
        session.expire(1e9)
        assert session.is_open

    def test_a_stranger_is_sent_nothing_prepared(self) -> None:
        session = self.make(first_message=5)
        assert session.is_stranger and session.prepare_key() is None
        session.is_stranger = False
        assert session.prepare_key() is not None
