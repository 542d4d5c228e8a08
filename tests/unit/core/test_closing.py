"""The close handshake: its table, and how a session goes through it."""

from __future__ import annotations

import pytest

from duplexer.core.closing import DISCARDING, TABLE, Happening, Phase, State, state_of, step
from duplexer.core.events import CloseReceived
from duplexer.core.session import Session, check_close
from duplexer.errors import (
    Close,
    CloseCode,
    ConnectionClosedError,
    ConnectionClosedOK,
    InvalidState,
    ProtocolError,
    close_code_is_sendable,
)
from tests.wire.frames import (
    CLOSE,
    TEXT,
    Frame,
    close_body,
)
from tests.wire.sessions import feed, make, messages, sent, to

# -- the table -----------------------------------------------------------------------------------


@pytest.mark.parametrize("happening", Happening)
@pytest.mark.parametrize("phase", Phase)
def test_every_cell(phase: Phase, happening: Happening) -> None:
    if (phase, happening) in TABLE:
        assert step(phase, happening) is TABLE[phase, happening]
    else:
        with pytest.raises(InvalidState, match=phase.name):
            step(phase, happening)


def test_the_table_is_what_rfc_6455_says() -> None:
    assert len(TABLE) == 12
    for phase in Phase:
        # From everywhere there is a way to the end, and from there to nowhere.
        assert ((phase, Happening.LOST) in TABLE) is (phase is not Phase.GONE)
        # Each side says goodbye once (5.5.1).
        closes = phase in (Phase.OPEN, Phase.CLOSE_RECEIVED)
        assert ((phase, Happening.SEND_CLOSE) in TABLE) is closes
        # Nothing is looked at after a Close or a failure (7.1.7).
        assert ((phase, Happening.RECV_CLOSE) in TABLE) is (phase not in DISCARDING)
    assert all(after > before for (before, _), after in TABLE.items())


@pytest.mark.parametrize("phase", Phase)
def test_what_the_user_sees(phase: Phase) -> None:
    expected = {Phase.OPEN: State.OPEN, Phase.GONE: State.CLOSED}.get(phase, State.CLOSING)
    assert state_of(phase) is expected


def test_the_numbers_are_those_of_browsers() -> None:
    assert [state.name for state in State] == ["CONNECTING", "OPEN", "CLOSING", "CLOSED"]
    assert [state.value for state in State] == [0, 1, 2, 3]


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
        assert not session.events


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
