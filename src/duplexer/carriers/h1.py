"""The server's side of one HTTP/1.1 connection: requests one at a time, and their answers.

::

    receive(data) ──► None            more is needed: read on, for at most ``timeout`` seconds
                  ──► Request ─┬───► is_upgrade(request): handshake; ``take_rest()`` is the first
                               │     bytes of the WebSocket if it is agreed to
                               └───► target(request).call(request) gives a Response
                                        │
    next_request() ◄── respond(request, response): bytes to write; then ``closing`` says
                       whether to close or to go on with the next request

No more than one request is read ahead, and that one is not looked at before its turn: while
``paused`` is true the front does not read, so that requests pile up at whoever sends them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from duplexer.carriers.routes import Routes
from duplexer.errors import HttpError
from duplexer.handshake.server import check_host, refuse, validate_hosts
from duplexer.http.h1 import RequestReader
from duplexer.http.headers import Headers, has_token, shown
from duplexer.http.messages import SERVER, Request, Response, is_upgrade

if TYPE_CHECKING:
    from collections.abc import Sequence

    from duplexer.carriers.routes import Target
    from duplexer.limits import Limits

__all__ = ["CONTINUE", "ServerCarrier"]

#: What tells a client to send the body that it holds back (RFC 9110 10.1.1).
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"

#: About the connection and not about the answer: ours to say (RFC 9110 7.6.1).
_HOP_BY_HOP = ("Connection", "Keep-Alive", "Proxy-Connection", "Transfer-Encoding", "Trailer")

_NONE = Routes()


class ServerCarrier:
    """Reads requests and builds responses; see the figure above.

    ``secure``: whether the connection is TLS. ``server_header``: the value of ``Server``, ``None``
    for sending none. ``allowed_hosts``: see :func:`~duplexer.handshake.server.check_host`.
    """

    def __init__(
        self,
        limits: Limits,
        routes: Routes | None = None,
        *,
        secure: bool = False,
        server_header: str | None = SERVER,
        allowed_hosts: Sequence[str] | None = None,
    ) -> None:
        if allowed_hosts is not None:
            validate_hosts(allowed_hosts)
        self.limits = limits
        self.allowed_hosts = allowed_hosts
        self.routes = _NONE if routes is None else routes
        self.secure = secure
        self.server_header = server_header
        #: Whether the connection is to be closed as soon as everything is written.
        self.closing = False
        #: Counts the deadlines: another value says that ``timeout`` begins anew.
        self.stage = 0
        self._reader = RequestReader(limits)
        self._ahead = b""  # what was received, of which ...
        self._at = 0  # ... so much was read
        self._busy = False  # a request is being answered
        self._finishing = False  # no request after this one
        self._idle = False  # between two requests
        self._told_to_continue = False

    # -- reading ---------------------------------------------------------------------------------

    @property
    def paused(self) -> bool:
        """Whether reading should stop until the request that is being answered is."""
        return self._busy or self.closing

    @property
    def started(self) -> bool:
        """Whether a request has come in part."""
        return self._reader.started

    @property
    def timeout(self) -> float | None:
        """Seconds from the beginning of this ``stage`` until ``expire``; ``None`` for no deadline.

        It is one deadline for a whole request, body included, that single bytes do not put off:
        ``Limits.open_timeout``; and ``Limits.keep_alive_timeout`` for a request to begin after
        another one. An answer may take as long as it takes; hooks that decide about a WebSocket
        have the time of its request (see :class:`~duplexer.driver.steps.Call`).
        """
        if self._busy or self.closing:
            return None
        return self.limits.keep_alive_timeout if self._idle else self.limits.open_timeout

    def receive(self, data: bytes) -> Request | None:
        """Take what was received, give a request if it is complete and its turn has come.

        Raises :exc:`HttpError`, for ``refuse``.
        """
        if self.closing:
            return None  # what follows a refusal has no meaning that we would know
        if self._busy:
            # A front that stops reading when it is told to has at most one read under way.
            if len(self._ahead) - self._at + len(data) > self.limits.max_ahead:
                raise BufferError(
                    f"more than {self.limits.max_ahead} bytes (max_ahead) were received while "
                    "a request was being answered"
                )
            self._ahead = self.take_rest() + data
            return None
        return self._feed(data, 0)

    def next_request(self) -> Request | None:
        """After ``respond``: the next request, if it has been received already."""
        if self._busy or self.closing or not self._ahead:
            return None
        data, start = self._ahead, self._at
        self._ahead = b""
        return self._feed(data, start)

    def _feed(self, data: bytes, start: int) -> Request | None:
        if self._idle and data:
            self._idle = False
            self.stage += 1
        try:
            request = self._reader.feed(data, start)
            if request is not None and self.allowed_hosts is not None:
                check_host(request, self.allowed_hosts)
        except HttpError:
            self.closing = True
            self._ahead = b""
            raise
        if request is not None:
            self._at = self._reader.stop
            if self._at < len(data):
                self._ahead = data  # as it is: each request would copy what is left otherwise
            self._busy = True
            self._told_to_continue = False
            self.stage += 1
        return request

    def interim(self) -> bytes:
        """What to write before reading on: the 100 that a client waits for, once, or nothing."""
        if self._told_to_continue or self.closing or not self._reader.expects_continue:
            return b""
        self._told_to_continue = True
        return CONTINUE

    def take_rest(self) -> bytes:
        """What followed the request, after an upgrade was agreed to: its first bytes."""
        rest = self._ahead[self._at :]
        self._ahead = b""
        self._at = 0
        return rest

    # -- answering -------------------------------------------------------------------------------

    def target(self, request: Request) -> Target:
        """What answers ``request``, which is no upgrade."""
        return self.routes.find(request, secure=self.secure)

    def respond(self, request: Request, response: Response, *, date: str | None = None) -> bytes:
        """The bytes that answer ``request``.

        The length is that of ``response.body`` (except to HEAD, where it may be what the response
        says), and what concerns the connection is ours. ``date`` is ``http_date`` of now.
        """
        if not isinstance(response, Response):
            raise TypeError(
                f"what answers {shown(request.path)} must give back a Response, "
                f"not {type(response).__name__}; see text(), html() and json()"
            )
        if response.status_code < 200:
            raise ValueError(f"{response.status_code} cannot be the last answer to a request")
        self._busy = False
        keep = not (self.closing or self._finishing) and self._keeps_alive(request, response)
        headers = self._headers(request, response, keep, date)
        if keep:
            self._idle = True
            self.stage += 1
        else:
            self.closing = True
            self._ahead = b""
        bodyless = request.method == "HEAD" or response.status_code in (204, 304)
        answer = Response(response.status_code, response.reason_phrase, headers, response.body)
        return answer.serialize(body=not bodyless)

    def _headers(
        self, request: Request, response: Response, keep: bool, date: str | None
    ) -> Headers:
        headers = response.headers.copy()
        for name in _HOP_BY_HOP:
            if name in headers:
                del headers[name]
        if response.status_code in (204, 304):
            if response.status_code == 204 and "Content-Length" in headers:
                del headers["Content-Length"]
        elif request.method != "HEAD" or response.body or "Content-Length" not in headers:
            headers.replace("Content-Length", str(len(response.body)))
        if date is not None and "Date" not in headers:
            headers["Date"] = date
        if self.server_header is not None and "Server" not in headers:
            headers["Server"] = self.server_header
        connection = [] if keep else ["close"]
        if "Upgrade" in headers:
            connection.append("Upgrade")
        if connection:
            headers["Connection"] = ", ".join(connection)
        return headers

    def _keeps_alive(self, request: Request, response: Response) -> bool:
        """Whether another request may follow (RFC 9112 9.3)."""
        if request.version != "HTTP/1.1" or is_upgrade(request):
            return False
        for headers in (request.headers, response.headers):
            for value in headers.get_all("Connection"):
                if has_token(value, "close"):
                    return False
        return True

    def refuse(self, error: HttpError, *, date: str | None = None) -> bytes:
        """The bytes that answer a request that ``error`` is about; then the connection closes."""
        self.closing = True
        self._busy = False
        self._ahead = b""
        response = refuse(error, self.server_header)
        if date is not None:
            response.headers["Date"] = date
        return response.serialize()

    def expire(self, *, date: str | None = None) -> bytes:
        """``timeout`` is over: what to write before closing.

        That is a 408 where part of a request has come, and nothing where nobody would read it.
        """
        if not self.started:
            self.closing = True
            return b""
        error = HttpError(408, "the request did not come in time", bound="open_timeout")
        return self.refuse(error, date=date)

    def finish(self) -> None:
        """The server is going away: close after the answer that is under way, or now."""
        if not self._busy and not self.started:
            self.closing = True
        self._finishing = True
