import asyncio
import os
import ssl

import trustme
from websockets.asyncio.client import connect
from websockets.asyncio.server import serve

PORT = int(os.environ["PORT"])
authority = trustme.CA()
server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
authority.issue_cert("localhost").configure_cert(server_context)
client_context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
authority.configure_trust(client_context)


async def hello(websocket):
    await websocket.send("Hello " + await websocket.recv())


async def main():
    async with serve(hello, "localhost", PORT, ssl=server_context):
        async with connect(f"wss://localhost:{PORT}", ssl=client_context) as websocket:
            await websocket.send("Ada")
            print(await websocket.recv())
        try:
            await connect(f"wss://localhost:{PORT}")
        except ssl.SSLCertVerificationError as exc:
            print(exc.reason)


asyncio.run(main())
