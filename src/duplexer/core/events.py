"""What the core reports beside whole messages (those are plain ``str`` and ``bytes``)."""

from __future__ import annotations

import dataclasses

from duplexer.errors import Close

__all__ = [
    "CloseReceived",
    "Event",
    "MessagesReceived",
    "Piece",
    "PingReceived",
    "PongReceived",
]


@dataclasses.dataclass(frozen=True, slots=True)
class PingReceived:
    """A Ping came; it has been answered already (RFC 6455 5.5.2)."""

    data: bytes


@dataclasses.dataclass(frozen=True, slots=True)
class PongReceived:
    """A Pong came, asked for or not (RFC 6455 5.5.3)."""

    data: bytes


@dataclasses.dataclass(frozen=True, slots=True)
class CloseReceived:
    """A Close came; it has been answered already unless it was the answer (RFC 6455 5.5.1)."""

    close: Close


@dataclasses.dataclass(frozen=True, slots=True)
class MessagesReceived:
    """So many messages came in one read; told only where their rate is bounded."""

    count: int


@dataclasses.dataclass(frozen=True, slots=True)
class Piece:
    """A part of a message that is being streamed; ``fin`` on the last one.

    Pieces follow the reads, not the peer's fragments: those have no meaning (RFC 6455 5.4).
    """

    data: str | bytes
    fin: bool


Event = PingReceived | PongReceived | CloseReceived | MessagesReceived
