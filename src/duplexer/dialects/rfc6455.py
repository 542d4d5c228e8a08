"""The WebSocket protocol, version 13: RFC 6455."""

from __future__ import annotations

from duplexer.core.dialect import Dialect
from duplexer.core.messages import Assembler
from duplexer.dialects.hybi import FrameDecoder, FrameEncoder

__all__ = ["RFC6455"]


def _decoder(assembler: Assembler, server: bool) -> FrameDecoder:
    return FrameDecoder(assembler, server)  # a client masks, a server must not (5.1)


def _encoder(server: bool) -> FrameEncoder:
    return FrameEncoder(not server)


RFC6455 = Dialect(name="rfc6455", version=13, decoder=_decoder, encoder=_encoder)
