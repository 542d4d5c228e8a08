"""Heartbeats of the application, by a clock that the test drives."""

from __future__ import annotations

import math
from typing import Any

import pytest

from duplexer.core.heartbeat import Heartbeat
from duplexer.core.session import Session
from duplexer.core.staying import Staying
from duplexer.dialects.rfc6455 import RFC6455
from duplexer.errors import Close, PeerTimeout
from duplexer.limits import Limits
from tests.wire.frames import CLOSE, CONT, PING, TEXT
from tests.wire.sessions import feed, messages, sent, to

ASKING = Heartbeat(send="ping", expect="pong", every=20.0, timeout=10.0)
ANSWERING = Heartbeat(expect="ping", reply="pong", every=20.0, timeout=10.0)


def make(heartbeat: Heartbeat, *, server: bool = False, **changes: Any) -> Session:
    limits = Limits(**({"ping_interval": None} | changes))
    staying = Staying(heartbeat=heartbeat, keep_unacknowledged=True)
    return Session(RFC6455, server=server, limits=limits, staying=staying)


def payloads(session: Session) -> list[bytes]:
    frames = sent(session)
    assert all(frame.opcode == TEXT for frame in frames)
    return [frame.payload for frame in frames]


def step(session: Session, now: float) -> float:
    """To the next deadline, which is given back."""
    due = session.tick(now)
    assert due is not None and due > now
    assert session.expire(due) is False
    return due


