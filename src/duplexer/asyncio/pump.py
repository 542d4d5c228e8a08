"""Between the event loop and a session: read events in, one write per event or turn out.

While a read event is handled the connection is *corked*: what is sent meanwhile leaves together
when its reader has taken all messages and waits for the next one, or else when the event ends.
What is sent at any other time leaves when the sender waits for a message, or at the end of the
loop's turn, whichever comes first. All of it is bounded by ``Limits.write_high``.
"""

from __future__ import annotations

import asyncio
import contextvars
import weakref
from typing import TYPE_CHECKING, Any

from duplexer.asyncio import awaiting
from duplexer.asyncio.awaiting import Receiving, Source
from duplexer.core.session import Session
from duplexer.errors import ConcurrencyError, InvalidState

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Outlet", "Pump", "Wire", "fan_out", "pump_of"]

#: One read takes at most this much. One buffer serves all connections of a loop: what is left in
#: it when a read event ends has been copied.
READ_SIZE = 256 * 1024


class Pump:
    """What all connections of one event loop share: a read buffer, and the end of the turn."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.call_soon = loop.call_soon
        # For all our timers: each would copy the caller's otherwise, and keep that.
        self.context = contextvars.copy_context()
        self.poller: Any = None  # of servers' plain sockets, where there is one ...
        self.direct: Any = None  # ... and of clients'
        self.buffer = bytearray(READ_SIZE)
        self.view = memoryview(self.buffer)
        self.dirty: list[Any] = []
        self.scheduled = False

    def flush_later(self, wire: Wire) -> int:
        """Have ``wire`` write what it has collected when this turn of the loop ends."""
        self.dirty.append(wire)
        if not self.scheduled:
            self.scheduled = True
            self.call_soon(self.flush_all)
        return 0

    def flush_all(self) -> None:
        """The turn has ended: one write for each connection that has something to write."""
        self.scheduled = False
        dirty, self.dirty = self.dirty, []
        for wire in dirty:
            try:
                wire._flush()
            except Exception as exc:  # noqa: BLE001 - one transport must not keep others waiting
                self.loop.call_exception_handler({"message": "write failed", "exception": exc})


#: By the loop's ``id``, which is its own while the pump lives: the pump holds the loop. Servers
#: and connections hold the pump.
_pumps: weakref.WeakValueDictionary[int, Pump] = weakref.WeakValueDictionary()


def pump_of(loop: asyncio.AbstractEventLoop) -> Pump:
    """The pump of ``loop``."""
    pump = _pumps.get(id(loop))
    if pump is None:
        pump = _pumps[id(loop)] = Pump(loop)
    return pump


def fan_out(wires: Iterable[Any], prepared: Any, failures: list[Exception]) -> list[Any]:
    """Send ``prepared`` on each of ``wires`` that is open; gives back those that cannot simply."""
    others = []
    key: Any = None
    data = b""
    rsv = 0
    for wire in wires:
        session = wire.session
        if session is None or not session.is_open:
            continue
        its_key = session.prepare_key()
        if its_key is None or wire.crowded:
            others.append(wire)  # a client's frames have a mask each; the others have to wait
            continue
        try:
            if its_key is not key:
                data, rsv = prepared.wire_for(session)
                key = its_key
            session.send_prepared(data, rsv)
            wire._touch()
        except Exception as exc:  # noqa: BLE001 - one connection must not keep others waiting
            failures.append(exc)
    return others


class Outlet:
    """A transport of ours, as far as a wire writes to it."""

    def write(self, data: bytes) -> int:
        """Part of asyncio's Transport."""
        raise NotImplementedError


