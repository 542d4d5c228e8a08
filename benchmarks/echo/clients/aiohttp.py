"""aiohttp: its client session."""

from __future__ import annotations

from aiohttp import ClientSession

from benchmarks.echo.clients import dialling


async def dial(uri: str, tls: dialling.Tls, message: bytes, turns: dialling.Stopwatch) -> object:
    echo: object = None
    async with ClientSession() as session, session.ws_connect(uri, ssl=tls or True) as connection:
        for _ in turns:
            await connection.send_bytes(message)
            echo = await connection.receive_bytes()
    return echo


if __name__ == "__main__":
    dialling.run(dial)
