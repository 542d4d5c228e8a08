"""Who is on a server."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
from types import SimpleNamespace
from typing import Any

import pytest

from duplexer.carriers.routes import Routes, text
from duplexer.driver.accept import Serving
from duplexer.driver.roster import Roster, RosterEntry
from duplexer.driver.steps import Call, Read, Write
from duplexer.errors import Close
from duplexer.handshake.server import ServerOptions
from duplexer.http.headers import Headers
from duplexer.http.messages import Response
from duplexer.limits import Limits
from duplexer.policy.guard import Guard


class Entry(RosterEntry):
    def __init__(self, server: Roster) -> None:
        self.server = server
        self.request: Any = None
        self.response: Any = None
        self.logger = logging.getLogger("test")
        self.remote_address = ("192.0.2.1", 4321)
        self.limits = server.guard.limits
        assembler = SimpleNamespace(ledger=None)
        self.session = SimpleNamespace(error=None, meter=None, close_sent=None, assembler=assembler)
        self.login: Any = SimpleNamespace(is_pending=True)
        server.opening.add(self)

    def is_admitted(self) -> bool:
        """Ask as an opening does: before the hooks, and once the answer says 101."""
        if self.is_full():
            return False
        self.response = SimpleNamespace(status_code=101)
        return not self.is_full()


def test_those_who_are_being_told_count_already() -> None:
    roster = Roster(2)
    first, second, third = (Entry(roster) for _ in range(3))
    assert first.is_admitted()
    assert first.is_admitted()  # and is not counted twice
    roster.opened(first)
    assert second.is_admitted()
    assert not third.is_admitted()
    assert roster.connections == {first}
    roster.forget(second)  # it left before it was open
    assert third.is_admitted()
    roster.opened(third)
    assert not (roster.opening or roster.admitted)
    for entry in (first, third):
        roster.forget(entry)
    assert not roster.connections


def test_one_that_is_refused_takes_no_place() -> None:
    roster = Roster(1)
    refused, other = Entry(roster), Entry(roster)
    assert not refused.is_full()
    refused.response = refused.respond(403, "no")
    assert not refused.is_full()
    assert other.is_admitted()


def test_without_a_bound_nobody_is_refused() -> None:
    roster = Roster(None)
    assert all(Entry(roster).is_admitted() for _ in range(100))


def test_closing_begins_once_and_not_with_what_a_close_cannot_say() -> None:
    roster = Roster(None)
    for wrong in (999, 1006, 5000):
        with pytest.raises(ValueError, match="must not be sent"):
            roster.begin_closing(wrong, "")
    with pytest.raises(ValueError, match="123 bytes"):
        roster.begin_closing(1001, "x" * 124)
    assert not roster.closing
    assert roster.begin_closing(1012, "back soon")
    assert not roster.begin_closing(1001, "")
    assert roster.closing
    assert roster.closed_with == (1012, "back soon")


def test_responses_of_ones_own() -> None:
    response = Entry(Roster(None)).respond(404, "nothing here")
    assert (response.status_code, response.body) == (404, b"nothing here")


def test_what_is_bounded_for_all_together() -> None:
    roster = Roster(None, Guard(Limits(max_incomplete=1000)))
    entry = Entry(roster)
    roster.opened(entry)
    assert entry.session.assembler.ledger is roster.guard.ledger is not None
    assert entry.session.meter is None


def test_the_guard_hears_who_comes_and_goes() -> None:
    roster = Roster(None, Guard(Limits(max_per_address=1, message_rate=5.0)))
    entry, other = Entry(roster), Entry(roster)
    assert roster.guard.enter(entry, entry.remote_address)
    assert not roster.guard.enter(other, other.remote_address)
    roster.opened(entry)
    assert entry.session.meter is not None
    entry.session.error = TimeoutError("the close handshake was not finished in time")
    entry.session.close_sent = Close(3008, "no token came in time")
    roster.forget(entry)
    roster.forget(entry)
    assert roster.struck == {"max_per_address": 1, "close_timeout": 1, "first_message_timeout": 1}
    assert roster.guard.enter(other, other.remote_address)


def test_a_route_has_a_rate_of_its_own() -> None:
    for server in (Limits(), Limits(message_rate=9.0)):
        roster = Roster(None, Guard(server))
        entry, bounded = Entry(roster), Entry(roster)
        bounded.limits = Limits(message_rate=1.0, message_burst=2)
        roster.opened(entry)
        roster.opened(bounded)
        assert (entry.session.meter is None) == (server.message_rate is None)
        assert (bounded.session.meter.own.rate, bounded.session.meter.own.burst) == (1.0, 2.0)


def test_who_is_being_told_101_is_not_dropped() -> None:
    roster = Roster(5)
    told, asking = Entry(roster), Entry(roster)
    assert told.is_admitted()
    assert roster.staying == {told, asking} and not roster.is_empty()
    assert roster.begin_closing(1001, "")
    assert roster.staying == {told} and not roster.is_empty()
    dropped = dropping(told, asking)
    roster.drop_opening()
    assert dropped == [asking]
    roster.forget(told)
    assert not roster.staying and roster.is_empty()


# -- what those who are not open yet are at ------------------------------------------------------

UPGRADE = (
    b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
PAGE = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


def dropping(*entries: Entry) -> list[Entry]:
    """Those who are dropped from now on."""
    dropped: list[Entry] = []
    for each in entries:
        each.abort = lambda each=each: dropped.append(each)  # type: ignore[attr-defined]
    return dropped


def opening(**serving: Any) -> tuple[Roster, Entry, Any]:
    """A server, somebody who has connected, and the steps of that."""
    roster = Roster(None)
    options = ServerOptions(origins=None)
    roster.serving = Serving(options=options, routes=Routes({"/": text("hi")}), **serving)
    entry = Entry(roster)
    entry.login = None
    return roster, entry, roster.opening_steps(entry, secure=False)


def answered(steps: Any, call: Call) -> bytes:
    """What is written after what ``call`` calls."""
    write = steps.send(call.function(*call.args))
    assert isinstance(write, Write)
    return write.data


def test_who_is_answered_and_who_is_idle() -> None:
    roster, entry, steps = opening()
    assert isinstance(next(steps), Read)
    assert not roster.idle | roster.answering  # it has come to ask
    assert isinstance(steps.send(PAGE[:20]), Read)
    call = steps.send(PAGE[20:])
    assert roster.answering == {entry}
    assert b"Connection" not in answered(steps, call)
    assert roster.answering == {entry}
    assert isinstance(steps.send(None), Read)
    assert (roster.answering, roster.idle) == (set(), {entry})
    assert isinstance(steps.send(PAGE[:20]), Read)
    assert not roster.idle  # a next request has begun
    steps.close()
    assert not roster.answering


def test_only_who_is_idle_is_dropped_before_the_others_have_been_answered() -> None:
    roster, entry, steps = opening()
    asking = Entry(roster)
    dropped = dropping(entry, asking)
    next(steps)
    answered(steps, steps.send(PAGE))
    steps.send(None)
    roster.drop_idle()
    assert dropped == [entry]
    with pytest.raises(StopIteration):
        steps.throw(TimeoutError())  # it was kept alive for so long
    assert not roster.idle


def test_the_last_answer_says_so() -> None:
    roster, _, steps = opening()
    next(steps)
    call = steps.send(PAGE)
    roster.leaving = True
    assert b"\r\nConnection: close\r\n" in answered(steps, call)
    assert b"Connection" not in text("hi").serialize()
    with pytest.raises(StopIteration) as stop:
        steps.send(None)
    assert stop.value.value is None


def test_who_becomes_idle_too_late_is_not_kept() -> None:
    roster, _, steps = opening()
    next(steps)
    answered(steps, steps.send(PAGE))
    roster.most = 0
    with pytest.raises(StopIteration) as stop:
        steps.send(None)
    assert stop.value.value is None
    assert not roster.idle


def test_an_answer_that_lets_in_is_left_as_it_is() -> None:
    roster, entry, steps = opening(process_response=lambda connection, request, response: response)
    roster.leaving = True
    next(steps)
    call = steps.send(UPGRADE)
    write = steps.send(call.function(*call.args))
    assert write.data.startswith(b"HTTP/1.1 101 ") and b"Connection: Upgrade\r\n" in write.data
    assert roster.answering == {entry}
    with pytest.raises(StopIteration) as stop:
        steps.send(None)
    assert stop.value.value is not None
    assert not roster.answering


def test_what_fails_is_told_to_the_steps(caplog: Any) -> None:
    roster, _, steps = opening()
    next(steps)
    steps.send(PAGE)
    assert b" 500 " in steps.throw(ZeroDivisionError()).data
    with pytest.raises(ZeroDivisionError):
        steps.send(None)
    assert not roster.answering


def test_who_is_being_answered_is_spared_for_as_long_as_handlers() -> None:
    roster, entry, steps = opening()
    asking = Entry(roster)
    dropped = dropping(entry, asking)
    spared: list[Any] = []
    roster.spare = lambda *told: spared.append(told)  # type: ignore[method-assign]
    next(steps)
    steps.send(PAGE)
    assert roster.begin_closing(1001, "")
    roster.drop_opening()
    assert dropped == [asking]
    assert roster.staying == {entry} and not roster.is_empty()
    assert spared == [(entry, Limits().handler_timeout)]
    assert roster.cancel_handlers() == 1
    assert dropped == [asking, entry]
    steps.close()
    roster.forget(entry)
    assert roster.is_empty()


def test_who_lingers_with_its_answer_is_no_handler_that_was_cut_off() -> None:
    roster, entry, steps = opening()
    dropped = dropping(entry)
    next(steps)
    answered(steps, steps.send(PAGE))
    assert roster.begin_closing(1001, "")
    roster.drop_opening()
    roster.leaving = True
    with contextlib.suppress(StopIteration):
        steps.send(None)
    steps.close()
    assert roster.cancel_handlers() == 0
    assert dropped == [entry]


def test_who_is_being_told_101_needs_not_be_spared() -> None:
    roster, entry, steps = opening(process_response=lambda connection, request, response: response)
    dropped = dropping(entry)
    next(steps)
    call = steps.send(UPGRADE)
    steps.send(call.function(*call.args))
    roster.admitted.add(entry)
    roster.drop_opening()
    assert roster.cancel_handlers() == 0
    assert dropped == [] and roster.spared == set()
    steps.close()


class Own(Response):
    """A response that is made in its own way."""

    def __init__(self, name: str) -> None:
        super().__init__(200, "OK", Headers(), name.encode())


def test_the_last_answer_may_be_of_a_class_of_ones_own() -> None:
    roster, _, steps = opening()
    roster.serving = dataclasses.replace(
        roster.serving, routes=Routes({"/": lambda request: Own("me")})
    )
    roster.leaving = True
    next(steps)
    data = answered(steps, steps.send(PAGE))
    assert b"\r\nConnection: close\r\n" in data and data.endswith(b"me")
