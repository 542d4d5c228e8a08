"""The hot half of the load: messages out, messages in, each compared and timed.

One ``Receiver`` for each connection is its listener. It tells the ``Sender`` of the messages that
come there how far it has got, and that sends more: an echo has a sender for each connection, a
broadcast one for all, the ``Publisher``. Times are nanoseconds of ``perf_counter_ns``.

The clock is read once for each read event: all messages in it had arrived by then, and what they
then wait for each other is our time, not the server's.
"""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Callable
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any

from duplexer.asyncio.pump import Wire
from duplexer.cli.load.histogram import Histogram
from duplexer.cli.load.mistakes import difference

if TYPE_CHECKING:
    from duplexer.cli.load.mistakes import Mistakes
    from duplexer.errors import ConnectionClosed

__all__ = ["UNBOUNDED", "Pacer", "Publisher", "Receiver", "Sender", "Traffic"]

UNBOUNDED = 1 << 62  #: as a budget
REMEMBERED = 1024  #: messages of one connection that did not come as they should


class Traffic:
    """What all connections of a process share: the messages, what is wanted, what is counted."""

    def __init__(self, messages: list[Any], checking: bool, mistakes: Mistakes) -> None:
        self.messages = messages  # 2^n of them
        self.mask = len(messages) - 1
        self.checking = checking
        self.mistakes = mistakes
        self.recording = False  # whether latencies are
        self.latency = Histogram()
        self.budget = 0  # how many more messages may be sent
        self.sent = 0
        self.received = 0
        self.bytes = 0  # of the messages received
        self.flying = 0  # messages sent that have not come everywhere they should
        self.on_quiet: Callable[[], None] | None = None  # nothing flies, and nothing more may

    def look_round(self) -> int:
        """See whether all is over."""
        if self.flying == 0 and self.budget == 0 and self.on_quiet is not None:
            self.on_quiet()
        return 0


class Sender:
    """Keeps ``in_flight`` messages under way on a connection, or as many as have become due."""

    def __init__(self, traffic: Traffic, in_flight: int, first: int, paced: bool) -> None:
        self.traffic = traffic
        self.in_flight = in_flight
        self.first = first  # where in the messages this one begins
        self.wire: Wire | None = None
        self.sent = 0  # the number of the next message
        self.flying = 0
        room = 1 << max(0, in_flight - 1).bit_length()
        self.due = array("q", bytes(8 * room))  # when each of those in flight was to be sent
        self.ring = room - 1
        self.owed: deque[int] | None = deque() if paced else None  # due, but too many in flight

    def done(self, start: int, stop: int, now: int) -> int:
        """The messages from number ``start`` up to ``stop`` are done with."""
        self.flying -= stop - start
        self.traffic.flying -= stop - start
        self.fill(now)
        return self.traffic.look_round()

    def fill(self, now: int) -> int:
        """Send what may be sent."""
        room = self.in_flight - self.flying
        if self.owed is not None:
            while room > 0 and self.owed and self.put(self.owed[0]):
                self.owed.popleft()
                room -= 1
        else:
            room = min(room, self.traffic.budget)
            while room > 0 and self.put(now):
                self.traffic.budget -= 1
                room -= 1
        return self.push()

    def offer(self, due: int) -> int:
        """A message has become due."""
        if self.flying < self.in_flight and self.put(due):
            return self.push()
        if self.owed is not None:
            self.owed.append(due)
        return 0

    def put(self, due: int) -> int:
        """Send one message, which was due at ``due``; 0 if the connection is not open."""
        traffic, wire = self.traffic, self.wire
        if wire is None or wire.session is None or not wire.session.is_open:
            return 0
        message = traffic.messages[(self.first + self.sent) & traffic.mask]
        wire.session.send_message(message, None, None)
        self.due[self.sent & self.ring] = due
        self.sent += 1
        self.flying += 1
        traffic.sent += 1
        traffic.flying += 1
        return 1

    def push(self) -> int:
        """See to it that what was sent leaves."""
        wire = self.wire
        if wire is not None and wire.session is not None and wire.session.cork.size:
            wire._touch()
        return 0

    def stop(self) -> int:
        """Send nothing any more; gives back how many messages were due and have not been sent."""
        self.wire = None
        left = 0 if self.owed is None else len(self.owed)
        if self.owed is not None:
            self.owed.clear()
        return left


