from __future__ import annotations

import ssl

import pytest
import trio
import trio.testing

from duplexer.driver.steps import Call, Overdue, Read, Write
from duplexer.limits import Limits
from duplexer.trio.opening import Exchange, cause_of, hidden_nursery, seconds


async def test_steps_are_done_one_after_the_other(autojump):
    ours, theirs = trio.testing.memory_stream_pair()

    def steps():
        yield Write(b"hello")
        data = yield Read()
        plain = yield Call(str.upper, ("plain",))
        later = yield Call(double, (21,))
        thread = yield Call(int, ("7",), True)
        return data, plain, later, thread

    async def double(n):
        await trio.sleep(1)
        return 2 * n

    async with trio.open_nursery() as nursery:
        nursery.start_soon(theirs.send_all, b"answer")
        outcome = await Exchange(ours, Limits()).run(steps())
    assert outcome == (b"answer", "PLAIN", 42, 7)
    assert await theirs.receive_some() == b"hello"


async def test_no_more_is_read_than_asked_for():
    ours, theirs = trio.testing.memory_stream_pair()

    def steps():
        return [(yield Read(size=3)), (yield Read(size=10))]

    await theirs.send_all(b"onetwo")
    assert await Exchange(ours, Limits()).run(steps()) == [b"one", b"two"]


async def test_the_reads_of_a_stage_have_a_deadline(autojump):
    ours, theirs = trio.testing.memory_stream_pair()
    caught = []

    def steps():
        for stage in (1, 2):
            try:
                yield Read(10.0, stage)
                yield Read(10.0, stage)
            except TimeoutError:
                caught.append(trio.current_time())

    started = trio.current_time()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(later, 8, theirs, b"x")
        await Exchange(ours, Limits()).run(steps())
    assert [round(at - started) for at in caught] == [10, 20]


async def later(delay, stream, data):
    await trio.sleep(delay)
    await stream.send_all(data)


async def test_a_peer_that_does_not_read_answers_is_left(autojump):
    ours, _ = trio.testing.lockstep_stream_pair()

    def steps():
        yield Write(b"x" * 1000)

    with pytest.raises(TimeoutError, match=r"Limits\.send_timeout"):
        await Exchange(ours, Limits(send_timeout=5)).run(steps())


async def test_what_fails_is_thrown_in_where_it_was_wanted():
    ours, theirs = trio.testing.memory_stream_pair()
    await theirs.aclose()
    seen = []

    def steps():
        try:
            yield Write(b"x")
        except ConnectionError as exc:
            seen.append(exc)
        try:
            yield Call(int, ("seven",))
        except ValueError as exc:
            seen.append(exc)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await Exchange(ours, Limits()).run(steps())
    assert len(seen) == 2


async def test_cancelling_closes_the_steps():
    ours, _ = trio.testing.memory_stream_pair()
    closed = []

    def steps():
        try:
            yield Read()
        finally:
            closed.append(True)

    with trio.move_on_after(0):
        await Exchange(ours, Limits()).run(steps())
    assert closed


def test_the_cause_of_a_broken_stream_is_what_the_system_said():
    broken = trio.BrokenResourceError()
    broken.__cause__ = ssl.SSLCertVerificationError("certificate verify failed")
    assert cause_of(broken) is broken.__cause__
    assert isinstance(cause_of(trio.ClosedResourceError("x")), ConnectionResetError)
    error = ValueError()
    assert cause_of(error) is error


def test_no_bound_is_for_ever():
    assert seconds(None) == float("inf")
    assert seconds(3) == 3


# -- a nursery that nobody sees --------------------------------------------------------------------


async def fail():
    raise ZeroDivisionError


async def test_the_one_error_of_a_block_is_not_wrapped():
    with pytest.raises(ZeroDivisionError):
        async with hidden_nursery() as nursery:
            nursery.start_soon(trio.sleep_forever)
            raise ZeroDivisionError
    with pytest.raises(ZeroDivisionError):
        async with hidden_nursery() as nursery:
            nursery.start_soon(fail)
            await trio.sleep_forever()


async def test_a_group_of_the_user_stays_one():
    group = ExceptionGroup("mine", [ValueError()])
    with pytest.raises(ExceptionGroup) as caught:
        async with hidden_nursery():
            raise group
    assert caught.value.message == "mine"
    assert caught.value.exceptions == group.exceptions


async def test_two_errors_are_both_told():
    with pytest.raises(ExceptionGroup) as caught:
        async with hidden_nursery() as nursery:
            nursery.start_soon(fail)
            try:
                await trio.sleep_forever()
            finally:
                raise ValueError
    assert caught.value.split(ZeroDivisionError)[0] is not None
    assert caught.value.split(ValueError)[0] is not None


async def test_cancelling_goes_through():
    with trio.move_on_after(0) as scope:
        async with hidden_nursery() as nursery:
            nursery.start_soon(trio.sleep_forever)
            await trio.sleep_forever()
    assert scope.cancelled_caught


async def test_a_call_that_has_to_end_in_time(autojump):
    ours, theirs = trio.testing.memory_stream_pair()

    def steps():
        yield Read(10.0)
        yield Call(trio.sleep, (3600,))  # this one may take longer
        try:
            yield Call(trio.sleep, (3600,), in_time=True)
        except Overdue:
            return "overdue"

    await theirs.send_all(b"x")
    assert await Exchange(ours, Limits()).run(steps()) == "overdue"
