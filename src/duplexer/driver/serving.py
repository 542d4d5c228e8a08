"""What ``serve`` of every front has in common: its arguments, and what follows from them."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, ClassVar

from duplexer.carriers.routes import Routes
from duplexer.driver.accept import Serving
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
from duplexer.handshake.server import SAME_HOST, ServerOptions
from duplexer.http.messages import SERVER

if TYPE_CHECKING:
    import re
    import ssl as ssl_module
    from collections.abc import Callable, Mapping, Sequence

    from duplexer.core.extension import ServerExtensionFactory
    from duplexer.core.heartbeat import Heartbeat
    from duplexer.limits import Limits

__all__ = ["ServeBase"]


class ServeBase:
    """Serve WebSockets.

    See ``__init__`` for the arguments. A front adds how it listens, and arguments of its own.
    """

    #: Names of the front's own arguments.
    OWN_ARGUMENTS: ClassVar[frozenset[str]] = frozenset()

    def __init__(
        self,
        handler: Any,
        host: str | Sequence[str] | None = None,
        port: int | None = None,
        *,
        origins: str | Sequence[str | re.Pattern[str] | None] | None = SAME_HOST,
        allowed_hosts: Sequence[str] | None = None,
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
        ssl: ssl_module.SSLContext | None = None,
        logger: logging.Logger | logging.LoggerAdapter[Any] | None = None,
        create_connection: Callable[..., Any] | None = None,
        **own: Any,
    ) -> None:
        """Check the arguments; nothing listens yet.

        ``handler`` is called with each connection; when it returns the connection is closed with
        1000, when it raises with 1011.

        * ``origins``: whose pages may connect. By default those of the same host, and clients that
          send no Origin; a list of origins, patterns and ``None``; ``None`` for anybody.
        * ``allowed_hosts``: names that a request may ask for (DNS rebinding); by default any.
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
        * ``ssl``: an :class:`ssl.SSLContext` for ``wss:``.
        * ``create_connection(server)`` makes connections; ``logger``: not ``duplexer.server``.
        """
        given = locals()
        check_arguments("serve", own, self.OWN_ARGUMENTS)
        self.limits = limits_from(limits, **bounds_among(given))
        options = ServerOptions(
            subprotocols=subprotocols,
            origins=origins,
            allowed_hosts=allowed_hosts,
            extensions=server_extensions(extensions, compression, self.limits),
            server_header=server_header,
        )
        self.serving = Serving(
            options=options,
            limits=self.limits,
            process_request=process_request,
            process_response=process_response,
            select_subprotocol=select_subprotocol,
            routes=None if http is None else Routes(http),
            staying=staying_from(heartbeat, keep_unacknowledged),
            send_queue=_checked_queue(send_queue, keep_unacknowledged),
            observer=observer_from(observer),
        )
        self.handler, self.where = handler, (host, port)
        self.context = ssl
        self.logger = logger or logging.getLogger("duplexer.server")
        self.create_connection = create_connection
        self.own = own
        self.take_own()

    def take_own(self) -> None:
        """Check ``own``, the front's own arguments."""


def _checked_queue(send_queue: SendQueue | None, keep_unacknowledged: bool) -> SendQueue | None:
    if send_queue is not None:
        if not isinstance(send_queue, SendQueue):
            raise TypeError(f"send_queue must be a SendQueue, not {type(send_queue).__name__}")
        if keep_unacknowledged:
            raise ValueError("send_queue and keep_unacknowledged exclude each other: choose one")
    return send_queue
