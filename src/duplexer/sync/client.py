"""A client that blocks: ``connect`` and ``unix_connect``."""

from __future__ import annotations

import os
import queue
import selectors
import socket
import threading
from math import inf
from time import monotonic
from typing import TYPE_CHECKING, Any

from duplexer.driver.base import ConnectionBase
from duplexer.driver.connecting import ConnectBase, process_exception, unix_uri
from duplexer.driver.dial import new_client
from duplexer.driver.reaching import Await, Begin, reach
from duplexer.driver.retry import connect_retrying_blocking, iterate_blocking
from duplexer.driver.steps import Connect, Disconnect, Resolve, Shake, StartTls
from duplexer.driver.tls import TlsLayer
from duplexer.driver.turns import Bell
from duplexer.sync.connection import Connection
from duplexer.sync.exchange import Exchange, time_left
from duplexer.sync.wire import FOREVER, Wire

if TYPE_CHECKING:
    from collections.abc import Iterator

    from duplexer.driver.opening import Opening

__all__ = [
    "ClientConnection",
    "connect",
    "process_exception",
    "reconnect",
    "unix_connect",
    "unix_reconnect",
]


class ClientConnection(Connection):
    """A connection to a server."""


class _Dialler(Exchange):
    """The steps of the way to a server, for connections of ``base``."""

    def __init__(self, base: connect, opening: Opening, until: float) -> None:
        super().__init__(None, base.limits, until)
        self._base = base
        self._opening = opening
        self._bell: Bell | None = None  # once somebody stands in line
        self._trying: selectors.BaseSelector
        self._outcomes: list[tuple[Any, OSError | None]] = []

    def do(self, step: Any) -> Any:
        """See :class:`Exchange`. After a failure, ``drop()``."""
        if isinstance(step, Connect):
            self.wire = Wire(self._connect(step))
        elif isinstance(step, StartTls):
            self.secure(TlsLayer(step.context, step.server_hostname))
        elif isinstance(step, Shake):
            steps = new_client(self._base, ClientConnection, self.wire, step.handshake)
            connection, agreement, rest = self.run(steps)
            connection.established(agreement, rest)
            return connection
        elif isinstance(step, Disconnect):
            self.drop()
        elif isinstance(step, Begin):
            self._begin(step.sock, step.address)
        elif isinstance(step, Await):
            return self._await(step)
        elif isinstance(step, Resolve):
            return self._resolve(step)
        else:
            return super().do(step)
        return None

    def drop(self) -> None:
        """Close what there is."""
        if self.wire is not None:
            self.wire.sock.close()

    def _left(self) -> float:
        return time_left(self.until, "timed out while connecting")

    # -- connecting ------------------------------------------------------------------------------

    def _connect(self, step: Connect) -> socket.socket:
        with selectors.DefaultSelector() as self._trying:
            try:
                steps = reach(self._opening, step, monotonic, self._ring)
                return self.run(steps)  # type: ignore[no-any-return]
            finally:
                for key in list(self._trying.get_map().values()):
                    if key.data is None:
                        key.fileobj.close()  # type: ignore[union-attr]
                if self._bell is not None:
                    self._bell.close()
                    self._bell = None

    def _begin(self, sock: socket.socket, address: Any) -> None:
        if isinstance(address, str):  # a Unix socket, whose queue may be full: no selector tells
            sock.settimeout(self._left())
        try:
            sock.connect(address)
        except BlockingIOError:
            self._trying.register(sock, selectors.EVENT_WRITE)
        except OSError as exc:
            if exc.errno is None:
                raise  # out of time
            self._outcomes.append((sock, exc))
        else:
            self._outcomes.append((sock, None))

    def _await(self, step: Await) -> list[tuple[Any, OSError | None]]:
        if step.in_line and self._bell is None:
            self._bell = Bell()
            self._trying.register(self._bell.ear, selectors.EVENT_READ, self._bell)
        elif not self._outcomes:
            since = monotonic()
            left = FOREVER if step.is_idle else self._left()
            timeout = left if step.timeout is None else min(left, step.timeout)
            for key, _ in self._trying.select(timeout):
                self._settle(key)
            if step.is_idle:
                self.until += monotonic() - since  # the time is for connecting, not for standing
        outcomes, self._outcomes = self._outcomes, []
        return outcomes

    def _settle(self, key: selectors.SelectorKey) -> None:
        if key.data is not None:
            key.data.hush()
            return
        sock: Any = key.fileobj
        self._trying.unregister(sock)
        number = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        self._outcomes.append((sock, OSError(number, os.strerror(number)) if number else None))

    def _ring(self) -> None:
        bell = self._bell
        if bell is not None:  # otherwise nobody has begun to listen, and looks first
            bell.ring()

    def _resolve(self, step: Resolve) -> Any:
        # The resolver knows neither of deadlines nor of Ctrl-C: it has a thread to itself.
        answers: queue.SimpleQueue[Any] = queue.SimpleQueue()

        def ask() -> None:
            try:
                kind = socket.SOCK_STREAM
                answers.put(socket.getaddrinfo(step.host, step.port, step.family, kind))
            except Exception as exc:  # noqa: BLE001 - raised where somebody waits for it
                answers.put(exc)

        threading.Thread(target=ask, name="duplexer-resolver", daemon=True).start()
        try:
            answer = answers.get(timeout=self._left())
        except queue.Empty:
            raise TimeoutError(f"the address of {step.host} was not found in time") from None
        if isinstance(answer, Exception):
            raise answer
        return answer


