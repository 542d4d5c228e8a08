"""Rooms by path, for users with a token: routes, authentication, and a page that needs neither.

python examples/rooms.py [PORT]      then, for each of the tokens:

duplexer connect ws://localhost:8765/rooms/tea --header "Authorization: Bearer token-of-ada"
"""

import asyncio
import contextlib
import sys
from collections import defaultdict

from duplexer import Bearer, Router, ServerConnection, broadcast, serve
from duplexer.carriers.routes import text

#: In earnest a function that asks a database, or checks a signature.
TOKENS = {"token-of-ada": "Ada", "token-of-bob": "Bob"}

rooms: defaultdict[str, set[ServerConnection]] = defaultdict(set)
router = Router()


class Member(ServerConnection):
    """So that type checkers know what a user is."""

    user: str


@router.route("/rooms/{room}")
async def chat(ws: Member, room: str) -> None:
    members = rooms[room]
    members.add(ws)
    try:
        async for message in ws:
            broadcast(members, f"{ws.user}: {message}")
    finally:
        members.discard(ws)


@router.route("/count", authenticate=None)  # for anybody
async def count(ws: ServerConnection) -> None:
    await ws.send(str(sum(map(len, rooms.values()))))


async def main(port: int) -> None:
    async with serve(
        router,
        "localhost",
        port,
        # Programs send a header, pages new WebSocket(url, ["bearer", token]).
        authenticate=Bearer(TOKENS, via=["header", "subprotocol"]),
        create_connection=Member,
        http={"/healthz": text("ok\n")},
    ) as server:
        print(f"listening on ws://localhost:{port}/rooms/...", flush=True)
        await server.serve_forever()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 8765))
