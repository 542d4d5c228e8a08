"""A page in Chromium and a program in Python do the same, and see the same.

Both play the scripts of ``scripts`` against the same server; their logs must be equal, and so must
what the server saw.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page

from tests.browser.player import Player
from tests.browser.scripts import SCRIPTS, STREAM_SCRIPTS
from tests.browser.server import ScriptServer
from tests.integration.browser import CHROMIUM, launched

pytestmark = pytest.mark.skipif(not CHROMIUM.exists(), reason="needs /usr/bin/chromium")

PLAYER = Path(__file__).with_name("player.js").read_text()
ALL = SCRIPTS | STREAM_SCRIPTS


@pytest.fixture(scope="module")
def server() -> Iterator[ScriptServer]:
    with ScriptServer() as running:
        yield running


@pytest.fixture(scope="module")
def page(server: ScriptServer) -> Iterator[Page]:
    with launched() as browser:
        opened = browser.new_page()
        opened.goto(f"http://127.0.0.1:{server.port}/page")
        yield opened


def in_page(page: Page, job: dict[str, Any]) -> list[Any]:
    log: list[Any] = page.evaluate(PLAYER, job)
    return log


def in_python(page: Page, server: ScriptServer, job: dict[str, Any]) -> list[Any]:
    async def play() -> list[Any]:
        return await Player(job, page.url).play(job["steps"])

    log: list[Any] = server.run(play())
    return log


def was_open(log: list[Any]) -> bool:
    return any(entry[0] == "open" or entry[:2] == ["opened", "ok"] for entry in log)


@pytest.mark.parametrize("name", ALL)
def test_same_calls_same_events(page: Page, server: ScriptServer, name: str) -> None:
    number = list(ALL).index(name)
    job = {
        "steps": ALL[name],
        "server": f"ws://127.0.0.1:{server.port}/{number}",
        "nobody": str(server.nobody),
    }
    theirs = in_page(page, job)
    ours = in_python(page, server, job)
    assert ours == theirs
    assert ours
    if was_open(ours) and not name.endswith("relative"):
        seen = [server.run(server.what_was_seen(f"{number} {who}")) for who in ("program", "page")]
        assert seen[0] == seen[1]
