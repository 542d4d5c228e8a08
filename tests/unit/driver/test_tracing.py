"""Spans as the SDK of OpenTelemetry keeps them."""

from __future__ import annotations

import importlib
import sys

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode, get_current_span

from duplexer.driver.tracing import Tracing
from duplexer.http.headers import Headers
from duplexer.http.messages import Request
from tests.unit.driver.test_conduct import Plain, settle

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


class Peered(Plain):
    remote_address = ("10.0.0.1", 5000)

    def __init__(self, **headers):
        super().__init__(server=True)
        self.request = Request("/chat?token=secret", Headers(headers))


@pytest.fixture
def exporter():
    return InMemorySpanExporter()


@pytest.fixture
def tracer(exporter):
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return provider.get_tracer("test")


def test_connections_are_linked_to_their_handshakes(tracer, exporter):
    tracing = Tracing(tracer)
    ws, client = Peered(traceparent=PARENT), Plain()
    tracing.opened(ws)
    (handshake,) = exporter.get_finished_spans()
    assert handshake.name == "websocket handshake"
    assert handshake.parent.span_id == 0xB7AD6B7169203331
    assert handshake.attributes["url.path"] == "/chat"
    assert handshake.attributes["http.response.status_code"] == 101
    assert handshake.attributes["client.address"] == "10.0.0.1"
    client.put_close(1000, "", 0.0)
    settle(ws, client)
    ws.take_end()
    tracing.ended(ws)
    tracing.ended(ws)  # once is enough
    _, span = exporter.get_finished_spans()
    assert span.name == "websocket connection"
    assert span.parent is None
    assert span.context.trace_id != handshake.context.trace_id
    assert [link.context.span_id for link in span.links] == [handshake.context.span_id]
    assert span.attributes["websocket.close_code"] == 1000
    assert span.attributes["websocket.bytes_received"] == 8
    assert span.status.status_code is StatusCode.UNSET


def test_a_connection_that_fails_says_why(tracer, exporter):
    tracing = Tracing(tracer)
    ws = Peered()
    tracing.opened(ws)
    ws.take_end(ConnectionResetError("reset"))
    tracing.ended(ws)
    span = exporter.get_finished_spans()[-1]
    assert span.status.status_code is StatusCode.ERROR
    assert span.attributes["websocket.close_code"] == 1006
    assert [event.name for event in span.events] == ["exception"]


def test_a_refused_handshake(tracer, exporter):
    tracing = Tracing(tracer)
    ws = Peered()
    tracing.refused(ws, ws.request, 403)
    ws.remote_address = None
    tracing.refused(ws, None, 503)
    refused, failed = exporter.get_finished_spans()
    assert refused.status.status_code is StatusCode.UNSET  # it is the client's fault
    assert failed.status.status_code is StatusCode.ERROR
    assert dict(failed.attributes) == {"http.response.status_code": 503}


def test_messages_have_spans_if_that_is_wanted(tracer, exporter):
    ws = Peered()
    for messages in (False, True):
        exporter.clear()
        tracing = Tracing(tracer, messages=messages)
        with tracing.handling(ws, "before it was opened"):
            pass
        tracing.opened(ws)
        with tracing.handling(ws, "hello"):
            current = get_current_span()
        assert current.is_recording() is False
        with pytest.raises(ZeroDivisionError), tracing.handling(ws, "hello"):
            raise ZeroDivisionError
        ws_span = tracing._spans[ws]
        _, *spans = exporter.get_finished_spans()
        assert len(spans) == 2 * messages
        for span in spans:
            assert span.name == "websocket message"
            assert span.parent is None
            assert span.links[0].context.span_id == ws_span.get_span_context().span_id
            assert span.attributes["websocket.message_size"] == 5
        if messages:
            assert current is not None
            assert spans[1].status.status_code is StatusCode.ERROR


def test_without_the_extra_it_says_which_one(monkeypatch):
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    monkeypatch.delitem(sys.modules, "duplexer.driver.tracing")
    with pytest.raises(ImportError, match=r"pip install 'duplexer\[otel\]'"):
        importlib.import_module("duplexer.driver.tracing")
