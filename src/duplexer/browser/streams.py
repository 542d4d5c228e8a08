"""``ReadableStream`` and ``WritableStream``: of the Streams Standard, what users of a socket need.

No pipes, tees, transforms, byte streams or strategies: a loop does that in Python.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterable, Awaitable, Callable, Generator, Iterable
from typing import Any, Generic, NamedTuple, Self, TypeVar

__all__ = [
    "Promise",
    "ReadResult",
    "ReadableStream",
    "ReadableStreamDefaultReader",
    "WritableStream",
    "WritableStreamDefaultWriter",
]

T = TypeVar("T")


class Promise(Generic[T]):
    """A value that comes later: any number of tasks may await it, any number of times.

    A task that is cancelled while it waits takes nothing away from the others.
    """

    def __init__(self) -> None:
        self._future: asyncio.Future[T] = asyncio.get_running_loop().create_future()

    def __await__(self) -> Generator[Any, None, T]:
        return asyncio.shield(self._future).__await__()

    def resolve(self, value: T) -> None:
        """It has come. Only the first call of ``resolve`` or ``reject`` counts."""
        if not self._future.done():
            self._future.set_result(value)

    def reject(self, reason: BaseException) -> None:
        """It will not come. Nobody has to look at it."""
        if not self._future.done():
            self._future.set_exception(reason)
            self._future.exception()


class ReadResult(NamedTuple):
    """What ``read()`` gives: a chunk, or ``done``."""

    value: Any
    done: bool


class Source:
    """Where a ``ReadableStream`` has its chunks from."""

    #: Whether there is nothing more to pull, for sure.
    finished = False

    async def pull(self) -> Any:
        """The next chunk; ``StopAsyncIteration`` after the last one."""
        raise NotImplementedError

    async def cancel(self, reason: Any) -> None:
        """Nobody wants any more."""


class _Iterated(Source):
    def __init__(self, chunks: Iterable[Any] | AsyncIterable[Any]) -> None:
        self._chunks = chunks
        self._next: Any = None

    async def pull(self) -> Any:
        if self._next is None:
            if isinstance(self._chunks, AsyncIterable):
                self._next = aiter(self._chunks).__anext__
            else:
                iterator = iter(self._chunks)
                self._next = iterator.__next__
        try:
            chunk = self._next()
        except StopIteration:
            raise StopAsyncIteration from None
        return await chunk if isinstance(chunk, Awaitable) else chunk


class ReadableStream:
    """Chunks, read by one reader at a time: ``getReader()``, or ``async for``.

    It asks its source for a chunk when somebody wants one, and not before.
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        self._state = "readable"
        self._error: BaseException | None = None
        self._reader: ReadableStreamDefaultReader | None = None
        self._requests: deque[asyncio.Future[ReadResult]] = deque()
        self._chunks: deque[Any] = deque()  # pulled for somebody who was cancelled
        self._pulling: asyncio.Task[None] | None = None

    @classmethod
    def of(cls, chunks: Iterable[Any] | AsyncIterable[Any]) -> ReadableStream:
        """A stream of ``chunks``: the standard's ``ReadableStream.from()``."""
        return cls(_Iterated(chunks))

    @property
    def locked(self) -> bool:
        """Whether it has a reader."""
        return self._reader is not None

    def getReader(self) -> ReadableStreamDefaultReader:
        """A reader; ``TypeError`` if there is one already."""
        return ReadableStreamDefaultReader(self)

    async def cancel(self, reason: Any = None) -> None:
        """Drop what is left, and tell the source. ``TypeError`` while there is a reader."""
        if self._reader is not None:
            raise TypeError("the stream is locked to a reader: cancel() that")
        await self._cancel(reason)

    def __aiter__(self) -> _Iterator:
        return self.values()

    def values(self, *, preventCancel: bool = False) -> _Iterator:
        """Its chunks; leaving the loop and closing the iterator cancels it, unless told not to."""
        return _Iterator(self.getReader(), preventCancel)

    # -- what the reader does --------------------------------------------------------------------

    def _read(self) -> asyncio.Future[ReadResult]:
        future: asyncio.Future[ReadResult] = asyncio.get_running_loop().create_future()
        if self._state == "errored":
            assert self._error is not None
            future.set_exception(self._error)
        elif self._chunks:
            future.set_result(ReadResult(self._chunks.popleft(), False))
        elif self._state == "closed":
            future.set_result(ReadResult(None, True))
        else:
            self._requests.append(future)
            if self._pulling is None:
                self._pulling = asyncio.get_running_loop().create_task(self._pull())
        return future

    async def _pull(self) -> None:
        try:
            while self._wanted():
                chunk = await self._source.pull()
                if self._state != "readable":
                    return
                if self._wanted():
                    self._requests.popleft().set_result(ReadResult(chunk, False))
                else:
                    self._chunks.append(chunk)
                if self._source.finished and not self._chunks:
                    self.close()
        except StopAsyncIteration:
            self.close()
        except Exception as exc:  # noqa: BLE001 - whoever reads is told
            self.fail(exc)
        finally:
            self._pulling = None

    def _wanted(self) -> bool:
        while self._requests and self._requests[0].done():
            self._requests.popleft()
        return bool(self._requests)

    async def _cancel(self, reason: Any) -> None:
        if self._state == "errored":
            assert self._error is not None
            raise self._error
        if self._state == "readable":
            self._chunks.clear()
            self.close()
            if self._pulling is not None:
                self._pulling.cancel()
            await self._source.cancel(reason)

    # -- what the source may do ------------------------------------------------------------------

    def close(self) -> None:
        """There are no more chunks."""
        if self._state == "readable":
            self._state = "closed"
            self._settle(lambda future: future.set_result(ReadResult(None, True)))
            if self._reader is not None:
                self._reader.closed.resolve(None)

    def fail(self, error: BaseException) -> None:
        """There will be none, because of ``error``."""
        if self._state == "readable":
            self._state, self._error = "errored", error
            self._chunks.clear()
            self._settle(lambda future: future.set_exception(error))
            if self._reader is not None:
                self._reader.closed.reject(error)
            if self._pulling is not None and self._pulling is not asyncio.current_task():
                self._pulling.cancel()

    def _settle(self, how: Callable[[asyncio.Future[ReadResult]], None]) -> None:
        requests, self._requests = self._requests, deque()
        for future in requests:
            if not future.done():
                how(future)


