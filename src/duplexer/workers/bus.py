"""The bus: what a worker tells the others, over a Unix socket to each of them.

Broadcasts never wait. What a worker does not take in time is dropped for it once
``Limits.bus_queue`` bytes are waiting, counted on both sides, and said in both logs: nobody is deaf
without knowing. A question waits for its answers, for ``Limits.bus_timeout``. Each worker has at
most one question of a name for each other one, so that these need no bound of their own::

    ask("0") ── ASK "0" ──→ answers["0"](), in a thread ── ANSWER "0", the text ──→ ask() returns
        ╰── the link ends, or the time: not among the answers
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from duplexer.asyncio.server import broadcast
from duplexer.core.prepared import Prepared
from duplexer.workers import groups
from duplexer.workers.parcels import ANSWER, ASK, BINARY, MISSED, TEXT, Unpacker, missed, pack

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from duplexer.limits import Limits
    from duplexer.policy.guard import Guard

__all__ = ["Bus"]

#: A parcel's own bytes, its name included.
_WRAPPING = 1 << 17


class Link(asyncio.Protocol):
    """One other worker."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._unpacker = Unpacker(bus.limits.bus_message + _WRAPPING)
        self._transport: Any = None
        self._missing = 0  # parcels dropped since the last one that was sent
        self._asked: dict[bytes, asyncio.Future[bytes | None]] = {}  # what it has not answered yet

    def connection_made(self, transport: Any) -> None:
        """Part of asyncio's Protocol."""
        self._transport = transport

    def send(self, parcel: bytes) -> None:
        """Send it, or drop it."""
        waiting = self._transport.get_write_buffer_size()
        if waiting and waiting + len(parcel) > self._bus.limits.bus_queue:
            self._missing += 1
            self._bus.dropped += 1
            if self._bus.guard is not None:
                self._bus.guard.strike("bus_queue")
            if self._missing == 1:
                self._bus.logger.error(
                    "another worker is %d bytes behind: broadcasts to it are dropped "
                    "(Limits.bus_queue)",
                    waiting,
                )
            return
        if self._missing:
            self._transport.write(missed(self._missing))
            self._missing = 0
        self._transport.write(parcel)

    def data_received(self, data: bytes) -> None:
        """Part of asyncio's Protocol."""
        for kind, name, message in self._unpacker.feed(data):
            if kind == MISSED:
                self._bus.missed(Unpacker.count(message))
            elif kind == ASK:
                self._bus.be_asked(self, name)
            elif kind == ANSWER:
                asked = self._asked.pop(name, None)
                if asked is not None:
                    asked.set_result(message)
            else:
                self._bus.deliver(name.decode(), message, kind == TEXT)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Part of asyncio's Protocol: the other worker has ended."""
        self._bus.links.discard(self)
        for asked in self._asked.values():
            asked.set_result(None)
        self._asked.clear()

    def ask(self, name: bytes) -> asyncio.Future[bytes | None]:
        """The answer to come: empty if there is none, ``None`` if the worker has ended.

        Who has not answered yet is not asked again: it is the same answer that all wait for.
        """
        asked = self._asked.get(name)
        if asked is None:
            asked = self._asked[name] = asyncio.get_running_loop().create_future()
            self._transport.write(pack(ASK, name, b""))
        return asked

    def answer(self, name: bytes, text: bytes) -> None:
        """Give the answer, for which the other one waits."""
        self._transport.write(pack(ANSWER, name, text))

    def close(self) -> None:
        """Say no more."""
        self._transport.close()


class Bus:
    """This worker's end of it."""

    def __init__(
        self, limits: Limits, guard: Guard | None = None, logger: logging.Logger | None = None
    ) -> None:
        self.limits = limits
        self.guard = guard  # who counts bounds that strike
        self.logger = logger or logging.getLogger("duplexer.workers")
        self.links: set[Link] = set()
        self.dropped = 0  #: broadcasts that other workers did not take in time, in all
        self.lost = 0  #: broadcasts that did not reach us, in all
        #: name of a question → what answers it, in a thread
        self.answers: dict[str, Callable[[], str]] = {}
        self._answering: set[asyncio.Task[None]] = set()

    async def join(self, sock: socket.socket) -> None:
        """There is one more worker, at the other end of ``sock``."""
        sock.setblocking(False)
        loop = asyncio.get_running_loop()
        _, link = await loop.create_connection(lambda: Link(self), sock=sock)
        self.links.add(link)

    def publish(self, name: str, prepared: Prepared) -> None:
        """Tell the other workers."""
        body = prepared.data
        if len(body) > self.limits.bus_message:
            raise ValueError(
                f"a broadcast of {len(body)} bytes is too long for other workers: raise "
                "Limits.bus_message or send less"
            )
        if self.links:
            parcel = pack(TEXT if groups.is_text(prepared) else BINARY, name.encode(), body)
            for link in self.links:
                link.send(parcel)

    def deliver(self, name: str, message: bytes, text: bool) -> None:
        """Another worker says ``message`` to a group: our part of it hears it."""
        here = groups.members(name)
        if here:
            broadcast(tuple(here), Prepared(message, text))

    async def ask(self, name: str) -> tuple[list[str], int]:
        """What the other workers answer, and how many have not answered in time."""
        asked = [link.ask(name.encode()) for link in self.links]
        if not asked:
            return [], 0
        # wait() leaves what is late alone: another scrape may wait for the same answer.
        done, late = await asyncio.wait(asked, timeout=self.limits.bus_timeout)
        answers = [each.result() for each in done]
        texts = [answer.decode() for answer in answers if answer]
        return texts, len(late) + answers.count(b"")

    def be_asked(self, link: Link, name: bytes) -> None:
        """Another worker asks."""
        task = asyncio.get_running_loop().create_task(self._answer(link, name))
        self._answering.add(task)
        task.add_done_callback(self._answering.discard)

    async def _answer(self, link: Link, name: bytes) -> None:
        text = b""
        answer = self.answers.get(name.decode())
        try:
            if answer is not None:
                text = (await asyncio.to_thread(answer)).encode()
            if len(text) > self.limits.bus_message:
                raise ValueError(f"{len(text)} bytes are too many (Limits.bus_message)")
        except Exception:
            self.logger.exception("another worker asked, and gets no answer")
            text = b""
        link.answer(name, text)

    def missed(self, count: int) -> None:
        """Another worker had ``count`` broadcasts for us that we did not take in time."""
        self.lost += count
        self.logger.error(
            "%d broadcasts of another worker did not reach this one (Limits.bus_queue)", count
        )

    def close(self) -> None:
        """Leave."""
        for link in tuple(self.links):
            link.close()
