"""Reading HTTP/1.1 requests and responses: strict, bounded, I/O-free (RFC 9112).

The verdict on a stream of bytes does not depend on how it was cut into pieces. Two ways lead to
it: a head that arrives in one piece is checked whole, by a few calls that run in C; any other
head, and any in which that finds something, is gone through line by line, which finds out what
is wrong first. Every byte is looked at once, however small the pieces.

Strict means: lines end in CRLF, names are tokens, no folding, no control characters, digits are
ASCII digits, and what could be read in two ways is refused, because a proxy in front may read it
the other way (RFC 9112 11.2).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from duplexer.errors import HttpError, InvalidMessage
from duplexer.http.chunked import ChunkedReader
from duplexer.http.headers import (
    TOKEN_BYTES,
    VALUE_BYTES,
    Headers,
    add_line,
    is_token,
    shown,
    valid_host,
)
from duplexer.http.messages import Request, Response, is_upgrade
from duplexer.http.scan import scan_head

if TYPE_CHECKING:
    from duplexer.limits import Limits

__all__ = ["MAX_INTERIM", "RequestReader", "ResponseReader"]

#: Interim (1xx) responses that a client skips before the final one.
MAX_INTERIM = 16

_HEAD, _LENGTH, _CHUNKED, _UNTIL_EOF = range(4)
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"})


class _HeadReader:
    """The start line and the header lines, which requests and responses have in common."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._phase = _HEAD
        self._one_piece = min(
            limits.max_request_line, limits.max_header_line, limits.max_header_bytes
        )
        self._buffer = bytearray()
        self._forget_head()

    def _forget_head(self) -> None:
        self._start = 0  # where the line starts that is being read
        self._scan = 0  # up to where it was searched for its end
        self._headers_start = 0  # where the first header line starts; 0: not there yet
        self._count = 0

    def _whole_head(self, data: bytes, start: int) -> int:
        """Read a head that begins at ``start`` and ends in ``data``.

        Gives where it ends, after calling ``_on_head``; 0 if it is incomplete, close to a limit or
        not in order, and has to be gone through line by line.
        """
        found = scan_head(data, start, self._one_piece, self.limits.max_headers)
        if found is None:
            return 0
        self._on_start_line(found[1])
        self._on_head(Headers.from_lines(found[2], found[3]))
        return found[0]

    def _head_by_lines(self) -> bool:
        """Go through what ``_buffer`` holds; true once the head is complete (``_on_head`` ran)."""
        buffer = self._buffer
        while True:
            if not self._headers_start and len(buffer) > self._start:
                self._on_first_byte(buffer[self._start])
            newline = buffer.find(b"\n", self._scan)
            if newline < 0:
                self._scan = len(buffer)
                self._check_size(len(buffer) - self._start - buffer.endswith(b"\r"))
                return False
            end = newline
            if end > self._start and buffer[end - 1] == 0x0D:
                end -= 1
            self._check_size(end - self._start)
            if end == newline:
                raise HttpError(400, "a line ends in LF without CR")
            line = bytes(buffer[self._start : end])
            self._start = self._scan = newline + 1
            if not self._headers_start:
                if line or newline > 1:  # one empty line may precede a request (RFC 9112 2.2)
                    self._one_start_line(line)
                    self._headers_start = newline + 1
            elif line:
                self._one_header_line(line)
            else:
                raw = bytes(buffer[self._headers_start : max(newline - 3, self._headers_start)])
                del buffer[: newline + 1]
                self._forget_head()
                self._on_head(Headers.from_lines(raw))
                return True

    def _check_size(self, length: int) -> None:
        """Whether a line of ``length`` bytes without its end, maybe incomplete, is in bounds."""
        limits = self.limits
        if not self._headers_start:
            if length > limits.max_request_line:
                raise HttpError(
                    414,
                    f"first line longer than {limits.max_request_line}",
                    bound="max_request_line",
                )
        elif length > limits.max_header_line:
            raise HttpError(
                431,
                f"header line longer than {limits.max_header_line}",
                bound="max_header_line",
            )
        elif length + self._start - self._headers_start > limits.max_header_bytes:
            raise HttpError(
                431, f"headers larger than {limits.max_header_bytes}", bound="max_header_bytes"
            )

    def _one_start_line(self, line: bytes) -> None:
        if line.translate(None, VALUE_BYTES):
            raise HttpError(400, "control character in the first line")
        self._on_start_line(line.decode("latin-1"))

    def _one_header_line(self, line: bytes) -> None:
        self._count += 1
        if self._count > self.limits.max_headers:
            raise HttpError(
                431, f"more than {self.limits.max_headers} headers", bound="max_headers"
            )
        if line.translate(None, VALUE_BYTES):
            raise HttpError(400, "control character in a header")
        add_line({}, line.decode("latin-1"))

    def _on_first_byte(self, byte: int) -> None:
        """See early, before a line is complete, that this is no HTTP."""

    def _on_start_line(self, line: str) -> None:
        raise NotImplementedError

    def _on_head(self, headers: Headers) -> None:
        raise NotImplementedError


