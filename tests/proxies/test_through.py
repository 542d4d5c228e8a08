"""Through each real proxy: messages, keepalive, refusals, and what follows its death."""

from __future__ import annotations

import contextlib
import random
import socket
import struct

import pytest

from duplexer import ConnectionClosedError
from duplexer.errors import InvalidProxyReply, InvalidProxyStatus, ProxyError
from tests.proxies.conftest import WAYS
from tests.proxies.daemons import FORBIDDEN, running

THROUGH = [way for way in WAYS if way != "tinyproxy-443"]
ASKING = [way for way, (_, _, _, asks) in WAYS.items() if asks]
#: Each is reached through the one before it.
CHAINS = [
    ["squid", "dante-5h"],
    ["dante-password", "squid-digest"],
    ["tinyproxy-basic", "haproxy-tls"],
    ["haproxy-basic", "squid-tls", "dante-4"],
]
BINARY = random.Random(1).randbytes(900_000)


async def echo(ws):
    async for message in ws:
        await ws.send(message)


def by_name(uri):
    """The same address, with a name that somebody has to resolve."""
    return uri.replace("//127.0.0.1:", "//localhost:")


@contextlib.asynccontextmanager
async def served(front):
    """The address of a server, and the requests that it has seen."""
    requests = []

    async def handler(ws):
        requests.append(ws.request)
        await echo(ws)

    async with front.serve(handler) as server:
        yield by_name(front.uri(server)), requests


def through(front, proxies, uri, proxy, **kwargs):
    urls = [proxy] if isinstance(proxy, str) else proxy
    if any(url.startswith("https:") for url in urls):
        kwargs["proxy_ssl"] = proxies.context
    return front.connect(uri, proxy=proxy, **kwargs)


@pytest.mark.parametrize("way", [*THROUGH, *CHAINS], ids=str)
async def test_messages(front, proxies, way):
    proxy = proxies.url(way) if isinstance(way, str) else [proxies.url(each) for each in way]
    async with served(front) as (uri, requests):
        async with through(front, proxies, uri, proxy) as ws:
            for message in ("hello", "", BINARY, BINARY.hex()[:500_000]):
                await ws.send(message)
                assert await ws.recv() == message
        # What a proxy is told is not for the server.
        assert "Proxy-Authorization" not in requests[0].headers
        assert "Authorization" not in requests[0].headers


@pytest.mark.parametrize("way", ["squid", "tinyproxy", "dante-5h", "haproxy-tls"])
async def test_keepalive(front, proxies, way):
    """Nobody says a word, and pings go through all the same."""
    async with served(front) as (uri, _):
        async with through(front, proxies, uri, proxies.url(way), ping_interval=0.05) as ws:
            seen = set()

            def answered():
                seen.add(ws.latency)
                return len(seen) > 4

            await front.until(answered)
            await ws.send("still there?")
            assert await ws.recv() == "still there?"


@pytest.mark.plain_only
@pytest.mark.parametrize("way", ASKING)
@pytest.mark.parametrize("userinfo", ["", "user:S3-other@", "nobody:S3-cr.et@"])
async def test_a_wrong_password(front, proxies, way, userinfo):
    url = proxies.url(way, userinfo)
    async with served(front) as (uri, requests):
        with pytest.raises(ProxyError, match="password") as raised:
            await through(front, proxies, uri, url)
        assert not requests
    error = raised.value
    assert "S3-" not in str(error) + repr(error) + error.explain()
    if url.startswith("http"):
        assert isinstance(error, InvalidProxyStatus)
        # tinyproxy has 407 for no password, and 401 for a wrong one.
        assert error.status == (401 if userinfo and way == "tinyproxy-basic" else 407)
    else:
        assert isinstance(error, InvalidProxyReply)


@pytest.mark.plain_only
@pytest.mark.parametrize(("way", "port"), [("squid", FORBIDDEN), ("tinyproxy-443", 80)])
async def test_a_port_that_the_proxy_forbids(front, proxies, way, port):
    with pytest.raises(InvalidProxyStatus, match="port 443") as raised:
        await front.connect(f"ws://localhost:{port}/", proxy=proxies.url(way), ssl=None)
    assert raised.value.status == 403
    assert b"<html" in raised.value.body.lower()


@pytest.mark.plain_only
async def test_a_port_that_a_socks_proxy_forbids(front, proxies):
    with pytest.raises(InvalidProxyReply, match="not allowed by its rules"):
        await front.connect(f"ws://localhost:{FORBIDDEN}/", proxy=proxies.url("dante-5h"), ssl=None)


