"""A message that many will get is made ready once: framed once, compressed once.

python examples/prepared.py
"""

import asyncio
import json

from duplexer import Prepared, ServerConnection, connect, serve

# Everybody who comes gets the same long list first.
CATALOGUE = Prepared(json.dumps([{"id": n, "name": f"article {n}"} for n in range(1000)]))


async def shop(ws: ServerConnection) -> None:
    await ws.send(CATALOGUE)
    async for message in ws:
        await ws.send(f"ordered: {message}")


async def visit(uri: str, article: int) -> None:
    async with connect(uri) as ws:
        catalogue = json.loads(await ws.recv())
        await ws.send(catalogue[article]["name"])
        print(await ws.recv())


async def main() -> None:
    async with serve(shop, "localhost", 0) as server:
        uri = f"ws://localhost:{server.sockets[0].getsockname()[1]}"
        await asyncio.gather(*[visit(uri, article) for article in (7, 42, 999)])


if __name__ == "__main__":
    asyncio.run(main())
