"""The columns of the table: who is measured.

A new peer is a line here and a module in ``echo/servers``, and in ``echo/clients`` if it has one.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import subprocess
from dataclasses import dataclass

from benchmarks.build import Binaries, uwebsockets_sources
from benchmarks.scenarios import Scenario

Command = tuple[str, ...]


@dataclass(frozen=True)
class Peer:
    name: str
    modules: tuple[str, ...]
    """What must be importable. None at all: it is compiled, no Python."""
    server: Command
    """A module of ``echo/servers``, and its arguments; or the name of a binary."""
    client: Command = ()
    """A module of ``echo/clients``, and its arguments."""
    blocking: Command = ()
    """The same for its client with threads."""
    deflate: bool = True

    @property
    def is_compiled(self) -> bool:
        return not self.modules

    def missing(self) -> str | None:
        """Which of its modules is not installed, if one is not."""
        if self.name == "uWebSockets" and uwebsockets_sources() is None:
            return "UWEBSOCKETS names no sources"
        return next((module for module in self.modules if not _importable(module)), None)

    def can(self, scenario: Scenario) -> bool:
        if not scenario.load:
            return bool(self.client_for(scenario))
        if self.is_compiled and (scenario.tls or scenario.loop or scenario.processes > 1):
            return False
        return self.deflate or not scenario.deflate

    def client_for(self, scenario: Scenario) -> Command:
        """The module of its client in ``scenario``, and its arguments."""
        return self.blocking if scenario.blocking else self.client

    def binary(self, binaries: Binaries) -> str:
        """Of a peer that is compiled."""
        return str(getattr(binaries, self.server[0]))

    def versions(self) -> dict[str, str]:
        if self.name.startswith("duplexer"):
            from duplexer import _pure, _version

            return {"duplexer": f"{_version.VERSION} ({_pure.build()})"}
        if self.name == "uWebSockets":
            return {self.name: _commit()}
        return versions(*(module.partition(".")[0] for module in self.modules))


def _same_interface(name: str, module: str, *, blocks: bool = False) -> Peer:
    """A library with the interface of websockets; ``blocks``: with that for threads as well."""
    modules = (f"{module}.asyncio.server", f"{module}.asyncio.client")
    library = ("--library", module)
    blocking = ("blocking", *library) if blocks else ()
    return Peer(name, modules, ("coroutines", *library), ("coroutines", *library), blocking)


PEERS = (
    _same_interface("duplexer", "duplexer", blocks=True),
    Peer("duplexer-listener", ("duplexer.asyncio.server",), ("duplexer_listener",)),
    Peer("picows", ("picows",), ("picows",), ("picows",), deflate=False),
    _same_interface("picows.websockets", "picows.websockets"),
    Peer("aiohttp", ("aiohttp",), ("aiohttp",), ("aiohttp",)),
    Peer(
        "uvicorn+sansio",
        ("uvicorn", "websockets"),
        ("uvicorn", "--ws", "websockets-sansio"),
    ),
    Peer(
        "uvicorn+duplexer",
        ("uvicorn", "duplexer.asgi.uvicorn"),
        ("uvicorn", "--ws", "duplexer.asgi.uvicorn:WebSocketProtocol"),
    ),
    Peer("uvicorn+wsproto", ("uvicorn", "wsproto"), ("uvicorn", "--ws", "wsproto")),
    _same_interface("websockets", "websockets", blocks=True),
    Peer("uWebSockets", (), ("uwebsockets",), deflate=False),
    Peer("floor", (), ("floor",), deflate=False),
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


def _commit() -> str:
    """Of uWebSockets' sources, which know no version."""
    command = ["git", "-C", str(uwebsockets_sources()), "describe", "--tags", "--always"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "(sources without a version)"


def _importable(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False
