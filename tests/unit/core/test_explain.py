"""Why a connection closed, in words."""

from __future__ import annotations

import pytest

from duplexer.core.explain import explain, facts_of
from duplexer.core.session import Session
from duplexer.errors import RULES
from tests.wire.frames import CLOSE, PING, TEXT, build, close_body
from tests.wire.sessions import feed, make, to


def words(session: Session, *expected: str) -> str:
    text = explain(facts_of(session))
    for each in expected:
        assert each in text, text
    assert session.explain() == text == session.closed_error().explain()
    return text


def test_open(session: Session) -> None:
    text = words(session, "The connection is open.", "Nothing was received.", "Nothing was sent.")
    assert "What to do" not in text


def test_the_last_frames(session: Session) -> None:
    session.send_message("Hello", None, None)
    feed(session, to(session, TEXT, b"Hello!!"))
    words(session, "Last frame received: text, 7 bytes.", "Last frame sent: text, 5 bytes.")
    feed(session, to(session, PING))
    words(session, "Last frame received: ping, 0 bytes.", "Last frame sent: pong, 0 bytes.")


def test_the_peer_broke_a_rule() -> None:
    session = make()
    feed(session, build(TEXT, b"Hello", key=None))
    words(
        session,
        "We failed the connection because the peer broke a rule: unmasked frame.",
        "Cause: ProtocolError: unmasked frame",
        "It was reading: 81 05 48 65 6c 6c 6f",
        RULES["mask-missing"].advice,
        "Last frame sent: close",
    )


@pytest.mark.parametrize(
    ("code", "cure"),
    [(1001, "reconnect"), (1009, "smaller messages"), (1011, "its log"), (1012, "reconnect")],
)
def test_the_peer_closed(session: Session, code: int, cure: str) -> None:
    feed(session, to(session, CLOSE, close_body(code, "because")))
    session.receive_eof()
    words(session, f"The peer closed the connection: {code} ", "because", cure)


def test_a_code_that_we_know_no_cure_for(session: Session) -> None:
    feed(session, to(session, CLOSE, close_body(4321)))
    assert "What to do" not in words(session, "4321 (private use)")


def test_we_closed(session: Session) -> None:
    session.send_close(1000, "", 0.0)
    words(session, "We closed the connection: 1000 (OK); the peer did not confirm.")
    feed(session, to(session, CLOSE, close_body(1000)))
    words(session, "We closed the connection: 1000 (OK); the peer confirmed: 1000 (OK).")


def test_it_was_lost(session: Session) -> None:
    session.receive_eof(ConnectionResetError("reset by peer"))
    words(
        session,
        "The connection was lost: it ended without a Close from either side.",
        "Cause: ConnectionResetError: reset by peer",
        "idle timeout",
    )


def test_nobody_answered(session: Session) -> None:
    session.send_close(1000, "", 0.0)
    session.expire(5.0)
    words(session, "Cause: TimeoutError", "raise ping_timeout or close_timeout")


def test_what_it_was_reading_is_bounded() -> None:
    session = make()
    feed(session, b"\xff" * 10_000)
    assert len(session.excerpt) == 64
    assert len(explain(facts_of(session))) < 1000
