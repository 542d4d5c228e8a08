import asyncio
import os

from websockets.asyncio.client import connect
from websockets.asyncio.server import basic_auth, serve
from websockets.exceptions import InvalidStatus

PORT = int(os.environ["PORT"])


async def greet(websocket):
    await websocket.send(f"Hello {websocket.username}!")


async def main():
    auth = basic_auth(realm="tests", credentials=("ada", "lovelace"))
    async with serve(greet, "localhost", PORT, process_request=auth):
        async with connect(f"ws://ada:lovelace@localhost:{PORT}") as websocket:
            print(await websocket.recv())
        for who in ("", "ada:wrong@", "eve:lovelace@"):
            try:
                await connect(f"ws://{who}localhost:{PORT}")
            except InvalidStatus as exc:
                response = exc.response
                print(response.status_code, response.headers["WWW-Authenticate"])


asyncio.run(main())
