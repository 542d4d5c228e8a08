"""aiohttp: its client session."""

from __future__ import annotations

from aiohttp import ClientSession

from benchmarks.echo.clients import dialling


async def dial(uri: str, message: bytes, stopwatch: dialling.Stopwatch) -> object:
    echo: object = None
    async with ClientSession() as session, session.ws_connect(uri) as connection:
        for _ in stopwatch:
            await connection.send_bytes(message)
            echo = await connection.receive_bytes()
    return echo


if __name__ == "__main__":
    dialling.run(dial)
