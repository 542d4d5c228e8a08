"""The client that the Autobahn cases are run against.

``python -m tests.conformance.echo_client FRONT URL``
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from typing import Any

import trio

from duplexer.asyncio import client as asyncio_client
from duplexer.errors import ConnectionClosed, InvalidHandshake
from duplexer.extensions.deflate import ClientPerMessageDeflateFactory
from duplexer.limits import Limits
from duplexer.sync import client as sync_client
from duplexer.trio import client as trio_client

AGENT = "duplexer"
#: Section 9 sends messages of 16 MiB. (12 and 13 are about compressing, so that all are.)
LIMITS = Limits(max_message=16 * 1024 * 1024, ping_interval=None)


def address(url: str, number: int) -> str:
    return f"{url}/runCase?case={number}&agent={AGENT}"


def arguments() -> dict[str, Any]:
    # Two offers, so that the server has the choice: section 13 wants no_context_takeover, and any
    # window, where it asks for them.
    extensions = [
        ClientPerMessageDeflateFactory(client_max_window_bits=15, limits=LIMITS),
        ClientPerMessageDeflateFactory(
            client_max_window_bits=15, client_no_context_takeover=True, limits=LIMITS
        ),
    ]
    return {"extensions": extensions, "limits": LIMITS, "proxy": None}


async def run_case(connect: Callable[..., Any], url: str, number: int) -> None:
    try:
        async with connect(address(url, number), **arguments()) as ws:
            async for message in ws:
                await ws.send(message, compress=True)
    except (ConnectionClosed, InvalidHandshake):
        pass  # the other side knows what it expected


async def main(connect: Callable[..., Any], url: str) -> None:
    async with connect(f"{url}/getCaseCount", proxy=None) as ws:
        count = int(await ws.recv())
    for number in range(1, count + 1):
        await run_case(connect, url, number)
    async with connect(f"{url}/updateReports?agent={AGENT}", proxy=None):
        pass


def run_case_blocking(url: str, number: int) -> None:
    try:
        with sync_client.connect(address(url, number), **arguments()) as ws:
            for message in ws:
                ws.send(message, compress=True)
    except (ConnectionClosed, InvalidHandshake):
        pass  # the other side knows what it expected


def main_blocking(url: str) -> None:
    with sync_client.connect(f"{url}/getCaseCount", proxy=None) as ws:
        count = int(ws.recv())
    for number in range(1, count + 1):
        run_case_blocking(url, number)
    with sync_client.connect(f"{url}/updateReports?agent={AGENT}", proxy=None):
        pass


if __name__ == "__main__":
    _, front, url = sys.argv
    if front == "sync":
        main_blocking(url)
    elif front == "trio":
        trio.run(main, trio_client.connect, url)
    else:
        asyncio.run(main(asyncio_client.connect, url))