class Wire(Source):
    """The hot half of a connection: the transport's callbacks, receiving and sending.

    ``session`` is ``None`` until the handshake is done; until then bytes go to ``opening_data``.
    What happens rarely is left to methods that the connection defines: ``opening_data``,
    ``on_events``, ``on_closing``, ``rearm``, ``send_slowly``.
    """

    def __init__(self, loop: Any, pump: Pump | None = None) -> None:
        self.loop = loop
        self.receiver = None
        self.waiter = None
        self.pump = pump_of(loop) if pump is None else pump
        self.session: Session | None = None
        self.transport: Any = None
        self.outlet: Outlet | None = None  # the transport, if it is one of ours ...
        self.write: Any = None  # ... and if not, what writes to it
        self.listener: Any = None  # callbacks in place of recv()
        self.corked = False
        self.dirty = False
        self.write_paused = False
        self.crowded = False  # that, or a fragmented message is being sent
        self.read_paused = False
        self.lost = False
        # Our own transport has let go: connection_lost() is going to be called, and no deadline is
        # needed any more. (Of others we only hear by that call.)
        self.dropped = False
        self.returning = False  # next_turn() is going to be called
        self.written = 0  # bytes handed to the transport, in all
        self.streaming: Receiving | None = None  # the reader that takes a message in pieces
        self.backlog: Any = None  # what waits for a peer that does not read, if that is bounded
        self.observer: Any = None
        self.fragmenting: Any = None  # while a fragmented message is sent: its Fragments
        self.stash: bytes | None = None  # what was read, but not taken in yet ...
        self.stash_at = 0  # ... from here on
        self.queue_messages = 0
        self.queue_bytes = 0
        self.write_high = 0
        self._receiving: Receiving | None = None
        self._iterating: Receiving | None = None

    # -- reading ---------------------------------------------------------------------------------

    def get_buffer(self, sizehint: int) -> memoryview:
        """Part of asyncio's BufferedProtocol."""
        return self.pump.view

    def buffer_updated(self, n: int) -> None:
        """Part of asyncio's BufferedProtocol: ``n`` bytes were read."""
        if self.session is None:
            self.opening_data(bytes(self.pump.buffer[:n]))
        elif self.stash is not None:  # it was read before the pause took effect
            self.stash += bytes(self.pump.buffer[:n])
        else:
            self._take_in(self.pump.buffer, 0, n)

    def _take_in(self, data: Any, start: int, end: int) -> int:
        # Parse what was read, then let who waits for messages run, then write: once each.
        session = self.session
        assert session is not None
        self.corked = True
        try:
            stop = session.receive(data, start, end)
            if stop < end:
                self._put_back(data, stop, end)
            if session.events:
                self.on_events()
            if session.inbox.count:
                self._deliver()
            if session.breach is not None:
                self._break_off()
        finally:
            try:
                if session.cork.size:
                    self._flush()  # corked still: the deadline is looked at once, below
            finally:
                self.corked = False
        if not session.is_open:
            self.on_closing()  # first: if that ends it, there is no deadline any more
        if session.restless():
            self.rearm()
        return 0

    def _break_off(self) -> int:
        # The task that is to read may be about to start: it has until the turn's end.
        session = self.session
        assert session is not None
        if session.inbox.count:
            self.loop.call_soon(self.conclude)
        else:
            session.conclude()
        return 0

    def conclude(self) -> None:
        """The peer broke a rule, and who was waiting for what came before has had its turn."""
        if self.session is not None and not self.lost:
            self.session.conclude()
            self.settle()

    def _put_back(self, data: Any, start: int, end: int) -> int:
        # This connection has had its turn: the others first.
        if isinstance(data, bytes):
            self.stash = data
            self.stash_at = start
        else:
            self.stash = bytes(data[start:end])
            self.stash_at = 0
        self.pause_reading()
        self._come_back()
        return 0

    def _come_back(self) -> int:
        if not self.returning:
            self.returning = True
            self.loop.call_soon(self.next_turn)
        return 0

    def next_turn(self) -> None:
        """Take in what the last turn left, unless the application has to catch up first."""
        self.returning = False
        data = self.stash
        if data is None or self.lost or self.is_behind():
            return
        self.stash = None
        self._take_in(data, self.stash_at, len(data))
        if self.stash is None:
            self._resume_if_room()

    def is_behind(self) -> bool:
        """Whether more messages wait for the application than it may let wait."""
        session = self.session
        assert session is not None
        inbox = session.inbox
        return session.is_open and (
            inbox.count > self.queue_messages or inbox.size > self.queue_bytes
        )

    def _deliver(self) -> int:
        # Messages have come: wake their reader, or stop reading if there is none.
        session = self.session
        assert session is not None
        inbox = session.inbox
        if self.listener is not None:
            return self.call_listener()
        if self.receiver is not None:
            self.receiver.wake()
        if inbox.count > self.queue_messages or inbox.size > self.queue_bytes:
            if session.is_open:
                self.pause_reading()
            else:
                session.assembler.deaf = True  # nobody has to read what comes after our Close
        return 0

    def call_listener(self) -> int:
        """Give the listener the messages that have come."""
        session = self.session
        assert session is not None
        inbox = session.inbox
        on_message = self.listener.on_message
        try:
            while inbox.count:
                on_message(self, inbox.pop())
        except Exception as exc:  # noqa: BLE001 - the user's code: the connection reports it
            self.on_failure(exc)
        return 0

    def pause_reading(self) -> None:
        """The application is behind: let the kernel, and then the peer, wait."""
        if not self.read_paused and not self.lost:
            self.read_paused = True
            self.transport.pause_reading()
            if self.session is not None:
                self.session.reading = False

    def _resume_if_room(self) -> int:
        # Read on if the application has caught up, or waits.
        session = self.session
        if not self.read_paused or self.lost or session is None:
            return 0
        inbox = session.inbox
        if session.is_open and (
            inbox.count * 4 > self.queue_messages or inbox.size * 4 > self.queue_bytes
        ):
            return 0  # while it closes we read on, whoever reads the messages
        if self.stash is not None:
            return self._come_back()
        self.read_paused = False
        session.reading = True
        self.transport.resume_reading()
        return 0

    # -- receiving -------------------------------------------------------------------------------

    def next_message(self, receiving: Receiving) -> Any:
        """See :meth:`duplexer.asyncio.awaiting.Source.next_message`."""
        session = self.session
        if session is None:
            raise InvalidState("the opening handshake has not been finished")
        if self.streaming is not None and receiving is not self.streaming:
            raise ConcurrencyError("recv() is called while recv_streaming() is in a message")
        inbox = session.inbox
        if inbox.count:
            message = inbox.pop()
            if self.read_paused:
                self._resume_if_room()
            return message
        if self.lost or not session.reads:
            if receiving.iterating and session.ended_well():
                raise StopAsyncIteration
            raise session.closed_error()
        if session.cork.size:
            self._flush()  # the sender waits for the answer: the sooner it is on its way the better
        if self.read_paused:
            self.run_dry()
        if self.listener is not None:
            raise ConcurrencyError("recv() is called on a connection that has a listener")
        return None

    def recv(self, decode: bool | None = None) -> Any:
        """Receive the next message: ``str`` for text, ``bytes`` for binary.

        ``decode=False`` gives text as ``bytes``, ``decode=True`` binary as ``str``. Cancelling it
        loses no message. Raises :exc:`~duplexer.errors.ConnectionClosed` when there will be none,
        :exc:`~duplexer.errors.ConcurrencyError` when another task receives.
        """
        if decode is not None or self.lost:  # what it kept then, nothing would let go of
            return Receiving(self, False, decode)
        if self._receiving is None:
            self._receiving = Receiving(self, False, None)
        return self._receiving

    def __aiter__(self) -> Any:
        return self

    def __anext__(self) -> Any:
        if self.lost:
            return Receiving(self, True, None)
        if self._iterating is None:
            self._iterating = Receiving(self, True, None)
        return self._iterating

    # -- sending ---------------------------------------------------------------------------------

    def send(self, message: Any, text: bool | None = None, *, compress: bool | None = None) -> Any:
        """Send a message: ``str`` as text, bytes-like as binary (``text=`` says otherwise).

        An iterable or an async iterable of these is sent as one fragmented message. ``compress``
        overrides whether to compress it. It waits while more than ``Limits.write_high`` bytes are
        buffered; cancelling it leaves no half frame: a whole message has been taken over by then.

        Raises ``TypeError`` for anything else, :exc:`~duplexer.errors.ConnectionClosed` when the
        connection is not open.
        """
        session = self.session
        if self.crowded or not isinstance(message, (str, bytes, bytearray, memoryview)):
            return self.send_slowly(message, text, compress)
        if session is None:
            raise InvalidState("the opening handshake has not been finished")
        session.send_message(message, text, compress)
        self._touch()
        if self.write_paused:
            return self.drain()
        return awaiting.DONE

    def send_nowait(
        self, message: Any, text: bool | None = None, *, compress: bool | None = None
    ) -> None:
        """Send without ever waiting, for callbacks.

        Raises :exc:`BufferError` when more than ``Limits.write_hard`` bytes are buffered: the peer
        does not read. Otherwise as ``send()``; fragmented messages need ``send()``.
        """
        session = self.session
        # The usual types are quick to tell; to ask for Prepared would take a tenth of all.
        if session is None or self.crowded or not isinstance(message, (str, bytes)):
            self.send_at_once(message, text, compress)
            return
        session.send_message(message, text, compress)
        self._touch()

    def _touch(self) -> int:
        # Something was sent: see to it that it leaves.
        session = self.session
        assert session is not None
        if session.cork.size > self.write_high:
            self._flush()
            if self.transport.is_closing():
                # It takes no more, and the loop has to have a turn to say so: who sends waits.
                self.pause_writing()
        elif not self.corked and not self.dirty:
            self.dirty = True
            self.pump.flush_later(self)
        return 0

    def let_go(self) -> None:
        """It is over: nothing is to keep the connection alive but its user."""
        self.waiter = None
        self._receiving = self._iterating = None

    def _flush(self) -> int:
        # Hand what was collected to the transport: one write.
        self.dirty = False
        session = self.session
        if session is None or session.cork.size == 0 or self.lost:
            return 0
        cork = session.cork
        self.written += cork.size
        data = cork.take()
        try:
            if not isinstance(data, bytes):
                self.transport.writelines(data)
            elif self.outlet is not None:
                self.outlet.write(data)
            else:
                self.write(data)
        except BaseException:
            self.transport.abort()  # something is lost, perhaps half a frame: nothing may follow
            raise
        if not self.corked and session.restless():
            self.rearm()  # or who only sends would never give back what compressing took
        return 0

    # -- the same for those who are not compiled -------------------------------------------------

    def take_in(self, data: bytes, start: int, end: int) -> None:
        """Parse ``data``, let who waits for messages run, write."""
        self._take_in(data, start, end)

    def resume_if_room(self) -> None:
        """Read on if the application has caught up, or waits."""
        self._resume_if_room()

    def run_dry(self) -> None:
        """Reading pauses, and who asks for a message has taken all that had come."""
        self._resume_if_room()

    def touch(self) -> None:
        """Something was sent: see to it that it leaves."""
        self._touch()

    def flush(self) -> None:
        """Write what was collected."""
        self._flush()

    # -- what the connection defines -----------------------------------------------------------

    def pause_writing(self) -> None:
        """The transport takes no more: who sends waits."""
        raise NotImplementedError

    def opening_data(self, data: bytes) -> None:
        """Bytes of the opening handshake."""
        raise NotImplementedError

    def on_events(self) -> None:
        """The session reports something."""
        raise NotImplementedError

    def on_failure(self, exc: Exception) -> None:
        """A callback of the listener's has raised ``exc``."""
        raise NotImplementedError

    def on_closing(self) -> None:
        """The connection is not open any more."""
        raise NotImplementedError

    def settle(self) -> None:
        """The close handshake has moved on."""
        raise NotImplementedError

    def rearm(self) -> None:
        """The session's deadline may have changed."""
        raise NotImplementedError

    def send_slowly(self, message: Any, text: bool | None, compress: bool | None) -> Any:
        """Send what is not simply a message."""
        raise NotImplementedError

    def send_at_once(self, message: Any, text: bool | None, compress: bool | None) -> None:
        """The same for ``send_nowait()``."""
        raise NotImplementedError

    def drain(self) -> Any:
        """Wait until writing may go on."""
        raise NotImplementedError
