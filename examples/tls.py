"""TLS with a certificate authority of your own. The how-to about TLS makes the three files.

python examples/tls.py server.crt server.key ca.crt
"""

import asyncio
import ssl
import sys

from duplexer import ServerConnection, connect, serve


async def greet(ws: ServerConnection) -> None:
    await ws.send(f"hello, {await ws.recv()}")


async def main(certificate: str, key: str, authority: str) -> None:
    server_tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server_tls.load_cert_chain(certificate, key)
    # The client trusts your authority and no other. Without `ssl=` it trusts the system's.
    client_tls = ssl.create_default_context(cafile=authority)

    async with serve(greet, "localhost", 0, ssl=server_tls) as server:
        port = server.sockets[0].getsockname()[1]
        async with connect(f"wss://localhost:{port}", ssl=client_tls) as ws:
            await ws.send("you")
            print(await ws.recv())


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
