"""Plays a script (see ``scripts``) in Python: the counterpart of ``player.js``, line by line."""

from __future__ import annotations

import asyncio
import inspect
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

from duplexer.browser import (
    AbortController,
    Blob,
    DOMException,
    Event,
    WebSocket,
    WebSocketError,
    WebSocketStream,
)

#: How long a script may take: it waits for events, so this is only for those that never come.
PATIENCE = 45.0


def value(v: Any) -> Any:
    """What a script's value stands for."""
    if not isinstance(v, dict):
        return v
    ((kind, of),) = v.items()
    if kind == "undefined":
        return None
    if kind in ("bytes", "buffer"):
        return bytes(of)
    if kind == "blob":
        return Blob([bytes(of)])
    if kind == "utf16":
        return "".join(map(chr, of))
    if kind == "repeat":
        return of[0] * of[1]
    if kind == "error":
        return WebSocketError("told", of)
    if kind == "dom":
        return DOMException("told", of)
    return v


def shown(v: Any) -> Any:
    if v is None:
        return None
    if isinstance(v, str):
        return ["text", v]
    return ["blob", v.size] if isinstance(v, Blob) else ["bytes", list(v)]


def described(e: Any) -> list[Any]:
    entry = [e.type, e.target.readyState]
    if e.type == "open":
        entry += [e.target.extensions, e.target.protocol]
    if e.type == "message":
        entry += [shown(e.data), e.origin, e.lastEventId, e.source]
    if e.type == "close":
        entry += [e.code, e.reason, e.wasClean]
    return [*entry, e.bubbles, e.cancelable, e.isTrusted, e.eventPhase]


def name_of(exc: BaseException) -> str:
    return exc.name if isinstance(exc, DOMException) else type(exc).__name__


