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
from duplexer.trio import client as trio_client

AGENT = "duplexer"
#: Section 9 sends messages of 16 MiB, and sections 12 and 13 are about compressing everything.
LIMITS = Limits(max_message=16 * 1024 * 1024, deflate_min=0, ping_interval=None)


async def run_case(connect: Callable[..., Any], url: str, number: int) -> None:
    # Two offers, so that the server has the choice: section 13 wants no_context_takeover, and any
    # window, where it asks for them.
    extensions = [
        ClientPerMessageDeflateFactory(client_max_window_bits=15, limits=LIMITS),
        ClientPerMessageDeflateFactory(
            client_max_window_bits=15, client_no_context_takeover=True, limits=LIMITS
        ),
    ]
    address = f"{url}/runCase?case={number}&agent={AGENT}"
    try:
        async with connect(address, extensions=extensions, limits=LIMITS, proxy=None) as ws:
            async for message in ws:
                await ws.send(message)
    except (ConnectionClosed, InvalidHandshake):
        pass  # the other side knows what it expected


async def main(connect: Callable[..., Any], url: str) -> None:
    async with connect(f"{url}/getCaseCount", proxy=None) as ws:
        count = int(await ws.recv())
    for number in range(1, count + 1):
        await run_case(connect, url, number)
    async with connect(f"{url}/updateReports?agent={AGENT}", proxy=None):
        pass


if __name__ == "__main__":
    _, front, url = sys.argv
    if front == "trio":
        trio.run(main, trio_client.connect, url)
    else:
        asyncio.run(main(asyncio_client.connect, url))