class _Iterator:
    def __init__(self, reader: ReadableStreamDefaultReader, prevent_cancel: bool) -> None:
        self._reader = reader
        self._prevent_cancel = prevent_cancel
        self._finished = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:
        if self._finished:
            raise StopAsyncIteration
        try:
            value, done = await self._reader.read()
        except asyncio.CancelledError:
            raise
        except BaseException:
            self._release()
            raise
        if done:
            self._release()
            raise StopAsyncIteration
        return value

    def _release(self) -> None:
        self._finished = True
        self._reader.releaseLock()

    async def aclose(self) -> None:
        """Stop: cancel the stream, or only let go of it."""
        if not self._finished:
            cancelled = None if self._prevent_cancel else self._reader.cancel()
            self._release()
            if cancelled is not None:
                await cancelled


class ReadableStreamDefaultReader:
    """Who reads a :class:`ReadableStream`: until ``releaseLock()``, nobody else does."""

    def __init__(self, stream: ReadableStream) -> None:
        if stream.locked:
            raise TypeError("the stream has a reader already")
        stream._reader = self
        self._stream: ReadableStream | None = stream
        #: Settles when the stream is closed or fails, or when the lock is released.
        self.closed: Promise[None] = Promise()
        if stream._state == "closed":
            self.closed.resolve(None)
        elif stream._error is not None:
            self.closed.reject(stream._error)

    def read(self) -> asyncio.Future[ReadResult]:
        """Ask for the next chunk; await what comes: ``value, done``. Cancelling loses no chunk."""
        return self._locked()._read()

    def cancel(self, reason: Any = None) -> Promise[None]:
        """Drop what is left, and tell the source why."""
        return _eager(self._locked()._cancel(reason))

    def releaseLock(self) -> None:
        """Let go of the stream; reads that are waiting are rejected."""
        stream, self._stream = self._stream, None
        if stream is None:
            return
        error = TypeError("the reader has released the stream")
        stream._reader = None
        stream._settle(lambda future: future.set_exception(error))
        if stream._state == "readable":
            self.closed.reject(error)
        else:
            self.closed = Promise()
            self.closed.reject(error)

    def _locked(self) -> ReadableStream:
        if self._stream is None:
            raise TypeError("the reader has released the stream")
        return self._stream


