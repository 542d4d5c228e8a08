"""Keepalive, and the other deadlines of a session, by a clock that the test drives."""

from __future__ import annotations

from typing import Any

import pytest

from duplexer.core.keepalive import Keepalive
from duplexer.core.session import Session
from duplexer.dialects.rfc6455 import RFC6455
from duplexer.errors import (
    Close,
    PeerTimeout,
    ProtocolError,
)
from duplexer.extensions.deflate import PerMessageDeflate
from duplexer.limits import Limits
from tests.wire.frames import (
    CLOSE,
    CONT,
    PING,
    TEXT,
    close_body,
)
from tests.wire.sessions import QUIET, feed, make, sent, to


def make_keepalive(limits: Limits, now: float) -> Keepalive:
    return Keepalive(limits.ping_interval, limits.ping_timeout, limits.ping_jitter, now)


class Clock:
    """Drives a Keepalive: each deadline is met on time, unless the test says otherwise."""

    def __init__(self, start: float = 1000.0, **changes: Any) -> None:
        changes = {"ping_interval": 20.0, "ping_timeout": 20.0, "ping_jitter": 0} | changes
        self.start = self.now = start
        self.keepalive = make_keepalive(Limits(**changes), start)

    def next(
        self,
        *,
        heard: bool = False,
        reading: bool = True,
        late: float = 0,
        suspended: float = 0.0,
    ) -> str:
        assert self.keepalive.due is not None and self.keepalive.due > self.now - late - 1e-9
        self.now = max(self.now, self.keepalive.due) + late
        return self.keepalive.expire(self.now, heard=heard, reading=reading, suspended=suspended)

    @property
    def passed(self) -> float:
        return self.now - self.start


def test_nothing_before_the_deadline() -> None:
    clock = Clock()
    assert clock.keepalive.expire(1019.9, heard=False, reading=True) == ""
    assert clock.keepalive.due == 1020.0


def test_pings_go_out_at_the_interval() -> None:
    clock = Clock()
    times = [clock.passed for _ in range(200) if clock.next(heard=True) == "ping"]
    assert times == [20.0 * i for i in range(1, len(times) + 1)] and len(times) >= 100


def test_jitter_keeps_them_from_aligning() -> None:
    dues = [make_keepalive(Limits(ping_jitter=0.1), 0.0).due for _ in range(300)]
    assert all(due is not None and 18.0 <= due <= 20.0 for due in dues)
    assert min(filter(None, dues)) < 18.2 and max(filter(None, dues)) > 19.8


