"""Readable and writable streams, as far as the Streams Standard is followed."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from duplexer.browser.exceptions import DOMException
from duplexer.browser.streams import (
    Promise,
    ReadableStream,
    ReadResult,
    Sink,
    Source,
    WritableStream,
)


class Tap(Source):
    """Gives what is put into it, when it is asked."""

    def __init__(self) -> None:
        self.queue: asyncio.Queue[Any] = asyncio.Queue()
        self.asked = 0
        self.cancelled: list[Any] = []

    async def pull(self) -> Any:
        self.asked += 1
        chunk = await self.queue.get()
        if isinstance(chunk, BaseException):
            raise chunk
        return chunk

    async def cancel(self, reason: Any) -> None:
        self.cancelled.append(reason)


class Drain(Sink):
    """Takes a chunk whenever it is let."""

    def __init__(self) -> None:
        self.taken: list[Any] = []
        self.gate = asyncio.Semaphore(0)
        self.ended: list[Any] = []

    async def write(self, chunk: Any) -> None:
        await self.gate.acquire()
        if isinstance(chunk, BaseException):
            raise chunk
        self.taken.append(chunk)

    async def close(self) -> None:
        await self.gate.acquire()
        self.ended.append("close")

    async def abort(self, reason: Any) -> None:
        self.ended.append(reason)


async def turns(count: int = 5) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


# -- Promise ---------------------------------------------------------------------------------------


async def test_many_may_await_a_promise_and_be_cancelled() -> None:
    promise: Promise[int] = Promise()

    async def wait() -> int:
        return await promise

    tasks = [asyncio.create_task(wait()) for _ in range(3)]
    await asyncio.sleep(0)
    tasks[0].cancel()
    await asyncio.sleep(0)
    promise.resolve(5)
    promise.resolve(6)
    promise.reject(ValueError())
    assert await promise == 5
    assert [await task for task in tasks[1:]] == [5, 5]
    assert tasks[0].cancelled()


async def test_a_promise_that_is_rejected() -> None:
    promise: Promise[int] = Promise()
    promise.reject(ValueError("no"))
    for _ in range(2):
        with pytest.raises(ValueError, match="no"):
            await promise


# -- ReadableStream --------------------------------------------------------------------------------


async def test_read_one_after_the_other() -> None:
    stream = ReadableStream.of("ab")
    reader = stream.getReader()
    assert stream.locked
    assert await reader.read() == ReadResult("a", False)
    value, done = await reader.read()
    assert (value, done) == ("b", False)
    assert await reader.read() == (None, True)
    assert await reader.read() == (None, True)
    assert await reader.closed is None


async def test_of_an_async_iterable() -> None:
    async def chunks() -> Any:
        yield 1
        yield 2

    assert [chunk async for chunk in ReadableStream.of(chunks())] == [1, 2]


async def test_nothing_is_pulled_before_somebody_wants_it() -> None:
    tap = Tap()
    reader = ReadableStream(tap).getReader()
    tap.queue.put_nowait(1)
    tap.queue.put_nowait(2)
    await turns()
    assert tap.asked == 0
    assert (await reader.read()).value == 1
    await turns()
    assert tap.asked == 1


async def test_reads_are_answered_in_order_and_cancelling_one_loses_nothing() -> None:
    tap = Tap()
    reader = ReadableStream(tap).getReader()
    first, second, third = reader.read(), reader.read(), reader.read()
    await turns()
    first.cancel()
    tap.queue.put_nowait("a")
    tap.queue.put_nowait("b")
    assert (await second).value == "a"
    assert (await third).value == "b"
    fourth = reader.read()
    await turns()
    fourth.cancel()
    tap.queue.put_nowait("c")
    await turns()
    assert (await reader.read()).value == "c"


async def test_one_reader_at_a_time() -> None:
    stream = ReadableStream(Tap())
    reader = stream.getReader()
    with pytest.raises(TypeError, match="has a reader"):
        stream.getReader()
    with pytest.raises(TypeError, match="locked"):
        await stream.cancel()
    waiting = reader.read()
    reader.releaseLock()
    reader.releaseLock()
    assert not stream.locked
    for awaitable in (waiting, reader.closed):
        with pytest.raises(TypeError, match="released"):
            await awaitable
    for function in (reader.read, reader.cancel):
        with pytest.raises(TypeError, match="released"):
            function()
    await stream.cancel()


async def test_cancel() -> None:
    tap = Tap()
    reader = ReadableStream(tap).getReader()
    waiting = reader.read()
    await turns()
    await reader.cancel("why")
    assert tap.cancelled == ["why"]
    assert (await waiting).done
    assert (await reader.read()).done
    await reader.closed
    await reader.cancel("again")
    assert tap.cancelled == ["why"]


async def test_a_source_that_fails() -> None:
    tap = Tap()
    stream = ReadableStream(tap)
    reader = stream.getReader()
    tap.queue.put_nowait(ValueError("broken"))
    for awaitable in (reader.read(), reader.read(), reader.closed):
        with pytest.raises(ValueError, match="broken"):
            await awaitable
    with pytest.raises(ValueError, match="broken"):
        await reader.cancel()
    with pytest.raises(ValueError, match="broken"):
        await reader.read()
    reader.releaseLock()
    again = stream.getReader()
    with pytest.raises(ValueError, match="broken"):
        await again.closed
    stream.close()
    stream.fail(ValueError("later"))


async def test_iterating() -> None:
    stream = ReadableStream.of([1, 2, 3])
    iterator = aiter(stream)
    assert await anext(iterator) == 1
    await iterator.aclose()
    await iterator.aclose()
    assert [chunk async for chunk in iterator] == []
    assert [chunk async for chunk in stream] == []  # it was cancelled
    stream = ReadableStream.of([1, 2, 3])
    keeping = stream.values(preventCancel=True)
    assert await anext(keeping) == 1
    await keeping.aclose()
    assert [chunk async for chunk in stream] == [2, 3]
    assert not stream.locked
    await stream.getReader().closed


async def test_iterating_over_one_that_fails() -> None:
    tap = Tap()
    tap.queue.put_nowait(ValueError("broken"))
    stream = ReadableStream(tap)
    with pytest.raises(ValueError, match="broken"):
        [chunk async for chunk in stream]
    assert not stream.locked


# -- WritableStream --------------------------------------------------------------------------------


async def test_write_one_after_the_other() -> None:
    sink = Drain()
    stream = WritableStream(sink)
    writer = stream.getWriter()
    assert (stream.locked, writer.desiredSize) == (True, 1)
    await writer.ready
    first, second = writer.write("a"), writer.write("b")
    assert writer.desiredSize == -1
    ready = writer.ready
    sink.gate.release()
    await first
    assert (sink.taken, writer.desiredSize, second.done()) == (["a"], 0, False)
    sink.gate.release()
    await second
    await ready
    assert (sink.taken, writer.desiredSize) == (["a", "b"], 1)


async def test_close_comes_after_all_that_was_written() -> None:
    sink = Drain()
    writer = WritableStream(sink).getWriter()
    written, closed = writer.write("a"), writer.close()
    with pytest.raises(TypeError, match="closed"):
        await writer.write("late")
    with pytest.raises(TypeError, match="closed already"):
        await writer.close()
    sink.gate.release()
    await written
    assert sink.ended == []
    sink.gate.release()
    await closed
    await writer.closed
    assert (sink.taken, sink.ended, writer.desiredSize) == (["a"], ["close"], 0)
    await writer.abort("nothing to abort")
    assert sink.ended == ["close"]


async def test_abort() -> None:
    sink = Drain()
    writer = WritableStream(sink).getWriter()
    written, closed = writer.write("a"), writer.close()
    reason = ValueError("why")
    await writer.abort(reason)
    assert (sink.taken, sink.ended, writer.desiredSize) == ([], [reason], None)
    for awaitable in (written, closed, writer.closed, writer.ready, writer.write("b")):
        with pytest.raises(ValueError, match="why"):
            await awaitable
    with pytest.raises(TypeError, match="has failed"):
        await writer.close()


async def test_abort_with_what_cannot_be_raised() -> None:
    stream = WritableStream(Drain())
    await stream.abort({"closeCode": 3000})
    with pytest.raises(DOMException, match="3000"):
        await stream.getWriter().write("x")


async def test_a_sink_that_fails() -> None:
    sink = Drain()
    writer = WritableStream(sink).getWriter()
    failed, behind = writer.write(ValueError("broken")), writer.write("b")
    sink.gate.release()
    for awaitable in (failed, behind, writer.closed, writer.ready):
        with pytest.raises(ValueError, match="broken"):
            await awaitable


async def test_one_writer_at_a_time() -> None:
    sink = Drain()
    stream = WritableStream(sink)
    writer = stream.getWriter()
    with pytest.raises(TypeError, match="has a writer"):
        stream.getWriter()
    for refused in (stream.abort, stream.close):
        with pytest.raises(TypeError, match="locked"):
            await refused()
    writer.releaseLock()
    writer.releaseLock()
    for awaitable in (writer.closed, writer.ready):
        with pytest.raises(TypeError, match="released"):
            await awaitable
    for function in (lambda: writer.write("x"), writer.close, writer.abort):
        with pytest.raises(TypeError, match="released"):
            function()
    sink.gate.release()
    await stream.close()
    again = stream.getWriter()
    await again.closed
    again.releaseLock()
    with pytest.raises(TypeError, match="released"):
        await again.closed
