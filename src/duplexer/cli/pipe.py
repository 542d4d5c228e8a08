"""``duplexer connect`` in a pipe: lines in become messages, messages become lines."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import json
import os
import select
import sys
import threading
from typing import TYPE_CHECKING, Any

import click

from duplexer.cli.connect import open_connections
from duplexer.cli.outcome import Failure, Status
from duplexer.cli.render import escape, parse_hex
from duplexer.cli.signals import on_signals
from duplexer.errors import ConnectionClosed, ConnectionClosedOK

if TYPE_CHECKING:
    import signal

    from duplexer.cli.connect import Plan

__all__ = ["Input", "Output", "pipe"]

LINGER = 1.0  #: seconds of silence after the end of the input
CHUNK = 64 * 1024


class Input:
    """Lines of a file descriptor, read by a thread so that it may be a file, a pipe or a terminal.

    The thread reads the descriptor itself: one that is stuck inside ``sys.stdin`` would hold its
    lock, and the interpreter could not end.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._loop = asyncio.get_running_loop()
        self._queue: asyncio.Queue[list[bytes] | None] = asyncio.Queue()
        self._room = threading.Semaphore(2)  # chunks that were read and not yet taken
        self._ended = False
        threading.Thread(target=self._read, daemon=True, name="input").start()

    def _read(self) -> None:
        rest = b""
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody wants it any more
            with contextlib.suppress(OSError):
                while chunk := os.read(self._descriptor, CHUNK):
                    *lines, rest = (rest + chunk).split(b"\n")
                    if lines:
                        self._put(lines)
            if rest:
                self._put([rest])
            self._put(None)

    def _put(self, lines: list[bytes] | None) -> None:
        self._room.acquire()
        self._loop.call_soon_threadsafe(self._queue.put_nowait, lines)

    async def lines(self) -> list[bytes] | None:
        """The next lines without their ends, ``None`` at the end of the input."""
        if self._ended:
            return None
        lines = await self._queue.get()
        self._room.release()
        if lines is None:
            self._ended = True
            return None
        return [line.removesuffix(b"\r") for line in lines]


