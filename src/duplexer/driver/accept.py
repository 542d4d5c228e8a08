"""The steps of a server's opening handshake, and of plain HTTP on the same port."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from duplexer.dialects.rfc6455 import RFC6455
from duplexer.driver.steps import Call, Read, Write
from duplexer.errors import HttpError
from duplexer.handshake.server import ServerOptions, accept, refuse
from duplexer.http.h1 import RequestReader
from duplexer.limits import DEFAULT_LIMITS, Limits

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from duplexer.core.dialect import Dialect
    from duplexer.driver.steps import Steps

__all__ = ["Serving", "open_server"]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Serving:
    """What a server does with the requests that come in."""

    options: ServerOptions
    limits: Limits = DEFAULT_LIMITS
    dialects: Sequence[Dialect] = (RFC6455,)
    process_request: Callable[..., Any] | None = None
    process_response: Callable[..., Any] | None = None
    select_subprotocol: Callable[..., Any] | None = None


def open_server(connection: Any, serving: Serving, *, secure: bool) -> Steps:
    """Read a request and answer it: ends in the agreement and the first bytes after it."""
    reader = RequestReader(serving.limits)
    request = None
    try:
        while request is None:
            data = yield Read()
            if not data:
                return None
            request = reader.feed(data)
        connection.request = request
        if serving.process_request is not None:
            response = yield Call(serving.process_request, (connection, request))
            if response is not None:
                yield Write(response.serialize())
                return None
        agreement = accept(request, serving.options, secure=secure, dialects=serving.dialects)
    except HttpError as exc:
        yield Write(refuse(exc).serialize())
        return None
    yield Write(agreement.response.serialize())
    return agreement, reader.rest
