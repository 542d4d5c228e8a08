"""Behind real nginx, haproxy, Apache and Caddy, configured as the how-to says."""

from __future__ import annotations

import contextlib
import random
import socket

import pytest

from duplexer import ConnectionClosedError, InvalidStatus, TrustedProxies
from duplexer.errors import InvalidMessage
from tests.proxies import in_front
from tests.proxies.daemons import running

NAME = in_front.NAME
KINDS = ["nginx", "haproxy", "apache", "caddy"]
BINARY = random.Random(1).randbytes(300_000)
CALLER = "127.0.0.9"


@contextlib.asynccontextmanager
async def behind(front, authority, kind, **kwargs):
    """A server behind a proxy of that ``kind``; gives the proxy, and who came in."""
    seen = []

    async def handler(ws):
        seen.append(ws)
        async for message in ws:
            await ws.send(message)

    async with front.serve(handler, **kwargs) as server:
        port = server.sockets[0].getsockname()[1]
        with running(getattr(in_front, kind)(authority, port)) as proxy:
            yield proxy, seen


def come(front, proxy, client_context, **kwargs):
    return front.connect(
        f"wss://{NAME}/",
        host="127.0.0.1",
        port=proxy.ports["front"],
        ssl=client_context,
        local_addr=(CALLER, 0),
        **kwargs,
    )


TRUSTED = TrustedProxies(["127.0.0.1"], believes=["for", "proto", "host"])


@pytest.mark.plain_only
@pytest.mark.parametrize("kind", KINDS)
async def test_behind(front, authority, client_context, kind):
    async with behind(front, authority, kind, trusted_proxies=TRUSTED) as (proxy, seen):
        lies = {"X-Forwarded-For": "192.0.2.1", "X-Forwarded-Proto": "http"}
        lies["X-Forwarded-Host"] = "evil.example"
        origin = f"https://{NAME}"
        async with come(front, proxy, client_context, additional_headers=lies, origin=origin) as ws:
            for message in ("hello", BINARY):
                await ws.send(message)
                assert await ws.recv() == message
            client = seen[0].client
            assert client.address[0] == CALLER
            assert client.secure is True
            assert client.host.partition(":")[0] == NAME
            assert CALLER in repr(seen[0])
            assert seen[0].remote_address[0] == "127.0.0.1"
        assert ws.close_code == 1000
        with pytest.raises(InvalidStatus, match="403"):
            await come(front, proxy, client_context, origin="https://evil.example")
        # Other protocols than ours get no further than plain HTTP does.
        for upgrade in ("h2c", "websocket, h2c"):
            answer = await front.thread(ask, proxy.ports["front"], client_context, upgrade)
            assert answer.startswith(("HTTP/1.1 4", "HTTP/1.0 4")), answer
        # kill -9: both sides hear of it.
        async with come(front, proxy, client_context) as ws:
            await ws.send("still there")
            assert await ws.recv() == "still there"
            proxy.kill()
            with pytest.raises(ConnectionClosedError):
                await ws.recv()
        await front.until(lambda: all(each.close_code is not None for each in seen))
        assert seen[-1].close_code == 1006


def ask(port, context, upgrade):
    """What becomes of another upgrade."""
    request = (
        f"GET / HTTP/1.1\r\nHost: {NAME}\r\nConnection: Upgrade, HTTP2-Settings\r\n"
        f"Upgrade: {upgrade}\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", port), timeout=60) as plain:
        with context.wrap_socket(plain, server_hostname=NAME) as sock:
            sock.sendall(request.encode())
            answer = b""
            while b"\r\n\r\n" not in answer:
                data = sock.recv(65536)
                if not data:
                    break
                answer += data
    return answer.decode("latin-1")


async def test_the_proxy_protocol(front, authority, client_context):
    """TLS ends at the server; or there is none."""
    introducers = ["127.0.0.1"]
    async with behind(front, authority, "passthrough", proxy_protocol=introducers) as (proxy, seen):
        scheme = "wss" if front.secure else "ws"
        uri = f"{scheme}://127.0.0.1:{proxy.ports['front']}/"
        async with front.connect(uri, local_addr=(CALLER, 0)) as ws:
            for message in ("hello", BINARY):
                await ws.send(message)
                assert await ws.recv() == message
            assert seen[0].client.address[0] == CALLER


@pytest.mark.plain_only
async def test_the_proxy_protocol_is_required(front):
    async def handler(ws):
        pytest.fail("nobody comes in")

    async with front.serve(handler, proxy_protocol=["127.0.0.1"]) as server:
        with pytest.raises((OSError, InvalidMessage)):
            await front.connect(server)
    async with front.serve(handler, proxy_protocol=["10.0.0.0/8"]) as server:
        port = server.sockets[0].getsockname()[1]

        def pretend():
            with socket.create_connection(("127.0.0.1", port), timeout=60) as sock:
                sock.sendall(b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\nGET / HTTP/1.1\r\n\r\n")
                return sock.recv(65536)

        assert b"400" in await front.thread(pretend)