class Output:
    """Lines to a file descriptor; waiting for whoever reads it does not stop the event loop."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self.is_terminal = os.isatty(descriptor)

    def _writable(self) -> bool:
        return bool(select.select([], [self._descriptor], [], 0)[1])

    def _write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(self._descriptor, view) :]

    async def line(self, text: str) -> None:
        """Write ``text`` and a line feed; raises ``BrokenPipeError`` when nobody reads any more."""
        data = text.encode("utf-8", "surrogateescape") + b"\n"
        # A pipe that is writable takes this much at once (POSIX: PIPE_BUF, at least 512).
        if len(data) <= select.PIPE_BUF and self._writable():
            self._write(data)
        else:
            await asyncio.to_thread(self._write, data)


def now() -> str:
    """The time in UTC with microseconds, ISO 8601."""
    return dt.datetime.now(dt.UTC).isoformat(timespec="microseconds")


class Pipe:
    """One run: the connection, or one after the other, between an input and an output."""

    def __init__(self, plan: Plan, source: Input, sink: Output) -> None:
        self._plan = plan
        self._ws: Any = None
        self._source = source
        self._sink = sink
        self._received = 0
        self._heard = 0.0
        self._number = 0  # of the line that was sent last
        self._unsent: list[bytes] = []  # lines that were read and not sent yet
        self.goes_on = False  # whether another connection is wanted

    async def run(self, ws: Any, stopped: asyncio.Future[int]) -> int:
        """Carry messages both ways until something ends it; the exit status."""
        self._ws = ws
        self.goes_on = False
        receiving = asyncio.ensure_future(self._receive())
        sending = asyncio.ensure_future(self._send())
        tasks: set[asyncio.Future[Any]] = {receiving, sending}
        try:
            await asyncio.wait({*tasks, stopped}, return_when=asyncio.FIRST_COMPLETED)
            if sending.done() and not receiving.done() and not stopped.done():
                sending.result()
                await self._linger(receiving, stopped)
            if stopped.done():
                return stopped.result()
            return receiving.result() if receiving.done() else Status.OK
        except BrokenPipeError:  # the reader has had enough, as `head` does
            with contextlib.suppress(OSError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return Status.OK
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._ws.close()
            await self._tell_close()

    async def _receive(self) -> int:
        """Print what comes; ends with the connection or after ``-n`` messages."""
        loop = asyncio.get_running_loop()
        try:
            while True:
                message = await self._ws.recv()
                self._heard = loop.time()
                await self._show("received", message)
                self._received += 1
                if self._received == self._plan.count:
                    return Status.OK
        except ConnectionClosed as closed:
            self.goes_on = self._plan.goes_on(closed)
            if isinstance(closed, ConnectionClosedOK) and not self.goes_on:
                return Status.OK
            for line in self._ws.explain().splitlines():
                click.echo(escape(line), err=True)
            return Status.CLOSED

    async def _send(self) -> None:
        """Send the lines of the input up to its end."""
        with contextlib.suppress(ConnectionClosed):  # the receiving side tells
            while True:
                while self._unsent:
                    message = self._message(self._unsent[0], self._number + 1)
                    await self._ws.send(message)
                    del self._unsent[0]
                    self._number += 1
                    if self._plan.json:
                        await self._show("sent", message)
                lines = await self._source.lines()
                if lines is None:
                    return
                self._unsent = lines
        await asyncio.get_running_loop().create_future()  # no end of input: the connection ended

    def _message(self, line: bytes, number: int) -> str | bytes:
        try:
            text = line.decode()
            return parse_hex(text) if self._plan.binary else text
        except ValueError as error:
            wrong = isinstance(error, UnicodeDecodeError)
            raise Failure(
                f"line {number} of the input is not {'UTF-8' if wrong else f'hex: {error}'}",
                "with --binary the lines are hex, such as 00ff10" if wrong else "",
                status=Status.USAGE,
            ) from None

    async def _linger(self, receiving: asyncio.Future[int], stopped: asyncio.Future[int]) -> None:
        """Wait for replies after the end of the input."""
        loop = asyncio.get_running_loop()
        linger = self._plan.linger
        if linger is None:
            linger = LINGER if self._plan.count is None else float("inf")
        self._heard = loop.time()
        while (left := self._heard + linger - loop.time()) > 0:
            done, _ = await asyncio.wait(
                {receiving, stopped},
                timeout=None if left == float("inf") else left,
                return_when=asyncio.FIRST_COMPLETED,
            )
            if done:
                return

    async def _show(self, direction: str, message: str | bytes) -> None:
        data = message if isinstance(message, str) else message.hex()
        if self._plan.json:
            size = len(message.encode("utf-8", "replace") if isinstance(message, str) else message)
            kind = "text" if isinstance(message, str) else "binary"
            await self._object(direction, kind, size=size, data=data)
        else:
            await self._sink.line(escape(data) if self._sink.is_terminal else data)

    async def _object(self, direction: str, kind: str, **more: Any) -> None:
        # ensure_ascii: whatever came, no byte in it can command a terminal
        await self._sink.line(
            json.dumps({"direction": direction, "time": now(), "type": kind, **more})
        )

    async def _tell_close(self) -> None:
        if not self._plan.json:
            return
        try:
            await self._ws.recv()
        except ConnectionClosed as closed:
            by_peer = closed.rcvd is not None and closed.rcvd_then_sent is not False
            direction = "received" if by_peer or closed.sent is None else "sent"
            close = closed.rcvd if direction == "received" else closed.sent
            with contextlib.suppress(BrokenPipeError):
                await self._object(
                    direction,
                    "close",
                    size=0 if close is None else 2 + len(close.reason.encode()),
                    code=1006 if close is None else close.code,
                    reason="" if close is None else close.reason,
                    explanation=self._ws.explain(),
                )


async def pipe(plan: Plan) -> int:
    """Run ``duplexer connect`` between standard input and standard output; the exit status."""
    stopped: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    def on_signal(number: signal.Signals) -> None:
        if not stopped.done():
            stopped.set_result(128 + number)

    try:
        async with asyncio.timeout(plan.timeout):
            with on_signals(on_signal):
                return await _run(plan, stopped)
    except TimeoutError:
        raise Failure(
            f"not finished after {plan.timeout:g} s",
            "give --timeout more seconds, or -n fewer messages",
            status=Status.TIMEOUT,
        ) from None


async def _run(plan: Plan, stopped: asyncio.Future[int]) -> int:
    run: Pipe | None = None
    status = int(Status.CLOSED)
    source = open_connections(plan)
    async with contextlib.aclosing(source):
        while run is None or run.goes_on:
            opening = asyncio.ensure_future(anext(source))
            either: set[asyncio.Future[Any]] = {opening, stopped}
            try:
                await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            finally:
                if not opening.done():
                    opening.cancel()
                    await asyncio.wait({opening})
            if opening.cancelled():
                return stopped.result()
            if run is None:
                run = Pipe(plan, Input(sys.stdin.fileno()), Output(sys.stdout.fileno()))
            status = await run.run(opening.result(), stopped)
    return status
