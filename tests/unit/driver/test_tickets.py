from __future__ import annotations

import pytest

from duplexer.driver.tickets import Tickets
from duplexer.limits import Limits


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


def test_a_ticket_is_good_for_once(clock):
    tickets = Tickets(clock=clock)
    one, two = tickets.issue("ada"), tickets.issue("bob")
    assert one != two and len(one) == 43
    assert len(tickets) == 2
    assert tickets.redeem(one) == "ada"
    assert tickets.redeem(one) is None
    assert tickets.redeem("x") is None
    assert tickets.redeem("\udc80") is None
    assert tickets.redeem(two) == "bob"
    assert len(tickets) == 0


def test_and_for_a_short_time(clock):
    tickets = Tickets(Limits(ticket_lifetime=10.0), clock=clock)
    one = tickets.issue("ada")
    clock.now = 9.0
    two = tickets.issue("bob")
    clock.now = 10.0
    assert tickets.redeem(one) is None
    assert tickets.redeem(two) == "bob"


def test_there_are_so_many_at_most(clock):
    tickets = Tickets(Limits(max_tickets=2), clock=clock)
    one, two, three = (tickets.issue(n) for n in (1, 2, 3))
    assert len(tickets) == 2
    assert [tickets.redeem(ticket) for ticket in (one, two, three)] == [None, 2, 3]


def test_those_that_were_used_take_no_place(clock):
    tickets = Tickets(Limits(max_tickets=2), clock=clock)
    first = tickets.issue("ada")
    for _ in range(100):
        assert tickets.redeem(tickets.issue("bob")) == "bob"
    assert len(tickets._order) < 12  # nor memory
    assert tickets.redeem(first) == "ada"
    assert len(tickets) == 0
    one, two = tickets.issue(1), tickets.issue(2)
    assert tickets.redeem(one) == 1
    three = tickets.issue(3)
    assert len(tickets) == 2
    four = tickets.issue(4)
    assert [tickets.redeem(ticket) for ticket in (two, three, four)] == [None, 3, 4]


def test_nothing_tells_what_they_are(clock):
    tickets = Tickets(clock=clock)
    ticket = tickets.issue("ada")
    assert ticket not in repr(vars(tickets))
