"""What ``connect`` of every front has in common: its arguments, and what follows from them."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import logging
import ssl as ssl_module
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Self

from duplexer.core.staying import Staying
from duplexer.dialects.rfc6455 import RFC6455
from duplexer.driver.opening import Opening
from duplexer.driver.options import (
    UNSET,
    bounds_among,
    check_arguments,
    check_redirects,
    client_extensions,
    limits_from,
    staying_from,
)
from duplexer.driver.retry import Retry, Retrying
from duplexer.driver.tls import default_context
from duplexer.errors import InvalidMessage, InvalidStatus
from duplexer.handshake.client import ClientHandshake
from duplexer.http.messages import USER_AGENT
from duplexer.http.uri import parse_uri

if TYPE_CHECKING:
    import os
    import socket
    from collections.abc import Callable, Iterator, Sequence
    from http.cookiejar import CookieJar

    from duplexer.core.extension import ClientExtensionFactory
    from duplexer.core.heartbeat import Heartbeat
    from duplexer.driver.retry import Dial
    from duplexer.http.headers import HeadersLike
    from duplexer.http.uri import URI
    from duplexer.limits import Limits

__all__ = ["ConnectBase", "Where", "process_exception", "unix_uri"]


def process_exception(exc: Exception) -> Exception | None:
    """Whether iterating over ``connect(...)`` tries again after ``exc``: ``None`` says yes.

    It does for errors of the network and for 500, 502, 503 and 504. ``Retry`` has a wider idea of
    what may pass, :func:`~duplexer.driver.retry.is_fatal`.
    """
    if isinstance(exc, (OSError, EOFError)) and not isinstance(
        exc, ssl_module.SSLCertVerificationError
    ):
        return None
    if isinstance(exc, InvalidMessage) and isinstance(exc.__cause__, EOFError):
        return None
    if isinstance(exc, InvalidStatus) and exc.response.status_code in (500, 502, 503, 504):
        return None
    return exc


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Where:
    """Where the byte stream goes, as far as the address does not say it."""

    sock: socket.socket | None = None  #: a connected socket to use
    path: str | os.PathLike[str] | None = None  #: of a Unix socket
    host: str | None = None  #: in place of the address's host, for TCP alone
    port: int | None = None  #: ... and of its port
    family: int = 0  #: ``socket.AF_INET`` or ``AF_INET6``; 0 for both
    local_addr: tuple[str, int] | None = None  #: to connect from

    def __post_init__(self) -> None:
        given = [name for name in ("sock", "path") if getattr(self, name) is not None]
        if self.host is not None or self.port is not None:
            given.append("host and port")
        if len(given) > 1:
            raise ValueError(f"{' and '.join(given)} cannot be given together")

    @property
    def is_direct(self) -> bool:
        """Whether there is no question of a proxy."""
        return self.sock is not None or self.path is not None


#: Arguments that the handshake takes as they are.
_REQUEST = ("origin", "subprotocols", "user_agent_header")


class ConnectBase:
    """Connect to a WebSocket server.

    See ``__init__`` for the arguments. A front adds how it dials, and arguments of its own.
    """

    #: Names of the front's own arguments.
    OWN_ARGUMENTS: ClassVar[frozenset[str]] = frozenset()

    def __init__(
        self,
        uri: str,
        *,
        origin: str | None = None,
        extensions: Sequence[ClientExtensionFactory] | None = None,
        subprotocols: Sequence[str] | None = None,
        compression: str | None = "deflate",
        additional_headers: HeadersLike | None = None,
        user_agent_header: str | None = USER_AGENT,
        auth: Any = None,
        cookies: CookieJar | None = None,
        redirects: int = 0,
        proxy: str | Sequence[str] | bool | None = True,
        retry: Retry | bool | None = None,
        process_exception: Callable[[Exception], Exception | None] = process_exception,
        reconnect_delays: Callable[[], Iterator[float]] | None = None,
        heartbeat: Heartbeat | None = None,
        keep_unacknowledged: bool = False,
        limits: Limits | None = None,
        open_timeout: float | None = UNSET,
        ping_interval: float | None = UNSET,
        ping_timeout: float | None = UNSET,
        close_timeout: float | None = UNSET,
        max_size: int | tuple[int | None, int | None] | None = UNSET,
        max_queue: int | tuple[int | None, int | None] | None = UNSET,
        write_limit: int | tuple[int, int | None] = UNSET,
        ssl: ssl_module.SSLContext | bool | None = None,
        server_hostname: str | None = None,
        proxy_ssl: ssl_module.SSLContext | None = None,
        proxy_server_hostname: str | None = None,
        sock: socket.socket | None = None,
        host: str | None = None,
        port: int | None = None,
        path: str | os.PathLike[str] | None = None,
        family: int = 0,
        local_addr: tuple[str, int] | None = None,
        logger: logging.Logger | logging.LoggerAdapter[Any] | None = None,
        create_connection: Callable[..., Any] | None = None,
        **own: Any,
    ) -> None:
        """Check the arguments; nothing is sent yet.

        What the request says:

        * ``uri``: ``ws://host:port/path?query`` or ``wss://...``, with ``user:password@`` before
          the host for Basic authentication.
        * ``origin``, ``subprotocols``, ``extensions``, ``compression`` (``"deflate"`` or
          ``None``), ``additional_headers``, ``user_agent_header`` (``None`` sends none).
        * ``auth``: the answer to a 401: ``(user, password)`` for Basic and Digest, a ``str`` for
          Bearer, or a function of the challenges that gives one of these, or ``None``.
        * ``cookies``: an :class:`http.cookiejar.CookieJar`: cookies are sent from it, and kept in
          it. ``ws`` counts as ``http``, ``wss`` as ``https``.
        * ``redirects``: how many to follow; by default none.

        Where it goes:

        * ``proxy``: ``True`` for the system's, the URL of one, a list of several that are reached
          one through the other, ``pac+https://...`` for a file that chooses, or ``None``.
        * ``host``, ``port``: connect TCP to these; ``Host`` and TLS keep to the address.
        * ``sock``: a connected socket; it is ours from now on. ``path``: that of a Unix socket.
        * ``family``, ``local_addr``: for TCP.
        * ``ssl``: an :class:`ssl.SSLContext` for ``wss:``; by default one that trusts whom the
          system trusts. ``server_hostname``: the name to ask for and to check, by default the
          host of the address. ``proxy_ssl``, ``proxy_server_hostname``: the same for a proxy.

        Bounds: ``open_timeout``, ``ping_interval``, ``ping_timeout``, ``close_timeout`` (seconds),
        ``max_size`` (bytes of a message), ``max_queue`` (messages), ``write_limit`` (bytes);
        ``limits`` has these and all others.

        How it stays connected:

        * ``retry``: a :class:`~duplexer.driver.retry.Retry`, or ``True`` for one with its defaults:
          connecting is tried again; without it only iterating does that. ``retrying`` tells how it
          is going.
        * ``process_exception``, ``reconnect_delays``: as in ``websockets``: which errors end it,
          and a function that gives an iterator of delays.
        * ``heartbeat``: a :class:`~duplexer.core.heartbeat.Heartbeat`.
        * ``keep_unacknowledged``: keep copies of what was sent until a Pong shows that it arrived,
          for ``unacknowledged`` and ``undelivered`` of connections.

        ``create_connection`` makes connections of your own class; ``logger`` is used in place of
        ``duplexer.client``.

        Connecting raises :exc:`~duplexer.errors.InvalidHandshake` (above all
        :exc:`~duplexer.errors.InvalidStatus`), :exc:`~duplexer.errors.InvalidProxy`,
        :exc:`OSError` or :exc:`TimeoutError`; wrong arguments raise
        :exc:`~duplexer.errors.InvalidURI`, :exc:`TypeError` or :exc:`ValueError` here.
        """
        given = locals()
        check_arguments("connect", own, self.OWN_ARGUMENTS)
        self.uri = parse_uri(uri)
        self.limits = limits_from(limits, **bounds_among(given))
        self.where = Where(**{name: given[name] for name in Where.__slots__})
        self.context = _client_context(self.uri, ssl)
        self.server_hostname, self.proxy = server_hostname, proxy
        self.proxy_context, self.proxy_hostname = proxy_ssl, proxy_server_hostname
        self.auth, self.cookies = auth, cookies
        self.redirects = check_redirects(redirects)
        self.process_exception = process_exception
        self.logger = logger or logging.getLogger("duplexer.client")
        self.create_connection, self.own = create_connection, own
        self.additional_headers = additional_headers
        self._request = {name: given[name] for name in _REQUEST}
        self._request["extensions"] = client_extensions(extensions, compression, self.limits)
        self.new_opening().handshake()  # raises for arguments that do not fit
        self._arrange_staying({name: given[name] for name in given if name != "self"})
        self.take_own()

    _entered = False

    @contextlib.contextmanager
    def entering(self) -> Iterator[None]:
        """A ``with`` block begins by what is done meanwhile; ``left()`` says that it has ended.

        There is one at a time: its end has to know which connection to close.
        """
        if self._entered:
            raise RuntimeError(
                "this connect(...) is in use by another with block; give each one of its own"
            )
        self._entered = True
        try:
            yield
        except BaseException:
            self._entered = False
            raise

    def left(self) -> None:
        """See ``entering``."""
        self._entered = False

    def take_own(self) -> None:
        """Check ``own``, the front's own arguments."""

    @property
    def is_single(self) -> bool:
        """Whether the byte stream is the user's: good for one attempt."""
        return self.where.sock is not None

    @staticmethod
    def clock() -> float:
        """The time in seconds, as the front counts it."""
        return time.monotonic()

    def new_opening(self) -> Opening:
        """For one connection: what to send, and what to make of refusals."""
        return Opening(self)

    def new_handshake(self, uri: URI, headers: HeadersLike | None) -> ClientHandshake:
        """The handshake for one attempt at ``uri``, with ``headers`` beside its own."""
        return ClientHandshake(uri, dialect=RFC6455, additional_headers=headers, **self._request)

    def proxy_tls(self) -> ssl_module.SSLContext:
        """For TLS to a proxy."""
        return self.proxy_context or default_context()

    def _arrange_staying(self, given: dict[str, Any]) -> None:
        self._given = {name: given[name] for name in given if name != "own"} | given["own"]
        self.staying = staying_from(given["heartbeat"], given["keep_unacknowledged"])
        self.retry = retry_from(given["retry"], given["reconnect_delays"])
        if self.retry is not None and self.where.sock is not None:
            raise ValueError("sock= is good for one connection, and retry= may need more")
        #: the state of connecting again and again: of the use that began last, if there are several
        self.retrying = self._new_retrying()
        self._unused = [self.retrying]  # by whoever uses it first, in whatever thread

    def _new_retrying(self) -> Retrying:
        # What websockets' argument says goes before what Retry thinks, if it was given at all.
        asks_retry = self.retry is not None and self.process_exception is process_exception
        return Retrying(
            self.retry or Retry(delays=self._given["reconnect_delays"]),
            self.logger,
            limits=self.limits,
            process_exception=None if asks_retry else self.process_exception,
            clock=self.clock,
        )

    def begin_retrying(self) -> Retrying:
        """The state of one use: of each ``await``, ``with`` block or iteration its own."""
        try:
            retrying = self._unused.pop()
        except IndexError:
            retrying = self.retrying = self._new_retrying()
        return retrying

    def varied(self, dial: Dial) -> Self:
        """The same for one attempt: with what ``Retry.before`` has changed, and its lifetime."""
        changes = dial.changes
        if isinstance(changes, str):
            changes = {"uri": changes}
        if changes is not None and not isinstance(changes, Mapping):
            kind = type(changes).__name__
            raise TypeError(f"Retry.before must give back None, a URI or a mapping, not {kind}")
        other = type(self)(**(self._given | dict(changes))) if changes else copy.copy(self)
        if dial.lifetime is not None:
            other.staying = dataclasses.replace(other.staying or Staying(), lifetime=dial.lifetime)
        return other


def retry_from(
    retry: Retry | bool | None, reconnect_delays: Callable[[], Iterator[float]] | None
) -> Retry | None:
    """The ``Retry`` that was asked for, if any."""
    if retry is None or retry is False:
        return None
    if retry is True:
        retry = Retry()
    if not isinstance(retry, Retry):
        raise TypeError(f"retry must be a Retry, True or None, not {type(retry).__name__}")
    return retry if reconnect_delays is None else retry.replace(delays=reconnect_delays)


def unix_uri(uri: str | None, given: Mapping[str, Any]) -> str:
    """The address for ``unix_connect``, unless the user has said: it is only for the request."""
    if uri is not None:
        return uri
    return "ws://localhost/" if given.get("ssl") is None else "wss://localhost/"


def _client_context(
    uri: URI, given: ssl_module.SSLContext | bool | None
) -> ssl_module.SSLContext | None:
    if not uri.secure:
        if given:
            raise ValueError("ssl is given, but the URI is ws:; use wss:")
        return None
    if given is False:
        raise ValueError("ssl=False, but the URI is wss:; use ws:")
    if given is None or given is True:
        return default_context()
    return given
