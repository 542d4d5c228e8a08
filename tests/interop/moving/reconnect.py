import asyncio
import os

from websockets.asyncio.client import connect
from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed

PORT = int(os.environ["PORT"])


async def tease(websocket):
    await websocket.send("one message each")


async def main():
    async with serve(tease, "localhost", PORT):
        times = 0
        async for websocket in connect(f"ws://localhost:{PORT}"):
            try:
                async for message in websocket:
                    print(message)
                times += 1
                if times == 3:
                    break
                await websocket.recv()
            except ConnectionClosed as exc:
                print(exc.rcvd.code)
                continue


asyncio.run(main())
