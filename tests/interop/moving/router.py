import asyncio
import os

from websockets.asyncio.client import connect
from websockets.asyncio.router import route
from websockets.exceptions import InvalidStatus
from werkzeug.routing import Map, Rule

PORT = int(os.environ["PORT"])


async def channel(websocket, number):
    await websocket.send(f"channel {number}")


async def home(websocket):
    await websocket.send("home")


url_map = Map(
    [
        Rule("/", endpoint=home),
        Rule("/channel/<int:number>", endpoint=channel),
        Rule("/old", redirect_to="/"),
    ]
)


async def main():
    async with route(url_map, "localhost", PORT):
        for path in ("/", "/channel/7", "/channel/x"):
            try:
                async with connect(f"ws://localhost:{PORT}{path}") as websocket:
                    print(await websocket.recv())
            except InvalidStatus as exc:
                print(exc.response.status_code, exc.response.body.decode())


asyncio.run(main())
