"""The columns of the table: who is measured.

A new peer is a line here and a module in ``echo/servers``, and in ``echo/clients`` if it has one.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
from dataclasses import dataclass

from benchmarks.scenarios import Scenario


@dataclass(frozen=True)
class Peer:
    name: str
    modules: tuple[str, ...]
    """What must be importable. None at all: the floor, which is compiled."""
    server: tuple[str, ...]
    """A module of ``echo/servers``, and its arguments."""
    client: str | None = None
    """A module of ``echo/clients``."""
    deflate: bool = True

    @property
    def is_floor(self) -> bool:
        return not self.modules

    def missing(self) -> str | None:
        """Which of its modules is not installed, if one is not."""
        return next((module for module in self.modules if not _importable(module)), None)

    def can(self, scenario: Scenario) -> bool:
        if not scenario.load:
            return self.client is not None
        return self.deflate or not scenario.deflate

    def versions(self) -> dict[str, str]:
        if self.name == "duplexer":
            from duplexer import _pure, _version

            return {self.name: f"{_version.VERSION} ({_pure.build()})"}
        return versions(*(module.partition(".")[0] for module in self.modules))


PEERS = (
    Peer(
        "duplexer",
        ("duplexer.asyncio.server", "duplexer.asyncio.client"),
        ("duplexer",),
        "duplexer",
    ),
    Peer("picows", ("picows",), ("picows",), "picows", deflate=False),
    Peer(
        "picows.websockets",
        ("picows.websockets",),
        ("picows_websockets",),
        "picows_websockets",
    ),
    Peer("aiohttp", ("aiohttp",), ("aiohttp",), "aiohttp"),
    Peer(
        "uvicorn+sansio",
        ("uvicorn", "websockets"),
        ("uvicorn", "--ws", "websockets-sansio"),
    ),
    Peer("uvicorn+wsproto", ("uvicorn", "wsproto"), ("uvicorn", "--ws", "wsproto")),
    Peer("websockets", ("websockets",), ("websockets",), "websockets"),
    Peer("floor", (), (), deflate=False),
)


def versions(*distributions: str) -> dict[str, str]:
    """Those of the distributions that are installed."""
    found = {}
    for name in distributions:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _importable(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False
