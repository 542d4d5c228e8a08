"""Litestar on uvicorn with duplexer's WebSockets: a listener, JSON in and JSON out.

python examples/litestar_sum.py [PORT]
duplexer connect ws://localhost:8765/sum      and then {"numbers": [1, 2, 3]}
"""

import sys

import uvicorn
from litestar import Litestar
from litestar.handlers import websocket_listener


@websocket_listener("/sum")
async def add(data: dict[str, list[float]]) -> dict[str, float]:
    return {"sum": sum(data["numbers"])}


app = Litestar([add])

if __name__ == "__main__":
    uvicorn.run(
        app,
        host="localhost",
        port=int(sys.argv[1]) if len(sys.argv) > 1 else 8765,
        ws="duplexer.asgi.uvicorn:WebSocketProtocol",
    )
