"""The echo handler, and what its command gives to the server."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from click.testing import CliRunner

from duplexer.asyncio.client import connect
from duplexer.asyncio.server import serve
from duplexer.cli import echo as module


@pytest.mark.every_loop
async def test_text_is_echoed_as_text_and_binary_as_binary() -> None:
    async with serve(module.handle, "127.0.0.1", 0) as server, asyncio.timeout(10):
        port = server.sockets[0].getsockname()[1]
        async with connect(f"ws://127.0.0.1:{port}") as ws:
            for message in ("text", b"bytes", "", b""):
                await ws.send(message)
                assert await ws.recv() == message


@pytest.mark.parametrize(
    ("arguments", "options"),
    [
        ([], {"compression": "deflate", "max_size": 1 << 20}),
        (["--no-deflate", "--max-size", "0"], {"compression": None, "max_size": None}),
    ],
)
def test_options(
    monkeypatch: pytest.MonkeyPatch, arguments: list[str], options: dict[str, Any]
) -> None:
    seen: list[Any] = []
    monkeypatch.setattr(module, "run_server", lambda *_, **given: seen.append(given))
    assert CliRunner().invoke(module.echo, arguments).exit_code == 0
    assert seen == [options]