class Publisher(Sender):
    """Sends messages that each of ``audience`` connections is to receive.

    Without a rate they go in rounds: when all have received all of one, the next begins.
    """

    def __init__(self, traffic: Traffic, in_flight: int, first: int, paced: bool) -> None:
        super().__init__(traffic, in_flight, first, paced)
        self.audience = 0
        self.missing = array("q", bytes(8 * (self.ring + 1)))  # deliveries of each message

    def put(self, due: int) -> int:
        """As a sender's."""
        self.missing[self.sent & self.ring] = self.audience
        return Sender.put(self, due)

    def done(self, start: int, stop: int, now: int) -> int:
        """A connection is done with the messages from ``start`` up to ``stop``."""
        for number in range(start, stop):
            left = self.missing[number & self.ring] - 1
            self.missing[number & self.ring] = left
            if left == 0:
                self.flying -= 1
                self.traffic.flying -= 1
        if self.owed is not None or self.flying == 0:
            self.fill(now)
        return self.traffic.look_round()


class Receiver:
    """The listener of a connection: compares what comes with what was sent."""

    def __init__(
        self,
        traffic: Traffic,
        stream: Sender,
        number: int,
        closed: Callable[[Receiver, ConnectionClosed], None],
    ) -> None:
        self.traffic = traffic
        self.stream = stream  # whose messages come here
        self.number = number
        self.closed = closed
        self.heard = 0  # so many of its messages are done with
        self.start = 0  # ... and were before this read event
        self.now = 0
        self.fresh = True  # the next message is the first of a read event
        self.strays: dict[int, str] | None = None  # messages done with that did not come as sent

    def on_open(self, wire: Wire) -> None:
        """The handshake is done: nothing is sent before all of them are."""

    def on_message(self, wire: Wire, message: Any) -> int:
        """A message has come."""
        traffic, stream, heard = self.traffic, self.stream, self.heard
        if self.fresh:
            self.now = perf_counter_ns()
            self.start = heard
        assert wire.session is not None
        self.fresh = wire.session.inbox.count == 0
        traffic.received += 1
        traffic.bytes += len(message)
        if heard < stream.sent and (
            not traffic.checking
            or message == traffic.messages[(stream.first + heard) & traffic.mask]
        ):
            if traffic.recording:
                traffic.latency.record(self.now - stream.due[heard & stream.ring])
            self.heard = heard + 1
        else:
            self.examine(message)
        if self.fresh and self.heard > self.start:
            stream.done(self.start, self.heard, self.now)
        return 0

    def on_close(self, wire: Wire, exc: ConnectionClosed) -> None:
        """The connection has ended."""
        self.closed(self, exc)

    def expected(self, number: int) -> Any:
        """The message of that number."""
        return self.traffic.messages[(self.stream.first + number) & self.traffic.mask]

    def examine(self, message: Any) -> None:
        """Find out what is wrong with a message that is not the next one.

        One that was to come later means that those before it were lost, or overtaken: which of
        them, their own arrival tells. One that is nowhere to be found is taken for the next one,
        spoilt; if that comes after all, the other was one too many.
        """
        mistakes = self.traffic.mistakes
        strays = self.strays = {} if self.strays is None else self.strays
        last = self.stream.sent
        for number in range(self.heard + 1, last):
            if message == self.expected(number):
                for skipped in range(self.heard, number):
                    strays[skipped] = "lost"
                    mistakes.add("lost")
                self.heard = number
                if self.traffic.recording:
                    due = self.stream.due[number & self.stream.ring]
                    self.traffic.latency.record(self.now - due)
                self.heard += 1
                break
        else:
            for number, kind in strays.items():
                if message == self.expected(number):
                    del strays[number]
                    mistakes.move(kind, "out-of-order" if kind == "lost" else "unasked")
                    return
            if self.heard == last:
                mistakes.add("unasked", f"{len(message)} bytes to connection {self.number}")
                return
            wanted = self.expected(self.heard)
            kind = "wrong-type" if type(message) is not type(wanted) else "wrong-bytes"
            strays[self.heard] = kind
            where = f"message {self.heard} of connection {self.number}"
            mistakes.add(kind, f"{where}: {difference(wanted, message)}")
            self.heard += 1
        while len(strays) > REMEMBERED:
            del strays[next(iter(strays))]


class Pacer:
    """Makes messages due at a rate: number ``n`` of all at ``start + n * interval``.

    They go round the senders. Of several processes each has every ``step``-th, from ``number`` on.
    """

    def __init__(
        self, traffic: Traffic, senders: list[Sender], interval: float, number: int, step: int
    ) -> None:
        self.traffic = traffic
        self.senders = senders
        self.interval = interval
        self.number = number
        self.step = step
        self.start = 0
        self.at = 0

    def due(self) -> int:
        """When the next message is due."""
        return self.start + int(self.number * self.interval)

    def run(self, now: int) -> int:
        """Have the messages sent that are due by ``now``; when is the next?"""
        due = self.due()
        while due <= now and self.traffic.budget > 0 and self.senders:
            self.traffic.budget -= 1
            self.at = (self.at + 1) % len(self.senders)
            sender = self.senders[self.at]
            sender.offer(due)
            self.number += self.step
            due = self.due()
        return due