def _content_length(headers: Headers) -> int | None:
    """``Content-Length``, ``None`` without one (RFC 9110 8.6)."""
    value = headers.index().get("content-length")
    if value is None:
        return None
    if isinstance(value, list):
        raise HttpError(400, "several Content-Length headers")
    # str.isdigit() alone would take digits of all scripts.
    if not (value.isascii() and value.isdigit()) or len(value) > 19:
        raise HttpError(400, f"malformed Content-Length: {shown(value)}")
    return int(value)


def _is_chunked(headers: Headers) -> bool:
    """Whether ``Transfer-Encoding`` is there; only ``chunked`` is known (RFC 9112 6.1)."""
    value = headers.index().get("transfer-encoding")
    if value is None:
        return False
    if "content-length" in headers.index():
        raise HttpError(400, "both Content-Length and Transfer-Encoding")
    if isinstance(value, list):
        raise HttpError(400, "several Transfer-Encoding headers")
    if value.lower() != "chunked":
        raise HttpError(501, f"unsupported Transfer-Encoding: {shown(value)}")
    return True


class RequestReader(_HeadReader):
    """Reads requests on the server.

    ``feed`` gives a request as soon as it is complete, with its body. It ends at ``stop`` in that
    data; the reader is ready for another request, which may begin with ``feed(data, stop)``. After
    an :exc:`HttpError` the connection has to be closed: where the next request would start is not
    known.
    """

    def __init__(self, limits: Limits) -> None:
        super().__init__(limits)
        self.stop = 0
        #: The request whose head has come, while its body is awaited.
        self.pending: Request | None = None
        self._length = 0
        self._chunks: ChunkedReader | None = None
        self._method = self._target = self._version = ""
        self._authority = ""
        # What was found to be in order last: on a server it tends to be the same again.
        self._first = ""
        self._host = ""

    @property
    def started(self) -> bool:
        """Whether a request has begun: a deadline that strikes now deserves a 408."""
        return bool(self._buffer) or self.pending is not None

    @property
    def expects_continue(self) -> bool:
        """Whether the client waits for a 100 before it sends the body (RFC 9110 10.1.1)."""
        request = self.pending
        if request is None or request.version != "HTTP/1.1" or self._buffer:
            return False
        if self._chunks is not None and self._chunks.started:
            return False
        expect = request.headers.index().get("expect", "")
        return isinstance(expect, str) and expect.lower() == "100-continue"

    def feed(self, data: bytes, start: int = 0) -> Request | None:
        """Take what was received from ``start`` on, give the request if it is complete.

        Raises :exc:`HttpError` 400, 405, 413, 414, 417, 431, 501 or 505. ``data`` of any size is
        taken; whoever reads from a socket decides how much to read.
        """
        if self._phase == _HEAD:
            stop = self._whole_head(data, start) if not self._buffer else 0
            while not stop:
                if start == len(data):
                    return None
                # No more than is looked at: it may be the first of a thousand requests.
                line = data[start : data.find(b"\n", start) + 1] or data[start:]
                start += len(line)
                self._buffer += line
                if self._head_by_lines():
                    stop = start
            start = stop
        return self._feed_body(data, start)

    def _feed_body(self, data: bytes, start: int) -> Request | None:
        request = self.pending
        assert request is not None
        if self._phase == _LENGTH:
            piece = data[start : start + self._length - len(self._buffer)]
            start += len(piece)
            self._buffer += piece
            if len(self._buffer) < self._length:
                return None
            request.body = bytes(self._buffer)
            self._buffer.clear()
        elif self._chunks is not None:
            if not self._chunks.feed(data, start):
                return None
            request.body = bytes(self._chunks.body)
            start = self._chunks.stop
            self._chunks = None
        self.stop = start
        self._phase = _HEAD
        self.pending = None
        return request

    def _on_first_byte(self, byte: int) -> None:
        if byte in TOKEN_BYTES or byte == 0x0D:
            return
        if byte == 0x16:
            raise HttpError(400, "this looks like TLS, but this port speaks plain HTTP; use ws://")
        raise HttpError(400, "malformed request line")

    def _on_start_line(self, line: str) -> None:
        if line == self._first:
            return
        self._first = ""
        parts = line.split(" ")
        if len(parts) != 3:
            raise HttpError(400, f"malformed request line: {shown(line)}")
        method, target, version = parts
        if method not in _METHODS and not is_token(method):
            raise HttpError(400, f"malformed method: {shown(method)}")
        if version not in {"HTTP/1.1", "HTTP/1.0"}:
            if len(version) == 8 and version.startswith("HTTP/") and version[6] == ".":
                if version.isascii() and version[5].isdigit() and version[7].isdigit():
                    raise HttpError(505, f"unsupported version: {version}; this is HTTP/1.1")
            raise HttpError(400, f"malformed HTTP version: {shown(version)}")
        if not (target.isascii() and target.isprintable()):
            raise HttpError(400, f"malformed request target: {shown(target)}")
        if "#" in target:
            raise HttpError(400, "fragment in the request target (RFC 6455 3)")
        if method == "CONNECT":
            raise HttpError(405, "this is not a proxy", [("Allow", "GET, HEAD, POST")])
        self._authority = ""
        if target[:1] != "/":
            target = self._absolute(target)
        # Kept for as long as the connection: the usual ones are shared.
        self._method = "GET" if method == "GET" else method
        self._target = "/" if target == "/" else target
        self._version = "HTTP/1.1" if version == "HTTP/1.1" else version
        self._first = line

    def _absolute(self, target: str) -> str:
        """The path of an absolute-form target, which RFC 6455 4.2.1 lets a client send."""
        scheme, slashes, rest = target.partition("://")
        if not slashes or scheme.lower() not in ("http", "https", "ws", "wss"):
            raise HttpError(400, f"malformed request target: {shown(target)}")
        rest, question, query = rest.partition("?")
        authority, _, path = rest.partition("/")
        if not authority or not valid_host(authority):
            raise HttpError(400, f"malformed request target: {shown(target)}")
        self._authority = authority
        return f"/{path}{question}{query}"

    def _on_head(self, headers: Headers) -> None:
        request = Request(self._target, headers, self._method, b"", self._version)
        index = headers.index()
        host = index.get("host")
        if isinstance(host, list):
            raise HttpError(400, "several Host headers")
        if host is None:
            if self._version == "HTTP/1.1":
                raise HttpError(400, "missing Host header")
        elif host != self._host and not valid_host(host):
            raise HttpError(400, f"malformed Host header: {shown(host)}")
        elif self._authority and self._authority.lower() != host.lower():
            raise HttpError(400, "Host differs from the host in the request target")
        else:
            self._host = host
        self.pending = request
        if "content-length" in index or "transfer-encoding" in index:
            self._on_body(request)
        if "expect" in index and index["expect"] != "100-continue":
            expect = headers.get_all("Expect")
            if len(expect) != 1 or expect[0].lower() != "100-continue":
                raise HttpError(417, "unsupported Expect header")

    def _on_body(self, request: Request) -> None:
        """Find out how long the body is (RFC 9112 6.3); no upgrade may have one."""
        headers = request.headers
        if "transfer-encoding" in headers.index():
            if request.version != "HTTP/1.1":
                raise HttpError(400, "Transfer-Encoding in HTTP/1.0")
            if is_upgrade(request):
                raise HttpError(400, "a WebSocket handshake cannot have a body")
        if _is_chunked(headers):
            self._chunks = ChunkedReader(self.limits, self.limits.max_body)
            self._phase = _CHUNKED
            return
        length = _content_length(headers) or 0
        # The last draft before the RFC's family has 8 bytes after the head, and some of its
        # clients announce them so that proxies let them pass.
        if length and is_upgrade(request) and not (length == 8 and "Sec-WebSocket-Key1" in headers):
            raise HttpError(400, "a WebSocket handshake cannot have a body")
        if length > self.limits.max_body:
            raise HttpError(413, f"body larger than {self.limits.max_body} bytes", bound="max_body")
        if length:
            self._length = length
            self._phase = _LENGTH


