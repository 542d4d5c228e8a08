"""An echo with trio: a server in a nursery, and a client that waits only so long.

python examples/trio_echo.py 8765
"""

import sys

import trio

from duplexer.trio import connect, serve


async def echo(ws):
    async for message in ws:
        await ws.send(message)


async def main(port: int) -> None:
    async with trio.open_nursery() as nursery:
        await nursery.start(serve, echo, port)
        async with connect(f"ws://localhost:{port}") as ws:
            await ws.send("hello")
            print(await ws.recv())
            with trio.move_on_after(0.1):
                await ws.recv()
            print("nothing more")
        nursery.cancel_scope.cancel()


if __name__ == "__main__":
    trio.run(main, int(sys.argv[1]))
