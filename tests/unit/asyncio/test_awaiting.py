"""Awaitables without a Future, on a source that the test fills."""

from __future__ import annotations

import asyncio
import contextvars
from typing import Any

import pytest

from duplexer.asyncio.awaiting import Done, Receiving, Source, Waiter
from duplexer.errors import ConcurrencyError


class Queue(Source):
    def __init__(self, loop: Any = None) -> None:
        self.loop = loop or asyncio.get_running_loop()
        self.receiver = self.waiter = None
        self.waiting: list[Any] = []

    def produce(self, receiving: Receiving) -> Any:
        if not self.waiting:
            return None
        message = self.waiting.pop(0)
        if isinstance(message, BaseException):
            raise message
        return message

    def put(self, message: Any) -> None:
        self.waiting.append(message)
        if self.receiver is not None:
            self.receiver.wake()


async def receive(queue: Queue, **kwargs: Any) -> Any:
    return await Receiving(queue, False, **kwargs)


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_done_is_done() -> None:
    done = Done()
    assert await done is None
    assert await done is None
    assert await asyncio.wait_for(done, 1) is None
    assert await asyncio.create_task(done) is None
    assert await asyncio.gather(done, done) == [None, None]


async def test_a_message_that_is_there_suspends_nobody() -> None:
    queue = Queue()
    queue.put("x")
    with pytest.raises(StopIteration) as raised:
        receive(queue).send(None)
    assert raised.value.value == "x"


@pytest.mark.every_loop
async def test_a_message_that_comes_later() -> None:
    queue = Queue()
    task = asyncio.create_task(receive(queue))
    await settle()
    assert not task.done() and queue.receiver is not None
    queue.put("x")
    assert await task == "x"
    assert queue.receiver is None


@pytest.mark.every_loop
async def test_the_task_runs_at_once_from_a_callback() -> None:
    queue = Queue()
    task = asyncio.create_task(receive(queue))
    await settle()
    ran: list[bool] = []

    def callback() -> None:
        queue.put("x")
        ran.append(task.done())

    asyncio.get_running_loop().call_soon(callback)
    assert await task == "x"
    assert ran == [True]


async def test_in_its_own_context() -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="outside")
    queue = Queue()

    async def within() -> str:
        variable.set("inside")
        await receive(queue)
        return variable.get()

    task = asyncio.create_task(within())
    await settle()
    asyncio.get_running_loop().call_soon(queue.put, "x")
    assert await task == "inside"
    assert variable.get() == "outside"


async def test_an_exception() -> None:
    queue = Queue()
    task = asyncio.create_task(receive(queue))
    await settle()
    queue.put(OSError("gone"))
    with pytest.raises(OSError, match="gone"):
        await task


@pytest.mark.every_loop
async def test_cancelling_loses_nothing() -> None:
    queue = Queue()
    for late in (False, True):
        task = asyncio.create_task(receive(queue))
        await settle()
        if late:
            queue.put("x")  # it is woken, but has not run yet
        assert task.cancel("why")
        with pytest.raises(asyncio.CancelledError):
            await task
        assert queue.receiver is None
    assert await receive(queue) == "x"


async def test_timeouts() -> None:
    queue = Queue()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(receive(queue), 0.01)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await receive(queue)
    queue.put("x")
    assert await asyncio.wait_for(receive(queue), 1) == "x"


async def test_two_cannot_wait() -> None:
    queue = Queue()
    first = asyncio.create_task(receive(queue))
    await settle()
    with pytest.raises(ConcurrencyError, match="another task"):
        await receive(queue)
    queue.put("x")
    assert await first == "x"


async def test_decode() -> None:
    queue = Queue()
    for message, decode, expected in [
        ("ü", False, "ü".encode()),
        (b"\xc3\xbc", True, "ü"),
        ("ü", None, "ü"),
        (b"\xff", None, b"\xff"),
        ("ü", True, "ü"),
    ]:
        queue.put(message)
        assert await receive(queue, decode=decode) == expected
    queue.put(b"\xff")
    with pytest.raises(UnicodeDecodeError):
        await receive(queue, decode=True)


async def test_one_waiter_is_enough() -> None:
    queue = Queue()
    waiters = set()
    for _ in range(3):
        task = asyncio.create_task(receive(queue))
        await settle()
        waiters.add(queue.receiver)
        queue.loop.call_soon(queue.put, "x")
        await task
    assert len(waiters) == 1


async def test_a_waiter_answers_as_a_future() -> None:
    queue = Queue()
    waiter = Waiter(queue)
    assert waiter.get_loop() is queue.loop
    assert waiter.done() and not waiter.cancel()
    waiter.wake()
    waiter.forget()
    called: list[Any] = []
    waiter.add_done_callback(called.append, context=contextvars.copy_context())
    assert not waiter.done() and queue.receiver is waiter
    assert waiter.cancel("why")
    with pytest.raises(asyncio.CancelledError, match="why"):
        waiter.result()
    assert waiter.result() is None
    await settle()
    assert called == [waiter]
