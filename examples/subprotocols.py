"""Subprotocols: client and server agree on what the messages mean.

python examples/subprotocols.py
"""

import asyncio
import json

from duplexer import ServerConnection, connect, serve


async def add(ws: ServerConnection) -> None:
    async for message in ws:
        if ws.subprotocol == "sum.v2":
            numbers = json.loads(message)
            await ws.send(json.dumps({"sum": sum(numbers)}))
        else:  # sum.v1
            await ws.send(str(sum(map(int, message.split()))))


async def main() -> None:
    # In the order of the server's preference. A client that offers none of them is refused.
    async with serve(add, "localhost", 0, subprotocols=["sum.v2", "sum.v1"]) as server:
        uri = f"ws://localhost:{server.sockets[0].getsockname()[1]}"

        async with connect(uri, subprotocols=["sum.v1", "sum.v2"]) as ws:
            await ws.send("[1, 2, 3]")
            print(ws.subprotocol, await ws.recv())

        async with connect(uri, subprotocols=["sum.v1"]) as ws:
            await ws.send("1 2 3")
            print(ws.subprotocol, await ws.recv())


if __name__ == "__main__":
    asyncio.run(main())
