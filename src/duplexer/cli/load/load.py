"""A load, from the first connection to the last Close, in one process."""

from __future__ import annotations

import asyncio
import contextlib
import gc
from collections.abc import Callable, Iterator
from time import perf_counter_ns, process_time
from typing import Any

from duplexer.asyncio.client import ClientConnection, connect
from duplexer.cli.descriptors import raise_limit
from duplexer.cli.load.messages import make_messages
from duplexer.cli.load.mistakes import Mistakes
from duplexer.cli.load.plan import Plan
from duplexer.cli.load.result import Progress, Result
from duplexer.cli.load.timer import Timer, timer
from duplexer.cli.load.traffic import UNBOUNDED, Pacer, Publisher, Receiver, Sender, Traffic
from duplexer.errors import ConnectionClosed, ConnectionClosedOK
from duplexer.http.uri import parse_uri

__all__ = ["Load"]

OPENING_AT_ONCE = 64  #: connections, so that they fit into the usual listen backlog of 100
SPREAD = 7919  #: a prime: each connection begins elsewhere in the messages
HURRY = 1.0  #: seconds to wait for answers once we were told to stop


class Load:
    """Call ``open``, ``run`` and ``close`` in turn; ``stop`` cuts short whichever it is.

    ``on_measuring`` is called when the messages begin to count, and when they no longer do.
    """

    def __init__(self, plan: Plan, process: int = 0) -> None:
        self.plan = plan
        self.process = process
        self.result = Result()
        self.on_measuring: Callable[[bool], object] = bool
        messages = make_messages(
            plan.size, text=plan.text, payload=plan.payload, in_flight=plan.depth, seed=process
        )
        mistakes = self.result.mistakes = Mistakes()
        self.traffic = Traffic(messages, plan.check, mistakes)
        self.phase = "opening"
        self.stopped = False
        self._given_up = False  # whatever is still missing will not come
        self._changed = asyncio.Event()  # something happened that a phase may be waiting for
        self._tasks: set[asyncio.Task[None]] = set()
        self._connections: dict[int, ClientConnection] = {}
        self._receivers: dict[int, Receiver] = {}
        self._answered_before = 0  # answers on connections that have ended
        self._senders: list[Sender] = []
        self._publisher: Publisher | None = None
        if plan.broadcast:
            self._publisher = Publisher(self.traffic, plan.depth, 0, plan.rate is not None)
            self._senders.append(self._publisher)
        self._timer: Timer | None = None
        self._pacer = Pacer(
            self.traffic, self._senders, 1e9 / (plan.rate or 1.0), process, plan.processes
        )
        self.traffic.on_quiet = self._changed.set

    # -- opening ---------------------------------------------------------------------------------

    async def open(self) -> None:
        """Open the connections, as many as can be opened."""
        raise_limit()
        context = self.plan.tls()
        options = self.plan.arguments(context)
        options["compression"] = "deflate" if self.plan.deflate else None
        options["limits"] = self.plan.limits()
        free = asyncio.Semaphore(OPENING_AT_ONCE)
        rate = self.plan.opening
        begun = perf_counter_ns()

        def finished(task: asyncio.Task[None]) -> None:
            self._tasks.discard(task)
            free.release()

        async with asyncio.TaskGroup() as group:
            for number in self.plan.numbers(self.process):
                if rate is not None:
                    await self._until(begun + int(number * 1e9 / rate), lambda: False)
                await free.acquire()
                if self.stopped:
                    break
                task = group.create_task(self._open(number, options))
                self._tasks.add(task)
                task.add_done_callback(finished)
        self.phase = "open"

    async def _open(self, number: int, options: dict[str, Any]) -> None:
        stream: Sender | None = self._publisher
        if stream is None:
            stream = Sender(
                self.traffic, self.plan.depth, number * SPREAD, self.plan.rate is not None
            )
        elif number == 0 and self.plan.broadcast == "others":
            stream = Sender(self.traffic, 0, 0, False)  # nothing is to come here
        receiver = Receiver(self.traffic, stream, number, self._closed)
        begun = perf_counter_ns()
        try:
            connection = await connect(
                self.plan.uri,
                listener=receiver,  # compiled: it cannot inherit
                **options,
            )
        except Exception as error:  # noqa: BLE001 - what is not known there is raised again
            self.result.mistakes.add_failure(error, str(parse_uri(self.plan.uri)))  # no password
            self.result.failed += 1
            return
        self.result.handshakes.record(perf_counter_ns() - begun)
        self.result.opened += 1
        self.result.compressed += bool(connection.session and connection.session.extensions)
        self.result.subprotocols[connection.subprotocol or ""] += 1
        if connection.lost:
            return  # it has been counted
        self._connections[number] = connection
        self._receivers[number] = receiver
        if self._publisher is None:
            stream.wire = connection
            self._senders.append(stream)
        else:
            self._publisher.audience += stream is self._publisher
            if number == 0:
                self._publisher.wire = connection

    # -- messages --------------------------------------------------------------------------------

    async def run(self) -> None:
        """Send and receive: warm up, measure, wait for the last answers."""
        with _no_garbage_collection():
            try:
                if self.plan.warm_up and self._goes_on():
                    self.phase = "warm-up"
                    self._begin(UNBOUNDED)
                    await self._for(self.plan.warm_up)
                    if self.plan.count is not None:
                        await self._drain()
                await self._measure()
                self.phase = "last answers"
                await self._drain()
                self._settle()
            finally:
                self._end()

    def _goes_on(self) -> bool:
        if self._publisher is not None and self._publisher.wire is None:
            return False
        return bool(self._connections) and not self.stopped

    async def _measure(self) -> None:
        traffic, result, count = self.traffic, self.result, self.plan.messages(self.process)
        self.phase = "measuring"
        sent, received, size = traffic.sent, traffic.received, traffic.bytes
        self.on_measuring(True)
        traffic.recording = True
        busy, begun = process_time(), perf_counter_ns()
        if self._goes_on():
            if count is not None or not self.plan.warm_up:
                self._begin(UNBOUNDED if count is None else count)
            if count is None:
                await self._for(self.plan.duration)
            else:
                await self._until_quiet(self.plan.answer_timeout)
        result.seconds = (perf_counter_ns() - begun) / 1e9
        result.processor = process_time() - busy
        self.on_measuring(False)
        result.sent = traffic.sent - sent
        result.received = traffic.received - received
        result.bytes = traffic.bytes - size
        result.lasted = len(self._connections)
        result.finish()

    def _begin(self, budget: int) -> None:
        if not self.plan.depth:
            return
        self.traffic.budget = budget
        now = perf_counter_ns()
        if self.plan.rate is None:
            for sender in list(self._senders):
                sender.fill(now)
        else:
            self._pacer.start = now
            self._pacer.number = self.process
            if self._timer is None:
                self._timer = timer(self._pace)
            self._pace()

    def _pace(self) -> None:
        due = self._pacer.run(perf_counter_ns())
        if self.traffic.budget > 0 and self._timer is not None:
            self._timer.at(due)
        self.traffic.look_round()

    def _end(self) -> None:
        self.traffic.budget = 0
        self.traffic.recording = False
        if self._timer is not None:
            self._timer.close()
            self._timer = None

    async def _drain(self) -> None:
        """Send nothing new, and wait for what is under way."""
        self.traffic.budget = 0
        patience = self.plan.answer_timeout
        if not self._given_up:
            await self._until_quiet(min(patience, HURRY) if self.stopped else patience)

    def _settle(self) -> None:
        """Whatever has not come by now has not been answered."""
        unsent = sum(sender.stop() for sender in self._senders)
        if unsent:
            self.result.mistakes.add("unsent", count=unsent)
        for receiver in self._receivers.values():
            missing = receiver.stream.sent - receiver.heard
            if missing:
                self.result.mistakes.add("unanswered", count=missing)
            receiver.heard = receiver.stream.sent

    # -- waiting ---------------------------------------------------------------------------------

    async def _until(self, when: int, over: Callable[[], bool]) -> None:
        """Wait for that time, for ``over()``, or until we are stopped."""
        while not self.stopped and not over():
            left = (when - perf_counter_ns()) / 1e9
            if left <= 0:
                return
            self._changed.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(left):
                    await self._changed.wait()

    async def _for(self, seconds: float) -> None:
        end = perf_counter_ns() + int(seconds * 1e9)
        await self._until(end, lambda: not self._goes_on())

    def _answered(self) -> int:
        """How many answers have come: what a server sends on its own account is none."""
        return self._answered_before + sum(each.heard for each in self._receivers.values())

    async def _until_quiet(self, patience: float) -> None:
        """Wait until nothing flies, or no answer has come for ``patience`` seconds."""
        traffic, was_stopped = self.traffic, self.stopped
        answered, quarters = self._answered(), 0
        while (traffic.flying or traffic.budget) and self._connections and quarters < 4:
            if self.stopped and not was_stopped:
                return
            self._changed.clear()
            try:
                async with asyncio.timeout(patience / 4):
                    await self._changed.wait()
            except TimeoutError:
                before, answered = answered, self._answered()
                # while nothing is due there is nothing to wait for
                quarters = quarters + 1 if answered == before and traffic.flying else 0
        self._given_up = quarters == 4

    def stop(self) -> None:
        """End early, with what there is."""
        self.stopped = True
        self._changed.set()
        for task in self._tasks:
            task.cancel()

    # -- the end of a connection -----------------------------------------------------------------

    def _closed(self, receiver: Receiver, exc: ConnectionClosed) -> None:
        mistakes = self.result.mistakes
        if self.phase != "closing":
            mistakes.add_closed(exc)
        elif not isinstance(exc, ConnectionClosedOK):
            mistakes.add("unclean-close")
        if self._connections.pop(receiver.number, None) is not None:
            del self._receivers[receiver.number]
            self._answered_before += receiver.heard
            if self.phase != "closing":
                self._give_up(receiver)
        self._changed.set()

    def _give_up(self, receiver: Receiver) -> None:
        """Nothing more comes to this receiver."""
        stream, start = receiver.stream, receiver.heard
        if stream is self._publisher:
            self._publisher.audience -= 1
        elif self._publisher is None:
            unsent = stream.stop()
            if unsent:
                self.result.mistakes.add("unsent", count=unsent)
            self._senders.remove(stream)
        if self._publisher is not None and receiver.number == 0:
            self._publisher.stop()
        if stream.sent > start:
            self.result.mistakes.add("unanswered", count=stream.sent - start)
            receiver.heard = stream.sent
            stream.done(start, stream.sent, perf_counter_ns())

    async def close(self) -> None:
        """Close the connections, each as long as ``close_timeout`` allows."""
        self.phase = "closing"
        for connection in list(self._connections.values()):
            connection.start_close()
        while self._connections:
            self._changed.clear()
            await self._changed.wait()

    def progress(self) -> Progress:
        """How far it has got."""
        result = self.result
        return Progress(
            self.phase,
            result.opened,
            result.failed,
            self.traffic.received,
            result.mistakes.total(),
        )

    def outcome(self) -> Result:
        """What came of it."""
        self.result.latency = self.traffic.latency
        return self.result


@contextlib.contextmanager
def _no_garbage_collection() -> Iterator[None]:
    # Looking through ten thousand connections would be a pause that the server gets the blame for.
    # No message leaves a cycle behind.
    was_enabled = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
