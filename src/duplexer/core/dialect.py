"""A dialect: one version of the protocol, as the record that a session is given."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from duplexer.core.decoder import Decoder
from duplexer.core.encoder import Encoder
from duplexer.core.messages import Assembler

__all__ = ["Dialect"]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """What the session has to know of a version of the protocol."""

    name: str
    #: value of Sec-WebSocket-Version; ``None`` for the drafts that had no such header
    version: int | None
    #: makes the receiving half: (assembler, whether we are the server)
    decoder: Callable[[Assembler, bool], Decoder]
    #: makes the sending half: (whether we are the server)
    encoder: Callable[[bool], Encoder]
