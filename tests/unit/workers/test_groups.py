"""Groups within one process; tests/integration/test_workers.py has several."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from duplexer.asyncio.client import connect
from duplexer.asyncio.server import broadcast
from duplexer.core.prepared import Prepared
from duplexer.limits import Limits
from duplexer.workers import groups
from duplexer.workers.groups import Group
from tests.unit.asyncio.conftest import Serving

PATIENCE = 20.0


async def until_empty(name: str) -> None:
    async with asyncio.timeout(PATIENCE):
        while groups.members(name):  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(0)


async def enter(ws: Any) -> None:
    async for name in ws:
        Group(name).add(ws)
        await ws.send(f"in {name}")


async def test_members_hear_it_and_leave_by_ending(serving: Serving) -> None:
    async with serving(enter) as (server, uri):
        async with connect(uri, proxy=None) as one, connect(uri, proxy=None) as other:
            for ws in (one, other):
                await ws.send("red")
                assert await ws.recv() == "in red"
            await one.send("blue")
            assert await one.recv() == "in blue"
            assert len(Group("red")) == 2 and len(Group("blue")) == 1
            broadcast(Group("red"), "all")
            broadcast(Group("blue"), b"one")
            assert [await one.recv(), await one.recv(), await other.recv()] == [
                "all",
                b"one",
                "all",
            ]
            (member,) = Group("blue")
            assert member in Group("blue") and member in server.connections
            Group("blue").discard(member)
            Group("blue").discard(member)
            assert member not in Group("blue") and member in Group("red")
        await until_empty("red")
        assert not groups._members and not groups._joined


async def test_a_connection_is_in_so_many(serving: Serving) -> None:
    failures = []

    async def greedy(ws: Any) -> None:
        Group("a").add(ws)
        Group("a").add(ws)
        Group("b").add(ws)
        try:
            Group("c").add(ws)
        except ValueError as error:
            failures.append(str(error))
        Group("b").discard(ws)
        Group("c").add(ws)
        await ws.send("done")
        await ws.wait_closed()
        Group("d").add(ws)  # too late

    async with serving(greedy, limits=Limits(max_groups=2)) as (_, uri):
        async with connect(uri, proxy=None) as ws:
            assert await ws.recv() == "done"
    assert "Limits.max_groups" in failures[0]
    await until_empty("c")
    assert not groups.members("d")


async def test_what_is_told_to_the_other_workers() -> None:
    told: list[tuple[str, bytes, bool]] = []
    groups.on_publish(lambda name, it: told.append((name, it.data, groups.is_text(it))))
    try:
        broadcast(Group("x"), "text")
        broadcast(Group("x"), b"as text", text=True)
        broadcast(Group("x"), Prepared(b"\0"))
    finally:
        groups.on_publish(None)
    broadcast(Group("x"), "to nobody")
    assert told == [("x", b"text", True), ("x", b"as text", True), ("x", b"\0", False)]


def test_its_name() -> None:
    assert bool(Group("nobody")) and repr(Group("nobody")) == "<Group 'nobody', 0 here>"
    with pytest.raises(TypeError, match="must be str"):
        Group(7)  # type: ignore[arg-type]
