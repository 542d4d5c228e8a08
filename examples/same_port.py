"""Plain HTTP on the port of the WebSocket server: a page, its files, health checks, a hook.

python examples/same_port.py [PORT]           then look at http://localhost:8765/
"""

import asyncio
import contextlib
import sys
from pathlib import Path

from duplexer import Request, Response, ServerConnection, StaticFiles, broadcast, serve
from duplexer.carriers.routes import json, text

listeners: set[ServerConnection] = set()


async def listen(ws: ServerConnection) -> None:
    listeners.add(ws)
    try:
        await ws.wait_closed()
    finally:
        listeners.discard(ws)


def stats(request: Request) -> Response:
    return json({"listeners": len(listeners)})


async def hook(request: Request) -> Response:
    """POST /hook: what is in the body goes to every page that is open."""
    broadcast(listeners, request.body, text=True)
    return text("told\n", 202)


ROUTES = {
    "/healthz": text("ok\n"),  # a response, always the same
    "/stats": stats,  # a function, async or not
    "/hook": {"POST": hook},  # another method
    "/": StaticFiles(Path(__file__).parent / "public"),  # all the rest
}


async def main(port: int) -> None:
    async with serve(listen, "localhost", port, http=ROUTES) as server:
        print(f"listening on http://localhost:{port}/", flush=True)
        await server.serve_forever()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 8765))
