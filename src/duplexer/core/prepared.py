"""A message that many will get: framed once, compressed once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from duplexer.core import opcodes
from duplexer.core.sending import contiguous

if TYPE_CHECKING:
    from collections.abc import Hashable

    from duplexer.core.session import Session

__all__ = ["Prepared"]


class Prepared:
    """A message to be sent to many connections, or many times to one.

    ``str`` becomes text, bytes-like binary, unless ``text`` says otherwise; ``compress`` as in
    ``send()``. The work of framing and compressing is done once for all connections that agreed on
    the same; give it to ``send()`` or ``broadcast()``. ``key``: what it is about, for queues that
    conflate (:class:`~duplexer.driver.sendqueue.SendQueue`).
    """

    __slots__ = ("_wires", "compress", "data", "key", "opcode")

    def __init__(
        self,
        message: str | bytes | bytearray | memoryview,
        text: bool | None = None,
        *,
        compress: bool | None = None,
        key: Hashable | None = None,
    ) -> None:
        if isinstance(message, str):
            self.data = message.encode()
            self.opcode = opcodes.BINARY if text is False else opcodes.TEXT
        else:
            self.data = bytes(contiguous(message))
            self.opcode = opcodes.TEXT if text else opcodes.BINARY
        self.compress = compress
        self.key = key
        self._wires: dict[Hashable, tuple[bytes, int]] = {}

    def wire_for(self, session: Session) -> tuple[bytes, int] | None:
        """The bytes for ``session`` and the reserved bits in them; ``None``: frame it yourself."""
        key: Any = session.prepare_key()
        if key is None:
            return None
        wire = self._wires.get(key)
        if wire is None:
            wire = self._wires[key] = session.prepare(self.opcode, self.data, self.compress)
        return wire