# -- arguments -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kwargs", "error", "match"),
    [
        ({}, ValueError, "send=, expect= or both"),
        ({"every": 1}, ValueError, "send="),
        ({"send": "a"}, ValueError, "every="),
        ({"send": "a", "every": 1, "timeout": 1}, ValueError, "expect="),
        ({"send": "a", "every": 1, "reply": "b"}, ValueError, "expect="),
        ({"expect": "a", "timeout": 1}, ValueError, "every="),
        ({"send": "a", "every": 0}, ValueError, "every"),
        ({"send": "a", "every": -1}, ValueError, "every"),
        ({"send": "a", "every": math.nan}, ValueError, "every"),
        ({"send": "a", "every": math.inf}, ValueError, "every"),
        ({"send": "a", "every": "1"}, TypeError, "every"),
        ({"send": "a", "every": True}, TypeError, "every"),
        ({"send": 1, "every": 1}, TypeError, "send"),
        ({"expect": 1}, TypeError, "expect"),
        ({"expect": "a", "reply": 1}, TypeError, "reply"),
    ],
)
def test_what_makes_no_sense(kwargs: Any, error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        Heartbeat(**kwargs)


# -- we begin --------------------------------------------------------------------------------------


def test_it_is_sent_in_time_and_its_answer_is_never_seen() -> None:
    session = make(ASKING)
    now = 0.0
    for i in range(1, 6):
        while not (beats := payloads(session)):
            now = step(session, now)
        assert beats == [b"ping"] and now == 20.0 * i
        feed(session, to(session, TEXT, b"pong") + to(session, TEXT, b"data"))
    assert messages(session) == ["data"] * 5
    assert session.is_open


def test_a_missing_answer_ends_it_and_names_the_heartbeat() -> None:
    session = make(ASKING)
    now = 0.0
    while session.is_open:
        feed(session, to(session, TEXT, b"data"))  # its application is stuck all the same
        now = step(session, now)
    assert 30.0 <= now <= 31.0
    assert isinstance(session.error, PeerTimeout) and session.error.name == "heartbeat"
    assert str(session.error) == (
        "heartbeat missing: no expected message ('pong') came within 10 s of our heartbeat "
        "'ping' (timeout)"
    )
    assert session.close_sent == Close(1011, "heartbeat timeout")
    assert session.closed_error().party == "peer"
    assert "the peer was silent" in session.explain() and "expect=" in session.explain()


def test_what_our_own_application_did_not_read_accuses_nobody() -> None:
    session = make(ASKING)
    now = step(session, 0.0)
    session.reading = False
    for _ in range(10):
        now = step(session, now)
    session.reading = True
    feed(session, to(session, TEXT, b"pong"))
    step(session, now)
    assert session.is_open


def test_without_a_timeout_nobody_is_judged() -> None:
    session = make(Heartbeat(send=b"\0", every=1.0))
    now = 0.0
    for _ in range(100):
        now = step(session, now)
    assert [frame.payload for frame in sent(session)] == [b"\0"] * 100


def test_functions_make_and_recognise_them() -> None:
    numbers = iter(range(10))
    session = make(
        Heartbeat(
            send=lambda: f"beat {next(numbers)}",
            expect=lambda message: isinstance(message, str) and message.startswith("ack"),
            every=1.0,
            timeout=1.0,
        )
    )
    now = 0.0
    for i in range(3):
        while not (beats := payloads(session)):
            now = step(session, now)
        assert beats == [b"beat %d" % i]
        feed(session, to(session, TEXT, b"ack %d" % i), to(session, TEXT, b"other"))
    assert messages(session) == ["other"] * 3
    for _ in range(3):
        now = step(session, now)
    assert str(session.error) == (
        "heartbeat missing: no expected message came within 1 s of our heartbeat (timeout)"
    )


def test_text_is_not_binary() -> None:
    session = make(Heartbeat(expect="beat"))
    feed(session, to(session, 2, b"beat") + to(session, TEXT, b"beat"))
    assert messages(session) == [b"beat"]


def test_it_waits_for_the_end_of_a_fragmented_message() -> None:
    session = make(ASKING)
    session.send_part(b"half", True, False)
    sent(session)
    now = 0.0
    while now < 100:
        now = step(session, now)
    assert sent(session) == [] and session.is_open  # nor is anybody judged meanwhile
    session.send_part(b"", True, True)
    sent(session)
    step(session, now)
    assert payloads(session) == [b"ping"]


def test_towards_a_peer_that_does_not_read_one_waits_and_no_more() -> None:
    session = make(Heartbeat(send="ping", every=1.0))
    session.congested = True
    now = 0.0
    while now < 10:
        now = step(session, now)
    assert sent(session) == []
    session.resume_sending()
    assert payloads(session) == [b"ping"]


def test_heartbeats_are_not_the_user_s_to_be_handed_back() -> None:
    session = make(ASKING)
    session.send_message("mine", None, None)
    step(session, 5.0)
    step(session, 19.0)
    assert b"ping" in [frame.payload for frame in sent(session)]
    assert session.kept is not None and session.kept.messages() == ["mine"]


def test_beside_keepalive() -> None:
    session = make(ASKING, ping_interval=5.0, ping_timeout=5.0, ping_jitter=0)
    now = 0.0
    opcodes = []
    while now < 60 and session.is_open:
        now = step(session, now)
        for frame in sent(session):
            opcodes.append(frame.opcode)
            if frame.opcode == TEXT:
                feed(session, to(session, TEXT, b"pong"))
        feed(session, to(session, TEXT, b"data"))
    assert session.is_open
    assert opcodes.count(TEXT) == 3 and opcodes.count(PING) >= 11


# -- the peer begins -------------------------------------------------------------------------------


def test_it_is_answered_in_the_same_turn() -> None:
    session = make(ANSWERING)
    feed(session, to(session, TEXT, b"ping") + to(session, TEXT, b"x") + to(session, TEXT, b"ping"))
    assert messages(session) == ["x"]
    assert payloads(session) == [b"pong", b"pong"]
    assert session.restless()


def test_the_answer_may_depend_on_it() -> None:
    session = make(Heartbeat(expect=lambda m: m[:1] == "!", reply=lambda m: m[1:]))
    feed(session, to(session, TEXT, b"!17"))
    assert payloads(session) == [b"17"] and messages(session) == []
    assert session.tick(0.0) is None  # and there is no deadline


def test_from_fragments_too() -> None:
    session = make(ANSWERING)
    feed(session, to(session, TEXT, b"pi", fin=False), to(session, CONT, b"ng"))
    assert payloads(session) == [b"pong"] and messages(session) == []


def test_the_peer_s_own_time_is_kept_whatever_ours() -> None:
    session = make(ANSWERING)
    now = 0.0
    for came in (1.0, 30.0, 59.0, 80.0, 109.0):
        while (due := session.tick(now)) is not None and due <= came:
            now = due
            assert session.expire(now) is False
        now = came
        feed(session, to(session, TEXT, b"ping"))
        assert session.restless()
        assert session.tick(now) == now + 30.0
    while session.is_open:
        now = step(session, now)
    assert 139.0 <= now <= 140.0
    assert str(session.error) == (
        "heartbeat missing: no expected message ('ping') came in 30 s (every + timeout)"
    )


def test_a_suspension_starts_its_time_anew() -> None:
    session = make(ANSWERING)
    assert session.expire(5.0, 3600.0) is False
    assert session.tick(5.0) == 35.0
    assert sent(session) == []


def test_answers_to_a_peer_that_does_not_read_do_not_pile_up() -> None:
    session = make(Heartbeat(expect=lambda m: True, reply=lambda m: m))
    session.congested = True
    for i in range(1000):
        feed(session, to(session, TEXT, b"%d" % i))
    assert session.cork.size == 0
    session.resume_sending()
    assert payloads(session) == [b"999"]


def test_after_a_close_there_is_no_answer() -> None:
    session = make(ANSWERING)
    session.send_close(1000, "", 0.0)
    feed(session, to(session, TEXT, b"ping"))
    assert [frame.opcode for frame in sent(session)] == [CLOSE]


# -- the user's functions fail ---------------------------------------------------------------------


def fails(*_: Any) -> Any:
    raise ZeroDivisionError


@pytest.mark.parametrize(
    "heartbeat",
    [
        Heartbeat(expect=fails),
        Heartbeat(expect="a", reply=fails),
        Heartbeat(expect="a", reply=lambda m: 5),  # type: ignore[arg-type, return-value]
        Heartbeat(send=fails, every=1.0),
        Heartbeat(send=lambda: None, every=1.0),  # type: ignore[arg-type, return-value]
    ],
)
def test_a_function_that_fails_ends_the_connection(heartbeat: Heartbeat) -> None:
    session = make(heartbeat)
    if heartbeat.send is None:
        feed(session, to(session, TEXT, b"a"))
    else:
        step(session, 0.0)
    assert isinstance(session.error, (ZeroDivisionError, TypeError))
    assert session.close_sent == Close(1011, "heartbeat failed")
