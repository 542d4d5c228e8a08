"""A chat: what one says, all hear. Your first message is your name.

python examples/chat_server.py [PORT]
duplexer connect ws://localhost:8765          in as many terminals as you like
"""

import asyncio
import contextlib
import sys

from duplexer import ServerConnection, broadcast, serve

people: dict[ServerConnection, str] = {}


async def chat(ws: ServerConnection) -> None:
    name = (await ws.recv(decode=True))[:24]
    people[ws] = name
    broadcast(people, f"* {name} is here")
    try:
        async for message in ws:
            # One frame is made for all; nobody has to wait for somebody who does not read.
            broadcast(people, f"{name}: {message}")
    finally:  # however it ended
        del people[ws]
        broadcast(people, f"* {name} has left")


async def main(port: int) -> None:
    # Nobody needs more than 4 KiB to say something.
    async with serve(chat, "localhost", port, max_size=4096) as server:
        print(f"listening on ws://localhost:{port}", flush=True)
        await server.serve_forever()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 8765))
