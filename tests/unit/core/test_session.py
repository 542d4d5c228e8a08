"""One WebSocket without I/O, in both roles. What arrives is tested in tests/wire/ as well."""

from __future__ import annotations

import array
import enum
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from duplexer.core.closing import Phase, State
from duplexer.core.events import CloseReceived, Piece, PingReceived, PongReceived
from duplexer.core.session import Session, check_close, contiguous
from duplexer.dialects.rfc6455 import RFC6455
from duplexer.errors import (
    Close,
    CloseCode,
    ConnectionClosedError,
    ConnectionClosedOK,
    InvalidState,
    ProtocolError,
    close_code_is_sendable,
)
from duplexer.extensions.deflate import PerMessageDeflate
from duplexer.limits import Limits
from tests.wire.frames import (
    BINARY,
    CLOSE,
    CONT,
    KEY,
    PING,
    PONG,
    TEXT,
    Frame,
    build,
    close_body,
    joined,
    parse,
)

QUIET = Limits(ping_interval=None)


def make(
    server: bool = True, *, deflate: bool = False, now: float = 0.0, **changes: Any
) -> Session:
    limits = QUIET.replace(**changes)
    extensions = (PerMessageDeflate(False, False, 15, 15, limits=limits),) if deflate else ()
    return Session(RFC6455, server=server, limits=limits, extensions=extensions, now=now)


def feed(session: Session, *pieces: bytes) -> None:
    for piece in pieces:
        assert session.receive(piece, 0, len(piece)) == len(piece)


def to(session: Session, opcode: int, payload: bytes = b"", **kwargs: Any) -> bytes:
    """A frame as the session's peer sends it."""
    return build(opcode, payload, key=KEY if session.server else None, **kwargs)


def sent(session: Session) -> list[Frame]:
    """What the session has sent, without the keys; they must be right for the role."""
    found = parse(joined(session.cork.take()))
    assert all((frame.key is None) is session.server for frame in found)
    return [frame._replace(key=None) for frame in found]


def messages(session: Session) -> list[Any]:
    return [session.inbox.pop() for _ in range(session.inbox.count)]


@pytest.fixture(params=["server", "client"])
def session(request: pytest.FixtureRequest) -> Session:
    return make(request.param == "server")


def pair(**kwargs: Any) -> tuple[Session, Session]:
    return make(False, **kwargs), make(True, **kwargs)


def carry(source: Session, target: Session) -> None:
    data = joined(source.cork.take())
    assert target.receive(data, 0, len(data)) == len(data)


