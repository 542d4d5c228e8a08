"""The endpoints of the demo, and the page to play with them.

``/`` is the page; ``/echo``, ``/chat`` and ``/clock`` are WebSockets; ``/healthz`` is for monitors.
"""

from __future__ import annotations

import asyncio
import base64
import datetime as dt
import hashlib
import importlib.resources
import json
import re
import time
from typing import TYPE_CHECKING, Any

from duplexer._version import VERSION
from duplexer.asyncio.server import broadcast
from duplexer.carriers.routes import html, text
from duplexer.carriers.routes import json as json_response
from duplexer.errors import ConnectionClosed
from duplexer.http.messages import is_upgrade

if TYPE_CHECKING:
    from collections.abc import Callable

    from duplexer.asyncio.server import ServerConnection
    from duplexer.http.messages import Request, Response

__all__ = ["Demo", "page"]

ENDPOINTS = ("/echo", "/chat", "/clock")
MAX_NAME = 24  #: characters
MAX_SAID = 2000  #: characters
MAX_PEOPLE = 200  #: in the chat room; beyond: 1013

_HOST = re.compile(r"[A-Za-z0-9.-]{1,253}(:[0-9]{1,5})?|\[[0-9A-Fa-f:.]{2,45}\](:[0-9]{1,5})?")
_BLOCK = re.compile(r"<(script|style)>(.*?)</\1>", re.DOTALL)


def page() -> str:
    """The page, one HTML file without anything from outside."""
    return (importlib.resources.files(__package__) / "page.html").read_text(encoding="utf-8")


def policy(source: str, host: str | None) -> str:
    """The Content-Security-Policy: our own script and style by their hash, and no other.

    ``host`` is named because older Safari does not take ``'self'`` to cover WebSockets.
    """
    allowed: dict[str, list[str]] = {"script": [], "style": []}
    for kind, block in _BLOCK.findall(source):
        digest = base64.b64encode(hashlib.sha256(block.encode()).digest()).decode()
        allowed[kind].append(f"'sha256-{digest}'")
    connect = "'self'"
    if host is not None and _HOST.fullmatch(host):
        connect += f" ws://{host} wss://{host}"
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src {' '.join(allowed['script'])}",
            f"style-src {' '.join(allowed['style'])}",
            f"connect-src {connect}",
            "img-src data:",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        )
    )


#: What every response of ours says: keep it for yourself, take it for what it is.
_SAFE = (
    ("Cache-Control", "no-store"),
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
)


