"""Plain HTTP on the port of the WebSocket server: which path is answered by what.

::

    serve(handler, ..., http={
        "/healthz": text("ok"),                       a response, for GET and HEAD
        "/stats": stats,                              def or async def stats(request) -> Response
        "/hook": {"POST": hook},                      another method
        "/static/": StaticFiles("public"),            everything below
        "/readyz": Readiness(),                       200, and 503 from when the server leaves
    })
"""

from __future__ import annotations

import dataclasses
import json as json_module
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from duplexer.carriers.readiness import Readiness
from duplexer.carriers.static import StaticFiles
from duplexer.http.headers import Headers, HeadersLike, is_token, shown
from duplexer.http.messages import Request, Response, make_response

__all__ = ["Handler", "Routes", "Target", "html", "json", "text"]

#: What answers a request: ``async`` or not, it gives a response.
Handler = Callable[[Request], Response | Awaitable[Response]]


@dataclasses.dataclass(frozen=True, slots=True)
class Target:
    """What answers one request: ``call(request)`` gives a response, or an awaitable of one.

    ``blocking``: it reads files, so a front that runs an event loop calls it in a thread. What
    that gives may be an awaitable too, which is then awaited in the loop.
    """

    call: Handler
    blocking: bool = False


def text(body: str, status: int = 200, headers: HeadersLike | None = None) -> Response:
    """A response with plain text, in UTF-8."""
    return _respond(body.encode(), "text/plain; charset=utf-8", status, headers)


def html(body: str, status: int = 200, headers: HeadersLike | None = None) -> Response:
    """A response with a page. What is not yours in it has to be escaped: ``html.escape``."""
    return _respond(body.encode(), "text/html; charset=utf-8", status, headers)


def json(value: Any, status: int = 200, headers: HeadersLike | None = None) -> Response:
    """A response with ``value`` as JSON. Raises :exc:`TypeError` or :exc:`ValueError`."""
    # NaN and the infinities are not JSON, and a client would fail on them far from here.
    body = json_module.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    return _respond(body, "application/json", status, headers)


def _respond(body: bytes, content_type: str, status: int, headers: HeadersLike | None) -> Response:
    given = None if headers is None else Headers(headers)
    return make_response(status, body, content_type, given)


class Routes:
    """The mapping that is given as ``http=``, checked.

    Raises :exc:`TypeError` or :exc:`ValueError` for what no request could ever match.
    """

    def __init__(self, routes: Mapping[str, Any] | None = None) -> None:
        #: path → method → target
        self._exact: dict[str, dict[str, Target]] = {}
        #: (path ending in a slash, method → target), longest first
        self._prefixes: list[tuple[str, dict[str, Target]]] = []
        self._readiness: list[Readiness] = []
        for path, value in (routes or {}).items():
            if isinstance(value, Readiness):
                self._readiness.append(value)
            if not isinstance(path, str):
                raise TypeError(f"a path must be a str, not {type(path).__name__}")
            if not path.startswith("/") or "?" in path or "#" in path:
                raise ValueError(f"a path starts with a slash and has no ? or #: {path!r}")
            if not (path.isascii() and path.isprintable()) or " " in path:
                raise ValueError(f"a path is percent-encoded, as requests have it: {path!r}")
            if isinstance(value, StaticFiles):
                if not path.endswith("/"):
                    raise ValueError(f"the path of StaticFiles ends in a slash: {path!r}")
                self._prefixes.append((path, _files(path, value)))
            else:
                self._exact[path] = _methods(path, value)
        for path, _ in self._prefixes:
            if path != "/":
                moved = make_response(301, b"", headers=Headers(Location=path))
                self._exact.setdefault(path[:-1], {"GET": _constant(moved)})
        self._prefixes.sort(key=lambda prefix: -len(prefix[0]))

    def __bool__(self) -> bool:
        return bool(self._exact or self._prefixes)

    def leave(self) -> None:
        """The server is about to stop: every :class:`Readiness` among the routes says so."""
        for readiness in self._readiness:
            readiness.leave()

    def has(self, request: Request) -> bool:
        """Whether there is something at the path of ``request``, for whatever method."""
        return self._at(request.path) is not None

    def _at(self, target: str) -> dict[str, Target] | None:
        path = target.partition("?")[0]
        methods = self._exact.get(path)
        if methods is None:
            for prefix, candidate in self._prefixes:
                if path.startswith(prefix):
                    return candidate
        return methods

    def find(self, request: Request, *, secure: bool = False) -> Target:
        """What answers ``request``: never nothing, though it may be a 405 or a 426."""
        methods = self._at(request.path)
        if methods is None:
            return Target(lambda request: _no_route(request, secure, bool(self)))
        target = methods.get(request.method)
        if target is None and request.method == "HEAD":
            target = methods.get("GET")
        if target is None:
            return Target(lambda request: _not_allowed(request, methods))
        return target


