"""Other people's clients against our server."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from duplexer.asyncio.server import ServerConnection, serve
from duplexer.errors import ConnectionClosed
from duplexer.extensions.deflate import ServerPerMessageDeflateFactory
from duplexer.limits import Limits
from tests.interop.peers import CLIENTS, MAX_SIZE, node, ws_options

pytestmark = pytest.mark.both_builds

LIMITS = Limits(max_message=MAX_SIZE, deflate_min=0)
BIG = b"0123456789abcdef-" * 300_000
MESSAGES: list[Any] = ["", b"", "€ 😀", bytes(range(256)), "x" * 125, "x" * 126, b"y" * 65536, BIG]
OFFERS: list[dict[str, Any]] = [
    {},
    {"server_no_context_takeover": True},
    {"client_no_context_takeover": True},
    *({"client_max_window_bits": bits} for bits in (9, 12, 15)),
    *({"server_max_window_bits": bits} for bits in (9, 12, 15)),
]
#: What the server insists on.
DEMANDS: list[dict[str, Any]] = [
    {},
    {"server_no_context_takeover": True, "client_no_context_takeover": True},
    {"server_max_window_bits": 9, "client_max_window_bits": 9},
]


class Ours:
    """Our server; remembers how its connections ended."""

    def __init__(self) -> None:
        self.ends: asyncio.Queue[ConnectionClosed] = asyncio.Queue()

    async def __call__(self, ws: ServerConnection) -> None:
        try:
            while True:
                message = await ws.recv()
                if isinstance(message, str) and message.startswith("close "):
                    _, code, *reason = message.split(" ")
                    await ws.close(int(code), " ".join(reason))
                else:
                    await ws.send(message)
        except ConnectionClosed as exc:
            self.ends.put_nowait(exc)

    @contextlib.asynccontextmanager
    async def running(self, demand: dict[str, Any] | None) -> AsyncIterator[str]:
        extensions = None
        if demand is not None:
            extensions = [ServerPerMessageDeflateFactory(limits=LIMITS, **demand)]
        async with serve(
            self,
            "127.0.0.1",
            0,
            compression=None,
            extensions=extensions,
            limits=LIMITS,
            subprotocols=["chat"],
        ) as server:
            yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/"


async def converse(ws: Any) -> None:
    assert ws.subprotocol == "chat"
    for message in MESSAGES:
        await ws.send(message)
        assert await ws.recv() == message
    for message in MESSAGES[:-1]:
        await ws.send(message)
    for message in MESSAGES[:-1]:
        assert await ws.recv() == message
    await (await ws.ping(b"hi"))


@pytest.mark.parametrize("peer", CLIENTS)
async def test_without_compression(peer: str) -> None:
    ours = Ours()
    async with ours.running({}) as url, asyncio.timeout(30), CLIENTS[peer](url, None) as ws:
        await converse(ws)


@pytest.mark.parametrize("peer", CLIENTS)
async def test_compression_that_is_not_agreed_to(peer: str) -> None:
    ours = Ours()
    async with ours.running(None) as url, asyncio.timeout(30), CLIENTS[peer](url, {}) as ws:
        await converse(ws)


@pytest.mark.parametrize("demand", DEMANDS, ids=["agrees", "no-context", "small-windows"])
@pytest.mark.parametrize("peer", CLIENTS)
async def test_compression_as_the_server_demands(peer: str, demand: dict[str, Any]) -> None:
    ours = Ours()
    async with ours.running(demand) as url, asyncio.timeout(30), CLIENTS[peer](url, {}) as ws:
        await converse(ws)


@pytest.mark.parametrize("offer", OFFERS, ids=lambda offer: ",".join(offer) or "plain")
async def test_compression_as_the_client_offers(offer: dict[str, Any]) -> None:
    ours = Ours()
    async with ours.running({}) as url, asyncio.timeout(30):
        async with CLIENTS["websockets"](url, offer) as ws:
            assert len(ws.protocol.extensions) == 1
            await converse(ws)
            await ws.send(iter(["one ", "€"]))
            assert await ws.recv() == "one €"


@pytest.mark.parametrize("code", [1000, 1001, 1011, 3000, 4999])
@pytest.mark.parametrize("peer", CLIENTS)
async def test_closing(peer: str, code: int) -> None:
    ours = Ours()
    async with ours.running(None) as url, asyncio.timeout(30):
        async with CLIENTS[peer](url, None) as ws:
            await ws.send(f"close {code} goodbye €")
            await ws.wait_closed()
            assert (ws.close_code, ws.close_reason) == (code, "goodbye €")
        await ours.ends.get()
        async with CLIENTS[peer](url, None) as ws:
            await ws.close(code, "adieu €")
        end = await ours.ends.get()
        assert end.rcvd is not None
        assert (end.rcvd.code, end.rcvd.reason) == (code, "adieu €")


@pytest.mark.parametrize("demand", [None, *DEMANDS], ids=["none", "agrees", "no-context", "small"])
@pytest.mark.parametrize(
    "offer", [None, *OFFERS], ids=lambda offer: "none" if offer is None else ",".join(offer)
)
async def test_ws(offer: dict[str, Any] | None, demand: dict[str, Any] | None) -> None:
    ours = Ours()
    async with ours.running(demand) as url, asyncio.timeout(30):
        client = await node("client", url, ws_options(offer))
        out, _ = await client.communicate()
    seen = json.loads(out)
    compressed = None not in (offer, demand)
    assert seen.pop("extensions") == ("permessage-deflate" if compressed else "")
    assert seen == {
        "echoes": [True] * 5,
        "pong": "hi",
        "code": 4321,
        "reason": "goodbye €",
        "protocol": "chat",
    }
