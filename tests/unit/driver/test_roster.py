"""Who is on a server."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from duplexer.driver.roster import Roster, RosterEntry
from duplexer.errors import Close
from duplexer.limits import Limits
from duplexer.policy.guard import Guard


class Entry(RosterEntry):
    def __init__(self, server: Roster) -> None:
        self.server = server
        self.response: Any = None
        self.remote_address = ("192.0.2.1", 4321)
        self.limits = server.guard.limits
        assembler = SimpleNamespace(ledger=None)
        self.session = SimpleNamespace(error=None, meter=None, close_sent=None, assembler=assembler)
        self.login = SimpleNamespace(is_pending=True)
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
    assert roster.staying == {told}
    dropped: list[Entry] = []
    for each in (told, asking):
        each.abort = lambda each=each: dropped.append(each)  # type: ignore[attr-defined]
    roster.drop_opening()
    assert dropped == [asking]
