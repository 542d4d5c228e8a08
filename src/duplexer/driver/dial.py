"""The steps of a client's opening handshake, once it has a byte stream to the server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from duplexer.driver.steps import Read, Write
from duplexer.errors import InvalidMessage
from duplexer.http.h1 import ResponseReader

if TYPE_CHECKING:
    from duplexer.driver.steps import Steps
    from duplexer.handshake.client import ClientHandshake
    from duplexer.limits import Limits

__all__ = ["open_client"]


def open_client(connection: Any, handshake: ClientHandshake, limits: Limits) -> Steps:
    """Send the request, read the answer: ends in the agreement and the first bytes after it.

    Raises :exc:`~duplexer.errors.InvalidHandshake`; ``connection.response`` is set when there is
    an answer at all.
    """
    connection.request = handshake.request
    yield Write(handshake.request.serialize())
    reader = ResponseReader(limits)
    response = None
    while response is None:
        data = yield Read()
        if data:
            response = reader.feed(data)
        else:
            response = reader.feed_eof()
            if response is None:
                raise InvalidMessage(
                    "the server closed the connection without an answer; is it a WebSocket "
                    "server, and does it want TLS (wss:)?"
                )
    connection.response = response
    return handshake.check(response), reader.rest
