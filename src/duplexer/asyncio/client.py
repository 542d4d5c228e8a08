"""A client under asyncio: ``connect`` and ``unix_connect``."""

from __future__ import annotations

import asyncio
import logging
import ssl as ssl_module
from typing import TYPE_CHECKING, Any

import aiofastnet

from duplexer.asyncio.connection import Connection, Listener, check_listener
from duplexer.asyncio.tunnel import dial_through
from duplexer.dialects.rfc6455 import RFC6455
from duplexer.driver.backoff import backoff
from duplexer.driver.dial import open_client
from duplexer.driver.options import UNSET, check_arguments, client_extensions, limits_from
from duplexer.errors import InvalidStatus
from duplexer.handshake.client import ClientHandshake
from duplexer.http.messages import USER_AGENT
from duplexer.http.uri import parse_uri
from duplexer.proxies.system import system_proxy

if TYPE_CHECKING:
    import socket
    from collections.abc import AsyncIterator, Callable, Generator, Mapping, Sequence

    from duplexer.core.extension import ClientExtensionFactory
    from duplexer.driver.steps import Steps
    from duplexer.limits import Limits

__all__ = ["ClientConnection", "connect", "process_exception", "unix_connect"]


#: What ``loop.create_connection`` and ``loop.create_unix_connection`` take beside what is ours.
_CLIENT_ARGUMENTS = frozenset(
    {
        "path",
        "host",
        "port",
        "family",
        "proto",
        "flags",
        "local_addr",
        "happy_eyeballs_delay",
        "interleave",
        "all_errors",
        "ssl_handshake_timeout",
        "ssl_shutdown_timeout",
    }
)


class ClientConnection(Connection):
    """A connection to a server."""

    __slots__ = ("_handshake", "_waiter")

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        handshake: ClientHandshake,
        limits: Limits,
        logger: logging.Logger | logging.LoggerAdapter[Any],
    ) -> None:
        super().__init__(loop, limits, logger)
        self._handshake = handshake
        self._waiter: asyncio.Future[None] = loop.create_future()

    def opening_steps(self) -> Steps:
        """See :class:`~duplexer.asyncio.connection.Connection`."""
        return open_client(self, self._handshake, self.limits)

    def opened(self) -> None:
        """The handshake is done."""
        if self.listener is not None:
            self.listen(self.listener)
        if not self._waiter.done():
            self._waiter.set_result(None)

    def opening_failed(self, exc: BaseException) -> None:
        """The handshake has failed."""
        if not self._waiter.done():
            self._waiter.set_exception(exc)
        if not self.lost:
            self.transport.abort()

    async def wait_open(self) -> None:
        """Wait for the end of the handshake; raises what it failed by."""
        try:
            await self._waiter
        except BaseException:
            self.steps = None
            self.transport.abort()
            raise


def process_exception(exc: Exception) -> Exception | None:
    """Whether ``async for ws in connect(...)`` tries again after ``exc``: ``None`` says yes.

    It does for errors of the network and for 500, 502, 503 and 504.
    """
    if isinstance(exc, (OSError, EOFError)) and not isinstance(
        exc, ssl_module.SSLCertVerificationError
    ):
        return None
    if isinstance(exc, InvalidStatus) and exc.response.status_code in (500, 502, 503, 504):
        return None
    return exc


