"""Servers with a handler for each path, by werkzeug's URL maps (the extra ``router``).

It is a ``process_request`` and a handler: what a map finds is kept on the connection, as
``handler`` and ``handler_kwargs``.
"""

from __future__ import annotations

from inspect import isawaitable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from werkzeug.routing import Map

    from duplexer.http.messages import Request, Response

__all__ = ["Router", "routed"]


class Router:
    """Finds the handler for a request. Subclass it to change how.

    ``server_name``: what redirects of the map call us; by default what the request does.
    ``url_scheme``: ``"ws"`` or ``"wss"``, for the same purpose.
    """

    def __init__(
        self, url_map: Map, server_name: str | None = None, url_scheme: str = "ws"
    ) -> None:
        self.url_map = url_map
        self.server_name = server_name
        self.url_scheme = url_scheme
        for rule in url_map.iter_rules():
            rule.websocket = True

    def get_server_name(self, connection: Any, request: Request) -> str:
        """What redirects call us."""
        return request.headers.get("Host", "") if self.server_name is None else self.server_name

    def redirect(self, connection: Any, url: str) -> Response:
        """The answer where the map has ``redirect_to``."""
        response: Response = connection.respond(302, f"Found at {url}")
        response.headers["Location"] = url
        return response

    def not_found(self, connection: Any) -> Response:
        """The answer where the map has nothing."""
        response: Response = connection.respond(404, "Not Found")
        return response

    def route_request(self, connection: Any, request: Request) -> Response | None:
        """A ``process_request``: keeps the handler for ``request``, or answers it."""
        from werkzeug.exceptions import HTTPException, NotFound
        from werkzeug.routing import RequestRedirect

        # A request's target is no URL: //host/path is a path that begins with two slashes.
        path, _, query = request.path.partition("?")
        try:
            adapter = self.url_map.bind(
                server_name=self.get_server_name(connection, request), url_scheme=self.url_scheme
            )
            handler, kwargs = adapter.match(path_info=path, query_args=query)
        except RequestRedirect as redirect:
            return self.redirect(connection, redirect.new_url)
        except NotFound:
            return self.not_found(connection)
        except HTTPException as exc:  # a Host that werkzeug cannot read, above all
            response: Response = connection.respond(exc.code or 400, exc.name)
            return response
        connection.handler, connection.handler_kwargs = handler, kwargs
        return None

    def handler(self, connection: Any) -> Any:
        """Handle a connection: what the handler that was found gives back."""
        return connection.handler(connection, **connection.handler_kwargs)


def routed(
    serve: Callable[..., Any],
    url_map: Map,
    *args: Any,
    server_name: str | None = None,
    ssl: Any = None,
    create_router: Callable[..., Router] | None = None,
    process_request: Callable[..., Any] | None = None,
    **kwargs: Any,
) -> Any:
    """Serve as ``serve`` does, with the handlers that are the endpoints of ``url_map``.

    ``ssl=True`` says that a proxy before us has TLS: redirects are ``wss:``, and we are not.
    ``process_request`` is asked first.
    """
    try:
        import werkzeug.routing  # noqa: F401
    except ImportError as exc:
        raise ImportError("routing needs the extra: pip install 'duplexer[router]'") from exc
    router = (create_router or Router)(url_map, server_name, "ws" if ssl is None else "wss")

    def first_given(connection: Any, request: Request) -> Any:
        assert process_request is not None
        response = process_request(connection, request)
        if isawaitable(response):
            return finish(response, connection, request)
        return router.route_request(connection, request) if response is None else response

    async def finish(awaitable: Any, connection: Any, request: Request) -> Response | None:
        response: Response | None = await awaitable
        return router.route_request(connection, request) if response is None else response

    return serve(
        router.handler,
        *args,
        ssl=None if ssl is True else ssl,
        process_request=router.route_request if process_request is None else first_given,
        **kwargs,
    )
