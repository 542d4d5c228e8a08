"""FastAPI on uvicorn with duplexer's WebSockets: rooms, and a token that opens them.

python examples/fastapi_rooms.py [PORT]
duplexer connect ws://localhost:8765/rooms/blue?token=open-sesame
"""

import sys
from collections import defaultdict
from typing import Annotated

import uvicorn
from fastapi import Depends, FastAPI, HTTPException, Query, WebSocket, WebSocketDisconnect

app = FastAPI()
rooms: defaultdict[str, set[WebSocket]] = defaultdict(set)


def check(token: Annotated[str, Query()] = "") -> None:
    if token != "open-sesame":  # the client gets this answer in place of a WebSocket
        raise HTTPException(401, "no such token")


@app.websocket("/rooms/{name}", dependencies=[Depends(check)])
async def room(ws: WebSocket, name: str) -> None:
    await ws.accept()
    rooms[name].add(ws)
    try:
        async for text in ws.iter_text():
            for each in list(rooms[name]):
                try:
                    await each.send_text(f"{name}: {text}")
                except WebSocketDisconnect:
                    pass  # it has just left; its own task will notice
    finally:
        rooms[name].discard(ws)


if __name__ == "__main__":
    uvicorn.run(
        app,
        host="localhost",
        port=int(sys.argv[1]) if len(sys.argv) > 1 else 8765,
        ws="duplexer.asgi.uvicorn:WebSocketProtocol",
    )
