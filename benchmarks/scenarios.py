"""The rows of the table: what is measured, and how the load is told to make it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Scenario:
    """One row. `figure` names the number it shows, in what the load or the client prints."""

    name: str
    title: str
    unit: str
    figure: str
    load: tuple[str, ...] = ()
    """The load's mode and options; empty where a client is measured."""
    message_size: int = 0
    """Of a client's round trip, in bytes."""
    seconds: float | None = None
    """A measured time of its own, with one round only; None: as the command line says."""

    @property
    def deflate(self) -> bool:
        return "--deflate" in self.load

    @property
    def path(self) -> str:
        return "/broadcast" if self.load[0] == "broadcast" else "/"


def _traffic(name: str, title: str, load: str) -> Scenario:
    return Scenario(name, title, "µs", "server_cpu_us_each", tuple(load.split()))


def _memory(name: str, title: str, load: str, seconds: float) -> Scenario:
    arguments = ("idle", "--connections", "4000", *load.split())
    return Scenario(name, title, "bytes", "server_bytes_each", arguments, seconds=seconds)


def _client(name: str, title: str, size: int) -> Scenario:
    return Scenario(name, title, "µs", "round_trip_us", message_size=size)


SCENARIOS = (
    _traffic(
        "ping",
        "ping: 64 connections, 1 in flight, 32 B",
        "echo --connections 64 --in-flight 1 --size 32",
    ),
    _traffic(
        "text",
        "text: 64 connections, 1 in flight, 256 B of text",
        "echo --connections 64 --in-flight 1 --size 256 --payload letters",
    ),
    _traffic(
        "burst",
        "burst: 16 connections, 64 in flight, 32 B",
        "echo --connections 16 --in-flight 64 --size 32",
    ),
    _traffic(
        "kilo",
        "kilo: 16 connections, 8 in flight, 1 KiB",
        "echo --connections 16 --in-flight 8 --size 1024",
    ),
    _traffic(
        "mega",
        "mega: 4 connections, 1 in flight, 1 MiB",
        "echo --connections 4 --in-flight 1 --size 1048576",
    ),
    _traffic(
        "fan-out",
        "fan-out: 1 message of 128 B to 1000 connections, each delivery",
        "broadcast --connections 1000 --in-flight 1 --size 128",
    ),
    _traffic(
        "fan-out-burst",
        "fan-out burst: 16 at once to 500 connections, each delivery",
        "broadcast --connections 500 --in-flight 16 --size 128",
    ),
    _traffic(
        "handshake",
        "handshake: opening and closing a connection",
        "handshake --connections 16",
    ),
    _traffic(
        "deflate-echo",
        "deflate echo: 16 connections, 8 in flight, 2 KiB of JSON",
        "echo --connections 16 --in-flight 8 --size 2048 --payload json --deflate",
    ),
    _traffic(
        "deflate-fan-out",
        "deflate fan-out: 1 KiB of JSON to 1000 connections, each delivery",
        "broadcast --connections 1000 --in-flight 1 --size 1024 --payload json --deflate",
    ),
    _memory("idle", "memory of an idle connection", "", seconds=2),
    _memory("idle-deflate", "memory of an idle connection, deflate agreed", "--deflate", seconds=2),
    # long enough for a library that gives memory back after a while to have done so
    _memory(
        "idle-deflate-used",
        "memory of one, deflate agreed, 10 s after an echo of 2 KiB",
        "--deflate --touch --size 2048 --payload json",
        seconds=10,
    ),
    _client("client-32", "client's round trip, 32 B", 32),
    _client("client-8k", "client's round trip, 8 KiB", 8192),
    _client("client-100k", "client's round trip, 100 KB", 100_000),
)
