import asyncio
import os

from websockets.asyncio.client import connect
from websockets.asyncio.server import serve

PORT = int(os.environ["PORT"])


async def hello(websocket):
    name = await websocket.recv()
    await websocket.send(f"Hello {name}!")


async def main():
    async with serve(hello, "localhost", PORT):
        async with connect(f"ws://localhost:{PORT}/path") as websocket:
            print(websocket.state.name, websocket.request.path, websocket.response.status_code)
            print(websocket.subprotocol, websocket.close_code)
            await websocket.send("Ada")
            print(await websocket.recv())
        print(websocket.state.name, websocket.close_code, repr(websocket.close_reason))


asyncio.run(main())
