"""A client: it sends what stands on its command line and prints what comes back.

python examples/echo_client.py ws://localhost:8765 hello world
"""

import asyncio
import sys

from duplexer import connect


async def main(uri: str, *messages: str) -> None:
    async with connect(uri) as ws:
        for message in messages:
            await ws.send(message)
            print(await ws.recv())


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
