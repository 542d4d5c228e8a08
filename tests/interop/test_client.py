"""Our client against other people's servers."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

import pytest

from duplexer.asyncio.client import ClientConnection, connect
from duplexer.errors import ConnectionClosedError, ConnectionClosedOK
from duplexer.extensions.deflate import ClientPerMessageDeflateFactory, PerMessageDeflate
from duplexer.limits import Limits
from tests.interop.peers import MAX_SIZE, SERVERS

pytestmark = [pytest.mark.both_builds, pytest.mark.parametrize("peer", SERVERS)]

LIMITS = Limits(max_message=MAX_SIZE, deflate_min=0)
BIG = b"0123456789abcdef-" * 300_000
MESSAGES: list[Any] = ["", b"", "€ 😀", bytes(range(256)), "x" * 125, "x" * 126, b"y" * 65536, BIG]
#: What the client asks for. Every window, with and without context, each side by itself.
OFFERS: list[dict[str, Any]] = [
    {},
    {"client_no_context_takeover": True},
    {"server_no_context_takeover": True},
    {"server_no_context_takeover": True, "client_no_context_takeover": True},
    *({"client_max_window_bits": bits} for bits in (9, 12, 15)),
    *({"server_max_window_bits": bits} for bits in (9, 12, 15)),
    {
        "server_max_window_bits": 10,
        "client_max_window_bits": 9,
        "server_no_context_takeover": True,
        "client_no_context_takeover": True,
    },
]


def dial(port: int, offer: dict[str, Any] | None = None) -> connect:
    extensions = None
    if offer is not None:
        extensions = [ClientPerMessageDeflateFactory(limits=LIMITS, **offer)]
    return connect(
        f"ws://127.0.0.1:{port}/",
        compression=None,
        extensions=extensions,
        limits=LIMITS,
        subprotocols=["other", "chat"],
        proxy=None,
    )


async def converse(ws: ClientConnection, peer: str) -> None:
    assert ws.subprotocol == "chat"
    for message in MESSAGES:
        await ws.send(message)
        assert await ws.recv() == message
    for message in MESSAGES:  # all at once
        await ws.send(message)
    assert [await ws.recv() for _ in MESSAGES] == MESSAGES
    await ws.send(iter(["one ", "", "€", " three"]))
    assert await ws.recv() == "one € three"
    await ws.send(itertools.repeat(b"piece", 1000))
    assert await ws.recv() == b"piece" * 1000
    assert 0 < await (await ws.ping(b"hi")) < 10
    await ws.send("ping me")
    assert str(await ws.recv()).startswith("pong from ")
    if peer != "aiohttp":  # has no interface for sending fragments
        await ws.send("fragments")
        assert await ws.recv() == "one € three"


async def test_without_compression(peer: str) -> None:
    async with SERVERS[peer](None) as port, asyncio.timeout(30), dial(port) as ws:
        assert ws.extensions == ()
        await converse(ws, peer)


async def test_compression_that_is_not_agreed_to(peer: str) -> None:
    if peer == "aiohttp":
        pytest.skip("aiohttp's server always compresses")
    async with SERVERS[peer](None) as port, asyncio.timeout(30), dial(port, {}) as ws:
        assert ws.extensions == ()
        await converse(ws, peer)


@pytest.mark.parametrize("offer", OFFERS, ids=lambda offer: ",".join(offer) or "plain")
async def test_compression(peer: str, offer: dict[str, Any]) -> None:
    if peer == "picows" and any(name.startswith("server") for name in offer):
        pytest.skip("picows's server does not look at what it is asked for")
    if peer == "aiohttp" and offer.get("server_max_window_bits") == 15:
        pytest.skip("aiohttp's server does not say that it agrees to 15")
    async with SERVERS[peer]({}) as port, asyncio.timeout(30), dial(port, offer) as ws:
        (extension,) = ws.extensions
        assert isinstance(extension, PerMessageDeflate)
        await converse(ws, peer)


@pytest.mark.parametrize("code", [1000, 1001, 1011, 3000, 4999])
async def test_server_closes(peer: str, code: int) -> None:
    async with SERVERS[peer](None) as port, asyncio.timeout(30), dial(port) as ws:
        await ws.send(f"close {code} goodbye €")
        kind = ConnectionClosedOK if code in (1000, 1001) else ConnectionClosedError
        with pytest.raises(kind) as caught:
            await ws.recv()
        await ws.wait_closed()
        assert caught.value.rcvd is not None
        assert (caught.value.rcvd.code, caught.value.rcvd.reason) == (code, "goodbye €")
        assert caught.value.rcvd_then_sent
        assert (ws.close_code, ws.close_reason) == (code, "goodbye €")


@pytest.mark.parametrize("code", [None, 1000, 1001, 3000, 4999])
async def test_client_closes(peer: str, code: int | None) -> None:
    if peer == "picows" and code is None:
        pytest.skip("picows's server answers an empty Close with code 0")
    async with SERVERS[peer](None) as port, asyncio.timeout(30), dial(port) as ws:
        await ws.close(code, "" if code is None else "x" * 123)
        assert ws.close_code in (code, 1000, 1005)
        with pytest.raises((ConnectionClosedOK, ConnectionClosedError)) as caught:
            await ws.recv()
        assert caught.value.rcvd is not None
        assert caught.value.rcvd_then_sent is False
