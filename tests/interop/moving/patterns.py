import asyncio
import os

from websockets.asyncio.client import connect
from websockets.asyncio.server import broadcast, serve
from websockets.exceptions import ConnectionClosed, ConnectionClosedError, InvalidStatus
from websockets.frames import CloseCode
from websockets.protocol import State

PORT = int(os.environ["PORT"])
got = []


async def consumer(websocket):
    async for message in websocket:
        got.append(message)


async def producer(websocket):
    try:
        for i in range(3):
            await websocket.send(str(i))
        await asyncio.Event().wait()
    except ConnectionClosed:
        pass


async def handler(websocket):
    if websocket.request.path == "/broken":
        await websocket.close(CloseCode.INTERNAL_ERROR, "broken")
        return
    tasks = [asyncio.create_task(consumer(websocket)), asyncio.create_task(producer(websocket))]
    done, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in pending:
        task.cancel()


def process_request(connection, request):
    if request.path == "/healthz":
        return connection.respond(200, "OK\n")


async def main():
    uri = f"ws://localhost:{PORT}"
    async with serve(handler, "localhost", PORT, process_request=process_request) as server:
        async with connect(uri, additional_headers={"X-Who": "me"}) as websocket:
            print([await websocket.recv() for _ in range(3)])
            await websocket.send("a")
            await websocket.send(["b", "c"])
            pong = await websocket.ping()
            print((await pong) == websocket.latency)
            print(len(server.connections))
            broadcast(server.connections, b"all")
            print(await websocket.recv())
        try:
            await connect(f"{uri}/healthz")
        except InvalidStatus as exc:
            print(exc.response.status_code, exc.response.body.decode())
        websocket = await connect(f"{uri}/broken")
        try:
            await websocket.recv()
        except ConnectionClosedError as exc:
            print(exc.rcvd.code, exc.rcvd.reason, exc.rcvd_then_sent)
        await websocket.close()
        print(websocket.state is State.CLOSED)
    print(got)


asyncio.run(main())
