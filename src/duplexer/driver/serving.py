"""What ``serve`` of every front has in common: its arguments, and what follows from them."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import inspect
import logging
from typing import TYPE_CHECKING, Any, ClassVar

from duplexer.carriers.routes import Routes
from duplexer.driver.accept import Serving
from duplexer.driver.admission import admitted
from duplexer.driver.observing import Observer, observer_from
from duplexer.driver.options import (
    UNSET,
    bounds_among,
    check_arguments,
    limits_from,
    server_extensions,
    staying_from,
)
from duplexer.driver.sendqueue import SendQueue
from duplexer.errors import InvalidOrigin
from duplexer.handshake.server import SAME_HOST, ServerOptions, check_origin
from duplexer.http.messages import SERVER
from duplexer.policy.authentication import scheme_from
from duplexer.policy.forwarded import TrustedProxies
from duplexer.policy.networks import Networks
from duplexer.policy.router import Router

if TYPE_CHECKING:
    import re
    import ssl as ssl_module
    from collections.abc import Callable, Mapping, Sequence

    from duplexer.core.extension import ServerExtensionFactory
    from duplexer.core.heartbeat import Heartbeat
    from duplexer.limits import Limits
    from duplexer.policy.authentication import Scheme
    from duplexer.policy.router import Route

__all__ = ["ServeBase"]

LOGGER = logging.getLogger("duplexer.server")


class ServeBase:
    """Serve WebSockets.

    ``handler`` is called with each connection; when it returns the connection is closed with
    1000, when it raises with 1011. A :class:`~duplexer.policy.router.Router` has one for each
    path.

    * ``origins``: whose pages may connect. By default those of the same host, and clients that
      send no Origin (``SAME_HOST``); a list of origins, patterns, ``SAME_HOST`` and ``None``
      for no Origin; ``ANY_ORIGIN`` for anybody, or ``None`` as in ``websockets``.
    * ``allowed_hosts``: names that a request may ask for, against DNS rebinding, such as
      ``example.com``, ``*.example.com``, ``localhost:8765``; by default any.
    * ``authenticate``: who may come in. A function of connection and request that gives back
      the user, who is ``ws.user`` then, or a response; ``None`` is a 403, and what it raises a
      500. It may give back a :class:`~duplexer.policy.authentication.Grant`, and be a
      coroutine function where the front has coroutines. Or a
      :class:`~duplexer.policy.bearer.Bearer` or :class:`~duplexer.policy.basic.Basic`. It is
      asked when all the rest of the handshake is agreed to; never about plain HTTP.
    * ``subprotocols``, ``select_subprotocol(connection, offered)``: RFC 6455 1.9.
    * ``extensions``, ``compression``: ``"deflate"`` or ``None``.
    * ``process_request(connection, request)``: may give back a response instead of a
      WebSocket; ``process_response(connection, request, response)`` may change the one that
      goes out.
    * ``http``: what is served on the same port beside WebSockets (see the how-to).
    * ``server_header``, ``open_timeout``, ``ping_interval``, ``ping_timeout``,
      ``close_timeout``, ``max_size``, ``max_queue``, ``write_limit``: as in ``websockets``;
      ``limits`` has these bounds and all others.
    * ``heartbeat``: a :class:`~duplexer.core.heartbeat.Heartbeat`; ``keep_unacknowledged``: see
      ``unacknowledged``; ``send_queue``: a :class:`~duplexer.driver.sendqueue.SendQueue`;
      ``observer``: one :class:`~duplexer.driver.observing.Observer`, or several.
    * ``trusted_proxies``: whose headers are believed, networks or a
      :class:`~duplexer.policy.forwarded.TrustedProxies`; ``proxy_protocol``: networks from which
      the PROXY protocol is required.
    * ``ssl``: an :class:`ssl.SSLContext` for ``wss:``.
    * ``create_connection(server)`` makes connections; ``logger``: not ``duplexer.server``.

    A front adds how it listens, and arguments of its own.
    """

    #: Names of the front's own arguments.
    OWN_ARGUMENTS: ClassVar[frozenset[str]] = frozenset()
    #: Whether handlers and hooks are coroutine functions.
    IS_ASYNC: ClassVar[bool] = True

    def __init__(
        self,
        handler: Any,
        host: str | Sequence[str] | None = None,
        port: int | None = None,
        *,
        origins: str | Sequence[str | re.Pattern[str] | None] | None = SAME_HOST,
        allowed_hosts: Sequence[str] | None = None,
        authenticate: Any = None,
        extensions: Sequence[ServerExtensionFactory] | None = None,
        subprotocols: Sequence[str] | None = None,
        select_subprotocol: Callable[[Any, Sequence[str]], str | None] | None = None,
        compression: str | None = "deflate",
        process_request: Callable[..., Any] | None = None,
        process_response: Callable[..., Any] | None = None,
        http: Mapping[str, Any] | None = None,
        server_header: str | None = SERVER,
        limits: Limits | None = None,
        open_timeout: float | None = UNSET,
        ping_interval: float | None = UNSET,
        ping_timeout: float | None = UNSET,
        close_timeout: float | None = UNSET,
        max_size: int | tuple[int | None, int | None] | None = UNSET,
        max_queue: int | tuple[int | None, int | None] | None = UNSET,
        write_limit: int | tuple[int, int | None] = UNSET,
        heartbeat: Heartbeat | None = None,
        keep_unacknowledged: bool = False,
        send_queue: SendQueue | None = None,
        observer: Observer | Sequence[Observer] | None = None,
        trusted_proxies: TrustedProxies | Sequence[str] = (),
        proxy_protocol: Sequence[str] = (),
        ssl: ssl_module.SSLContext | None = None,
        logger: logging.Logger | logging.LoggerAdapter[Any] | None = None,
        create_connection: Callable[..., Any] | None = None,
        **own: Any,
    ) -> None:
        """See the class; nothing listens yet."""
        self.limits = limits_from(limits, **bounds_among(locals()))
        make_extensions = functools.partial(server_extensions, extensions, compression)
        self.serving = Serving(
            options=ServerOptions(
                subprotocols=subprotocols,
                origins=origins,
                allowed_hosts=allowed_hosts,
                extensions=make_extensions(self.limits),
                server_header=server_header,
            ),
            limits=self.limits,
            process_request=process_request,
            process_response=process_response,
            select_subprotocol=select_subprotocol,
            routes=None if http is None else Routes(http),
            staying=staying_from(heartbeat, keep_unacknowledged),
            send_queue=_checked_queue(send_queue, keep_unacknowledged),
            observer=observer_from(observer),
            **_identity(authenticate, trusted_proxies, proxy_protocol),
        )
        self._let_in(handler, make_extensions)
        self.where, self.context, self.own = (host, port), ssl, own
        self.logger, self.create_connection = logger or LOGGER, create_connection
        self._check_own()

    def _check_own(self) -> None:
        if "workers" in self.own:
            cure = f"duplexer.workers.run(serve(...), workers={self.own['workers']!r})"
            raise TypeError(f"serve() runs in one process; for several, with asyncio's: {cure}")
        check_arguments("serve", self.own, self.OWN_ARGUMENTS)
        self.take_own()

    def _let_in(
        self, handler: Any, extensions: Callable[[Limits], Sequence[ServerExtensionFactory]]
    ) -> None:
        # By routes, if there are some; and not before they have said who they are.
        self.handler = handler
        if isinstance(handler, Router):
            self.serving = routed(self.serving, handler, extensions, is_async=self.IS_ASYNC)
        places = [self.serving, *self.serving.places.values()]
        for place in places:
            check_ambience(place)
        if any(place.scheme is not None and place.scheme.takes_message for place in places):
            if isinstance(handler, type) or not callable(handler):
                raise TypeError("a token via message needs a handler that is a function")
            self.handler = admitted(handler, is_async=self.IS_ASYNC)

    def take_own(self) -> None:
        """Check ``own``, the front's own arguments."""