class Demo:
    """The state of the demo: who is connected and who is in the chat room."""

    def __init__(self) -> None:
        self._html = page()
        self._connections = 0
        self._people: dict[ServerConnection, str] = {}

    # -- plain HTTP ------------------------------------------------------------------------------

    def routes(self) -> dict[str, Callable[[Request], Response]]:
        """What plain HTTP requests get."""
        return {"/": self.get_page, "/healthz": self.get_health}

    def get_page(self, request: Request) -> Response:
        """The page."""
        more = (
            ("Content-Security-Policy", policy(self._html, request.headers.get("Host"))),
            ("Cross-Origin-Opener-Policy", "same-origin"),
        )
        return html(self._html, headers=(*_SAFE, *more))

    def get_health(self, _request: Request) -> Response:
        """That the server is alive, as JSON."""
        health = {"status": "ok", "version": VERSION, "connections": self._connections}
        return json_response(health, headers=_SAFE)

    def check_path(self, _connection: ServerConnection, request: Request) -> Response | None:
        """404 for a WebSocket anywhere but at an endpoint."""
        if request.path.partition("?")[0] in ENDPOINTS or not is_upgrade(request):
            return None
        advice = "No such endpoint. There are /echo, /chat and /clock, and a page at /.\n"
        return text(advice, 404, _SAFE)

    # -- WebSockets ------------------------------------------------------------------------------

    async def handle(self, ws: ServerConnection) -> None:
        """Serve one connection, by its path."""
        assert ws.request is not None
        endpoint = ws.request.path.partition("?")[0]
        serve = {"/echo": self.echo, "/chat": self.chat, "/clock": self.clock}[endpoint]
        self._connections += 1
        try:
            await serve(ws)
        finally:
            self._connections -= 1

    async def echo(self, ws: ServerConnection) -> None:
        """Every message comes back."""
        async for message in ws:
            await ws.send(message)

    async def clock(self, ws: ServerConnection) -> None:
        """The time, at the start and then at each full second; what the client says is ignored."""
        ticking = asyncio.ensure_future(self._tick(ws))
        try:
            async for _ in ws:
                pass
        finally:
            ticking.cancel()

    async def _tick(self, ws: ServerConnection) -> None:
        number = 0
        try:
            while True:
                now = time.time()
                stamp = dt.datetime.fromtimestamp(now, dt.UTC)
                iso = stamp.isoformat(timespec="milliseconds")
                await ws.send(compact({"tick": number, "time": iso, "unix": round(now, 3)}))
                number += 1
                # On the full second. A timer may be a little early: that is no second one.
                await asyncio.sleep(int(now + 0.5) + 1 - time.time())
        except ConnectionClosed:
            return

    async def chat(self, ws: ServerConnection) -> None:
        """What one says, all hear.

        A message is an object ``{"type": "name", "name": ...}`` or ``{"type": "say", "text":
        ...}``; text that is no such object counts as said, so that any client can take part.
        """
        if len(self._people) >= MAX_PEOPLE:
            await ws.close(1013, "the room is full")
            return
        await self._enter(ws)
        try:
            async for message in ws:
                await self._hear(ws, message)
        finally:
            name = self._people.pop(ws)
            self._tell({"type": "left", "name": name})

    async def _enter(self, ws: ServerConnection) -> None:
        name = self._free_name("guest")
        self._people[ws] = name
        people = list(self._people.values())
        await ws.send(compact({"type": "welcome", "name": name, "people": people}))
        self._tell({"type": "joined", "name": name}, but=ws)

    async def _hear(self, ws: ServerConnection, message: str | bytes) -> None:
        said = parse_said(message)
        if "error" in said:
            await ws.send(compact({"type": "error", "text": said["error"]}))
        elif said["type"] == "name":
            before, after = self._people[ws], said["name"]
            if before != after:
                self._people[ws] = ""  # so that our own name does not count as taken
                self._people[ws] = after = self._free_name(after)
                self._tell({"type": "renamed", "before": before, "name": after})
        else:
            self._tell({"type": "said", "name": self._people[ws], "text": said["text"]})

    def _free_name(self, wanted: str) -> str:
        taken = {name.casefold() for name in self._people.values()}
        name, number = wanted, 2
        while name.casefold() in taken:
            name, number = f"{wanted} {number}", number + 1
        return name

    def _tell(self, event: dict[str, Any], but: ServerConnection | None = None) -> None:
        event["time"] = round(time.time(), 3)
        event["people"] = [name for name in self._people.values() if name]
        broadcast([ws for ws in self._people if ws is not but], compact(event))


def compact(event: dict[str, Any]) -> str:
    """An event as JSON, as short as it can be."""
    return json.dumps(event, ensure_ascii=False, separators=(",", ":"))


def parse_said(message: str | bytes) -> dict[str, str]:
    """What a message to the chat room says, or ``{"error": ...}`` with what is wrong with it."""
    if not isinstance(message, str):
        return {"error": "the chat room takes text, not binary"}
    try:
        said = json.loads(message)
    except (ValueError, RecursionError):
        said = None
    if not isinstance(said, dict):
        said = {"type": "say", "text": message}
    kind = said.get("type")
    key = {"name": "name", "say": "text"}.get(str(kind), "")
    value = said.get(key)
    if not key or not isinstance(value, str):
        return {"error": 'say {"type": "say", "text": ...} or {"type": "name", "name": ...}'}
    value = " ".join(value.split()) if key == "name" else value.strip()
    longest = MAX_NAME if key == "name" else MAX_SAID
    if not value or len(value) > longest:
        return {"error": f"a {key} has 1 to {longest} characters, not {len(value)}"}
    return {"type": str(kind), key: value}