class Player:
    """One run of one script."""

    def __init__(self, job: dict[str, Any], page: str) -> None:
        self.server, self.nobody, self.page = job["server"], job["nobody"], page
        self.log: list[Any] = []
        self.heard: Counter[str] = Counter()
        self.waited: Counter[str] = Counter()
        self.changed = asyncio.Condition()
        self.defined: dict[str, Callable[[Any], None]] = {}
        self.calls: dict[str, list[Any]] = {}
        self.wakers: list[asyncio.Future[None]] = []
        self.ws: Any = None

    async def play(self, steps: list[Any]) -> list[Any]:
        async with asyncio.timeout(PATIENCE):
            for step in steps:
                result = self.run(step, None)
                if inspect.isawaitable(result):
                    await result
        return self.log

    def run(self, step: list[Any], e: Any) -> Any:
        name, *rest = step
        if name in ("stop", "stop_at_once", "dispatch_again"):
            rest = [e]
        return getattr(self, f"do_{name}")(*rest)

    # -- what both do ----------------------------------------------------------------------------

    def address(self, url: str) -> str:
        return url.replace("{server}", self.server).replace("{nobody}", self.nobody)

    def attempt(self, name: str, function: Callable[[], Any]) -> None:
        try:
            function()
        except Exception as exc:
            self.log.append([name, name_of(exc)])
        else:
            self.log.append([name, "ok"])

    async def settle(self, name: str, function: Callable[[], Awaitable[Any]]) -> None:
        try:
            self.log.append([name, "ok", await function()])
        except Exception as exc:
            told = [exc.closeCode, exc.reason] if isinstance(exc, WebSocketError) else [None, None]
            self.log.append([name, "rejected", name_of(exc), *told])

    def arrived(self, e: Any) -> None:
        self.log.append(described(e))
        for step in self.calls.get(e.type, ()):
            self.run(step, e)
        self.heard[e.type] += 1
        wakers, self.wakers = self.wakers, []
        for waker in wakers:
            waker.set_result(None)

    # -- the steps, for WebSocket ----------------------------------------------------------------

    def do_new(self, url: str, *rest: Any) -> None:
        def new() -> None:
            self.ws = WebSocket(self.address(url), *rest, base_url=self.page)
            for kind in ("open", "message", "error", "close"):
                self.ws.addEventListener(kind, self.arrived)

        self.attempt("new", new)

    def do_on(self, kind: str, steps: list[Any]) -> None:
        self.calls[kind] = steps

    def do_send(self, v: Any) -> None:
        self.attempt("send", lambda: self.ws.send(value(v)))

    def do_close(self, *rest: Any) -> None:
        self.attempt("close", lambda: self.ws.close(*map(value, rest)))

    def do_get(self, name: str) -> None:
        self.log.append(["get", name, getattr(self.ws, name)])

    def do_constant(self, name: str) -> None:
        self.log.append(["constant", name, getattr(WebSocket, name), getattr(self.ws, name)])

    def do_set(self, name: str, v: Any) -> None:
        setattr(self.ws, name, v)

    def do_define(self, name: str, steps: list[Any]) -> None:
        def listener(e: Any) -> None:
            self.log.append(["heard", name, e.type])
            for step in steps:
                self.run(step, e)

        self.defined[name] = listener

    def do_listen(self, kind: str, name: str, options: Any = None) -> None:
        self.ws.addEventListener(kind, self.defined[name], options)

    def do_unlisten(self, kind: str, name: str, options: Any = None) -> None:
        self.ws.removeEventListener(kind, self.defined[name], options)

    def do_listen_until_aborted(self, kind: str, name: str) -> None:
        self.controller = AbortController()
        self.ws.addEventListener(kind, self.defined[name], {"signal": self.controller.signal})

    def do_abort_controller(self) -> None:
        self.controller.abort()

    def do_handler(self, kind: str, name: str | None) -> None:
        setattr(self.ws, f"on{kind}", None if name is None else self.defined[name])

    def do_throw(self) -> None:
        raise ValueError("told to")

    def do_stop(self, e: Any) -> None:
        e.stopPropagation()

    def do_stop_at_once(self, e: Any) -> None:
        e.stopImmediatePropagation()

    def do_dispatch(self, kind: str) -> None:
        self.attempt("dispatch", lambda: self.ws.dispatchEvent(Event(kind)))

    def do_dispatch_again(self, e: Any) -> None:
        self.attempt("dispatch", lambda: self.ws.dispatchEvent(e))

    async def do_wait(self, kind: str) -> None:
        self.waited[kind] += 1
        while self.heard[kind] < self.waited[kind]:
            waker = asyncio.get_running_loop().create_future()
            self.wakers.append(waker)
            await waker

    async def do_until(self, name: str, v: Any) -> None:
        while getattr(self.ws, name) != v:  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0.005)

    # -- the steps, for WebSocketStream ----------------------------------------------------------

    def do_stream(self, url: str, options: Any = None, abortable: bool = False) -> None:
        def new() -> None:
            self.controller = AbortController()
            extra = {"signal": self.controller.signal} if abortable else {}
            self.stream = WebSocketStream(
                self.address(url), {**(options or {}), **extra}, base_url=self.page
            )

        self.attempt("stream", new)

    async def do_opened(self) -> None:
        async def opened() -> Any:
            readable, writable, extensions, protocol = await self.stream.opened
            self.reader = readable.getReader()
            self.writer = writable.getWriter()
            return [extensions, protocol]

        await self.settle("opened", opened)

    async def do_closed(self) -> None:
        async def closed() -> Any:
            return list(await self.stream.closed)

        await self.settle("closed", closed)

    async def do_read(self) -> None:
        async def read() -> Any:
            chunk, done = await self.reader.read()
            return [shown(chunk), done]

        await self.settle("read", read)

    async def do_write(self, v: Any) -> None:
        await self.settle("write", lambda: self.writer.write(value(v)))

    def do_close_stream(self, info: Any = None) -> None:
        self.attempt("close", lambda: self.stream.close(info))

    async def do_close_writer(self) -> None:
        await self.settle("close writer", lambda: self.writer.close())

    async def do_cancel(self, v: Any = None) -> None:
        await self.settle("cancel", lambda: self.reader.cancel(value(v)))

    async def do_abort(self, v: Any = None) -> None:
        await self.settle("abort", lambda: self.writer.abort(value(v)))

    async def do_reader_closed(self) -> None:
        await self.settle("reader closed", lambda: self.reader.closed)

    async def do_writer_closed(self) -> None:
        await self.settle("writer closed", lambda: self.writer.closed)

    def do_desired_size(self) -> None:
        self.log.append(["desiredSize", self.writer.desiredSize])

    def do_stream_url(self) -> None:
        self.log.append(["url", self.stream.url])

    async def do_make_error(self, message: str, init: Any) -> None:
        async def made() -> Any:
            e = WebSocketError(message, init)
            return [e.name, e.message, e.closeCode, e.reason, e.code, isinstance(e, DOMException)]

        await self.settle("error", made)
