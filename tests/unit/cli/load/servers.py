"""Servers that do something wrong under a load, and loads to put on them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any

from duplexer.asyncio.server import ServerConnection, serve
from duplexer.cli.load.load import Load
from duplexer.cli.load.plan import Plan

PATIENCE = 30  #: seconds until a test has failed


async def echo(ws: ServerConnection) -> None:
    async for message in ws:
        await ws.send(message)


async def mute(ws: ServerConnection) -> None:
    async for _ in ws:
        pass


def answering(answers: Callable[[int, Any], Iterable[Any]]) -> Any:
    """A handler that sends ``answers(n, message)`` to the n-th message of a connection."""

    async def handler(ws: ServerConnection) -> None:
        number = 0
        async for message in ws:
            for answer in answers(number, message):
                await ws.send(answer)
            number += 1

    return handler


@contextlib.asynccontextmanager
async def serving(handler: Any, **options: Any) -> AsyncIterator[str]:
    """A server of ours; its address."""
    async with serve(handler, "127.0.0.1", 0, **options) as server:
        yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"


@contextlib.asynccontextmanager
async def listening(
    talk: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Any],
) -> AsyncIterator[str]:
    """A server that speaks what it likes; its address."""

    tasks: set[asyncio.Task[Any] | None] = set()

    async def serve_one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.current_task())
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            await talk(reader, writer)
        writer.close()

    server = await asyncio.start_server(serve_one, "127.0.0.1", 0)
    async with server:
        yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with asyncio.timeout(PATIENCE):
        await asyncio.gather(*filter(None, tasks))


def plan(uri: str, **changes: Any) -> Plan:
    """Two connections, a hundred messages, no warm-up."""
    given = {"connections": 2, "in_flight": 4, "count": 100, "warm_up": 0.0, **changes}
    return Plan(uri=uri, **given)


async def put(wanted: Plan) -> Load:
    """Put the load on the server, to the end."""
    load = Load(wanted)
    async with asyncio.timeout(PATIENCE):
        await load.open()
        await load.run()
        await load.close()
    return load


def kinds(load: Any) -> dict[str, int]:
    """What went wrong, by kind."""
    return {row.kind: row.count for row in load.outcome().mistakes.sorted()}
