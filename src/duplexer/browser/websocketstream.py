"""``WebSocketStream``: a WebSocket as two streams, with back-pressure both ways."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from duplexer.browser.abort import AbortSignal, as_exception
from duplexer.browser.exceptions import (
    DOMException,
    WebSocketCloseInfo,
    WebSocketError,
    check_close,
)
from duplexer.browser.idl import buffer_source, members, usv_string
from duplexer.browser.link import Ending, Link
from duplexer.browser.opening import Opening, extensions_of
from duplexer.browser.streams import Promise, ReadableStream, Sink, Source, WritableStream
from duplexer.errors import ConnectionClosed

if TYPE_CHECKING:
    from duplexer.asyncio.client import ClientConnection

__all__ = ["WebSocketOpenInfo", "WebSocketStream"]


class WebSocketOpenInfo(NamedTuple):
    """What ``opened`` gives: the streams, and what the server has agreed to."""

    readable: ReadableStream
    writable: WritableStream
    extensions: str
    protocol: str


class WebSocketStream:
    """A WebSocket whose messages are the chunks of a readable and a writable stream.

    It connects at once, and has to be made while an event loop runs. ``options`` is a mapping, or
    they are keywords: ``protocols`` (a list), ``signal`` (an :class:`AbortSignal` that gives up
    opening), and those of :class:`WebSocket`.

    A text message is a ``str``, a binary one ``bytes``. Who does not read lets the server wait;
    who awaits ``write()`` waits for the network.
    """

    def __init__(self, url: Any, options: Mapping[str, Any] | None = None, **keywords: Any) -> None:
        given = {**(options or {}), **keywords}
        protocols, signal = given.pop("protocols", ()), given.pop("signal", None)
        if isinstance(protocols, str):
            raise TypeError("protocols must be a list of str")
        opening = Opening(url, protocols, given, "WebSocketStream")
        self._url = opening.url
        self._opened: Promise[WebSocketOpenInfo] = Promise()
        self._closed: Promise[WebSocketCloseInfo] = Promise()
        self._ended: Promise[None] = Promise()
        self._state = "connecting"
        self._readable: ReadableStream | None = None
        self._writable: WritableStream | None = None
        self._unfollow: Callable[[], None] = _nothing
        if signal is not None and signal.aborted:
            self._give_up(signal)
            return
        self._link = Link(self, opening, pushing=False)
        if signal is not None:
            self._unfollow = signal.on_abort(lambda: self._abort_opening(signal))

    def __repr__(self) -> str:
        return f"<WebSocketStream {self._url.address} {self._state}>"

    @property
    def url(self) -> str:
        """The URL, resolved and normalised."""
        return self._url.href

    @property
    def opened(self) -> Promise[WebSocketOpenInfo]:
        """Await it for the streams; raises a :exc:`WebSocketError` if it cannot be opened."""
        return self._opened

    @property
    def closed(self) -> Promise[WebSocketCloseInfo]:
        """Await it for ``closeCode`` and ``reason``.

        Raises a :exc:`WebSocketError` if it was not closed properly, or never opened.
        """
        return self._closed

    def close(
        self,
        closeInfo: Mapping[str, Any] | WebSocketCloseInfo | None = None,
        *,
        closeCode: float | None = None,
        reason: str | None = None,
    ) -> None:
        """Close it, or give up opening it: ``closeCode`` and ``reason``, or a mapping of them.

        Raises "InvalidAccessError" and "SyntaxError" as ``WebSocket.close()``.
        """
        if isinstance(closeInfo, WebSocketCloseInfo):
            closeInfo = closeInfo._asdict()
        given = members(closeInfo, {"closeCode": closeCode, "reason": reason}, "closeInfo")
        self.start_close(*check_close(given["closeCode"], given["reason"]))

    # -- opening ---------------------------------------------------------------------------------

    def _abort_opening(self, signal: AbortSignal) -> None:
        if self._state == "connecting":
            self._link.fail(as_exception(signal.reason))
            self._give_up(signal)

    def _give_up(self, signal: AbortSignal) -> None:
        self._state = "closed"
        for promise in (self._opened, self._closed):
            promise.reject(as_exception(signal.reason))

    def link_opened(self, connection: ClientConnection) -> None:
        """When the connection is established."""
        if self._state != "connecting":
            return
        self._state = "open"
        self._unfollow()
        self._readable = ReadableStream(_Incoming(self, connection))
        self._writable = WritableStream(_Outgoing(self, connection))
        self._opened.resolve(
            WebSocketOpenInfo(
                self._readable,
                self._writable,
                extensions_of(connection),
                connection.subprotocol or "",
            )
        )

    # -- closing ---------------------------------------------------------------------------------

    def start_close(self, code: int | None, reason: str) -> None:
        """Begin the close handshake, or give up opening."""
        if self._state == "connecting":
            self._state = "closing"
            self._link.fail(ConnectionAbortedError("closed before it was open"))
        elif self._state == "open":
            self._state = "closing"
            self._link.close(code, reason)

    async def close_for(self, reason: Any) -> None:
        """One of the streams was cancelled or aborted; a ``WebSocketError`` says what to send."""
        if isinstance(reason, WebSocketError):
            self.start_close(reason.closeCode, reason.reason)
        else:
            self.start_close(None, "")
        await self._ended

    async def wait_ended(self) -> None:
        """Until there is no connection any more."""
        await self._ended

    def link_closed(self, ending: Ending) -> None:
        """When the connection is closed, or was never open."""
        self._unfollow()
        self._state = "closed"
        if self._readable is None or self._writable is None:
            error = _error("the WebSocket could not be opened", None, "", ending)
            self._opened.reject(error)
        if ending.clean:
            self._end_well(ending)
        else:
            error = _error(
                "the WebSocket was not closed properly", ending.code, ending.reason, ending
            )
            self._closed.reject(error)
            for stream in (self._readable, self._writable):
                if stream is not None:
                    stream.fail(error)
        self._ended.resolve(None)
        self._link.keep = None

    def _end_well(self, ending: Ending) -> None:
        self._closed.resolve(WebSocketCloseInfo(ending.code, ending.reason))
        readable = self._readable
        if readable is not None and not readable._chunks and readable._source.finished:
            readable.close()  # or else when what has come is read
        if self._writable is not None and self._writable._closing is None:
            self._writable.fail(DOMException("the WebSocketStream is closed", "InvalidStateError"))

    def link_message(self, message: str | bytes) -> None:
        """Not used: the readable stream asks for messages."""

    def link_closing(self) -> None:
        """Nothing to do: the streams find out by themselves."""

    def link_room(self) -> asyncio.Future[None] | None:
        """Not used: the readable stream asks for messages."""
        return None


class _Incoming(Source):
    """Messages, when they are asked for."""

    def __init__(self, stream: WebSocketStream, connection: ClientConnection) -> None:
        self._stream = stream
        self._connection = connection

    @property
    def finished(self) -> bool:  # type: ignore[override]
        """Whether it was closed properly, and all that came before has been read."""
        session = self._connection.open_session()
        closed = session.close_rcvd is not None and session.close_sent is not None
        return closed and self._connection.lost and not session.inbox.count

    async def pull(self) -> Any:
        try:
            return await self._connection.recv()
        except ConnectionClosed:
            await self._stream.wait_ended()  # if it ended badly, the stream has failed by then
            raise StopAsyncIteration from None

    async def cancel(self, reason: Any) -> None:
        await self._stream.close_for(reason)  # what comes meanwhile is dropped by the connection


class _Outgoing(Sink):
    """Messages; each waits until there is room for more."""

    def __init__(self, stream: WebSocketStream, connection: ClientConnection) -> None:
        self._stream = stream
        self._connection = connection

    def convert(self, chunk: Any) -> Any:
        return usv_string(chunk) if isinstance(chunk, str) else bytes(buffer_source(chunk))

    async def write(self, chunk: Any) -> None:
        try:
            await self._connection.send(chunk)
        except ConnectionClosed:
            await self._stream.wait_ended()  # which makes the stream fail, and says why
            raise DOMException("the WebSocketStream is closed", "InvalidStateError") from None

    async def close(self) -> None:
        await self._stream.close_for(None)

    async def abort(self, reason: Any) -> None:
        await self._stream.close_for(reason)


def _error(message: str, code: int | None, reason: str, ending: Ending) -> WebSocketError:
    error = WebSocketError.received(message, code, reason)
    error.__cause__ = ending.error
    return error


def _nothing() -> None:
    pass