class connect(ConnectBase):  # noqa: N801 - a verb, as in ``websockets``
    """Connect to a WebSocket server: a context manager.

    ::

        with connect("wss://example.com/") as ws:
            ...

        ws = connect("wss://example.com/").open()

    Iterating yields one connection after another: it reconnects with a growing random delay
    (RFC 6455 7.2.3) until ``retry`` or ``process_exception`` says that an error is final.

    The arguments are those of :class:`~duplexer.driver.connecting.ConnectBase`; beside them
    ``legacy=True`` connects at once, and gives the connection itself: the older way of
    ``websockets``.
    """

    OWN_ARGUMENTS = frozenset({"legacy"})

    def __new__(cls, *args: Any, legacy: bool | None = None, **kwargs: Any) -> Any:
        """See the class."""
        return cls(*args, **kwargs).open() if legacy else super().__new__(cls)

    def __getattr__(self, name: str) -> Any:
        # Only for what is not here: it may be meant for the connection.
        if hasattr(Connection, name) or name in ConnectionBase.__annotations__:
            raise AttributeError(
                f"connect() has no {name!r}, for it has not connected yet: write "
                "'with connect(...) as ws:' or 'ws = connect(...).open()'; "
                "connect(..., legacy=True) connects at once"
            )
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def open(self) -> ClientConnection:
        """Connect; closing the connection is the caller's business."""
        if self.retry is None:
            return self.open_once()
        connection: ClientConnection = connect_retrying_blocking(self)
        return connection

    def open_once(self) -> ClientConnection:
        """The same, without trying again."""
        opening = self.new_opening()
        timeout = self.limits.open_timeout
        dialler = _Dialler(self, opening, inf if timeout is None else monotonic() + timeout)
        try:
            return dialler.run(opening.run())  # type: ignore[no-any-return]
        except TimeoutError as exc:
            dialler.drop()
            if monotonic() < dialler.until:
                raise
            raise TimeoutError("timed out during opening handshake") from exc
        except BaseException:
            dialler.drop()
            raise

    def __enter__(self) -> ClientConnection:
        with self.entering():
            self._connection = self.open()
        return self._connection

    def __exit__(self, exc_type: object, exc: object, tb: object) -> None:
        self.left()
        self._connection.__exit__(exc_type, exc, tb)

    def __iter__(self) -> Iterator[ClientConnection]:
        return iterate_blocking(self)


def unix_connect(path: str | None = None, uri: str | None = None, **kwargs: Any) -> connect:
    """Connect to the server on the Unix socket at ``path``; otherwise as :class:`connect`."""
    return connect(unix_uri(uri, kwargs), path=path, **kwargs)  # type: ignore[no-any-return]


#: ``websockets`` has these names for connectors that are not ``legacy``.
reconnect, unix_reconnect = connect, unix_connect
