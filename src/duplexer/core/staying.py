"""What a connection does to stay, beside answering and sending Pings."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from duplexer.core.heartbeat import Heartbeat

__all__ = ["Staying"]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Staying:
    """The same for all connections of one ``connect`` or ``serve``."""

    heartbeat: Heartbeat | None = None
    #: keep copies of what was sent until the peer has acknowledged it
    keep_unacknowledged: bool = False
    #: seconds after which we close it, before others would cut it; ``None``: never
    lifetime: float | None = None
    #: what we say then
    farewell: tuple[int, str] = (1000, "session limit")
    #: bytes of the first message at most, where that is to say who the peer is
    first_message: int | None = None
