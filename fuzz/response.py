"""Responses of any bytes to a client: its reader, then the check of the handshake.

The first byte says where they are cut, and whether they answer a CONNECT. Oracle: an agreement, or
an InvalidHandshake; the same however the bytes are cut; a body is bounded.
"""

from __future__ import annotations

from duplexer.dialects.rfc6455 import RFC6455
from duplexer.errors import InvalidHandshake
from duplexer.extensions.deflate import enable_client_permessage_deflate
from duplexer.handshake.client import ClientHandshake
from duplexer.http.h1 import ResponseReader
from duplexer.http.uri import parse_uri
from duplexer.limits import Limits

LIMITS = Limits(
    max_request_line=200,
    max_header_line=300,
    max_header_bytes=1000,
    max_headers=20,
    max_error_body=500,
)
HANDSHAKE = ClientHandshake(
    parse_uri("ws://example.com/chat"),
    dialect=RFC6455,
    subprotocols=["chat", "superchat"],
    extensions=enable_client_permessage_deflate(),
    key="dGhlIHNhbXBsZSBub25jZQ==",
)


def run(pieces: list[bytes], connect: bool) -> tuple[object, ...]:
    reader = ResponseReader(LIMITS, connect=connect)
    response = None
    after = b""
    try:
        for i, piece in enumerate(pieces):
            response = reader.feed(piece)
            if response is not None:
                after = b"".join(pieces[i + 1 :])
                break
        if response is None:
            response = reader.feed_eof()
        assert len(response.body) <= LIMITS.max_error_body
        agreement = HANDSHAKE.check(response)
    except InvalidHandshake as error:
        str(error)
        error.explain()
        return (type(error),)  # which of two mistakes is named may depend on the cut
    assert agreement.subprotocol in (None, "chat", "superchat")
    return ("agreed", agreement.subprotocol, len(agreement.extensions), reader.rest + after)


def target(data: bytes) -> None:
    if not data:
        return
    flags, data = data[0], data[1:]
    connect = flags >= 128
    cut = (flags & 127) % (len(data) + 1)
    whole = run([data], connect)
    assert run([data[:cut], data[cut:]], connect) == whole
    assert run([data[i : i + 1] for i in range(len(data))], connect) == whole
