"""Starlette on uvicorn with duplexer's WebSockets: a clock for each client, and a page of its own.

python examples/starlette_clock.py [PORT]
duplexer connect ws://localhost:8765/clock
"""

import asyncio
import sys
import time

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket


async def clock(ws: WebSocket) -> None:
    """Sends the time, as often as the client asks: its message is the seconds between two."""
    await ws.accept(subprotocol="clock" if "clock" in ws.scope["subprotocols"] else None)
    async for pause in ws.iter_text():
        for _ in range(3):
            await ws.send_json({"now": time.time()})
            await asyncio.sleep(float(pause))


async def page(request: Request) -> PlainTextResponse:
    return PlainTextResponse(f"the clock is at ws://{request.url.netloc}/clock\n")


app = Starlette(routes=[Route("/", page), WebSocketRoute("/clock", clock)])

if __name__ == "__main__":
    uvicorn.run(
        app,
        host="localhost",
        port=int(sys.argv[1]) if len(sys.argv) > 1 else 8765,
        ws="duplexer.asgi.uvicorn:WebSocketProtocol",
    )
