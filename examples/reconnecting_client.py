"""A client that comes back: whenever the connection is lost, it makes another one.

python examples/reconnecting_client.py ws://localhost:8765
"""

import asyncio
import logging
import sys

from duplexer import ConnectionClosed, connect


async def main(uri: str) -> None:
    # Between attempts that fail it waits: a random time, longer each time, a minute at most.
    async for ws in connect(uri):
        try:
            async for message in ws:
                print(message, flush=True)
            break  # closed with 1000 or 1001: the server has nothing more for us
        except ConnectionClosed as exc:
            # What was under way when the connection was lost is lost with it: ask for it again.
            print(f"lost: {exc.explain()}", file=sys.stderr)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)  # says when it tries again, and why
    asyncio.run(main(sys.argv[1]))