class Sink:
    """Where a ``WritableStream`` has its chunks to."""

    def convert(self, chunk: Any) -> Any:
        """``chunk`` as ``write()`` will take it; ``TypeError`` if it cannot be written."""
        return chunk

    async def write(self, chunk: Any) -> None:
        """Take ``chunk``; finished when there may be another one."""
        raise NotImplementedError

    async def close(self) -> None:
        """There was the last chunk."""

    async def abort(self, reason: Any) -> None:
        """What was written does not matter any more."""


class WritableStream:
    """Takes chunks, from one writer at a time: ``getWriter()``.

    It gives its sink one after the other; ``writer.ready`` says when to go on.
    """

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._state = "writable"
        self._error: BaseException | None = None
        self._writer: WritableStreamDefaultWriter | None = None
        self._queue: deque[tuple[Any, asyncio.Future[None]]] = deque()
        self._writing: asyncio.Task[None] | None = None
        self._closing: Promise[None] | None = None
        self._ready: Promise[None] = Promise()
        self._ready.resolve(None)

    @property
    def locked(self) -> bool:
        """Whether it has a writer."""
        return self._writer is not None

    def getWriter(self) -> WritableStreamDefaultWriter:
        """A writer; ``TypeError`` if there is one already."""
        return WritableStreamDefaultWriter(self)

    async def abort(self, reason: Any = None) -> None:
        """Drop what is not written yet. ``TypeError`` while there is a writer."""
        self._check_unlocked("abort()")
        await self._abort(reason)

    async def close(self) -> None:
        """Finish, after all that was written. ``TypeError`` while there is a writer."""
        self._check_unlocked("close()")
        await self._close()

    def _check_unlocked(self, what: str) -> None:
        if self._writer is not None:
            raise TypeError(f"the stream is locked to a writer: {what} that")

    # -- what the writer does --------------------------------------------------------------------

    def _write(self, chunk: Any) -> asyncio.Future[None]:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self._error is not None:
            future.set_exception(self._error)
        elif self._closing is not None:
            future.set_exception(TypeError("the stream is closed"))
        else:
            self._queue.append((self._sink.convert(chunk), future))
            if len(self._queue) == 1:
                self._ready = Promise()
            self._start()
        return future

    def _close(self) -> Promise[None]:
        refused: Promise[None] = Promise()
        if self._error is not None or self._closing is not None:
            state = "has failed" if self._error is not None else "is closed already"
            refused.reject(TypeError(f"the stream {state}"))
            return refused
        self._closing = Promise()
        self._ready.resolve(None)
        self._start()
        return self._closing

    def _abort(self, reason: Any) -> Promise[None]:
        if self._state != "writable":
            done: Promise[None] = Promise()
            done.resolve(None)
            return done
        self.fail(reason if isinstance(reason, BaseException) else _reason(reason))
        return _eager(self._sink.abort(reason))

    def _start(self) -> None:
        if self._writing is None:
            self._writing = asyncio.get_running_loop().create_task(self._work())

    async def _work(self) -> None:
        try:
            while self._queue:
                chunk, future = self._queue[0]
                await self._sink.write(chunk)
                if self._state != "writable":
                    return
                self._queue.popleft()
                _set(future)
            self._ready.resolve(None)
            if self._closing is not None:
                await self._sink.close()
                self._finish()
        except Exception as exc:  # noqa: BLE001 - whoever writes is told
            self.fail(exc)
        finally:
            self._writing = None

    def _finish(self) -> None:
        if self._state == "writable":
            self._state = "closed"
            assert self._closing is not None
            self._closing.resolve(None)
            if self._writer is not None:
                self._writer.closed.resolve(None)

    # -- what the sink may do --------------------------------------------------------------------

    def fail(self, error: BaseException) -> None:
        """Nothing can be written any more, because of ``error``."""
        if self._state != "writable":
            return
        self._state, self._error = "errored", error
        queue, self._queue = self._queue, deque()
        for _, future in queue:
            if not future.done():
                future.set_exception(error)
        if self._ready._future.done():
            self._ready = Promise()
        self._ready.reject(error)
        if self._closing is not None:
            self._closing.reject(error)
        if self._writer is not None:
            self._writer.closed.reject(error)
        if self._writing is not None and self._writing is not asyncio.current_task():
            self._writing.cancel()


