import os

import trio
from websockets.trio.client import connect
from websockets.trio.server import serve

PORT = int(os.environ["PORT"])


async def echo(websocket):
    async for message in websocket:
        await websocket.send(message)


async def main():
    async with trio.open_nursery() as nursery:
        await nursery.start(serve, echo, PORT)
        async with connect(f"ws://localhost:{PORT}") as websocket:
            await websocket.send("Hello world!")
            print(await websocket.recv())
            with trio.move_on_after(0.05) as scope:
                await websocket.recv()
            print(scope.cancelled_caught)
            await websocket.send(b"bytes")
            print(await websocket.recv())
        nursery.cancel_scope.cancel()


trio.run(main)
