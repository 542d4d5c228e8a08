"""What can be awaited on the hot path: without a Future, without ``StopIteration`` when compiled.

No Future stands between the wire and ``recv()``. :class:`Receiving` is what ``await`` wants of an
awaitable, :class:`Waiter` what a Task wants of a Future; the Task that waits is resumed straight
from the read event, in its own context. A message is taken out of the inbox when the Task runs, not
when it is woken: that is why cancelling it loses nothing.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

from duplexer.errors import ConcurrencyError

__all__ = ["Done", "Receiving", "Source", "Waiter"]

#: Python 3.11 asks for the running task in Python; the table behind it answers in a tenth.
current_task: Any = asyncio.current_task
if sys.version_info < (3, 12):
    current_task = asyncio.tasks._current_tasks.get  # type: ignore[attr-defined]


class Done:
    """An awaitable that has finished: what ``send()`` gives back when it need not wait."""

    def __await__(self) -> Any:
        return self

    def __iter__(self) -> Any:
        return self

    def __next__(self) -> None:
        raise StopIteration

    # The rest makes it acceptable to asyncio.create_task and asyncio.gather.
    def send(self, value: None) -> None:
        """Part of the coroutine protocol."""
        raise StopIteration

    def throw(self, typ: Any, val: Any = None, tb: Any = None) -> None:
        """Part of the coroutine protocol."""
        raise (typ if val is None else val)

    def close(self) -> None:
        """Part of the coroutine protocol."""


DONE = Done()


class Source:
    """Where messages come from: a connection, as far as waiting for it goes."""

    loop: Any  #: the event loop
    receiver: Waiter | None  #: the one who waits
    waiter: Waiter | None  #: kept for the next one who does

    def next_message(self, receiving: Receiving) -> Any:
        # The next message, ``None`` when there is none yet; raises when there will not be one.
        return self.produce(receiving)

    def produce(self, receiving: Receiving) -> Any:
        """The same for a source that is not compiled."""
        raise NotImplementedError


class Waiter:
    """What a Task sees of a wait: as much of a Future as it needs. One for each connection."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self._asyncio_future_blocking = False
        self.callback: Any = None
        self.context: Any = None
        self.cancelled_by: tuple[Any, ...] | None = None

    def get_loop(self) -> Any:
        """Part of the Future protocol: the Task checks that it is its own loop."""
        return self.source.loop

    def add_done_callback(self, callback: Any, *, context: Any = None) -> None:
        """Part of the Future protocol: the Task says how to wake it."""
        self.callback = callback
        self.context = context
        self.source.receiver = self

    def result(self) -> None:
        """Part of the Future protocol: the Task looks whether it was cancelled."""
        by = self.cancelled_by
        if by is not None:
            self.cancelled_by = None
            raise asyncio.CancelledError(*by)

    def cancel(self, msg: Any = None) -> bool:
        """Part of the Future protocol: the Task that waits is being cancelled."""
        callback = self.callback
        if callback is None:
            return False  # woken already: the Task cancels itself when it runs
        context = self.context
        self.forget()
        self.source.waiter = None  # until its Task has run it is no other one's
        self.cancelled_by = () if msg is None else (msg,)
        self.source.loop.call_soon(callback, self, context=context)
        return True

    def done(self) -> bool:
        """Part of the Future protocol."""
        return self.callback is None

    def forget(self) -> None:
        """Nobody waits any more."""
        self.callback = self.context = None
        if self.source.receiver is self:
            self.source.receiver = None

    def wake(self) -> None:
        """Resume the Task that waits: at once if no other one is running, else soon."""
        callback = self.callback
        context = self.context
        source = self.source
        self.callback = self.context = None
        source.receiver = None
        if callback is None:
            return
        if current_task(source.loop) is None:
            context.run(callback, self)
        else:
            source.waiter = None
            source.loop.call_soon(callback, self, context=context)


class Receiving:
    """What ``recv()`` and ``__anext__()`` give back. Reusable: it has no state while nobody waits.

    It is not a Future for asyncio (``asyncio.wait_for`` would not start it), but it is as good as
    a coroutine: ``asyncio.create_task(ws.recv())`` works.
    """

    def __init__(self, source: Source, iterating: bool, decode: bool | None = None) -> None:
        self.source = source
        self.iterating = iterating
        self.decode = decode

    def poll(self) -> Any:
        """A message, or the waiter that tells when to poll again."""
        source = self.source
        message = source.next_message(self)
        if message is None:
            if source.receiver is not None:
                raise ConcurrencyError(
                    "recv() is called while another task is waiting in recv() or async for"
                )
            waiter = source.waiter
            if waiter is None:
                waiter = source.waiter = Waiter(source)
            waiter._asyncio_future_blocking = True
            return waiter
        if self.decode is not None:
            if self.decode and isinstance(message, bytes):
                return message.decode()
            if not self.decode and isinstance(message, str):
                return message.encode()
        return message

    def __await__(self) -> Any:
        return self

    def __iter__(self) -> Any:
        return self

    def __next__(self) -> Any:
        message = self.poll()
        if isinstance(message, Waiter):
            return message
        raise StopIteration(message)

    def send(self, value: None) -> Any:
        """Part of the coroutine protocol."""
        return self.__next__()

    def throw(self, typ: Any, val: Any = None, tb: Any = None) -> Any:
        """Part of the coroutine protocol: a cancelled Task arrives here.

        Its waiter was told before; who waits now is another one.
        """
        raise (typ if val is None else val)

    def close(self) -> None:
        """Part of the coroutine protocol."""


def _install() -> None:
    try:
        from duplexer.asyncio import _slots  # type: ignore[attr-defined]
    except ImportError:
        return  # interpreted: the iterator protocol does
    _slots.install()


_install()