@pytest.mark.parametrize(("interval", "timeout"), [(20.0, 20.0), (5.0, 20.0), (20.0, 5.0)])
def test_silence_is_the_end(interval: float, timeout: float) -> None:
    clock = Clock(ping_interval=interval, ping_timeout=timeout)
    verdicts = [clock.next()]
    while verdicts[-1] != "dead":
        verdicts.append(clock.next())
    assert verdicts[0] == "ping" and verdicts.count("ping") == max(1, timeout // interval)
    assert interval + timeout <= clock.passed <= interval + timeout + 1


def test_a_byte_at_the_last_look_is_life() -> None:
    clock = Clock()
    assert [clock.next(), clock.next()] == ["ping", ""]
    assert clock.next(heard=True) == "ping"


def test_a_late_clock_judges_nobody() -> None:
    # We slept for an hour: what the peer sent meanwhile has not been read yet.
    clock = Clock()
    assert clock.next() == "ping"
    assert clock.next(late=3600.0) == ""
    assert clock.next(late=3600.0) == ""
    assert clock.next(heard=True) == "ping"


def test_a_clock_that_is_always_late_judges_in_the_end() -> None:
    # The application blocks for two seconds in every turn; bytes are read in between.
    clock = Clock()
    assert clock.next(late=2.0) == "ping"
    verdicts = [clock.next(late=2.0) for _ in range(4)]
    assert verdicts == ["", "", "", "dead"]
    assert clock.keepalive.held_up >= 2.0


def test_the_longer_we_were_held_up_the_more_time_there_is_to_read() -> None:
    clock = Clock()
    assert clock.next() == "ping"
    assert clock.next(late=5.0) == ""
    since = clock.now
    assert clock.next() == "dead"
    assert clock.now - since == 5.0


def test_after_a_suspension_there_is_a_ping_at_once_and_a_judgement_soon() -> None:
    clock = Clock()
    keepalive = clock.keepalive
    # A deadline of something else, long before ours.
    assert keepalive.expire(1003.0, heard=True, reading=True, suspended=3600.0) == "ping"
    assert (keepalive.slept, keepalive.due) == (3600.0, 1013.0)
    clock.now = 1003.0
    assert clock.next(suspended=3600.0) == ""
    assert clock.next(suspended=3600.0) == "dead"
    assert clock.passed == pytest.approx(13.25)
    assert keepalive.patience == 10.0


def test_a_suspension_while_we_wait_gives_the_peer_its_time_again() -> None:
    clock = Clock(ping_timeout=5.0)
    assert clock.next() == "ping"
    assert clock.next(suspended=60.0) == "ping"
    assert clock.keepalive.patience == 5.0  # never more than the user has said
    since = clock.now
    assert clock.next(heard=True, suspended=60.0) == ""
    assert clock.next(suspended=60.0) == "ping"
    assert clock.now - since == 20.0 and clock.keepalive.patience == 5.0


def test_a_nap_is_no_suspension_and_neither_is_a_clock_that_drifts() -> None:
    clock = Clock()
    for i in range(1, 200):
        assert clock.next(heard=True, suspended=0.9 * i) in ("ping", "")
    assert clock.keepalive.slept == 0
    assert clock.next(heard=True, suspended=-1e6) in ("ping", "")  # set back
    assert clock.next(heard=True, suspended=-1e6 + 5) == "ping"
    assert clock.keepalive.slept == 5.0


def test_without_timeout_a_suspension_is_worth_a_ping() -> None:
    clock = Clock(ping_timeout=None)
    assert clock.keepalive.expire(1003.0, heard=True, reading=True, suspended=60.0) == "ping"
    assert clock.keepalive.due == 1023.0


def test_nobody_is_judged_while_we_do_not_read() -> None:
    clock = Clock()
    assert clock.next() == "ping"
    for _ in range(10):
        assert clock.next(reading=False) == ""
    since = clock.now
    verdict = ""
    while verdict != "dead":
        verdict = clock.next()
    assert clock.now - since >= 20.0


def test_without_timeout_there_are_only_pings() -> None:
    clock = Clock(ping_timeout=None)
    assert [clock.next() for _ in range(50)] == ["ping"] * 50
    assert clock.passed == 1000.0


def test_without_interval_there_is_nothing() -> None:
    clock = Clock(ping_interval=None)
    assert clock.keepalive.due is None
    assert clock.keepalive.expire(1e9, heard=False, reading=True) == ""


# -- time ------------------------------------------------------------------------------------------


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


def test_keepalive_says_who_is_to_blame() -> None:
    session = keepalive()
    now = 0.0
    while session.is_open:
        now = session.tick(now) or 0.0
        session.expire(now)
    assert isinstance(session.error, PeerTimeout) and session.error.name == "keepalive"
    assert session.closed_error().party == "network"
    text = session.explain()
    assert "because the peer was silent" in text and "not in the way" in text


def test_keepalive_says_that_the_machine_slept() -> None:
    session = keepalive()
    assert session.expire(3.0, 7200.0) is False
    assert [frame.opcode for frame in sent(session)] == [PING]
    now = 3.0
    while session.is_open:
        now = session.tick(now) or 0.0
        session.expire(now, 7200.0)
    assert now <= 14.0
    assert "for 10 s after a ping (after a suspension)" in str(session.error)
    assert "This machine was suspended for 7200 s" in session.explain()


def test_keepalive_says_that_we_were_held_up() -> None:
    session = keepalive()
    now = 0.0
    while session.is_open:
        now = (session.tick(now) or 0.0) + 3.0
        session.expire(now)
    assert "this process was held up for 3.0 s" in str(session.error)


def test_a_long_message_that_is_leaving_is_a_sign_of_life() -> None:
    """The Ping waits behind it, so its Pong cannot come yet."""
    session = keepalive()
    session.congested = True
    now = 0.0
    for left in range(1000, 60000, 1000):
        now = session.tick(now) or 0.0
        session.note_written(left)
        assert session.expire(now) is False
    assert session.is_open and now > 300
    ended = now
    while session.is_open:  # it does not move any more
        now = session.tick(now) or 0.0
        session.note_written(left)
        session.expire(now)
    assert now - ended <= 41.0


def test_the_end_of_a_congestion_is_a_sign_of_life() -> None:
    session = keepalive()
    session.congested = True
    session.expire(session.tick(0.0) or 0.0)
    assert not session.heard
    session.resume_sending()
    assert session.heard and not session.congested


def test_messages_that_nobody_receives_are_named() -> None:
    session = keepalive()
    feed(session, to(session, TEXT, b"a") + to(session, TEXT, b"b"))
    assert "behind" not in session.explain()
    session.reading = False
    assert "2 messages wait for recv()" in session.explain()


def test_a_peer_that_did_not_hear_from_us_says_so() -> None:
    session = keepalive()
    feed(session, to(session, CLOSE, close_body(1011, "keepalive ping timeout")))
    assert "did not hear from us in time" in session.explain()