class ResponseReader(_HeadReader):
    """Reads the response on the client, after skipping interim ones.

    ``connect=True`` is for the answer of a proxy to CONNECT: a 2xx then has no body, whatever
    its headers say (RFC 9110 9.3.6).
    """

    def __init__(self, limits: Limits, *, connect: bool = False) -> None:
        super().__init__(limits)
        #: What followed the response in the data that completed it.
        self.rest = b""
        self._connect = connect
        self._interim = 0
        self._status = 0
        self._reason = self._version = ""
        self._response: Response | None = None
        self._length = 0
        self._chunks: ChunkedReader | None = None

    def feed(self, data: bytes) -> Response | None:
        """Take what was received, give the response if it is complete.

        A body longer than ``Limits.max_error_body`` is cut there, and the response given at once.
        Raises :exc:`InvalidMessage`.
        """
        try:
            if self._phase == _HEAD:
                self._buffer += data
                while self._phase == _HEAD and self._response is None:
                    if not self._feed_head():
                        return None
                data = bytes(self._buffer)
                self._buffer.clear()
            return self._feed_body(data)
        except HttpError as error:
            raise InvalidMessage(f"malformed HTTP response: {error.text}") from None

    def _feed_head(self) -> bool:
        """Read a head from the buffer; an interim one leaves the phase as it is."""
        if self._scan == 0:
            data = bytes(self._buffer)
            size = self._whole_head(data, 0)
            if size:
                del self._buffer[:size]
                return True
        return self._head_by_lines()

    def feed_eof(self) -> Response:
        """The connection was closed: give the response if that completes it.

        Raises :exc:`InvalidMessage` if the head is incomplete. An incomplete body is given as it
        is: it only ever helps to tell why there is no WebSocket.
        """
        response = self._response
        if response is None:
            if self._buffer or self._interim:
                text = "connection closed in the middle of the HTTP response"
            else:
                text = (
                    "connection closed without an HTTP response; is there a WebSocket server, and "
                    "does it want TLS (wss://)?"
                )
            raise InvalidMessage(text) from EOFError("the stream ended")
        kept = self._buffer if self._chunks is None else self._chunks.body
        response.body = bytes(kept[: self.limits.max_error_body])
        return response

    def _feed_body(self, data: bytes) -> Response | None:
        response = self._response
        assert response is not None
        bound = self.limits.max_error_body
        if self._phase == _HEAD:
            self.rest = data
            return response
        if self._chunks is not None:
            complete = self._chunks.feed(data)
            body, size = self._chunks.body, bound
            self.rest = data[self._chunks.stop :] if complete else b""
        else:
            body = self._buffer
            body += data
            size = min(self._length, bound) if self._phase == _LENGTH else bound
            complete = len(body) >= size
            self.rest = bytes(body[size:])
        if not complete and len(body) < bound:
            return None
        response.body = bytes(body[:size])
        return response

    def _on_first_byte(self, byte: int) -> None:
        if byte != 0x48:
            raise HttpError(400, "this is not HTTP")

    def _on_start_line(self, line: str) -> None:
        version, _, rest = line.partition(" ")
        status, _, reason = rest.partition(" ")  # haproxy sends an empty reason
        if version not in {"HTTP/1.1", "HTTP/1.0"}:
            raise HttpError(400, f"unsupported status line: {shown(line)}")
        if len(status) != 3 or not (status.isascii() and status.isdigit()) or status < "100":
            raise HttpError(400, f"malformed status line: {shown(line)}")
        self._version = version
        self._status = int(status)
        self._reason = reason

    def _on_head(self, headers: Headers) -> None:
        status = self._status
        if status < 200 and status != 101:
            self._interim += 1
            if self._interim > MAX_INTERIM:
                raise HttpError(400, f"more than {MAX_INTERIM} interim responses")
            return
        if status == 101 and self._version != "HTTP/1.1":
            raise HttpError(400, "101 in HTTP/1.0")
        self._response = Response(status, self._reason, headers)
        tunnel = self._connect and 200 <= status < 300
        # A 101 has no body whatever its headers say (RFC 9110 15.2.2).
        if tunnel or status in (101, 204, 304):
            return
        if _is_chunked(headers):
            self._chunks = ChunkedReader(self.limits, None)
            self._phase = _CHUNKED
            return
        length = _content_length(headers)
        if length is None:
            self._phase = _UNTIL_EOF
        elif length:
            self._length = length
            self._phase = _LENGTH