class WritableStreamDefaultWriter:
    """Who writes to a :class:`WritableStream`: until ``releaseLock()``, nobody else does."""

    def __init__(self, stream: WritableStream) -> None:
        if stream.locked:
            raise TypeError("the stream has a writer already")
        stream._writer = self
        self._stream: WritableStream | None = stream
        #: Settles when the stream is closed or fails, or when the lock is released.
        self.closed: Promise[None] = Promise()
        if stream._state == "closed":
            self.closed.resolve(None)
        elif stream._error is not None:
            self.closed.reject(stream._error)

    @property
    def ready(self) -> Promise[None]:
        """Await it before you write: nothing is waiting to be written then."""
        if self._stream is None:
            released: Promise[None] = Promise()
            released.reject(TypeError("the writer has released the stream"))
            return released
        return self._stream._ready

    @property
    def desiredSize(self) -> int | None:
        """How many chunks it would take now: 1, or less; ``None`` when it has failed."""
        stream = self._locked()
        if stream._state == "errored":
            return None
        return 0 if stream._state == "closed" else 1 - len(stream._queue)

    def write(self, chunk: Any) -> asyncio.Future[None]:
        """Write ``chunk``; await what comes for back-pressure. It is written if you do not, too."""
        return self._locked()._write(chunk)

    def close(self) -> Promise[None]:
        """Finish, after all that was written."""
        return self._locked()._close()

    def abort(self, reason: Any = None) -> Promise[None]:
        """Drop what is not written yet, and tell the sink why."""
        return self._locked()._abort(reason)

    def releaseLock(self) -> None:
        """Let go of the stream."""
        stream, self._stream = self._stream, None
        if stream is not None:
            stream._writer = None
            error = TypeError("the writer has released the stream")
            if self.closed._future.done():
                self.closed = Promise()
            self.closed.reject(error)

    def _locked(self) -> WritableStream:
        if self._stream is None:
            raise TypeError("the writer has released the stream")
        return self._stream


def _reason(reason: Any) -> BaseException:
    from duplexer.browser.abort import as_exception

    return as_exception("the stream was aborted" if reason is None else reason)


def _set(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _eager(coroutine: Any) -> Promise[Any]:
    """Start ``coroutine`` now; awaiting the promise waits for its end."""
    promise: Promise[Any] = Promise()

    def settle(task: asyncio.Task[Any]) -> None:
        _tasks.discard(task)
        error = asyncio.CancelledError() if task.cancelled() else task.exception()
        if error is None:
            promise.resolve(task.result())
        else:
            promise.reject(error if isinstance(error, Exception) else RuntimeError("cancelled"))

    task = asyncio.get_running_loop().create_task(coroutine)
    _tasks.add(task)
    task.add_done_callback(settle)
    return promise


_tasks: set[asyncio.Task[Any]] = set()
