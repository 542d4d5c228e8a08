"""``WebSocket``, as in the WebSockets Standard. The comments give its steps."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from duplexer.browser.blob import Blob
from duplexer.browser.events import (
    CloseEvent,
    ErrorEvent,
    Event,
    EventHandler,
    EventTarget,
    MessageEvent,
)
from duplexer.browser.exceptions import DOMException, check_close
from duplexer.browser.idl import buffer_source, usv_string
from duplexer.browser.link import Ending, Link
from duplexer.browser.opening import Opening, extensions_of
from duplexer.errors import ConnectionClosed

if TYPE_CHECKING:
    from duplexer.asyncio.client import ClientConnection

__all__ = ["WebSocket"]

CONNECTING, OPEN, CLOSING, CLOSED = range(4)

#: State → events that a WebSocket in it lives for (the standard's "Garbage collection").
_LIVES_FOR = {
    CONNECTING: ("open", "message", "error", "close"),
    OPEN: ("message", "error", "close"),
    CLOSING: ("error", "close"),
    CLOSED: (),
}


class WebSocket(EventTarget):
    """A WebSocket with the interface that pages have.

    It connects at once, and has to be made while an event loop runs. Events come in its turns:
    ``open``, ``message``, ``error`` and ``close``.

    ``protocols`` is a protocol or a list of them; or a mapping of options, ``protocols`` among
    them. Options are keywords, too:

    * ``base_url``: what a relative ``url`` is relative to: a page has one, a program has not.
    * ``headers``: of the request, besides the handshake's own.
    * ``resolver``: whereto, in place of DNS: a mapping of hosts, or a function (maybe a coroutine
      function) of host and port. Both give a host, a pair of host and port, or ``None``.
    * those of :class:`duplexer.asyncio.client.connect`: ``proxy``, ``ssl``, ``origin``, ``limits``,
      ``compression``, ``open_timeout``, ``max_size``, ...

    Raises a :exc:`DOMException` called "SyntaxError" if ``url`` is no URL for a WebSocket, or if a
    protocol is no token or there twice. ``TypeError`` and ``ValueError`` are about options.
    """

    CONNECTING = CONNECTING
    OPEN = OPEN
    CLOSING = CLOSING
    CLOSED = CLOSED

    onopen = EventHandler()
    onmessage = EventHandler()
    onerror = EventHandler()
    onclose = EventHandler()

    def __init__(
        self, url: Any, protocols: str | Iterable[str] | Mapping[str, Any] = (), **options: Any
    ) -> None:
        super().__init__()
        if isinstance(protocols, Mapping):
            options = {**protocols, **options}
            protocols = options.pop("protocols", ())
        self._ready_state = CONNECTING
        self._extensions = self._protocol = ""
        self._binary_type = "blob"
        self._full = False
        self._handling = 0  # bytes of messages whose coroutines are still running
        self._room: asyncio.Future[None] | None = None
        opening = Opening(url, protocols, options, "WebSocket")
        self._url = opening.url
        self._link = Link(self, opening, pushing=True)
        self._link.loop.call_soon(self._listeners_changed)  # this turn is the caller's to listen

    def __repr__(self) -> str:
        state = ("CONNECTING", "OPEN", "CLOSING", "CLOSED")[self._ready_state]
        return f"<WebSocket {self._url.address} {state}>"

    # -- attributes ------------------------------------------------------------------------------

    @property
    def url(self) -> str:
        """The URL, resolved and normalised."""
        return self._url.href

    @property
    def readyState(self) -> int:
        """``CONNECTING`` (0), ``OPEN`` (1), ``CLOSING`` (2) or ``CLOSED`` (3)."""
        return self._ready_state

    @property
    def bufferedAmount(self) -> int:
        """Bytes that were given to ``send()`` and have not left yet: of messages, not of frames.

        It goes down between turns of the event loop only, and not at all once the connection is
        closed.
        """
        return self._link.outstanding.amount

    @property
    def extensions(self) -> str:
        """What the server has agreed to, ``""`` if nothing or before it has."""
        return self._extensions

    @property
    def protocol(self) -> str:
        """The protocol that the server has chosen, ``""`` if none or before it has."""
        return self._protocol

    @property
    def binaryType(self) -> str:
        """What binary messages come as: ``"blob"`` (a :class:`Blob`) or ``"arraybuffer"`` (bytes).

        Other values are ignored. It may change at any time, and counts when the event is fired.
        """
        return self._binary_type

    @binaryType.setter
    def binaryType(self, value: str) -> None:
        if value in ("blob", "arraybuffer"):
            self._binary_type = value

    # -- methods ---------------------------------------------------------------------------------

    def send(self, data: str | bytes | bytearray | memoryview | Blob) -> None:
        """Send a message: ``str`` as text, a :class:`Blob` or anything bytes-like as binary.

        It never waits; look at ``bufferedAmount``. If more than ``Limits.write_hard`` is buffered
        (16 MiB by default), the connection fails. Raises "InvalidStateError" while ``CONNECTING``,
        ``TypeError`` for other data; once it is ``CLOSING`` the message is dropped.
        """
        payload: bytes | memoryview
        if isinstance(data, str):
            payload = usv_string(data).encode()
        elif isinstance(data, Blob):
            payload = data._data
        else:
            payload = buffer_source(data)
        # 1. CONNECTING: throw an InvalidStateError.
        if self._ready_state == CONNECTING:
            raise DOMException("send() while the WebSocket is CONNECTING", "InvalidStateError")
        # 2. Send it if the connection is established and the close handshake has not begun;
        #    bufferedAmount grows whatever happens.
        if not self._transmit(payload, isinstance(data, str)):
            self._link.outstanding.keep(len(payload))

    def _transmit(self, payload: bytes | memoryview, text: bool) -> bool:
        connection = self._link.connection
        if connection is None or self._ready_state != OPEN or self._full:
            return False
        outstanding = self._link.outstanding
        try:
            begin = outstanding.position()
            connection.send_nowait(payload, text)
        except ConnectionClosed:
            return False
        except BufferError:
            self._full = True  # "flag the WebSocket as full", and close the connection
            connection.abort()
            return False
        outstanding.add(len(payload), begin)
        return True

    def close(self, code: float | None = None, reason: str | None = None) -> None:
        """Close the connection, or give up opening it. ``close`` will tell when it is done.

        Raises "InvalidAccessError" for a ``code`` other than 1000 and 3000 to 4999, "SyntaxError"
        for a ``reason`` of more than 123 bytes of UTF-8.
        """
        # 1 and 2. Check code and reason.
        number, text = check_close(code, reason)
        # 3. CLOSING or CLOSED: nothing.
        if self._ready_state in (CLOSING, CLOSED):
            return
        connecting = self._ready_state == CONNECTING
        self._change_state(CLOSING)
        if connecting:
            # Not established: fail the connection.
            self._link.fail(ConnectionAbortedError("closed before it was open"))
        else:
            # Start the close handshake, unless the peer has.
            self._link.close(number, text)

    # -- feedback from the protocol --------------------------------------------------------------

    def link_opened(self, connection: ClientConnection) -> None:
        """When the connection is established."""
        if self._ready_state != CONNECTING:
            return  # close() was quicker
        self._change_state(OPEN)
        self._extensions = extensions_of(connection)
        self._protocol = connection.subprotocol or ""
        self._fire(Event("open"))

    def link_message(self, message: str | bytes) -> None:
        """When a message has been received."""
        # 1. Not OPEN: nothing.
        if self._ready_state != OPEN:
            return
        # 2 and 3. What it is to be; fire.
        data: Any = message
        if isinstance(message, bytes) and self._binary_type == "blob":
            data = Blob([message])
        self._fire(MessageEvent("message", data=data, origin=self._url.origin))

    def link_closing(self) -> None:
        """When the close handshake has begun."""
        if self._ready_state != CLOSED:
            self._change_state(CLOSING)

    def link_closed(self, ending: Ending) -> None:
        """When the connection is closed."""
        self._change_state(CLOSED)
        if ending.failed or self._full:
            message = "more was sent than may be buffered" if self._full else str(ending.error)
            self._fire(ErrorEvent("error", message=message, error=ending.error))
        clean = ending.clean and not self._full
        self._fire(CloseEvent("close", wasClean=clean, code=ending.code, reason=ending.reason))

    # -- keeping alive, and keeping up -----------------------------------------------------------

    def _change_state(self, state: int) -> None:
        self._ready_state = state
        self._listeners_changed()

    def _listeners_changed(self) -> None:
        alive = self._listens_to(*_LIVES_FOR[self._ready_state])
        self._link.keep = self if alive else None

    def link_room(self) -> asyncio.Future[None] | None:
        """Nothing to wait for while the coroutines of listeners keep up."""
        if self._handling <= self._bound():
            return None
        if self._room is None:
            self._room = self._link.loop.create_future()
        return self._room

    def _bound(self) -> int:
        connection = self._link.connection
        return 0 if connection is None else connection.limits.queue_bytes

    def _run(self, coroutine: Coroutine[Any, Any, Any], event: Event) -> asyncio.Task[Any]:
        task = super()._run(coroutine, event)
        connection = self._link.connection
        if event.isTrusted and isinstance(event, MessageEvent) and connection is not None:
            size = event.data.size if isinstance(event.data, Blob) else len(event.data)
            size += connection.limits.queue_overhead
            self._handling += size
            task.add_done_callback(lambda _: self._handled(size))
        return task

    def _handled(self, size: int) -> None:
        self._handling -= size
        if self._room is not None and self._handling <= self._bound():
            room, self._room = self._room, None
            with contextlib.suppress(asyncio.InvalidStateError):
                room.set_result(None)
