from __future__ import annotations

import pytest

from duplexer.core.prepared import Prepared
from duplexer.driver.fanning import fan_out
from duplexer.limits import Limits
from tests.unit.driver.test_conduct import Plain


class Member(Plain):
    fragmenting = None
    aborted = False

    def __init__(self, *, buffered=0):
        super().__init__(Limits(ping_interval=None, write_hard=100), server=True)
        self.buffered = buffered
        self.got = []

    def send_nowait(self, message):
        self.check_room(self.buffered)
        self.got.append(message)

    def abort(self):
        self.aborted = True


def test_everybody_gets_the_same_prepared_message():
    members = [Member() for _ in range(3)]
    fan_out(members, "hello", False, None)
    (first,) = members[0].got
    assert isinstance(first, Prepared)
    assert all(member.got == [first] for member in members)
    fan_out(members, first, False, None)
    assert all(member.got == [first, first] for member in members)


def test_those_who_are_not_open_are_passed_over():
    closed, unborn = Member(), Member()
    closed.put_close(1000, "", 0.0)
    unborn.session = None
    fan_out([closed, unborn], b"data", True, None)
    assert closed.got == unborn.got == []


def test_one_who_does_not_read_is_failed_and_the_others_get_it():
    slow, good = Member(buffered=101), Member()
    with pytest.raises(ExceptionGroup) as caught:
        fan_out([slow, good], "x", True, None)
    assert [type(exc) for exc in caught.value.exceptions] == [BufferError]
    assert slow.aborted
    assert slow.session.close_sent.code == 1008
    assert len(good.got) == 1


def test_one_in_the_middle_of_fragments_is_kept():
    busy = Member()
    busy.fragmenting = object()
    fan_out([busy], "x", False, None)
    with pytest.raises(ExceptionGroup):
        fan_out([busy], "x", True, None)
    assert busy.got == []
    assert busy.session.is_open
    assert not busy.aborted


def test_another_error_keeps_nobody_waiting():
    broken, good = Member(), Member()
    broken.send_nowait = lambda message: 1 / 0
    fan_out([broken, good], "x", False, True)
    assert len(good.got) == 1


def test_what_is_no_message_reaches_nobody():
    member = Member()
    with pytest.raises(TypeError):
        fan_out([member], 1, False, None)
    assert member.got == []
