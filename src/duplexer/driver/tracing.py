"""Spans of OpenTelemetry for a server: linked, because a connection may last for days.

::

    whoever called ──► handshake        a child of the span in the request's ``traceparent``
                           ▲ link
                       connection       a trace of its own, from open to close
                           ▲ link
                       message          a trace of its own, for each that dispatch() hands out
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

try:
    from opentelemetry import context, propagate, trace
    from opentelemetry.trace import Link, SpanKind, Status, StatusCode
except ImportError as exc:
    raise ImportError("Tracing needs OpenTelemetry: pip install 'duplexer[otel]'") from exc

from duplexer._version import VERSION
from duplexer.driver.observing import Observer
from duplexer.driver.peers import address_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

    from duplexer.http.messages import Request

__all__ = ["Tracing"]


class Tracing(Observer):
    """Makes spans of what a server does; see the figure above.

    ``tracer`` is the global provider's unless another one is given. ``messages``: whether messages
    have spans as well; they are the current ones while ``dispatch()`` has them handled, so that
    what the handler does is below them.

    Importing it raises :exc:`ImportError` without the extra ``otel``.
    """

    def __init__(self, tracer: trace.Tracer | None = None, *, messages: bool = False) -> None:
        self._tracer = tracer or trace.get_tracer("duplexer", VERSION)
        self._messages = messages
        self._spans: dict[Any, trace.Span] = {}

    def _handshake(self, connection: Any, request: Request | None, status: int) -> trace.Span:
        parent = context.Context()
        attributes: dict[str, Any] = {"http.response.status_code": status}
        if request is not None:
            parent = propagate.extract(dict(request.headers.raw_items()), context=parent)
            attributes["http.request.method"] = request.method
            attributes["url.path"] = request.path.partition("?")[0]
        address = address_of(connection)
        if isinstance(address, tuple) and address:
            attributes["client.address"] = str(address[0])
        span = self._tracer.start_span(
            "websocket handshake", parent, SpanKind.SERVER, attributes=attributes
        )
        if status >= 500:
            span.set_status(Status(StatusCode.ERROR))
        span.end()
        return span

    def refused(self, connection: Any, request: Request | None, status: int) -> None:
        """See :class:`~duplexer.driver.observing.Observer`."""
        self._handshake(connection, request, status)

    def opened(self, connection: Any) -> None:
        """See :class:`~duplexer.driver.observing.Observer`."""
        handshake = self._handshake(connection, connection.request, 101)
        self._spans[connection] = self._tracer.start_span(
            "websocket connection",
            context.Context(),
            links=[Link(handshake.get_span_context())],
            attributes={"websocket.connection_id": str(connection.id)},
        )

    def ended(self, connection: Any) -> None:
        """See :class:`~duplexer.driver.observing.Observer`."""
        span = self._spans.pop(connection, None)
        if span is None:
            return
        for name, value in connection.traffic._asdict().items():
            span.set_attribute(f"websocket.{name}", value)
        span.set_attribute("websocket.close_code", connection.close_code or 1006)
        error = connection.session.error
        if error is not None:
            span.record_exception(error)
            span.set_status(Status(StatusCode.ERROR, str(error)))
        span.end()

    def handling(self, connection: Any, message: Any) -> AbstractContextManager[Any]:
        """See :class:`~duplexer.driver.observing.Observer`."""
        span = self._spans.get(connection)
        if not self._messages or span is None:
            return contextlib.nullcontext()
        return self._message(span, message)

    @contextlib.contextmanager
    def _message(self, connection: trace.Span, message: Any) -> Iterator[None]:
        with self._tracer.start_as_current_span(
            "websocket message",
            context.Context(),
            SpanKind.CONSUMER,
            links=[Link(connection.get_span_context())],
            attributes={"websocket.message_size": len(message)},
        ):
            yield