class connect:  # noqa: N801 - a verb, as in ``websockets``
    """Connect to a WebSocket server: await it, use it as an async context manager, or iterate it.

    Iterating yields one connection after another: it reconnects with a growing random delay
    (RFC 6455 7.2.3) until ``process_exception`` says that an error is final.

    * ``origin``, ``subprotocols``, ``extensions``, ``compression``, ``additional_headers``,
      ``user_agent_header``: what the request says.
    * ``proxy``: ``True`` for the system's (environment), an ``http://`` or, with the extra
      ``socks``, a ``socks5h://`` URL, or ``None``.
    * ``ssl``, ``server_hostname``: for ``wss:``; by default the system's trust store.
    * ``open_timeout``, ``ping_interval``, ``ping_timeout``, ``close_timeout``, ``max_size``,
      ``max_queue``, ``write_limit``, ``limits``: bounds, as for ``serve``.
    * ``listener``: a :class:`Listener`, or its class, that is called with what comes.
    * ``create_connection`` makes connections of your own class; the rest goes to
      ``loop.create_connection`` (``sock``, ``host``, ``port``, ``family``, ``local_addr``, ...).

    Raises :exc:`~duplexer.errors.InvalidURI`, :exc:`~duplexer.errors.InvalidHandshake`,
    :exc:`OSError` or :exc:`TimeoutError`.
    """

    def __init__(
        self,
        uri: str,
        *,
        origin: str | None = None,
        extensions: Sequence[ClientExtensionFactory] | None = None,
        subprotocols: Sequence[str] | None = None,
        compression: str | None = "deflate",
        additional_headers: Mapping[str, str] | Sequence[tuple[str, str]] | None = None,
        user_agent_header: str | None = USER_AGENT,
        proxy: str | bool | None = True,
        process_exception: Callable[[Exception], Exception | None] = process_exception,
        limits: Limits | None = None,
        open_timeout: float | None = UNSET,
        ping_interval: float | None = UNSET,
        ping_timeout: float | None = UNSET,
        close_timeout: float | None = UNSET,
        max_size: int | tuple[int | None, int | None] | None = UNSET,
        max_queue: int | tuple[int | None, int | None] | None = UNSET,
        write_limit: int | tuple[int, int | None] = UNSET,
        ssl: ssl_module.SSLContext | None = None,
        server_hostname: str | None = None,
        sock: socket.socket | None = None,
        logger: logging.Logger | logging.LoggerAdapter[Any] | None = None,
        listener: Listener | type[Listener] | None = None,
        create_connection: Callable[..., ClientConnection] | None = None,
        **kwargs: Any,
    ) -> None:
        check_arguments("connect", kwargs, _CLIENT_ARGUMENTS)
        self.uri = parse_uri(uri)
        self.limits = limits_from(
            limits, open_timeout=open_timeout, ping_interval=ping_interval,
            ping_timeout=ping_timeout, close_timeout=close_timeout, max_size=max_size,
            max_queue=max_queue, write_limit=write_limit
        )  # fmt: skip
        if not self.uri.secure and ssl is not None:
            raise ValueError("ssl is given, but the URI is ws:; use wss:")
        self.context = ssl
        if self.uri.secure and ssl is None:
            self.context = ssl_module.create_default_context()
        self.server_hostname = server_hostname or self.uri.host
        self.proxy = proxy
        self.sock = sock
        self.process_exception = process_exception
        self.logger = logger or logging.getLogger("duplexer.client")
        self.listener = None if listener is None else check_listener(listener)
        self.make_connection = create_connection or ClientConnection
        self._handshake_kwargs: dict[str, Any] = {
            "dialect": RFC6455,
            "origin": origin,
            "subprotocols": subprotocols,
            "extensions": client_extensions(extensions, compression, self.limits),
            "additional_headers": additional_headers,
            "user_agent_header": user_agent_header,
        }
        self._new_handshake()  # raises for arguments that do not fit
        self._kwargs = kwargs

    def _new_handshake(self) -> ClientHandshake:
        return ClientHandshake(self.uri, **self._handshake_kwargs)

    # -- dialling --------------------------------------------------------------------------------

    async def _connect(self) -> ClientConnection:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self.limits.open_timeout):
                connection = self.make_connection(
                    loop, self._new_handshake(), self.limits, self.logger
                )
                connection.listener = self.listener
                await self._dial(loop, connection)
                await connection.wait_open()
        except TimeoutError as exc:
            raise TimeoutError("timed out during opening handshake") from exc
        return connection

    async def _dial(self, loop: asyncio.AbstractEventLoop, connection: ClientConnection) -> None:
        kwargs = dict(self._kwargs)
        if self.context is not None:
            kwargs["ssl"] = self.context
            kwargs["server_hostname"] = self.server_hostname
            kwargs["ssl_handshake_timeout"] = self.limits.open_timeout
            kwargs.setdefault("ssl_shutdown_timeout", self.limits.close_timeout)
        if "path" in kwargs:
            await aiofastnet.create_unix_connection(loop, lambda: connection, **kwargs)
            return
        proxy = self._find_proxy() if self.sock is None else None
        if proxy is not None:
            await dial_through(loop, proxy, self.uri, connection, self.limits, kwargs)
        elif self.sock is not None:
            await aiofastnet.create_connection(loop, lambda: connection, sock=self.sock, **kwargs)
        else:
            host = kwargs.pop("host", self.uri.host)
            port = kwargs.pop("port", self.uri.port)
            if "family" not in kwargs and "local_addr" not in kwargs:
                kwargs.setdefault("happy_eyeballs_delay", 0.25)  # RFC 8305 5
            await aiofastnet.create_connection(loop, lambda: connection, host, port, **kwargs)

    def _find_proxy(self) -> str | None:
        if self.proxy is True:
            return system_proxy(self.uri)
        if self.proxy is False:
            return None
        return self.proxy

    def __await__(self) -> Generator[Any, None, ClientConnection]:
        return self._connect().__await__()

    async def __aenter__(self) -> ClientConnection:
        self._connection = await self._connect()
        return self._connection

    async def __aexit__(self, exc_type: object, exc: object, tb: object) -> None:
        await self._connection.__aexit__(exc_type, exc, tb)

    async def __aiter__(self) -> AsyncIterator[ClientConnection]:
        delays = backoff()
        while True:
            try:
                connection = await self._connect()
            except Exception as exc:
                final = self.process_exception(exc)
                if final is exc:
                    raise
                if final is not None:
                    raise final from exc
                delay = next(delays)
                self.logger.info("connect failed; trying again in %.1f s: %s", delay, exc)
                await asyncio.sleep(delay)
                continue
            delays = backoff()
            try:
                yield connection
            finally:
                await connection.close()


def unix_connect(path: str | None = None, uri: str | None = None, **kwargs: Any) -> connect:
    """Connect to the server on the Unix socket at ``path``; otherwise as :class:`connect`."""
    if uri is None:
        uri = "ws://localhost/" if kwargs.get("ssl") is None else "wss://localhost/"
    return connect(uri, path=path, **kwargs)
