import asyncio
import os
import signal

from websockets.asyncio.client import connect
from websockets.asyncio.server import serve

PORT = int(os.environ["PORT"])


async def handler(websocket):
    async for message in websocket:
        await websocket.send(message)


async def main():
    server = await serve(handler, "localhost", PORT)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, server.close)
    async with connect(f"ws://localhost:{PORT}") as websocket:
        await websocket.send("x")
        print(await websocket.recv())
        os.kill(os.getpid(), signal.SIGTERM)
        async for message in websocket:
            print(message)
        print(websocket.close_code)
    await server.wait_closed()
    print(server.is_serving())


asyncio.run(main())