def _files(path: str, files: StaticFiles) -> dict[str, Target]:
    def call(request: Request) -> Response:
        return files.respond(request, request.path.partition("?")[0][len(path) :])

    return {"GET": Target(call, blocking=True)}


def _methods(path: str, value: Any) -> dict[str, Target]:
    if not isinstance(value, Mapping):
        return {"GET": _target(path, value)}
    if not value:
        raise ValueError(f"no methods for {path!r}")
    methods = {}
    for method, one in value.items():
        if not isinstance(method, str) or not is_token(method) or method != method.upper():
            raise ValueError(f"invalid method for {path!r}: {method!r}")
        methods[method] = _target(path, one)
    return methods


def _target(path: str, value: Any) -> Target:
    if isinstance(value, Response):
        return _constant(value)
    if isinstance(value, type) or not callable(value):
        raise TypeError(
            f"what answers {path!r} must be a function, a Response, StaticFiles, or a dict of "
            f"methods, not {value!r}"
        )
    return Target(value, getattr(value, "blocking", False))


def _constant(response: Response) -> Target:
    def call(request: Request) -> Response:  # noqa: ARG001
        return response

    return Target(call)


def _not_allowed(request: Request, methods: Mapping[str, Target]) -> Response:
    allowed = dict.fromkeys(methods)
    if "GET" in allowed:
        allowed["HEAD"] = None
    allow = ", ".join(allowed)
    body = f"{shown(request.method, 20)} is not allowed here, only {allow}.\n"
    return text(body, 405, {"Allow": allow})


def _no_route(request: Request, secure: bool, has_routes: bool) -> Response:
    """The answer to a browser's visit, a health check or a misled client."""
    if request.method not in ("GET", "HEAD"):
        return text(
            f"This is a WebSocket endpoint: it takes no {shown(request.method, 20)}.\n",
            405,
            {"Allow": "GET, HEAD"},
        )
    host = request.headers.get_all("Host")
    address = f"ws{'s' if secure else ''}://{host[0] if host and host[0] else 'this-host'}"
    address = shown(address + request.path.partition("?")[0])
    routes = (
        "There is no page at this path: http= of the server has no route for it."
        if has_routes
        else "There are no pages here: the server was given no http= routes."
    )
    body = (
        "This is a WebSocket endpoint, and this was a plain HTTP request.\n"
        "\n"
        "To open a connection\n"
        f'  in a browser:   new WebSocket("{address}")\n'
        f'  in a terminal:  duplexer connect "{address}"\n'
        "\n"
        f"{routes}\n"
        "If it was meant to be a WebSocket, a proxy on the way has removed its Upgrade header:\n"
        'nginx needs "proxy_http_version 1.1", "proxy_set_header Upgrade $http_upgrade" and\n'
        '"proxy_set_header Connection upgrade".\n'
    )
    # The address is the visitor's: no browser may take this for a page.
    headers = {"Upgrade": "websocket", "X-Content-Type-Options": "nosniff"}
    return text(body, 426, headers)