# -- sending -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("message", "text", "frame"),
    [
        ("", None, Frame(TEXT, b"")),
        ("Hello", None, Frame(TEXT, b"Hello")),
        ("Grüße", None, Frame(TEXT, "Grüße".encode())),
        ("Hello", False, Frame(BINARY, b"Hello")),
        ("ü", False, Frame(BINARY, b"\xc3\xbc")),
        (b"Hello", None, Frame(BINARY, b"Hello")),
        (b"Hello", True, Frame(TEXT, b"Hello")),
        (bytearray(b"Hello"), None, Frame(BINARY, b"Hello")),
        (memoryview(b"Hello"), True, Frame(TEXT, b"Hello")),
        (memoryview(b"Hello")[1:3], None, Frame(BINARY, b"el")),
        (array.array("B", [1, 2]), None, Frame(BINARY, b"\x01\x02")),
        (memoryview(b"abcdef").cast("B", (2, 3)), None, Frame(BINARY, b"abcdef")),
        (b"x" * 40_000, None, Frame(BINARY, b"x" * 40_000)),
        ("x" * 70_000, None, Frame(TEXT, b"x" * 70_000)),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_messages_are_framed(session: Session, message: Any, text: Any, frame: Frame) -> None:
    session.send_message(message, text, None)
    assert sent(session) == [frame]


class Colour(enum.StrEnum):
    RED = "red"


class Blob(bytes):
    pass


class Words(str):
    __slots__ = ()


@pytest.mark.parametrize("deflate", [False, True])
@pytest.mark.parametrize(
    ("message", "frame"),
    [
        (Colour.RED, Frame(TEXT, b"red")),
        (Words("plain"), Frame(TEXT, b"plain")),
        (Words("grün"), Frame(TEXT, "grün".encode())),
        (Blob(b"blob"), Frame(BINARY, b"blob")),
    ],
)
def test_subclasses_are_what_they_derive_from(message: Any, frame: Frame, deflate: bool) -> None:
    session = make(deflate=deflate)
    session.send_message(message, None, None)
    assert sent(session) == [frame]


@pytest.mark.parametrize(
    "message",
    [
        None,
        5,
        ["a"],
        memoryview(b"abcdef")[::2],
        array.array("I", [1]),
        memoryview(array.array("d", [1.0])),
    ],
    ids=repr,
)
def test_what_is_no_message_leaves_nothing_behind(session: Session, message: Any) -> None:
    with pytest.raises(TypeError):
        session.send_message(message, None, None)
    assert session.cork.size == 0
    session.send_message("x", None, None)
    assert sent(session) == [Frame(TEXT, b"x")]


def test_text_that_cannot_be_encoded_leaves_nothing_behind(session: Session) -> None:
    with pytest.raises(UnicodeEncodeError):
        session.send_message("\ud800", None, None)
    assert session.cork.size == 0


def test_a_client_masks_with_ever_new_keys() -> None:
    session = make(False)
    for _ in range(50):
        session.send_message(b"", None, None)
    keys = {frame.key for frame in parse(joined(session.cork.take()))}
    assert len(keys) == 50


def test_fragments(session: Session) -> None:
    session.send_part(b"Hel", True, False)
    with pytest.raises(InvalidState):
        session.send_message("no", None, None)
    with pytest.raises(InvalidState):
        session.send_prepared(b"\x81\x00", 0)
    session.send_ping(b"?", None, 0.0)
    session.send_part(b"", False, False)
    session.send_part(b"lo", False, True)
    session.send_message("yes", None, None)
    assert sent(session) == [
        Frame(TEXT, b"Hel", fin=False),
        Frame(PING, b"?"),
        Frame(CONT, b"", fin=False),
        Frame(CONT, b"lo"),
        Frame(TEXT, b"yes"),
    ]


def test_fragments_that_are_one(session: Session) -> None:
    session.send_part(b"Hello", False, True)
    assert sent(session) == [Frame(BINARY, b"Hello")]


def test_nothing_is_sent_after_our_close(session: Session) -> None:
    session.send_close(1000, "", 0.0)
    session.cork.take()
    for act in (
        lambda: session.send_message("x", None, None),
        lambda: session.send_part(b"x", True, True),
        lambda: session.send_prepared(b"\x81\x00", 0),
        lambda: session.send_ping(b"", None, 0.0),
    ):
        with pytest.raises(ConnectionClosedError):
            act()
    session.send_pong(b"")
    feed(session, to(session, PING, b"?"))
    assert session.cork.size == 0


# -- both roles together -------------------------------------------------------------------------


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
    session.count_controls(10, 0.0)
    session.count_controls(1, 0.5)
    assert session.error is None
    session.count_controls(10, 100.0)  # no more than a burst is saved up
    session.count_controls(1, 100.0)
    assert isinstance(session.error, ProtocolError) and session.error.name == "control-rate"
    assert sent(session) == [Frame(CLOSE, close_body(1008, "too many control frames"))]


def test_no_allowance() -> None:
    session = make(control_rate=None)
    session.count_controls(1_000_000, 0.0)
    assert session.error is None


# -- the close handshake ---------------------------------------------------------------------------


def receives_code(server: bool, code: int) -> None:
    session = make(server)
    key = b"\x80\x00\x00\x00\x00" if server else b"\x00"
    feed(session, bytes([0x88, key[0] | 2]) + key[1:] + code.to_bytes(2, "big"))
    if code in range(1000, 1004) or code in range(1007, 1015) or code in range(3000, 5000):
        assert session.events == [CloseReceived(Close(code))]
        assert session.close_rcvd == session.close_sent == Close(code)
        assert session.phase is Phase.CLOSED_BOTH and session.error is None
    else:
        assert isinstance(session.error, ProtocolError) and session.error.name == "close-code"
        assert session.close_rcvd is None and session.close_sent is not None
        assert session.close_sent.code == 1002 and session.phase is Phase.FAILED
        assert session.events == []


def test_every_close_code() -> None:
    for code in range(65536):
        receives_code(code & 1 == 0 or code < 5100, code)
    for code in range(5100):
        receives_code(False, code)


@pytest.mark.parametrize("code", [*range(65536)][::97] + [-1, 1 << 16, 1 << 40])
def test_codes_that_must_not_be_sent(code: int) -> None:
    if 0 <= code < 65536 and close_code_is_sendable(code):
        assert check_close(code, "") == Close(code)
    else:
        with pytest.raises(ValueError, match="must not be sent"):
            check_close(code, "")


def test_what_a_close_may_be() -> None:
    assert check_close(None, "") == Close(1005)
    assert type(check_close(CloseCode.GOING_AWAY, "x").code) is int
    check_close(1000, "é" * 61 + "x")
    with pytest.raises(ValueError, match="123"):
        check_close(1000, "é" * 62)
    with pytest.raises(ValueError, match="needs a code"):
        check_close(None, "x")
    for code, reason in [(True, ""), ("1000", ""), (1000.0, ""), (1000, b"x"), (1000, None)]:
        with pytest.raises(TypeError):
            check_close(code, reason)  # type: ignore[arg-type]


def test_we_begin(session: Session) -> None:
    session.send_close(1000, "bye", 10.0)
    assert sent(session) == [Frame(CLOSE, close_body(1000, "bye"))]
    assert session.phase is Phase.CLOSE_SENT and session.state is State.CLOSING
    assert session.reads and not session.is_open
    assert session.tick(10.0) == 15.0
    with pytest.raises(InvalidState):
        session.send_close(1000, "", 11.0)
    feed(session, to(session, TEXT, b"last") + to(session, CLOSE, close_body(1000)))
    assert messages(session) == ["last"]
    assert session.cork.size == 0
    assert session.phase is Phase.CLOSED_BOTH and session.rcvd_then_sent is False
    session.receive_eof()
    assert session.state is State.CLOSED
    error = session.closed_error()
    assert isinstance(error, ConnectionClosedOK)
    assert str(error) == "sent 1000 (OK) bye; then received 1000 (OK)"


def test_the_peer_begins(session: Session) -> None:
    feed(session, to(session, CLOSE, close_body(1001, "gone")))
    assert sent(session) == [Frame(CLOSE, close_body(1001, "gone"))]
    assert session.rcvd_then_sent is True
    with pytest.raises(InvalidState):
        session.send_close(1000, "", 0.0)
    feed(session, to(session, TEXT, b"more"))
    assert messages(session) == []
    error = session.closed_error()
    assert isinstance(error, ConnectionClosedOK) and error.party == "peer"


def test_an_empty_close(session: Session) -> None:
    session.send_close(None, "", 0.0)
    assert sent(session) == [Frame(CLOSE, b"")]
    feed(session, to(session, CLOSE))
    assert session.close_rcvd == session.close_sent == Close(1005)
    assert isinstance(session.closed_error(), ConnectionClosedOK)


def test_a_code_that_is_no_goodbye(session: Session) -> None:
    feed(session, to(session, CLOSE, close_body(1011)))
    assert isinstance(session.closed_error(), ConnectionClosedError)


def test_lost_without_a_word(session: Session) -> None:
    cause = ConnectionResetError("reset")
    session.receive_eof(cause)
    session.receive_eof(None)
    error = session.closed_error()
    assert isinstance(error, ConnectionClosedError)
    assert error.__cause__ is cause
    assert (error.rcvd, error.sent, error.close_code, error.party) == (None, None, 1006, "network")
    with pytest.raises(ConnectionClosedError):
        session.send_message("x", None, None)


def test_what_failed_it_is_the_cause(session: Session) -> None:
    feed(session, to(session, 3))
    error = session.closed_error()
    assert isinstance(error.__cause__, ProtocolError)
    assert error.__cause__.name == "opcode-unknown"
    session.receive_eof(OSError())
    assert session.error is error.__cause__
    assert session.excerpt == to(session, 3)


def test_failing_twice_says_so_once(session: Session) -> None:
    first, second = RuntimeError("first"), RuntimeError("second")
    session.fail(first, 1011, "oops")
    session.fail(second, 1011, "oops")
    assert session.error is first
    assert sent(session) == [Frame(CLOSE, close_body(1011, "oops"))]
    assert not session.reads


def test_failing_without_a_code_is_silent(session: Session) -> None:
    session.fail(RuntimeError())
    assert session.cork.size == 0 and session.phase is Phase.FAILED


def test_failing_after_our_close(session: Session) -> None:
    session.send_close(1000, "", 0.0)
    session.cork.take()
    session.fail(RuntimeError(), 1011)
    assert session.cork.size == 0 and session.phase is Phase.FAILED
    assert session.close_sent == Close(1000)


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


# -- streaming ---------------------------------------------------------------------------------------


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


# -- time --------------------------------------------------------------------------------------------


def test_no_deadline_when_nothing_is_timed(session: Session) -> None:
    assert session.tick(0.0) is None
    assert not session.restless()
    assert session.expire(1e9) is False


def test_a_message_in_progress_has_a_deadline() -> None:
    session = make(message_timeout=60.0)
    feed(session, to(session, TEXT, b"a", fin=False))
    assert session.restless()
    assert session.tick(5.0) == 65.0
    assert not session.restless()
    assert session.tick(6.0) == 65.0
    assert session.expire(64.9) is False and session.is_open
    assert session.expire(65.0) is False
    assert isinstance(session.error, ProtocolError) and session.error.name == "message-timeout"


def test_a_message_that_ended_has_none() -> None:
    session = make(message_timeout=60.0)
    feed(session, to(session, TEXT, b"a", fin=False))
    session.tick(0.0)
    feed(session, to(session, CONT, b"b"))
    # Nothing has changed that a front would look at: the timer that is running fires.
    assert session.expire(60.0) is False
    assert session.is_open
    feed(session, to(session, TEXT, b"a", fin=False))
    assert session.restless()
    assert session.tick(61.0) == 121.0


def test_the_next_message_does_not_inherit_its_deadline() -> None:
    session = make(message_timeout=60.0)
    feed(session, to(session, TEXT, b"a", fin=False))
    session.tick(0.0)
    feed(session, to(session, CONT, b"b") + to(session, TEXT, b"a", fin=False))
    assert session.expire(60.0) is False
    assert session.is_open
    assert session.tick(60.0) == 120.0


def test_a_streamed_message_may_take_its_time() -> None:
    session = make(message_timeout=60.0)
    session.assembler.streaming = True
    feed(session, to(session, TEXT, b"a", fin=False))
    assert session.tick(0.0) is None


def test_a_message_begun_while_contexts_are_warm_has_a_deadline() -> None:
    session = make(deflate=True, message_timeout=3.0)
    session.send_message("x" * 1000, None, None)
    assert session.restless()
    assert session.tick(0.0) == 5.0  # deflate_idle
    feed(session, to(session, TEXT, b"a", fin=False))
    assert session.restless()
    assert session.tick(1.0) == 4.0


def test_contexts_are_given_back_after_a_while() -> None:
    released: list[float] = []

    class Watched(PerMessageDeflate):
        __slots__ = ()

        def release(self) -> None:
            released.append(1)
            super().release()

    limits = QUIET.replace(deflate_idle=5.0)
    session = Session(
        RFC6455,
        server=True,
        limits=limits,
        extensions=(Watched(False, False, 15, 15, limits=limits),),
    )
    session.send_message("x" * 1000, None, None)
    assert session.tick(0.0) == 5.0
    session.expire(5.0)  # used since the last look: wait once more
    assert not released
    assert session.tick(5.0) == 10.0
    session.expire(10.0)
    assert released == [1]
    assert session.tick(10.0) is None
    session.send_message("x" * 1000, None, None)
    assert session.restless() and session.tick(20.0) == 25.0


def test_an_end_that_does_not_come_is_forced(session: Session) -> None:
    session.send_close(1000, "", 10.0)
    assert session.expire(14.9) is False
    assert session.expire(15.0) is True
    assert isinstance(session.error, TimeoutError)


def test_a_failure_has_a_deadline_too(session: Session) -> None:
    feed(session, to(session, 3))
    assert session.restless()
    assert session.tick(10.0) == 15.0
    assert session.expire(15.0) is True
    assert isinstance(session.error, ProtocolError)


def test_without_close_timeout_there_is_none() -> None:
    session = make(close_timeout=None)
    session.send_close(1000, "", 10.0)
    assert session.tick(10.0) is None
    assert session.expire(1e9) is False


def keepalive(**changes: Any) -> Session:
    return make(ping_interval=20.0, ping_timeout=20.0, ping_jitter=0, **changes)


def test_keepalive_pings_and_is_content_with_any_byte() -> None:
    session = keepalive()
    assert session.tick(0.0) == 20.0
    assert session.expire(20.0) is False
    (ping,) = sent(session)
    assert ping.opcode == PING and len(ping.payload) == 4
    feed(session, to(session, TEXT, b"busy")[:3])
    due = session.tick(21.0)
    assert due == 40.0
    assert session.expire(40.0) is False
    assert [frame.opcode for frame in sent(session)] == [PING]


def test_keepalive_gives_up() -> None:
    session = keepalive()
    now = 0.0
    while session.is_open:
        due = session.tick(now)
        assert due is not None and due > now
        now = due
        aborted = session.expire(now)
    assert aborted
    assert 40.0 <= now <= 41.0
    assert isinstance(session.error, TimeoutError) and "ping_timeout" in str(session.error)
    assert session.close_sent == Close(1011, "keepalive ping timeout")


def test_keepalive_does_not_judge_while_we_do_not_read() -> None:
    session = keepalive()
    session.reading = False
    now = 0.0
    for _ in range(20):
        now = session.tick(now) or 0.0
        assert session.expire(now) is False
    assert session.is_open and now > 300


# -- prepared ------------------------------------------------------------------------------------------


def test_who_may_be_sent_the_same() -> None:
    assert make(False).prepare_key() is None
    assert make().prepare_key() == make().prepare_key() is not None
    assert make(deflate=True).prepare_key() == make(deflate=True).prepare_key()
    assert make(deflate=True).prepare_key() != make().prepare_key()


@pytest.mark.parametrize("deflate", [False, True])
@pytest.mark.parametrize("size", [0, 10, 1000, 100_000])
def test_prepared_in_the_midst_of_others(size: int, deflate: bool) -> None:
    client, server = pair(deflate=deflate)
    data = (b"Hello, world! " * (size // 14 + 1))[:size]
    wire, rsv = server.prepare(TEXT, data, None)
    assert rsv == (4 if deflate and size >= 128 else 0)
    wanted = []
    for i in range(3):
        other = f"{i} Hello, world! " * 20
        server.send_message(other, None, None)
        server.send_prepared(wire, rsv)
        wanted += [other, data.decode()]
    carry(server, client)
    assert messages(client) == wanted and client.error is None


# -- buffers -------------------------------------------------------------------------------------------


def test_contiguous() -> None:
    assert bytes(contiguous(bytearray(b"ab"))) == b"ab"
    view = contiguous(memoryview(b"abcd").cast("B", (2, 2)))
    assert view.ndim == 1 and view.nbytes == 4
    with pytest.raises(TypeError, match="not int"):
        contiguous(5)


def fragments(rounds: int) -> Iterator[bytes]:
    yield build(TEXT, b"a", fin=False)
    for _ in range(rounds):
        yield build(CONT, b"", fin=False)


def test_a_flood_of_empty_fragments_is_stopped() -> None:
    session = make()
    for count, frame in enumerate(fragments(2000)):
        feed(session, frame)
        if session.error is not None:
            break
    assert count == session.limits.max_fragments
    assert isinstance(session.error, ProtocolError) and session.error.name == "fragments-too-many"