def _identity(
    authenticate: Any, proxies: TrustedProxies | Sequence[str], introducers: Sequence[str]
) -> dict[str, Any]:
    """Who says who somebody is."""
    if proxies and not isinstance(proxies, TrustedProxies):
        proxies = TrustedProxies(proxies)
    return {
        "scheme": scheme_from(authenticate),
        "trusted": proxies or None,
        "introducers": Networks(introducers) if introducers else None,
    }


def _checked_queue(send_queue: SendQueue | None, keep_unacknowledged: bool) -> SendQueue | None:
    if send_queue is not None:
        if not isinstance(send_queue, SendQueue):
            raise TypeError(f"send_queue must be a SendQueue, not {type(send_queue).__name__}")
        if keep_unacknowledged:
            raise ValueError("send_queue and keep_unacknowledged exclude each other: choose one")
    return send_queue


def routed(
    serving: Serving,
    router: Router,
    extensions: Callable[[Limits], Sequence[ServerExtensionFactory]],
    *,
    is_async: bool,
) -> Serving:
    """``serving`` where each route of ``router`` has what is its own."""
    router.seal()
    places: dict[Route, Serving] = {}
    for route in router:
        if inspect.iscoroutinefunction(route.handler) and not is_async:
            raise TypeError(f"the handler of {route} must be a function, not an async one")
        given = dict(route.given)
        changes: dict[str, Any] = {}
        if "authenticate" in given:
            changes["scheme"] = scheme_from(given.pop("authenticate"))
        if "select_subprotocol" in given:
            changes["select_subprotocol"] = given.pop("select_subprotocol")
        options = given  # origins and subprotocols
        if route.limits is not None:
            changes["limits"] = route.limits
            options["extensions"] = extensions(route.limits)
        try:
            changed = dataclasses.replace(serving.options, **options)
        except (TypeError, ValueError) as exc:
            exc.add_note(f"This is about {route}.")
            raise
        places[route] = dataclasses.replace(serving, options=changed, **changes)
    return dataclasses.replace(serving, router=router, places=places)


#: Pages that nobody means to let in: of a name that nobody can have (RFC 6761), and of a sandboxed
#: frame, which any page can have.
_STRANGERS = ("https://a.invalid", "http://a.invalid", "https://a.invalid:8443", "null")


def check_ambience(place: Serving) -> None:
    """Refuse to let pages of any site act as their visitors: ``ValueError``."""
    scheme: Scheme | None = place.scheme
    if scheme is None or not scheme.is_ambient:
        return
    for page in _STRANGERS:
        with contextlib.suppress(InvalidOrigin):
            check_origin(page, None, place.options.origins, secure=False)
            raise ValueError(
                "browsers send cookies and passwords along for pages of any site: with tokens in "
                "cookies or with Basic, origins= must name the sites whose pages may connect, and "
                f"not let in {page}"
            )
