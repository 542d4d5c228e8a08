"""The server that scripts are played against: what it does depends on the path."""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections import Counter
from collections.abc import Coroutine
from typing import Any, Self
from urllib.parse import unquote

from duplexer import ConnectionClosed, serve
from duplexer.carriers.routes import text
from tests.docs.pages import free_port

#: Rules of the protocol → frames that break them.
BAD_FRAMES = {
    "reserved-bit": b"\xa1\x01x",
    "opcode": b"\x83\x00",
    "masked": b"\x81\x81\x00\x00\x00\x00x",
    "text": b"\x81\x01\xff",
    "close-code": b"\x88\x02\x03\xed",  # 1005
    "long-ping": b"\x89\x7e\x00\x7e" + bytes(126),
    "continuation": b"\x80\x01x",
}
PATIENCE = 60.0


def task_of(request: Any) -> list[str]:
    """What a path asks for: it begins with the number of the script."""
    parts: list[str] = request.path.partition("?")[0].strip("/").split("/")
    return parts[1:] or ["echo"]


def run_of(request: Any) -> str:
    """Which run a connection belongs to: of which script, and whether in a page."""
    number = request.path.strip("/").partition("/")[0]
    return f"{number} {'page' if 'Mozilla' in request.headers['User-Agent'] else 'program'}"


class ScriptServer:
    """A duplexer server in a thread of its own; ``run()`` runs coroutines there, too.

    (Playwright's own event loop is in the main thread.)
    """

    def __init__(self) -> None:
        self.seen: dict[str, list[Any]] = {}  # what came, for each run
        self.handling: Counter[str] = Counter()

    def __enter__(self) -> Self:
        self._started = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._main()))
        self._thread.start()
        assert self._started.wait(PATIENCE)
        return self

    def __exit__(self, *_: object) -> None:
        self.loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(PATIENCE)

    async def _main(self) -> None:
        self.loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        self._idle = asyncio.Condition()
        async with serve(
            self._handle,
            "127.0.0.1",
            0,
            process_request=self._answer,
            process_response=self._agree,
            select_subprotocol=self._choose,
            http={"/page": text("a page")},
        ) as server:
            self.port = server.sockets[0].getsockname()[1]
            self.nobody = free_port()
            self._started.set()
            await self._stop.wait()

    async def what_was_seen(self, run: str) -> list[Any]:
        """What the server saw of a run, when it has seen all."""
        async with self._idle:
            await self._idle.wait_for(lambda: run in self.seen and not self.handling[run])
        return self.seen[run]

    # -- opening ---------------------------------------------------------------------------------

    def _answer(self, ws: Any, request: Any) -> Any:
        kind, *rest = task_of(request)
        if kind == "status":
            response = ws.respond(int(rest[0]), "no WebSocket here\n")
            if rest[0] == "302":
                response.headers["Location"] = "/echo"
            return response
        if kind == "hang-up":
            ws.transport.abort()
        return None

    def _choose(self, ws: Any, offered: Any) -> str | None:
        kind, *rest = task_of(ws.request)
        return rest[0] if kind == "protocol" else None

    def _agree(self, ws: Any, request: Any, response: Any) -> Any:
        kind, *rest = task_of(request)
        if kind == "force":
            response.headers["Sec-WebSocket-Protocol"] = rest[0]
        return response

    # -- open ------------------------------------------------------------------------------------

    async def _handle(self, ws: Any) -> None:
        kind, *rest = task_of(ws.request)
        run = run_of(ws.request)
        ws.seen = self.seen.setdefault(run, [])
        self.handling[run] += 1
        method = getattr(self, f"_on_{kind.replace('-', '_')}", self._on_echo)
        try:
            await method(ws, *rest)
            await ws.wait_closed()
            await ws.recv()
        except ConnectionClosed as exc:
            close = exc.rcvd
            if close is None or close.code in range(1002, 1016):
                ws.seen.append(close and "failed")  # each has other words for what was wrong
            else:
                ws.seen.append([close.code, close.reason])
        finally:
            self.handling[run] -= 1
            async with self._idle:
                self._idle.notify_all()

    async def _recv(self, ws: Any) -> Any:
        message = await ws.recv()
        ws.seen.append(message if isinstance(message, str) else list(message))
        return message

    async def _on_echo(self, ws: Any, *_: str) -> None:
        while True:
            await ws.send(await self._recv(ws))

    async def _on_close(self, ws: Any, code: str, reason: str = "") -> None:
        await self._recv(ws)
        await ws.close(None if code == "none" else int(code), unquote(reason))

    async def _on_three(self, ws: Any) -> None:
        for number in "123":
            await ws.send(number)
        await ws.close(4444, "three")

    async def _on_binaries(self, ws: Any) -> None:
        await ws.send(b"first")
        await ws.send(b"second")
        await ws.close()

    async def _on_on_request(self, ws: Any) -> None:
        await self._recv(ws)
        for number in "123":
            await ws.send(number)
        await self._recv(ws)

    async def _on_drop(self, ws: Any) -> None:
        try:
            await self._recv(ws)
        finally:
            ws.abort()

    async def _on_reset(self, ws: Any) -> None:
        await self._recv(ws)
        sock = ws.transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        ws.abort()

    async def _on_half(self, ws: Any) -> None:
        await self._recv(ws)
        ws.transport.write(b"\x81\x05He")
        ws.transport.close()

    async def _on_bad(self, ws: Any, what: str) -> None:
        await self._recv(ws)
        ws.transport.write(BAD_FRAMES[what])
        await self._recv(ws)
