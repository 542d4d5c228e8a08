"""What came of a load: the figures of one process, merged with those of the others."""

from __future__ import annotations

import collections
import dataclasses

from duplexer.cli.load.histogram import Histogram
from duplexer.cli.load.mistakes import MESSAGE_KINDS, Mistakes
from duplexer.cli.outcome import Status

__all__ = ["Progress", "Result"]


@dataclasses.dataclass(slots=True)
class Progress:
    """How far it has got."""

    phase: str = "opening"
    opened: int = 0
    failed: int = 0
    received: int = 0
    mistakes: int = 0

    def merge(self, other: Progress) -> None:
        """Add another process's; the phase is that of the last."""
        self.phase = other.phase
        self.opened += other.opened
        self.failed += other.failed
        self.received += other.received
        self.mistakes += other.mistakes


@dataclasses.dataclass(slots=True)
class Result:
    """Times are in seconds; ``sent``, ``received`` and ``bytes`` are those of that time."""

    processes: int = 1
    opened: int = 0
    failed: int = 0
    lasted: int = 0  #: connections that were open to the end
    seconds: float = 0.0
    sent: int = 0
    received: int = 0
    bytes: int = 0
    per_second: float = 0.0
    bytes_per_second: float = 0.0
    processor: float = 0.0  #: of ourselves, in that time
    compressed: int = 0  #: connections on which permessage-deflate was agreed
    subprotocols: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    handshakes: Histogram = dataclasses.field(default_factory=Histogram)
    latency: Histogram = dataclasses.field(default_factory=Histogram)
    mistakes: Mistakes = dataclasses.field(default_factory=Mistakes)

    def finish(self) -> None:
        """Compute the rates."""
        if self.seconds > 0:
            self.per_second = self.received / self.seconds
            self.bytes_per_second = self.bytes / self.seconds

    def merge(self, other: Result) -> None:
        """Add another process's, which ran at the same time."""
        for field in ("opened", "failed", "lasted", "sent", "received", "bytes", "compressed"):
            setattr(self, field, getattr(self, field) + getattr(other, field))
        self.processes += other.processes
        self.seconds = max(self.seconds, other.seconds)
        self.per_second += other.per_second
        self.bytes_per_second += other.bytes_per_second
        self.processor += other.processor
        self.subprotocols.update(other.subprotocols)
        self.handshakes.merge(other.handshakes)
        self.latency.merge(other.latency)
        self.mistakes.merge(other.mistakes)

    def status(self) -> Status:
        """The exit status that says how it went."""
        rows = self.mistakes.sorted()
        if not self.opened:
            return Status(rows[0].status) if rows else Status.CLOSED
        if any(row.kind in MESSAGE_KINDS for row in rows):
            return Status.WRONG
        return Status.CLOSED if rows else Status.OK