@pytest.mark.plain_only
@pytest.mark.parametrize(
    ("way", "error", "why"),
    [
        ("squid", InvalidProxyStatus, "HTTP 503 .*could not reach"),
        ("haproxy-tls", InvalidProxyStatus, "HTTP 503 .*could not reach"),
        ("tinyproxy", InvalidProxyStatus, "HTTP 500 .*could not reach"),
        ("dante-4", InvalidProxyReply, "rejected or failed"),
        ("dante-5h", InvalidProxyReply, "refused by the server"),
    ],
)
async def test_nobody_there(front, proxies, way, error, why):
    async with served(front) as (uri, _):
        pass
    with pytest.raises(error, match=why):
        await through(front, proxies, uri, proxies.url(way), ssl=None)


@pytest.mark.plain_only
@pytest.mark.parametrize(
    ("way", "scheme"),
    [
        ("dante-5h", "http"),
        ("haproxy-tls", "http"),
    ],
)
async def test_a_proxy_of_another_kind(front, proxies, way, scheme):
    url = f"{scheme}:{proxies.url(way).partition(':')[2]}"
    with pytest.raises((ProxyError, OSError)):
        await front.connect("ws://127.0.0.1:9/", proxy=url, ssl=None)


@pytest.mark.plain_only
@pytest.mark.parametrize("scheme", ["http", "socks4a", "socks5h"])
async def test_a_proxy_that_resets_what_it_has_accepted(front, proxies, scheme):
    def reset():
        sock, _ = listening.accept()
        with sock:
            sock.recv(65536)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    with socket.create_server(("127.0.0.1", 0)) as listening:
        resetting = front.spawn(front.thread(reset))
        url = f"{scheme}://127.0.0.1:{listening.getsockname()[1]}"
        with pytest.raises(ProxyError, match=r"the connection to the proxy .* was lost"):
            await through(front, proxies, "ws://127.0.0.1:9/", url)
        await resetting


@pytest.mark.parametrize("way", ["squid", "tinyproxy", "dante-5h", "haproxy-tls"])
async def test_the_proxy_dies(front, proxies, way):
    scheme, name, port, _ = WAYS[way]
    with running(proxies.kind(name)) as daemon:
        async with served(front) as (uri, _):
            url = f"{scheme}://127.0.0.1:{daemon.ports[port]}"
            ws = await through(front, proxies, uri, url)
            await ws.send("hello")
            assert await ws.recv() == "hello"
            daemon.kill()
            with pytest.raises(ConnectionClosedError) as raised:
                await ws.recv()
            assert raised.value.party == "network"
            assert "The connection was lost" in raised.value.explain()
            with pytest.raises(ProxyError, match="connect"):
                await through(front, proxies, uri, url)


@pytest.mark.plain_only
async def test_a_certificate_of_nobody_s(front, proxies):
    with pytest.raises(OSError, match="certificate verify failed"):
        await front.connect("ws://127.0.0.1:9/", proxy=proxies.url("haproxy-tls"), ssl=None)


async def test_a_file_that_chooses(front, proxies, tmp_path):
    """The first proxy is not there, so the second is taken."""
    file = tmp_path / "proxy.pac"
    there = proxies["tinyproxy"].ports["open"]
    file.write_text(
        f"function FindProxyForURL(url, host) {{"
        f" return host == 'localhost' ? 'PROXY 127.0.0.1:1; PROXY 127.0.0.1:{there}' : 'no'; }}"
    )
    async with served(front) as (uri, _):
        async with front.connect(uri, proxy=f"pac+{file.as_uri()}", open_timeout=50) as ws:
            await ws.send("hello")
            assert await ws.recv() == "hello"


async def test_the_system_s(front, proxies, monkeypatch):
    monkeypatch.setenv("all_proxy", proxies.url("squid-digest"))
    async with served(front) as (uri, _):
        async with front.connect(uri, proxy=True) as ws:
            await ws.send("hello")
            assert await ws.recv() == "hello"
        monkeypatch.setenv("all_proxy", "http://127.0.0.1:1")
        with pytest.raises(ProxyError):
            await front.connect(uri, proxy=True)
        monkeypatch.setenv("no_proxy", "example.com, localhost")
        async with front.connect(uri, proxy=True) as ws:
            await ws.send("hello")
            assert await ws.recv() == "hello"
