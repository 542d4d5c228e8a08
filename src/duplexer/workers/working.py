"""What runs in a process that serves: a server until it is told to leave."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import functools
import logging
import os
import signal
import socket
from collections.abc import Awaitable, Callable
from typing import Any

from duplexer.asyncio.server import Server, serve
from duplexer.driver.metrics import metrics_among
from duplexer.limits import Limits
from duplexer.workers import groups
from duplexer.workers.bus import Bus

__all__ = ["Leaving", "work"]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Leaving:
    """How a server leaves on SIGTERM: see ``Server.drain()``."""

    over: float | None = None
    notice: float = 0.0

    def patience(self, limits: Limits) -> float | None:
        """Seconds that it may take; ``None`` if nothing bounds it."""
        if limits.handler_timeout is None or limits.close_timeout is None:
            return None
        over = limits.drain_time if self.over is None else self.over
        return self.notice + over + limits.handler_timeout + limits.close_timeout


class _Orders:
    """Tells a server to leave: by signals, or by what a supervisor says."""

    def __init__(self, leaving: Leaving, reload: Callable[[], None] | None) -> None:
        self._over = leaving.over
        self.notice = leaving.notice
        self._reload = reload
        self._shared = False  # whoever else leaves, somebody listens on our sockets as well
        self._loop = asyncio.get_running_loop()
        self._told = 0
        self.given = asyncio.Event()
        self.last: str = ""
        self.successor = False

    def drain(self, *, successor: bool = False) -> None:
        """Leave little by little; a ``successor`` takes who waits in the kernel."""
        self.last = self.last or "drain"
        self.successor = successor
        self.given.set()

    def stop(self) -> None:
        """Leave at once."""
        self.last = "stop"
        self.successor = False
        self.given.set()

    def on_signal(self, number: int) -> None:
        """A process of its own is told by signals; twice is an order to end."""
        if number == getattr(signal, "SIGHUP", None):
            self.reload()
            return
        self._told += 1
        if self._told > 1:
            os._exit(128 + number)
        if number == signal.SIGINT:
            self.stop()
        else:
            self.drain()

    def reload(self) -> None:
        """Certificates, for now."""
        if self._reload is not None:
            try:
                self._reload()
            except Exception as error:  # noqa: BLE001 - what there was goes on
                logging.getLogger("duplexer.workers").error("not reloaded: %s", error)

    async def carry_out(self, server: Server) -> None:
        """Wait for an order, and do what it says."""
        self._shared = server.shares_sockets
        await self._next(server)
        if self.last == "drain":
            draining = self._loop.create_task(server.drain(self._over, notice=self.notice))
            self.given.clear()
            stop = self._loop.create_task(self._wait_for_stop(server))
            await asyncio.wait([draining, stop], return_when=asyncio.FIRST_COMPLETED)
            stop.cancel()
        server.close()
        await server.wait_closed()

    async def _wait_for_stop(self, server: Server) -> None:
        while self.last != "stop":
            self.given.clear()
            await self._next(server)

    async def _next(self, server: Server) -> None:
        await self.given.wait()
        server.shares_sockets = self._shared or self.successor


async def work(
    make: Callable[[], serve],
    leaving: Leaving,
    *,
    sockets: list[socket.socket] | None = None,
    shared: bool = True,
    channel: socket.socket | None = None,
    number: int = 0,
    reload: Callable[[], None] | None = None,
    on_ready: Callable[[Server], Awaitable[None] | None] | None = None,
) -> None:
    """Serve what ``make()`` gives until it is told to leave.

    By signals: SIGTERM drains, SIGINT stops, a second one ends the process, SIGHUP reloads. With a
    ``channel`` by a supervisor; a SIGTERM of its own drains a worker too. ``number``: by which
    metrics tell it from the other workers that there are. ``shared``: others than our workers
    listen on ``sockets`` as well, and have what waits there when all of these leave.
    """
    orders = _Orders(leaving, reload)
    serving = make()
    bus = Bus(serving.limits, serving.serving.guard)
    with _signals(orders, alone=channel is None), contextlib.ExitStack() as undo:
        if channel is not None:
            _share_metrics(serving, number, bus)
            await _attend(channel, orders, bus, undo)
            groups.on_publish(bus.publish)
            undo.callback(groups.on_publish, None)
            undo.callback(bus.close)
        server = await (serving if sockets is None else serving.on(sockets, shared=shared))
        if channel is not None:
            channel.send(b"R")
        if on_ready is not None:
            ready = on_ready(server)
            if ready is not None:
                await ready
        await orders.carry_out(server)


def _share_metrics(serving: serve, number: int, bus: Bus) -> None:
    # All workers were given the same, so that the place in the list is a name.
    for place, metrics in enumerate(metrics_among(serving.serving.observer)):
        bus.answers[str(place)] = metrics.render
        metrics.join(number, functools.partial(bus.ask, str(place)))


@contextlib.contextmanager
def _signals(orders: _Orders, *, alone: bool) -> Any:
    loop = asyncio.get_running_loop()
    wanted = [signal.SIGTERM]
    if alone:
        wanted.append(signal.SIGINT)
        if hasattr(signal, "SIGHUP"):
            wanted.append(signal.SIGHUP)
    before = {number: signal.getsignal(number) for number in wanted}

    def on_plain_signal(number: int, _frame: object) -> None:
        loop.call_soon_threadsafe(orders.on_signal, number)

    for number in wanted:
        # A worker that is told to leave by somebody else is replaced.
        replaced = functools.partial(orders.drain, successor=True)
        hear = (orders.on_signal, number) if alone else (replaced,)
        try:
            loop.add_signal_handler(number, *hear)
        except NotImplementedError:  # the loops of Windows
            signal.signal(number, on_plain_signal)
    try:
        yield
    finally:
        for number, handler in before.items():
            with contextlib.suppress(NotImplementedError):
                loop.remove_signal_handler(number)
            signal.signal(number, handler)


async def _attend(
    channel: socket.socket, orders: _Orders, bus: Bus, undo: contextlib.ExitStack
) -> None:
    """Listen to the supervisor; who is on the bus already is met before anybody connects."""
    loop = asyncio.get_running_loop()
    channel.setblocking(False)
    joining: set[asyncio.Task[None]] = set()

    def hear() -> None:
        for _ in range(64):
            try:
                word, descriptors, _, _ = socket.recv_fds(channel, 1, 1)
            except BlockingIOError:
                return
            except OSError:
                word, descriptors = b"", []
            if descriptors:
                task = loop.create_task(bus.join(socket.socket(fileno=descriptors[0])))
                joining.add(task)
                task.add_done_callback(joining.discard)
            elif word == b"B":
                bus.logger.error(
                    "no descriptor is left for another worker: what is said to groups does not "
                    "pass between it and this one (raise the limit of open files)"
                )
            elif word == b"S":
                orders.stop()
            elif word in (b"D", b"H"):
                orders.drain(successor=word == b"H")
            elif not word:  # the supervisor has ended, and who starts another one needs the port
                orders.notice = 0.0
                orders.drain()
                loop.remove_reader(channel)
                return

    hear()
    loop.add_reader(channel, hear)
    undo.callback(loop.remove_reader, channel)
    if joining:
        await asyncio.wait(list(joining))
