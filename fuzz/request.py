"""Requests of any bytes to a server: its reader, then the opening handshake.

Oracle: a request or an HttpError with a status that can be sent; the same however the bytes are
cut; a 101 only for what has a key; what was read beyond the request is not lost.
"""

# ruff: noqa: PT017
from __future__ import annotations

from duplexer.dialects.rfc6455 import RFC6455
from duplexer.errors import HttpError
from duplexer.extensions.deflate import enable_server_permessage_deflate
from duplexer.handshake.server import ServerOptions, accept, refuse
from duplexer.http.h1 import RequestReader
from duplexer.limits import Limits

LIMITS = Limits(max_request_line=200, max_header_line=300, max_header_bytes=1000, max_headers=20)
OPTIONS = ServerOptions(
    subprotocols=["chat", "superchat"], extensions=enable_server_permessage_deflate()
)


def run(pieces: list[bytes]) -> tuple[object, ...]:
    reader = RequestReader(LIMITS)
    request = None
    after = b""
    try:
        for i, piece in enumerate(pieces):
            request = reader.feed(piece)
            if request is not None:
                after = piece[reader.stop :] + b"".join(pieces[i + 1 :])
                break
        if request is None:
            return ("incomplete",)
        assert len(request.headers) <= LIMITS.max_headers
        agreement = accept(request, OPTIONS, secure=False, dialects=(RFC6455,))
    except HttpError as error:
        assert 400 <= error.status < 600
        answer = refuse(error).serialize()
        assert answer.startswith(b"HTTP/1.1 %d " % error.status)
        head, _, body = answer.partition(b"\r\n\r\n")
        assert b"Connection: close" in head and len(answer) < 4096
        return ("refused", error.status)  # which of two mistakes is named may depend on the cut
    assert "Sec-WebSocket-Key" in request.headers
    head, end, body = agreement.response.serialize().partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 101 ") and end and not body and head.isascii()
    return ("agreed", head, after)


def target(data: bytes) -> None:
    if not data:
        return
    place, data = data[0], data[1:]
    cut = place % (len(data) + 1)
    whole = run([data])
    assert run([data[:cut], data[cut:]]) == whole
    assert run([data[i : i + 1] for i in range(len(data))]) == whole
