import asyncio
import json
import os

from websockets.asyncio.client import connect
from websockets.asyncio.server import broadcast, serve

PORT = int(os.environ["PORT"])
USERS = set()
value = 0


def users():
    return json.dumps({"type": "users", "count": len(USERS)})


async def counter(websocket):
    global value
    USERS.add(websocket)
    try:
        broadcast(USERS, users())
        await websocket.send(json.dumps({"type": "value", "value": value}))
        async for message in websocket:
            value += {"plus": 1, "minus": -1}[json.loads(message)["action"]]
            broadcast(USERS, json.dumps({"type": "value", "value": value}))
    finally:
        USERS.remove(websocket)
        broadcast(USERS, users())


async def main():
    async with serve(counter, "localhost", PORT):
        async with connect(f"ws://localhost:{PORT}") as one:
            print(await one.recv(), await one.recv())
            async with connect(f"ws://localhost:{PORT}") as two:
                print(await two.recv(), await two.recv(), await one.recv())
                await two.send(json.dumps({"action": "plus"}))
                print(await one.recv(), await two.recv())
            print(await one.recv())


asyncio.run(main())
