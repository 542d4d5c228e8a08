"""An echo server: every message goes back as it came.

python examples/echo_server.py [PORT]
"""

import asyncio
import contextlib
import sys

from duplexer import ServerConnection, serve


async def echo(ws: ServerConnection) -> None:
    async for message in ws:  # str for text, bytes for binary; ends when the client leaves
        await ws.send(message)


async def main(port: int) -> None:
    async with serve(echo, "localhost", port) as server:
        print(f"listening on ws://localhost:{port}", flush=True)
        await server.serve_forever()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):  # Ctrl-C
        asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 8765))
