"""Requests and responses of HTTP/1.1, as data."""

from __future__ import annotations

import dataclasses

from duplexer._version import VERSION
from duplexer.http.headers import Headers, has_token, is_token, is_valid_value

__all__ = [
    "REASONS",
    "SERVER",
    "USER_AGENT",
    "Request",
    "Response",
    "is_upgrade",
    "make_response",
    "reason_for",
]

#: What we call ourselves. No version of Python or of the system: that helps nobody but attackers.
USER_AGENT = SERVER = f"duplexer/{VERSION}"

#: Reason phrases of the statuses that we send, and of those that users are likely to (RFC 9110 15).
REASONS: dict[int, str] = {
    100: "Continue",
    101: "Switching Protocols",
    200: "OK",
    201: "Created",
    202: "Accepted",
    204: "No Content",
    206: "Partial Content",
    301: "Moved Permanently",
    302: "Found",
    303: "See Other",
    304: "Not Modified",
    307: "Temporary Redirect",
    308: "Permanent Redirect",
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    406: "Not Acceptable",
    407: "Proxy Authentication Required",
    408: "Request Timeout",
    409: "Conflict",
    410: "Gone",
    411: "Length Required",
    412: "Precondition Failed",
    413: "Content Too Large",
    414: "URI Too Long",
    415: "Unsupported Media Type",
    416: "Range Not Satisfiable",
    417: "Expectation Failed",
    421: "Misdirected Request",
    422: "Unprocessable Content",
    426: "Upgrade Required",
    428: "Precondition Required",
    429: "Too Many Requests",
    431: "Request Header Fields Too Large",
    500: "Internal Server Error",
    501: "Not Implemented",
    502: "Bad Gateway",
    503: "Service Unavailable",
    504: "Gateway Timeout",
    505: "HTTP Version Not Supported",
    511: "Network Authentication Required",
}


def reason_for(status: int) -> str:
    """The reason phrase for ``status``, empty where we know none (RFC 9112 4 allows that)."""
    return REASONS.get(status, "")


@dataclasses.dataclass(slots=True)
class Request:
    """A request: ``path`` is the whole target, with the query; ``body`` is complete."""

    path: str
    headers: Headers
    method: str = "GET"
    body: bytes = b""
    version: str = "HTTP/1.1"

    def serialize(self) -> bytes:
        """The bytes for the wire, with the body.

        Raises :exc:`ValueError` for a method or path that would change what the request says.
        """
        if not is_token(self.method):
            raise ValueError(f"invalid method: {self.method!r}")
        path = self.path
        if not (path and path.isascii() and path.isprintable()) or " " in path or "#" in path:
            raise ValueError(f"invalid request target: {path!r}")
        line = f"{self.method} {path} {self.version}\r\n"
        return line.encode("ascii") + self.headers.serialize() + self.body


@dataclasses.dataclass(slots=True)
class Response:
    """A response; ``body`` is complete, or cut at ``Limits.max_error_body`` on a client."""

    status_code: int
    reason_phrase: str
    headers: Headers
    body: bytes = b""

    def serialize(self, *, body: bool = True) -> bytes:
        """The bytes for the wire; ``body=False`` leaves the body out (the answer to HEAD).

        Raises :exc:`ValueError` for a status or reason that would change what the response says.
        """
        if not 100 <= self.status_code <= 999:
            raise ValueError(f"invalid status code: {self.status_code!r}")
        if not is_valid_value(self.reason_phrase):
            raise ValueError(f"invalid reason phrase: {self.reason_phrase!r}")
        line = f"HTTP/1.1 {self.status_code} {self.reason_phrase}\r\n"
        head = line.encode("latin-1") + self.headers.serialize()
        return head + self.body if body and self.body else head


def make_response(
    status: int,
    body: bytes,
    content_type: str = "text/plain; charset=utf-8",
    headers: Headers | None = None,
) -> Response:
    """A response with ``body``, its length and its type; ``headers`` are added and win."""
    built = Headers()
    if headers is None or "Content-Type" not in headers:
        built["Content-Type"] = content_type
    if headers is None or "Content-Length" not in headers:
        built["Content-Length"] = str(len(body))
    if headers is not None:
        built.update(headers)
    return Response(status, reason_for(status), built, body)


def is_upgrade(request: Request) -> bool:
    """Whether ``request`` wants a WebSocket, be it well formed or not.

    It does if it has ``Upgrade: websocket``, or a ``Sec-WebSocket-Key`` or ``-Version``: then a
    proxy on the way has dropped the rest, and whoever set it up deserves to hear that. An
    upgrade to anything else is ignored, as RFC 9110 7.8 allows.
    """
    index = request.headers.index()
    upgrade = index.get("upgrade")
    if upgrade is not None:
        if upgrade == "websocket":
            return True
        values = upgrade if isinstance(upgrade, list) else [upgrade]
        if any(has_token(value, "websocket") for value in values):
            return True
    return "sec-websocket-key" in index or "sec-websocket-version" in index
