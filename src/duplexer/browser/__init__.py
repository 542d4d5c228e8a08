"""The WebSocket interface of browsers, on asyncio: ``WebSocket`` and ``WebSocketStream``."""

from duplexer.browser.abort import AbortController, AbortSignal
from duplexer.browser.blob import Blob
from duplexer.browser.events import CloseEvent, ErrorEvent, Event, EventTarget, MessageEvent
from duplexer.browser.exceptions import DOMException, WebSocketCloseInfo, WebSocketError
from duplexer.browser.streams import ReadableStream, ReadResult, WritableStream
from duplexer.browser.websocket import WebSocket
from duplexer.browser.websocketstream import WebSocketOpenInfo, WebSocketStream

__all__ = [
    "AbortController",
    "AbortSignal",
    "Blob",
    "CloseEvent",
    "DOMException",
    "ErrorEvent",
    "Event",
    "EventTarget",
    "MessageEvent",
    "ReadResult",
    "ReadableStream",
    "WebSocket",
    "WebSocketCloseInfo",
    "WebSocketError",
    "WebSocketOpenInfo",
    "WebSocketStream",
    "WritableStream",
]
