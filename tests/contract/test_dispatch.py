"""Several messages of a connection at a time: as many as may be, in the order of their keys."""

from __future__ import annotations

import contextlib

import pytest

from duplexer import ConnectionClosedError, Limits

pytestmark = pytest.mark.plain_only


class Work:
    """Handles messages, each of which stays until it is let go."""

    def __init__(self, front):
        self.front = front
        self.begun, self.ended, self.cancelled = [], [], []
        self.may_go = set()
        self.most = 0

    async def handle(self, message):
        self.begun.append(message)
        self.most = max(self.most, len(self.begun) - len(self.ended))
        try:
            await self.front.until(lambda: message in self.may_go or "all" in self.may_go)
        except BaseException:
            self.cancelled.append(message)
            raise
        self.ended.append(message)


@contextlib.asynccontextmanager
async def dispatching(front, work, *, limits=None, **kwargs):
    """A client whose messages ``work`` handles, and how ``dispatch`` ended, in a list."""
    outcome = []

    async def handler(ws):
        try:
            await ws.dispatch(work.handle, **kwargs)
            outcome.append(None)
        except Exception as exc:
            outcome.append(exc)
            raise

    async with front.serve(handler, **({"limits": limits} if limits else {})) as server:
        async with front.connect(server) as ws:
            yield ws, outcome


async def send_all(ws, messages):
    for message in messages:
        await ws.send(message)


async def test_one_after_the_other_unless_told_otherwise(front):
    work = Work(front)
    async with dispatching(front, work) as (ws, outcome):
        await send_all(ws, "abc")
        await front.until(lambda: work.begun == ["a"])
        await front.turns()
        assert work.begun == ["a"]
        work.may_go.add("all")
        await front.until(lambda: work.ended == ["a", "b", "c"])
        await ws.close()
        await front.until(lambda: outcome)
    assert outcome == [None]
    assert work.most == 1


async def test_as_many_at_a_time_as_may_be(front):
    work = Work(front)
    async with dispatching(front, work, concurrency=3) as (ws, outcome):
        await send_all(ws, "abcde")
        await front.until(lambda: len(work.begun) == 3)
        await front.turns()
        assert work.begun == ["a", "b", "c"]
        work.may_go.add("b")
        await front.until(lambda: work.begun == ["a", "b", "c", "d"])
        work.may_go.add("all")
        await front.until(lambda: len(work.ended) == 5)
        await ws.close()
        await front.until(lambda: outcome)
    assert outcome == [None]
    assert work.most == 3


async def test_those_with_a_key_keep_their_order(front):
    work = Work(front)

    def key(message):
        return message[0] if message[0] != "-" else None

    async with dispatching(front, work, concurrency=4, key=key) as (ws, _):
        await send_all(ws, ["a1", "a2", "b1", "-1", "-2", "a3"])
        await front.until(lambda: len(work.begun) == 4)
        assert work.begun == ["a1", "b1", "-1", "-2"]
        work.may_go.add("a1")
        await front.until(lambda: work.begun[-1] == "a2")
        work.may_go.add("all")
        await front.until(lambda: len(work.ended) == 6)
        assert [message for message in work.ended if message[0] == "a"] == ["a1", "a2", "a3"]
        await ws.close()


async def test_what_waits_behind_a_key_is_bounded(front):
    work = Work(front)
    limits = Limits(queue_messages=4)
    async with dispatching(
        front, work, concurrency=2, key=lambda message: message[0], limits=limits
    ) as (ws, _):
        sending = front.spawn(send_all(ws, [f"a{i}" for i in range(20)]))
        await front.until(lambda: work.begun == ["a0"])
        await sending
        await ws.send("b0")
        await front.turns()
        assert work.begun == ["a0"]  # it is not received: four wait
        work.may_go.add("all")
        await front.until(lambda: len(work.ended) == 21)
        assert [each for each in work.ended if each != "b0"] == [f"a{i}" for i in range(20)]
        await ws.close()


@pytest.mark.cancels
async def test_the_end_cancels_those_at_work_first(front):
    work = Work(front)
    async with dispatching(front, work, concurrency=2) as (ws, outcome):
        await send_all(ws, "abc")
        await front.until(lambda: len(work.begun) == 2)
        await ws.close()
        await front.until(lambda: outcome)
    assert sorted(work.cancelled) == ["a", "b"]
    assert work.begun == ["a", "b"]
    assert outcome == [None]


@pytest.mark.cancels
async def test_a_connection_that_is_lost_is_an_error(front):
    work = Work(front)
    async with dispatching(front, work, concurrency=2) as (ws, outcome):
        await ws.send("a")
        await front.until(lambda: work.begun)
        ws.abort()
        await front.until(lambda: outcome)
    assert isinstance(outcome[0], ConnectionClosedError)
    assert work.cancelled == ["a"]


async def test_what_came_before_the_end_may_be_finished(front):
    work = Work(front)
    async with dispatching(front, work, concurrency=2, finish=True) as (ws, outcome):
        await send_all(ws, "abcd")
        await front.until(lambda: len(work.begun) == 2)
        await ws.close()
        work.may_go.add("all")
        await front.until(lambda: outcome)
    assert sorted(work.ended) == ["a", "b", "c", "d"]
    assert outcome == [None]


async def test_an_error_ends_all_of_it(front, unlogged):
    class Failing(Work):
        async def handle(self, message):
            if message == "fail":
                raise ZeroDivisionError
            await super().handle(message)

    work = Failing(front)
    async with dispatching(front, work, concurrency=3) as (ws, outcome):
        await send_all(ws, ["a", "fail"])
        await front.until(lambda: work.begun)
        await ws.wait_closed()
        work.may_go.add("all")  # threads cannot be cancelled
        await front.until(lambda: outcome)
        assert ws.close_code == 1011
    assert isinstance(outcome[0], ZeroDivisionError)
    await front.until(lambda: unlogged)
    (record,) = unlogged
    assert record.getMessage() == "connection handler failed"
    unlogged.clear()


@pytest.mark.parametrize(
    ("kwargs", "error"),
    [
        ({"concurrency": 0}, "concurrency must be positive, not 0"),
        ({"concurrency": True}, "concurrency must be an int, not bool"),
        ({"concurrency": 2.0}, "concurrency must be an int, not float"),
        ({"key": "id"}, "key must be a function, not str"),
    ],
)
async def test_what_cannot_be(front, kwargs, error):
    async with front.pair() as (_, server):
        with pytest.raises((TypeError, ValueError), match=error):
            await server.dispatch(print, **kwargs)
