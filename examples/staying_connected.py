"""A client that stays connected, fetches its token anew each time, and knows what was lost.

python examples/staying_connected.py ws://localhost:8765
"""

import asyncio
import sys

from duplexer import ConnectionClosed, Heartbeat, Retry, connect

tokens = iter(range(1, 1000))


def with_a_fresh_token(retrying):
    # Called before each attempt: what it gives back replaces arguments of connect().
    return {"additional_headers": {"Authorization": f"Bearer token-{next(tokens)}"}}


def tell(retrying):
    print("now", retrying.state.value, flush=True)


async def main(uri: str) -> None:
    retry = Retry(base=0.1, cap=5.0, deadline=60.0, before=with_a_fresh_token, on_state=tell)
    heartbeat = Heartbeat(send="ping", expect="pong", every=15.0)
    async for ws in connect(uri, retry=retry, heartbeat=heartbeat, keep_unacknowledged=True):
        try:
            if not ws.undelivered:
                await ws.send("an order")
            for message in ws.take_undelivered():
                await ws.send(message)
            async for message in ws:
                print(message, flush=True)
            break  # closed with 1000 or 1001: the server has nothing more for us
        except ConnectionClosed:
            pass  # what may not have arrived is the next connection's


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
