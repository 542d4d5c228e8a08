"""A handler for each path, with what else is its own: subprotocols, limits, who may come in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from duplexer.limits import Limits
from duplexer.policy.patterns import Pattern

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from duplexer.handshake.server import Origins

__all__ = ["INHERIT", "Match", "Route", "Router"]

_Handler = TypeVar("_Handler")


class _Inherit:
    """Says that an argument was not given, where ``None`` means something."""

    def __repr__(self) -> str:
        return "<as given to serve>"


INHERIT: Any = _Inherit()


class Route:
    """A pattern, its handler, and what differs from what ``serve`` was given."""

    def __init__(
        self,
        path: str,
        handler: Callable[..., Any],
        *,
        origins: Origins = INHERIT,
        authenticate: Any = INHERIT,
        subprotocols: Sequence[str] | None = INHERIT,
        select_subprotocol: Callable[..., str | None] | None = INHERIT,
        limits: Limits | None = None,
    ) -> None:
        if not callable(handler) or isinstance(handler, type):
            raise TypeError(f"the handler of {path!r} must be a function, not {handler!r}")
        if limits is not None and not isinstance(limits, Limits):
            raise TypeError(f"the limits of {path!r} must be Limits, not {limits!r}")
        self.pattern = Pattern(path)
        self.handler = handler
        self.limits = limits
        given = {
            "origins": origins,
            "authenticate": authenticate,
            "subprotocols": subprotocols,
            "select_subprotocol": select_subprotocol,
        }
        #: what is its own
        self.given = {name: value for name, value in given.items() if value is not INHERIT}

    def __repr__(self) -> str:
        return f"<Route {self.pattern.text}>"


class Match(NamedTuple):
    """What a path has led to."""

    route: Route
    parameters: dict[str, Any]


class Router:
    """Handlers by path: give it to ``serve`` in place of a handler.

    ::

        router = Router()


        @router.route("/rooms/{room}", subprotocols=["chat.v1"])
        async def chat(ws, room): ...


        async with serve(router, "localhost", 8765):
            ...

    ``{name}`` is one segment of the path; ``{name:int}``, ``{name:uuid}`` and, at the end,
    ``{name:path}`` are what they say (see :mod:`duplexer.policy.patterns`). The handler is called
    with the connection and the parameters, by name; they are in ``ws.path_parameters`` as well.
    The query is not looked at. A path without parameters goes before patterns that fit it too;
    among these the one that was added first.

    Paths that have no route are answered with 404. What ``serve`` was given as ``http=`` is on
    paths of its own, or on the same ones, for plain HTTP.
    """

    def __init__(self) -> None:
        self._routes: list[Route] = []
        self._constant: dict[str, Match] = {}
        #: patterns by the number of their segments, and those of any
        self._patterns: dict[int, list[Route]] = {}
        self._open: list[Route] = []
        self._shapes: dict[tuple[Any, ...], Route] = {}
        self._is_sealed = False

    def __iter__(self) -> Iterator[Route]:
        return iter(self._routes)

    def __repr__(self) -> str:
        return f"<Router {', '.join(route.pattern.text for route in self._routes)}>"

    def __call__(self, connection: Any) -> Any:
        """Handle a connection: what its route's handler gives back."""
        return connection.route.handler(connection, **connection.path_parameters)

    def route(
        self,
        path: str,
        *,
        origins: Origins = INHERIT,
        authenticate: Any = INHERIT,
        subprotocols: Sequence[str] | None = INHERIT,
        select_subprotocol: Callable[..., str | None] | None = INHERIT,
        limits: Limits | None = None,
    ) -> Callable[[_Handler], _Handler]:
        """A decorator that adds a handler for ``path``.

        The other arguments are as those of ``serve``, in place of which they stand: also where they
        are ``None``, except for ``limits``. Of these, what is about the handshake and about the
        whole server remains as ``serve`` was given it.

        Raises :exc:`ValueError` for a path that is no pattern or is there already.
        """

        def decorate(handler: _Handler) -> _Handler:
            self.add(
                path,
                handler,  # type: ignore[arg-type]  # it is checked
                origins=origins,
                authenticate=authenticate,
                subprotocols=subprotocols,
                select_subprotocol=select_subprotocol,
                limits=limits,
            )
            return handler

        return decorate

    def add(self, path: str, handler: Callable[..., Any], **own: Any) -> None:
        """Add ``handler`` for ``path``; the arguments are those of :meth:`route`."""
        if self._is_sealed:
            raise RuntimeError(f"{path!r} is added too late: the router is served already")
        route = Route(path, handler, **own)
        pattern = route.pattern
        same = self._shapes.setdefault(pattern.shape, route)
        if same is not route:
            raise ValueError(f"{path!r} is what {same.pattern.text!r} is already")
        self._routes.append(route)
        if pattern.is_constant:
            self._constant[path] = Match(route, {})
        elif pattern.is_open:
            self._open.append(route)
        else:
            self._patterns.setdefault(pattern.length, []).append(route)

    def seal(self) -> None:
        """It is being served, nothing is added any more; :exc:`ValueError` if it is empty."""
        if not self._routes:
            raise ValueError("the router has no routes")
        self._is_sealed = True

    def find(self, target: str) -> Match | None:
        """What the path of a request leads to; parameters that it cannot have do not match."""
        path = target.partition("?")[0]
        match = self._constant.get(path)
        if match is not None or path[:1] != "/":
            return match
        segments = path[1:].split("/")
        for routes in (self._patterns.get(len(segments), ()), self._open):
            for route in routes:
                parameters = route.pattern.match(segments)
                if parameters is not None:
                    return Match(route, parameters)
        return None
