"""What waits for a peer that does not read: by each rule, counted exactly."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from duplexer.core.prepared import Prepared
from duplexer.driver.sendqueue import Backlog, OnFull, SendQueue, put_off, put_one, put_rest
from duplexer.errors import Close, ConnectionClosedError
from duplexer.limits import Limits
from tests.unit.driver.test_conduct import Plain, taken


def about(message):
    """Updates are about what stands before the equals sign; a command is about nothing."""
    return message.partition("=")[0] if "=" in message else None


def backlog(on_full=OnFull.WAIT, messages=3, size=100, key=None):
    rules = SendQueue(on_full=on_full, key=key, max_messages=messages, max_bytes=size)
    return Backlog(rules, Limits())


def offered(queue, *messages):
    return [queue.offer(message, None, None, 0.0) for message in messages]


def drained(queue):
    return [queue.pop().message for _ in range(queue.messages)]


def counts(queue):
    return queue.queued, queue.messages, queue.sent, queue.dropped, queue.conflated, queue.lost


def test_messages_come_out_as_they_went_in():
    queue = backlog()
    assert queue.offer("a", True, False, 1.5)
    first = queue.pop()
    assert (first.message, first.text, first.compress, first.since) == ("a", True, False, 1.5)
    assert offered(queue, "é", b"two", bytearray(b"3")) == [True] * 3
    assert queue.bytes == 2 + 3 + 1
    assert drained(queue) == ["é", b"two", b"3"]
    assert queue.bytes == 0
    assert counts(queue) == (4, 0, 4, 0, 0, 0)


def test_what_may_change_is_copied():
    queue, data = backlog(), bytearray(b"before")
    offered(queue, data, memoryview(data))
    data[:] = b"after!"
    assert drained(queue) == [b"before", b"before"]


def test_full_by_count_or_by_bytes_it_waits_outside():
    queue = backlog()
    assert offered(queue, "1", "2", "3", "4") == [True, True, True, False]
    queue = backlog(size=10)
    assert offered(queue, "12345", "12345", "6") == [True, True, False]
    assert counts(queue) == (2, 2, 0, 0, 0, 0)
    assert "Limits.send_queue_bytes" in str(queue.full())
    assert "2 of 3 messages, 10 of 10 bytes" in str(queue.full())


@pytest.mark.parametrize("on_full", OnFull)
def test_an_empty_queue_takes_any_message(on_full):
    queue = backlog(on_full, size=10)
    assert offered(queue, "x" * 1000) == [True]
    assert drained(queue) == ["x" * 1000]


def test_the_oldest_make_room():
    queue = backlog("drop_oldest", size=10)
    assert offered(queue, "1", "2", "3", "4", "123456789") == [True] * 5
    assert drained(queue) == ["4", "123456789"]
    assert counts(queue) == (5, 0, 2, 3, 0, 0)


def test_the_newest_is_not_sent():
    queue = backlog("drop_newest")
    assert offered(queue, *"12345") == [True] * 5
    assert drained(queue) == ["1", "2", "3"]
    assert counts(queue) == (5, 0, 3, 2, 0, 0)


def test_a_full_queue_may_be_the_end():
    queue = backlog(OnFull.CLOSE)
    offered(queue, *"123")
    with pytest.raises(BufferError, match="the send queue is full"):
        offered(queue, "4")
    assert queue.messages == 3


def test_a_newer_message_takes_the_place_of_the_one_with_its_key():
    queue = backlog("conflate", messages=10, key=about)
    offered(queue, "a=1", "b=1", "hello", "a=2", "a=3", "hello")
    assert drained(queue) == ["a=3", "b=1", "hello", "hello"]
    assert counts(queue) == (6, 0, 4, 0, 2, 0)


def test_one_that_grew_in_its_place_pushes_others_out():
    queue = backlog("conflate", size=10, key=about)
    offered(queue, "a=1", "b=1", "c=1", "b=123456")
    assert drained(queue) == ["b=123456"]
    assert counts(queue) == (4, 0, 1, 2, 1, 0)
    offered(queue, "a=1", "a=" + "1" * 100)
    assert drained(queue) == ["a=" + "1" * 100]


def test_what_has_no_key_is_never_dropped():
    queue = backlog(OnFull.CONFLATE, key=about)
    offered(queue, "a=1", "do", "b=1", "undo", "redo")
    assert queue.dropped == 2
    with pytest.raises(BufferError):
        offered(queue, "c=1")
    assert drained(queue) == ["do", "undo", "redo"]


def test_one_that_grows_beside_what_is_never_dropped_may_be_too_much():
    queue = backlog(OnFull.CONFLATE, size=10, key=about)
    offered(queue, "a=1", "b=1", "do")
    with pytest.raises(BufferError):
        offered(queue, "b=1234567")
    assert queue.bytes == 5
    assert drained(queue) == ["b=1", "do"]
    assert counts(queue) == (3, 0, 2, 1, 0, 0)


def test_prepared_messages_may_have_a_key():
    queue = backlog(OnFull.CONFLATE, key=about)
    old, new = Prepared("1", key="a"), Prepared("2", key="a")
    offered(queue, old, Prepared("a=3"), new, "a=4", Prepared(b"x=1", text=True))
    assert [getattr(m, "data", m) for m in drained(queue)] == ["a=4", b"x=1"]
    assert queue.conflated == 3


def test_the_rules_may_change_on_the_way():
    queue = backlog()
    offered(queue, *"123")
    queue.follow(SendQueue(on_full=OnFull.DROP_OLDEST))
    assert (queue.most_messages, queue.most_bytes) == (1024, 1 << 20)
    offered(queue, "4")
    assert drained(queue) == ["1", "2", "3", "4"]


@pytest.mark.parametrize("wrong", [None, 1, ["a"], memoryview(b"abcd")[::2]])
def test_what_is_no_message_does_not_come_in(wrong):
    queue = backlog()
    with pytest.raises(TypeError, match="message must be"):
        offered(queue, wrong)
    with pytest.raises(UnicodeEncodeError):
        offered(queue, "\ud800")
    assert counts(queue) == (0,) * 6


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"on_full": "explode"}, "on_full must be one of 'wait', 'drop_oldest'"),
        ({"key": about}, "key= is for on_full=OnFull.CONFLATE"),
        ({"on_full": "conflate", "key": "a"}, "key must be a function, not str"),
        ({"max_messages": 0}, "max_messages must be positive"),
        ({"max_bytes": 1.5}, "max_bytes must be an int, not float"),
        ({"max_bytes": True}, "max_bytes must be an int, not bool"),
    ],
)
def test_rules_that_make_no_sense(arguments, error):
    with pytest.raises((ValueError, TypeError), match=error):
        SendQueue(**arguments)


MESSAGES = st.one_of(
    st.builds("{}={}".format, st.sampled_from("abcd"), st.text("1é", max_size=12)),
    st.binary(max_size=12),
)


@given(
    st.sampled_from(OnFull),
    st.integers(1, 5),
    st.integers(1, 30),
    st.lists(st.one_of(st.none(), MESSAGES), max_size=60),
)
def test_the_counters_are_exact_and_the_bounds_hold(on_full, messages, size, acts):
    def key(message):
        return message[0] if isinstance(message, str) else None

    queue = backlog(on_full, messages, size, key if on_full is OnFull.CONFLATE else None)
    taken_in, came_out = [], []
    for act in acts:
        if act is None:
            if queue.messages:
                came_out.append(queue.pop().message)
            continue
        try:
            if queue.offer(act, None, None, 0.0):
                taken_in.append(act)
        except BufferError:
            assert on_full in (OnFull.CLOSE, OnFull.CONFLATE)
        assert queue.messages <= messages
        assert queue.bytes <= size or queue.messages == 1
        inside = queue.messages + queue.sent + queue.dropped + queue.conflated + queue.lost
        assert inside == queue.queued == len(taken_in)
    left = [entry.message for entry in queue._entries.values()]
    assert queue.bytes == sum(len(m.encode()) if isinstance(m, str) else len(m) for m in left)
    if on_full in (OnFull.WAIT, OnFull.CLOSE):
        assert came_out + left == taken_in
    elif on_full is not OnFull.CONFLATE:
        remaining = iter(taken_in)
        assert all(m in remaining for m in came_out + left)  # in their order
    queue.abandon()
    assert queue.bytes == queue.messages == 0
    assert queue.lost == len(left)


# -- with a connection ---------------------------------------------------------------------------


class Queueing(Plain):
    def __init__(self, **rules):
        super().__init__(server=True)
        self.settled = 0
        self.send_queue = SendQueue(**rules)

    def queue_made(self):
        pass

    def settle_now(self):
        self.settled += 1


class Watching:
    def __init__(self):
        self.seen = []

    def sent_late(self, connection, seconds):
        self.seen.append((connection, seconds >= 0))


def test_what_was_put_off_is_framed_when_its_turn_comes():
    ws = Queueing()
    ws.observer = Watching()
    assert put_off(ws, "later", None, None)
    assert put_off(ws, Prepared(b"\x01"), None, None)
    assert taken(ws) == b""
    put_one(ws)
    put_one(ws)
    assert taken(ws) == b"\x81\x05later\x82\x01\x01"
    assert ws.observer.seen == [(ws, True)] * 2


def test_a_queue_that_is_full_may_close_the_connection():
    ws = Queueing(on_full="close", max_messages=1)
    assert put_off(ws, "1", None, None)
    with pytest.raises(ConnectionClosedError) as caught:
        put_off(ws, "2", None, None)
    assert caught.value.sent == Close(1013, "slow consumer")
    assert isinstance(caught.value.__cause__, BufferError)
    assert ws.settled == 1
    with pytest.raises(ConnectionClosedError):
        put_off(ws, "3", None, None)
    ws.take_end()
    assert ws.send_queue.lost == 1


def test_what_waits_goes_before_our_close():
    ws = Queueing()
    put_off(ws, "last", None, None)
    with pytest.raises(ValueError, match="code"):
        ws.put_close(5, "", 0.0)
    assert ws.send_queue.messages == 1
    assert ws.put_close(1000, "", 0.0)
    assert taken(ws) == b"\x81\x04last\x88\x02\x03\xe8"
    assert ws.send_queue.sent == 1


def test_in_the_middle_of_fragments_nothing_else_goes():
    ws = Queueing()
    ws.session.send_part(b"begun", True, False)
    put_off(ws, "last", None, None)
    put_rest(ws)
    ws.put_close(1000, "", 0.0)
    assert taken(ws) == b"\x01\x05begun\x88\x02\x03\xe8"
    ws.take_end()
    assert ws.send_queue.lost == 1
