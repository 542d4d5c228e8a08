"""The answer to an upgrade that the application refuses with a response of its own.

It is ASGI's extension "WebSocket Denial Response". I/O-free: events in, bytes to write out. The
response ends the connection (RFC 9931), so its length is told by ``Content-Length`` where it is
known, and by the chunked coding where it is not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from duplexer.http.headers import Headers
from duplexer.http.messages import Response, reason_for

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Denial", "answer", "headers_from"]

#: About the connection and not about the answer: ours to say (RFC 9110 7.6.1).
_HOP_BY_HOP = frozenset(
    {"connection", "keep-alive", "proxy-connection", "transfer-encoding", "trailer", "upgrade"}
)

_PLAIN_TEXT = "text/plain; charset=utf-8"


def headers_from(pairs: Iterable[tuple[bytes, bytes]]) -> Headers:
    """ASGI's pairs of bytes as headers; ``ValueError`` for what cannot be one."""
    headers = Headers()
    for name, value in pairs:
        headers[bytes(name).decode("latin-1")] = bytes(value).decode("latin-1")
    return headers


def answer(status: int, text: str, defaults: Iterable[tuple[bytes, bytes]]) -> bytes:
    """A whole response in place of a WebSocket; the connection closes after it."""
    denial = Denial(defaults)
    denial.start(status, ())
    return denial.body(text.encode(), False)


class Denial:
    """One response, of which ``start`` comes first and then ``body`` until it is ``complete``.

    ``defaults`` are headers that it has unless the application has set them.
    """

    def __init__(self, defaults: Iterable[tuple[bytes, bytes]]) -> None:
        self._defaults = defaults
        self.status = 0
        self._headers: Headers | None = None  # until they are written
        self._left: int | None = None  # bytes of the body that have to come; None: not known
        self._chunked = False
        self.complete = False

    def start(self, status: Any, pairs: Iterable[tuple[bytes, bytes]]) -> None:
        """Take the status and the headers; they are written with the beginning of the body.

        Raises :exc:`RuntimeError` for a status that cannot be an answer, :exc:`ValueError` for
        headers that cannot be sent.
        """
        if isinstance(status, bool) or not isinstance(status, int) or not 200 <= status < 600:
            raise RuntimeError(f"Invalid HTTP status code '{status}' in response.")
        headers = Headers()
        for name, value in headers_from(pairs).raw_items():
            if name.lower() not in _HOP_BY_HOP:
                headers[name] = value
        if "Content-Length" in headers:
            length = headers["Content-Length"]
            if not (length.isascii() and length.isdigit()) or len(length) > 18:
                raise ValueError(f"invalid Content-Length in response: {length!r}")
            self._left = int(length)
        self.status, self._headers = status, headers

    def body(self, data: bytes, more: bool) -> bytes:
        """The bytes to write for a piece of the body; ``more`` says that others follow.

        Raises :exc:`RuntimeError` for more than ``Content-Length`` has promised.
        """
        head = b""
        if self._headers is not None:
            head = self._head(self._headers, data, more)
            self._headers = None
        if self.status in (204, 304):
            data = b""
        elif self._left is not None:
            if len(data) > self._left:
                raise RuntimeError("The response is longer than its Content-Length.")
            self._left -= len(data)
        self.complete = not more
        if not self._chunked:
            return head + data
        chunk = b"%x\r\n%b\r\n" % (len(data), data) if data else b""
        return head + chunk + (b"" if more else b"0\r\n\r\n")

    def _head(self, headers: Headers, data: bytes, more: bool) -> bytes:
        bodyless = self.status in (204, 304)
        if self._left is None and not bodyless:
            if more:
                self._chunked = True
                headers["Transfer-Encoding"] = "chunked"
            else:
                self._left = len(data)
                headers["Content-Length"] = str(len(data))
        if "Content-Type" not in headers and not bodyless:
            headers["Content-Type"] = _PLAIN_TEXT
        for name, value in headers_from(self._defaults).raw_items():
            if name not in headers:
                headers[name] = value
        headers["Connection"] = "close"
        return Response(self.status, reason_for(self.status), headers).serialize()
