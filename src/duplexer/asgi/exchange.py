"""What an ASGI application receives and sends on an open WebSocket: the hot half of a server.

``receive()`` gives back what ``recv()`` of a connection does, an awaitable without a Future behind
it, and ``send()`` one that has finished already unless the peer is slow. What is sent while a read
event is handled leaves in one write. All that is rare is left to who derives from it.
"""

from __future__ import annotations

from typing import Any

from duplexer.asyncio import awaiting
from duplexer.asyncio.awaiting import Receiving, Source, Waiter
from duplexer.asyncio.life import Life
from duplexer.asyncio.pump import Wire
from duplexer.errors import ConnectionClosed

__all__ = ["Exchange"]


class Exchange(Life):
    """A connection whose messages are the events of ASGI's WebSocket protocol."""

    def __init__(self, loop: Any, limits: Any, logger: Any, pump: Any) -> None:
        super().__init__(loop, limits, logger, True, pump)
        self.introduced = False  # the application has received "websocket.connect"
        self.parting = False  # it is told of the end next, whatever the session's state
        self.line: list[Source] | None = None  # those who want to receive while somebody waits

    # -- receiving -------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        """Part of asyncio's Protocol, for transports that read into no buffer of ours."""
        if self.lost:
            return
        if self.session is None:
            self.opening_data(data)
        elif self.stash is not None:  # it was read before the pause took effect
            self.stash += data
        else:
            self._take_in(data, 0, len(data))

    def receive_event(self) -> Any:
        """The application's ``receive``: await it for the next event.

        Cancelling it loses none. Several tasks may wait; they are served in their order.
        """
        if self._receiving is None:
            self._receiving = Receiving(self, False, None)
        return self._receiving

    def next_message(self, receiving: Receiving) -> Any:
        """See :class:`duplexer.asyncio.awaiting.Source`."""
        session = self.session
        if not self.introduced:
            self.introduced = True
            return {"type": "websocket.connect"}
        event: Any = None
        if session is None:
            if self.lost or self.parting:
                event = self.parting_event()
        elif not session.inbox.count and (self.parting or not session.is_open):
            event = self.parting_event()
        else:
            try:
                message = Wire.next_message(self, receiving)
            except ConnectionClosed:
                event = self.parting_event()
            else:
                if isinstance(message, str):
                    event = {"type": "websocket.receive", "text": message}
                elif message is not None:
                    event = {"type": "websocket.receive", "bytes": message}
        if event is None:
            if self.receiver is not None:
                return self._line_up()
        elif self.line is not None:
            self.loop.call_soon(self.serve_next)
        return event

    def _line_up(self) -> Waiter:
        # Somebody waits: this task has a place of its own until its turn has come.
        place = Source()
        place.loop = self.loop
        place.receiver = place.waiter = None
        waiter = Waiter(place)
        waiter._asyncio_future_blocking = True
        if self.line is None:
            self.line = []
        self.line.append(place)
        return waiter

    def serve_next(self) -> None:
        """Resume the task that has waited longest, if nobody is before it."""
        while self.line and self.receiver is None:
            place = self.line.pop(0)
            if place.receiver is not None:  # or it was cancelled
                place.receiver.wake()
        if not self.line:
            self.line = None

    def serve_waiting(self) -> None:
        """There is an event for everybody who waits: that of the end."""
        if self.receiver is not None:
            self.receiver.wake()
        self.serve_next()

    def _deliver(self) -> int:
        Wire._deliver(self)
        if self.line is not None:
            self.loop.call_soon(self.serve_next)
        return 0

    # -- sending ---------------------------------------------------------------------------------

    def send_event(self, event: Any) -> Any:
        """The application's ``send``: await what it gives back."""
        session = self.session
        if (
            session is None
            or self.write_paused
            or not session.is_open
            or event["type"] != "websocket.send"
        ):
            return self.send_rarely(event)
        message = event.get("bytes")
        text = False
        if message is None:
            message = event.get("text")
            text = True
        if isinstance(message, str) is not text:
            self.reject_message(event)
        session.send_message(message, text, None)
        self._touch()
        return awaiting.DONE

    # -- what the server's protocol defines ------------------------------------------------------

    def parting_event(self) -> dict[str, Any]:
        """The event that tells the application of the end."""
        raise NotImplementedError

    def send_rarely(self, event: Any) -> Any:
        """Send what is no message, or where one cannot be sent at once."""
        raise NotImplementedError

    def reject_message(self, event: Any) -> None:
        """Raise the error for an event with neither ``bytes`` nor ``text`` as they have to be."""
        raise NotImplementedError
