"""The receiving half of a dialect: bytes in; frames, and what they carry, to the assembler."""

from __future__ import annotations

from typing import Any

from duplexer.core.messages import Assembler

__all__ = ["Decoder"]


class Decoder:
    """Base of every dialect's decoder.

    ``feed`` reads bytes and calls the assembler for data frames; control frames go to ``controls``
    as pairs (opcode, payload). It stops when ``budget`` frames have been read, so that no
    connection keeps the others waiting.
    """

    def __init__(self, assembler: Assembler) -> None:
        self.assembler = assembler
        self.controls: list[tuple[int, bytes]] | None = None  # control frames of this read
        self.budget = 0
        self.last_opcode = -1
        self.last_size = 0

    def feed(self, p: Any, i: int, end: int) -> int:
        """Read the bytes of ``p`` from ``i`` to ``end``; gives back where it stopped.

        Raises :exc:`~duplexer.errors.ProtocolError` at the first byte that breaks a rule.
        """
        raise NotImplementedError

    def is_between_frames(self) -> bool:
        """Whether the byte stream may end here without cutting a frame in two."""
        raise NotImplementedError
