"""What an extension has to offer (RFC 6455 9): a transformation of messages, both ways."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any, Protocol

__all__ = ["ClientExtensionFactory", "Extension", "Parameters", "ServerExtensionFactory"]

#: Parameters of an extension in a header: names and values, ``None`` for a name alone.
Parameters = Sequence[tuple[str, str | None]]


class Extension:
    """One agreed extension of one connection.

    It claims reserved bits (``rsv``: 4, 2 or 1 for RSV1, RSV2, RSV3); they mark the first frame of
    each message that it transformed. What was agreed is in ``name`` and ``parameters``.
    """

    name: str = ""
    rsv: int = 0
    parameters: Parameters = ()

    def decode(self, data: bytes, fin: bool, room: int | None) -> bytes:
        """Undo the transformation of one piece of a message.

        ``room`` is how many bytes the message may still grow by (``None``: any number). Raises
        :exc:`~duplexer.errors.ProtocolError` ``message-too-big`` beyond it, or the extension's own
        rule when the data is corrupt.
        """
        raise NotImplementedError

    def wants(self, data: Any, size: int, text: bool, compress: bool | None) -> bool:
        """Whether to transform a message of ``size`` bytes; ``compress`` is the user's say.

        It begins with ``data``, which is all of it unless it comes in pieces: bytes-like, or ASCII
        text.
        """
        raise NotImplementedError

    def encode(self, data: bytes | bytearray | memoryview, fin: bool, first: bool) -> bytes:
        """Transform one piece of a message."""
        raise NotImplementedError

    def prepare_key(self) -> Hashable:
        """Equal keys: what one prepared, the other may send."""
        raise NotImplementedError

    def prepare(self, data: bytes) -> bytes:
        """Transform a whole message for any connection with this ``prepare_key``."""
        raise NotImplementedError

    def prepared_sent(self) -> None:
        """A prepared message went out: later ones must not refer back across it."""
        raise NotImplementedError

    def release(self) -> None:
        """Give back memory that may be made again (called after some idle seconds)."""


class ServerExtensionFactory(Protocol):
    """Makes an extension out of a client's offer."""

    name: str

    def accept(
        self, offer: Parameters, accepted: Sequence[Extension]
    ) -> tuple[Parameters, Extension]:
        """The answer and the extension; :exc:`~duplexer.errors.NegotiationError` declines."""


class ClientExtensionFactory(Protocol):
    """Offers an extension, and makes it out of the server's answer."""

    name: str

    def offer(self) -> Parameters:
        """The parameters of the offer."""

    def accept(self, answer: Parameters, accepted: Sequence[Extension]) -> Extension:
        """The extension; :exc:`~duplexer.errors.NegotiationError` fails the connection."""
