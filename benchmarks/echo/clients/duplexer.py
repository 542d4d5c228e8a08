"""duplexer: its asyncio client."""

from __future__ import annotations

from benchmarks.echo.clients import dialling
from duplexer.asyncio.client import connect


async def dial(uri: str, message: bytes, stopwatch: dialling.Stopwatch) -> object:
    echo: object = None
    async with connect(uri) as connection:
        for _ in stopwatch:
            await connection.send(message)
            echo = await connection.recv()
    return echo


if __name__ == "__main__":
    dialling.run(dial)
