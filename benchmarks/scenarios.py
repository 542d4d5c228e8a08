"""The rows of the table: what is measured, and how the load is told to make it."""

from __future__ import annotations

from dataclasses import dataclass, replace

SERVERS = "Servers: processor time of a message"
DEFLATE = "Servers with permessage-deflate"
MEMORY = "Memory of a connection"
CLIENTS = "Clients: a round trip"
LOOPS = "Event loops"
PROCESSES = "Processes"


@dataclass(frozen=True)
class Scenario:
    """One row. `figure` names the number it shows, in what the load or the client prints."""

    name: str
    group: str
    title: str
    unit: str
    figure: str
    load: tuple[str, ...] = ()
    """The load's mode and options; empty where a client is measured."""
    message_size: int = 0
    """Of a client's round trip, in bytes."""
    blocking: bool = False
    """Of a client's round trip: without a loop, on a socket that blocks."""
    seconds: float | None = None
    """A measured time of its own, with one round only; None: as the command line says."""
    loop: str | None = None
    """An event loop of its own."""
    beside: str | None = None
    """Another row: ratios are to the same peer there, not to another peer here."""
    tls: bool = False
    processes: int = 1
    """More than one: the figure is the throughput in that of one, and more is better."""

    @property
    def deflate(self) -> bool:
        return "--deflate" in self.load

    @property
    def path(self) -> str:
        return "/broadcast" if self.load[0] == "broadcast" else "/"

    @property
    def processors(self) -> int:
        """How many it needs, to be worth measuring."""
        return 2 * self.processes if self.processes > 1 else 1


def _traffic(name: str, title: str, load: str, group: str = SERVERS) -> Scenario:
    return Scenario(name, group, title, "µs", "server_cpu_us_each", tuple(load.split()))


def _memory(name: str, title: str, load: str, seconds: float, tls: bool = False) -> Scenario:
    arguments = ("idle", *load.split())
    figure = "server_bytes_each"
    return Scenario(name, MEMORY, title, "bytes", figure, arguments, seconds=seconds, tls=tls)


def _client(
    name: str, title: str, size: int, tls: bool = False, *, blocking: bool = False
) -> Scenario:
    figure = "round_trip_us"
    return Scenario(
        name, CLIENTS, title, "µs", figure, message_size=size, tls=tls, blocking=blocking
    )


def _stock_loop(beside: str, load: str) -> Scenario:
    """A row once more, on asyncio's own loop."""
    row = _traffic(f"{beside}-asyncio", f"{beside} on asyncio's own loop", load, LOOPS)
    return replace(row, loop="asyncio", beside=beside)


PING = "echo --connections 64 --in-flight 1 --size 32"
BURST = "echo --connections 16 --in-flight 64 --size 32"

SCENARIOS = (
    _traffic("ping", "ping: 64 connections, 1 in flight, 32 B", PING),
    _traffic(
        "text",
        "text: 64 connections, 1 in flight, 256 B of text",
        "echo --connections 64 --in-flight 1 --size 256 --payload letters",
    ),
    _traffic("burst", "burst: 16 connections, 64 in flight, 32 B", BURST),
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
        "handshake: opening and closing a connection, 32 at a time",
        "handshake --connections 32",
    ),
    _traffic(
        "deflate-echo",
        "deflate echo: 16 connections, 1 in flight, 2 KiB of JSON, answers compressed",
        "echo --connections 16 --in-flight 1 --size 2048 --payload json "
        "--deflate --uncompressed --same",
        DEFLATE,
    ),
    _traffic(
        "deflate-both",
        "deflate both ways: the same, each message another one, and compressed",
        "echo --connections 16 --in-flight 1 --size 2048 --payload json --deflate",
        DEFLATE,
    ),
    _traffic(
        "deflate-fan-out",
        "deflate fan-out: 1 KiB of JSON to 500 connections, each delivery",
        "broadcast --connections 500 --in-flight 1 --size 1024 --payload json "
        "--deflate --uncompressed --same",
        DEFLATE,
    ),
    _memory("idle", "memory of an idle connection", "--connections 4000", seconds=2),
    _memory(
        "idle-deflate",
        "memory of an idle connection, deflate agreed",
        "--connections 4000 --deflate",
        seconds=2,
    ),
    # long enough for a library that gives memory back after a while to have done so
    _memory(
        "idle-deflate-used",
        "memory of one, deflate agreed, 10 s after an echo of 2 KiB",
        "--connections 4000 --deflate --touch --size 2048 --payload json",
        seconds=10,
    ),
    # fewer: each costs both ends a handshake of OpenSSL's
    _memory(
        "idle-tls",
        "memory of an idle connection over TLS",
        "--connections 500",
        seconds=2,
        tls=True,
    ),
    _client("client-32", "client's round trip, 32 B", 32),
    _client("client-8k", "client's round trip, 8 KiB", 8192),
    _client("client-100k", "client's round trip, 100 KB", 100_000),
    _client("client-32-tls", "client's round trip over TLS, 32 B", 32, tls=True),
    _client("client-8k-tls", "client's round trip over TLS, 8 KiB", 8192, tls=True),
    _client("client-100k-tls", "client's round trip over TLS, 100 KB", 100_000, tls=True),
    _client("client-32-sync", "the same without a loop: sync, 32 B", 32, blocking=True),
    _client("client-8k-sync", "sync, 8 KiB", 8192, blocking=True),
    _client("client-100k-sync", "sync, 100 KB", 100_000, blocking=True),
    _client("client-32-sync-tls", "sync over TLS, 32 B", 32, tls=True, blocking=True),
    _client("client-8k-sync-tls", "sync over TLS, 8 KiB", 8192, tls=True, blocking=True),
    _client("client-100k-sync-tls", "sync over TLS, 100 KB", 100_000, tls=True, blocking=True),
    _stock_loop("ping", PING),
    _stock_loop("burst", BURST),
    Scenario(
        "two-processes",
        PROCESSES,
        "burst on two processes: throughput in that of one",
        "times",
        "times_of_one",
        tuple(BURST.split()),
        processes=2,
    ),
)
