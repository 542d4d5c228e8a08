"""A connection over networks that fail in many ways, each on a seed, by a clock that jumps.

Whatever happens to the bytes: both ends come to an end in time, what arrived is what was sent, in
order, and a loss has a cause.
"""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest

from duplexer import (
    ConnectionClosed,
    ConnectionClosedOK,
    InvalidHandshake,
    Limits,
    State,
    testing,
)

LIMITS = Limits(open_timeout=10, ping_interval=20, ping_timeout=20, close_timeout=5)
MESSAGES = 40
#: Seconds after which the last of all time limits is over.
LONG_ENOUGH = 40 * MESSAGES + 200


def network(seed: int) -> tuple[testing.Link, str]:
    """A link of ``seed``, and what is to happen to it in the middle."""
    chance = random.Random(seed)
    link = testing.Link(
        split=chance.choice([None, 1, (1, 7), (1, 2000)]),
        delay=chance.choice([0, 0.05, 3]),
        jitter=chance.choice([0, 1]),
        cut_after=chance.choice([None, None, chance.randrange(5000)]),
        cut=chance.choice(["end", "reset"]),
        capacity=chance.choice([100, 10_000]),
        seed=seed,
    )
    return link, chance.choice(["nothing", "reset", "stall", "drop", "pause"])


async def trouble(link: testing.Link, what: str) -> None:
    await asyncio.sleep(30)
    if what == "reset":
        link.reset()
    elif what == "stall":
        link.to_client.stall()
    elif what == "drop":
        link.to_server.drop()
    elif what == "pause":
        link.stall()
        await asyncio.sleep(10)
        link.resume()


async def talk(ws: Any, echoed: list[Any]) -> None:
    for i in range(MESSAGES):
        await ws.send(str(i) * random.Random(i).randrange(300))
        echoed.append(await ws.recv())
        await asyncio.sleep(2)


async def until_lost(ws: Any, echoed: list[Any], losses: list[ConnectionClosed]) -> None:
    try:
        await talk(ws, echoed)
        await ws.close()
    except ConnectionClosed as exc:
        losses.append(exc)
    await ws.wait_closed()


@pytest.mark.parametrize("seed", range(60))
async def test_every_network_comes_to_an_end(seed: int) -> None:
    link, what = network(seed)
    heard: list[Any] = []
    echoed: list[Any] = []
    losses: list[ConnectionClosed] = []
    server_side: list[Any] = []
    refusals: list[Exception] = []

    async def echo(ws: Any) -> None:
        server_side.append(ws)
        async for message in ws:
            heard.append(message)
            await ws.send(message)

    with testing.virtual_clock() as clock:
        troubling = asyncio.create_task(trouble(link, what))
        async with testing.serve(echo, link=link, limits=LIMITS) as server:
            try:
                ws = await server.connect(limits=LIMITS)
            except (OSError, InvalidHandshake) as exc:
                refusals.append(exc)
            else:
                await until_lost(ws, echoed, losses)
                assert ws.state is State.CLOSED
            while server.connections or server.server.opening:
                await asyncio.sleep(1)
                assert clock.elapsed < LONG_ENOUGH, testing.waiting_for(server_side[0])
        troubling.cancel()
    assert all(map(str, refusals))
    sent = [str(i) * random.Random(i).randrange(300) for i in range(MESSAGES)]
    assert heard == sent[: len(heard)] and echoed == sent[: len(echoed)]
    assert len(echoed) <= len(heard)
    for loss in losses:
        assert loss.explain() and not isinstance(loss, ConnectionClosedOK)
        was_cut = link.to_client.cut_after is not None and link.to_client.cut == "end"
        assert loss.__cause__ or loss.rcvd or was_cut, repr(loss)
    if what in ("nothing", "pause") and link.to_client.cut_after is None:
        assert echoed == sent and not losses


def test_the_seeds_bring_everything_about() -> None:
    found = [network(seed) for seed in range(60)]
    assert {what for _, what in found} == {"nothing", "reset", "stall", "drop", "pause"}
    assert {link.to_client.cut_after is None for link, _ in found} == {True, False}
