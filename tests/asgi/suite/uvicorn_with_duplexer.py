"""A plugin of pytest: the suite of uvicorn's own WebSockets runs with ours in their place.

Loaded with ``-p uvicorn_with_duplexer`` by a pytest of its own that runs in uvicorn's directory.
What the suite looks at inside uvicorn's classes has its counterparts here, and is no part of ours.
"""

from __future__ import annotations

import asyncio
import asyncio.selector_events
from typing import Any

import pytest
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from duplexer.asgi.uvicorn import WebSocketProtocol


class Observed(WebSocketProtocol):
    """Ours, with the attributes of uvicorn's classes that the suite reads and sets."""

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        if not isinstance(transport, asyncio.BaseTransport):
            # The suite's own transport. uvicorn stops reading at the first message that waits, we
            # at the one after `ws_max_queue`: what follows from that is what is tested with it.
            self.queue_messages = 0

    @property
    def close_timeout(self) -> float | None:
        return self.limits.close_timeout

    @close_timeout.setter
    def close_timeout(self, timeout: float) -> None:
        self.limits = self.limits.replace(close_timeout=timeout or 1e-9)

    @property
    def close_timer(self) -> object:
        """Something, while we wait for the peer's answer to our Close."""
        session = self.session
        if session is None or session.close_rcvd or self.lost or self.transport.is_closing():
            return None
        return session.close_sent

    @property
    def ping_timer(self) -> object:
        return None if self.session is None else self.session.keepalive

    @property
    def ping_sent_at(self) -> float:
        """When it was pinged; this is asked of a connection that nothing else has failed."""
        return self.latency


@pytest.fixture
def ws_protocol_cls() -> type[WebSocketProtocol]:
    return Observed


@pytest.fixture
def http_protocol_cls() -> type[HttpToolsProtocol]:
    return HttpToolsProtocol


def _abort(self: Any) -> None:
    # A transport that was closed while it had something to write, and has written it, has no loop
    # any more, and asyncio's abort() trips over that. The suite's client calls it when we have
    # half-closed the connection, which is so that it sees our Close; uvicorn resets it.
    if self._loop is not None:
        _TRANSPORT_ABORT(self)


_TRANSPORT_ABORT = asyncio.selector_events._SelectorTransport.abort
asyncio.selector_events._SelectorTransport.abort = _abort


@pytest.hookimpl(tryfirst=True)
def pytest_collectstart(collector: pytest.Collector) -> None:
    if isinstance(collector, pytest.Module):
        adapt(collector.obj)


def adapt(module: Any) -> None:
    """Let the tests of ``module`` have our class, also those that name uvicorn's."""
    module.ws_protocol_cls = ws_protocol_cls
    module.http_protocol_cls = http_protocol_cls
    module.WebSocketsSansIOProtocol = Observed
    transport = module.MockWriteTransport  # lacks some of what the transports of asyncio have
    transport.abort = transport.close
    transport.get_write_buffer_size = lambda self: 0
    transport.set_write_buffer_limits = lambda self, high=None, low=None: None
