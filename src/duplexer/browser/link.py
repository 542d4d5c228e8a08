"""What stands between a ``WebSocket`` or ``WebSocketStream`` and its connection.

A link opens the connection in a task of its own and tells its owner what happens, each time as a
callback of the event loop's: that is what "queue a task" means here.
"""

from __future__ import annotations

import asyncio
import weakref
from collections import deque
from typing import TYPE_CHECKING, Any, Protocol

from duplexer.errors import ConnectionClosed, WebSocketException

if TYPE_CHECKING:
    from duplexer.asyncio.client import ClientConnection
    from duplexer.browser.opening import Opening

__all__ = ["Ending", "Link", "Outstanding", "Owner"]


class Ending:
    """How it ended: what a ``close`` event tells, and what stood behind it."""

    def __init__(self, error: BaseException) -> None:
        self.error = error
        self.code = 1006
        self.reason = ""
        self.clean = False
        self.failed = True  # whether it was us who failed the connection
        if isinstance(error, ConnectionClosed):
            self.code, self.reason = error.close_code, error.reason
            self.clean = error.rcvd is not None and error.sent is not None
            self.failed = _is_failure(error)


def _is_failure(error: ConnectionClosed) -> bool:
    # To the letter, a connection that is lost is failed as well (RFC 6455 7.2.1). No browser takes
    # it like that: `error` tells of what was refused, not of a network that went away.
    cause = error.__cause__
    if isinstance(cause, TimeoutError) and cause.errno is None:
        # Of keepalive or of sending; but a Close that is not answered is no failure.
        return error.sent is None or error.sent.code == 1011
    return isinstance(cause, WebSocketException)


class Owner(Protocol):
    """What a link tells of."""

    def link_opened(self, connection: ClientConnection) -> None:
        """The connection is established."""

    def link_message(self, message: str | bytes) -> None:
        """A message has come."""

    def link_closing(self) -> None:
        """The close handshake has begun."""

    def link_closed(self, ending: Ending) -> None:
        """It is over, or was never open. Nothing comes after this."""

    def link_room(self) -> asyncio.Future[None] | None:
        """What to wait for before more messages may come."""


class Link:
    """The connection of ``owner``, whom it does not keep alive unless ``keep`` says so.

    ``pushing``: it gives its owner the messages as they come; or else the owner receives them.
    """

    def __init__(self, owner: Owner, opening: Opening, *, pushing: bool) -> None:
        self.loop = asyncio.get_running_loop()
        self.opening = opening
        self.connection: ClientConnection | None = None
        self.keep: Owner | None = owner
        self.pushing = pushing
        self._owner = weakref.ref(owner, self._orphaned)
        self._failing: BaseException | None = None
        self.outstanding = Outstanding()
        self.task = self.loop.create_task(self._run(), name=f"duplexer: {opening.url.origin}")
        _links.add(self)
        self.task.add_done_callback(self._finished)

    # -- the task ----------------------------------------------------------------------------------

    async def _run(self) -> None:
        try:
            connection = await self.opening.connect()
        except Exception as exc:  # noqa: BLE001 - all failures look alike to a page
            self._tell("link_closed", Ending(exc))
        else:
            try:
                await self._follow(connection)
            except asyncio.CancelledError:
                connection.start_close(1001)  # as when a page goes away
                raise

    async def _follow(self, connection: ClientConnection) -> None:
        self.connection = self.outstanding.connection = connection
        self._tell("link_opened", connection)
        if self.pushing:
            await self._push(connection)
            if not connection.lost:
                self._tell("link_closing")
        await connection.wait_closed()
        self.outstanding.freeze()
        error = self._failing or connection.open_session().closed_error()
        self._tell("link_closed", Ending(error))

    def _finished(self, task: asyncio.Task[None]) -> None:
        _links.discard(self)
        if self._failing is not None and task.cancelled():  # perhaps before it began
            self._tell("link_closed", Ending(self._failing))

    async def _push(self, connection: ClientConnection) -> None:
        gone = self.loop.create_task(connection.wait_closed())
        try:
            while True:
                self._tell("link_message", await connection.recv())
                owner = self._owner()
                room = None if owner is None else owner.link_room()
                del owner
                if room is not None:  # who listens may be waiting for the end
                    await asyncio.wait((room, gone), return_when=asyncio.FIRST_COMPLETED)
        except ConnectionClosed:
            pass
        finally:
            gone.cancel()

    def _tell(self, what: str, *args: Any) -> None:
        owner = self._owner()
        if owner is not None:
            self.loop.call_soon(getattr(owner, what), *args)

    # -- what the owner asks for -------------------------------------------------------------------

    def fail(self, error: BaseException) -> None:
        """Give up opening."""
        self._failing = error
        if self.connection is None:
            self.task.cancel()
        else:
            self.connection.abort()

    def close(self, code: int | None, reason: str) -> None:
        """Begin the close handshake, after what was sent."""
        assert self.connection is not None
        self.connection.start_close(code, reason)

    # -- the end of an owner that nobody misses ----------------------------------------------------

    def _orphaned(self, _: Any) -> None:
        # In whatever thread the garbage was collected.
        if not self.loop.is_closed() and not self.task.done():
            self.loop.call_soon_threadsafe(self._abandon)

    def _abandon(self) -> None:
        if self.connection is not None:
            self.connection.start_close(None)
        else:
            self.fail(ConnectionAbortedError("nobody listens to it any more"))


#: Links whose task runs: the loop keeps no task alive.
_links: set[Link] = set()


class Outstanding:
    """``bufferedAmount``: bytes of messages that were sent, and have not left for the network yet.

    Its value is that of the beginning of the turn of the event loop, and what was sent since.
    """

    def __init__(self) -> None:
        self.connection: ClientConnection | None = None
        self._sent: deque[tuple[int, int, int]] = deque()  # begin and end on the wire, size
        self._total = 0  # of the sizes in it
        self._left = 0  # of these, what has left
        self._kept = 0  # what will never be sent
        self._seen = False
        self._checking = False

    @property
    def amount(self) -> int:
        """How many."""
        self._see()
        return self._total - self._left + self._kept

    def position(self) -> int:
        """How many bytes were written to the connection, so far."""
        assert self.connection is not None
        return self.connection.written + self.connection.open_session().cork.size

    def add(self, size: int, begin: int) -> None:
        """A message of ``size`` bytes was sent, after ``begin`` bytes of all."""
        assert self.connection is not None
        self._see()
        self._sent.append((begin, self.position(), size))
        self._total += size
        if not self._checking:  # when it has been flushed: what leaves at once is never missed
            self._checking = True
            self.connection.loop.call_soon(self._check)

    def keep(self, size: int) -> None:
        """A message of ``size`` bytes was given to us, and will not be sent."""
        self._kept += size

    def freeze(self) -> None:
        """The connection has gone: nothing leaves any more."""
        self.connection = None
        self._sent.clear()

    def _see(self) -> None:
        connection = self.connection
        if self._seen or connection is None or connection.lost:
            return
        gone = connection.written - connection.transport.get_write_buffer_size()
        self._left = 0
        while self._sent and self._sent[0][1] <= gone:
            self._total -= self._sent.popleft()[2]
        if self._sent:
            begin, end, size = self._sent[0]
            self._left = size * max(0, gone - begin) // (end - begin)
        self._seen = True
        connection.loop.call_soon(self._forget)

    def _forget(self) -> None:
        self._seen = False

    def _check(self) -> None:
        self._checking = self._seen = False
        self._see()
