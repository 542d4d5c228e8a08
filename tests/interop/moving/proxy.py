import asyncio
import os

from websockets.asyncio.client import connect
from websockets.asyncio.server import serve
from websockets.exceptions import InvalidProxy, InvalidProxyStatus, ProxyError

PORT = int(os.environ["PORT"])


async def hello(websocket):
    await websocket.send("hello")


async def tunnel(reader, writer):
    head = await reader.readuntil(b"\r\n\r\n")
    if b"Proxy-Authorization: Basic YWRhOmxvdmVsYWNl" not in head:
        writer.write(b"HTTP/1.1 407 Who?\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
        writer.close()
        return
    target_reader, target_writer = await asyncio.open_connection("localhost", PORT)
    writer.write(b"HTTP/1.1 200 OK\r\n\r\n")

    async def copy(source, sink):
        while data := await source.read(65536):
            sink.write(data)
        sink.close()

    await asyncio.gather(copy(reader, target_writer), copy(target_reader, writer))


async def main():
    uri = f"ws://localhost:{PORT}"
    async with (
        serve(hello, "localhost", PORT),
        await asyncio.start_server(tunnel, "localhost", 0) as server,
    ):
        port = server.sockets[0].getsockname()[1]
        async with connect(uri, proxy=None) as websocket:
            print("direct", await websocket.recv())
        os.environ["socks_proxy"] = "http://localhost:1"
        async with connect(uri, proxy=None) as websocket:
            print("direct still", await websocket.recv())
        async with connect(uri, proxy=f"http://ada:lovelace@localhost:{port}") as websocket:
            print("proxy", await websocket.recv())
        for proxy in (f"http://localhost:{port}", "ftp://localhost", "http://localhost:1"):
            try:
                await connect(uri, proxy=proxy)
            except InvalidProxyStatus as exc:
                print(exc.response.status_code)
            except InvalidProxy as exc:
                print(exc.proxy)
            except (ProxyError, OSError):
                print("unreachable")


asyncio.run(main())
