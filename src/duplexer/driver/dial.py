"""The steps of a client's opening handshake, once it has a byte stream to the server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from duplexer.driver.steps import Read, Write
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
        response = reader.feed(data) if data else reader.feed_eof()
    connection.response = response
    return handshake.check(response), reader.rest
