"""The sending half of a dialect: frames into the cork."""

from __future__ import annotations

from typing import Any

from duplexer.core.bytesops import Cork

__all__ = ["Encoder"]


class Encoder:
    """Base of every dialect's encoder. It has no state but the last frame, for explanations."""

    def __init__(self) -> None:
        self.last_opcode = -1
        self.last_size = 0

    def put_frame(self, cork: Cork, opcode: int, fin: bool, rsv: int, data: Any, n: int) -> int:
        """Frame ``data`` (``n`` bytes: bytes-like, or ASCII text) into ``cork``."""
        raise NotImplementedError
