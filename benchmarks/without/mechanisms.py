"""The mechanisms that can be switched off, and the rows that each of them is for.

To add one is an entry here and, beside this file, a patch against the sources with its name. A
patch is as small as it can be and still do what one would do without the mechanism.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).parent
#: Where nothing is patched.
ALL = "all"


@dataclass(frozen=True)
class Mechanism:
    name: str
    title: str
    """What is done without it."""
    rows: tuple[str, ...]
    """Of the scenarios, those that are timed."""
    counted: str = "ping"
    """The row in which instructions and system calls are counted."""
    environment: dict[str, str] = field(default_factory=dict)
    """Instead of a patch."""

    @property
    def patch(self) -> Path | None:
        return None if self.environment else HERE / f"{self.name}.patch"


MECHANISMS = (
    Mechanism(
        "cork",
        "each message is written at once",
        ("burst", "kilo", "fan-out-burst"),
        counted="burst",
    ),
    Mechanism(
        "wake-at-once",
        "the waiting task is resumed by `call_soon`",
        ("ping", "burst"),
    ),
    Mechanism(
        "no-future",
        "`recv()` is a coroutine that waits for a Future",
        ("ping", "burst"),
    ),
    Mechanism("finished-send", "`send()` gives a coroutine", ("ping", "burst")),
    Mechanism(
        "send-slot",
        "tasks resume awaitables by `__next__` and `StopIteration`",
        ("ping", "burst"),
    ),
    Mechanism(
        "read-buffer",
        "each read makes `bytes` of its own, of up to 256 KiB, as asyncio does",
        ("ping", "mega"),
        counted="",
    ),
    Mechanism(
        "tcp",
        "plain sockets have a transport (of aiofastnet)",
        ("ping", "fan-out", "handshake", "idle"),
    ),
    Mechanism(
        "one-copy",
        "text is unmasked, then decoded; large payloads are copied to be sent",
        ("text", "mega"),
        counted="text",
    ),
    Mechanism(
        "simd", "portable C for masks and UTF-8", ("kilo", "mega", "client-100k"), counted="kilo"
    ),
    Mechanism(
        "large-buffers", "buffers of large messages are not used again", ("mega",), counted="mega"
    ),
    Mechanism(
        "encode-once",
        "`broadcast` frames and compresses for each receiver",
        ("fan-out", "deflate-fan-out"),
        counted="fan-out-burst",
    ),
    Mechanism(
        "random-pool",
        "each mask asks the kernel for random bytes",
        ("client-32",),
        counted="client-32",
    ),
    Mechanism(
        "contexts",
        "compression contexts are kept",
        ("idle-deflate-used",),
        counted="",
    ),
    Mechanism(
        "compiled",
        "the same sources, interpreted",
        ("ping", "burst", "kilo", "handshake"),
        environment={"DUPLEXER_PURE": "1"},
    ),
)
