"""A client that blocks: ``connect`` and ``unix_connect``."""

from __future__ import annotations

import errno
import os
import queue
import selectors
import socket
import ssl
import threading
from contextlib import closing
from math import inf
from time import monotonic
from typing import TYPE_CHECKING, Any, cast

from duplexer.driver.base import ConnectionBase
from duplexer.driver.connecting import ConnectBase, Where, process_exception
from duplexer.driver.dial import open_client
from duplexer.driver.eyeballs import Candidate, Race, candidates, literal
from duplexer.driver.retry import connect_retrying_blocking, iterate_blocking
from duplexer.driver.steps import Connect, Disconnect, Resolve, StartTls
from duplexer.driver.tls import TlsLayer
from duplexer.driver.turns import Line
from duplexer.errors import InvalidStatus
from duplexer.sync.connection import Connection
from duplexer.sync.exchange import Exchange
from duplexer.sync.wire import FOREVER, Wire

if TYPE_CHECKING:
    import logging
    from collections.abc import Iterator

    from duplexer.driver.opening import Opening
    from duplexer.driver.turns import Turn
    from duplexer.limits import Limits

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

    def __init__(
        self,
        wire: Wire,
        limits: Limits,
        logger: logging.Logger | logging.LoggerAdapter[Any],
    ) -> None:
        super().__init__(wire, limits, logger, server=False)


class _Dialler(Exchange):
    """The steps of the way to a server."""

    def __init__(self, opening: Opening, until: float) -> None:
        super().__init__(None, opening.base.limits, until)
        self._opening = opening

    def do(self, step: Any) -> Any:
        """See :class:`Exchange`."""
        if isinstance(step, Connect):
            self.wire = Wire(self._connect(step))
        elif isinstance(step, StartTls):
            self.secure(TlsLayer(step.context, step.server_hostname))
        elif isinstance(step, Resolve):
            return self._resolve(Where(host=step.host, port=step.port, family=step.family))
        elif isinstance(step, Disconnect):
            self.drop()
        else:
            return super().do(step)
        return None

    def drop(self) -> None:
        """Close what there is."""
        if self.wire is not None:
            self.wire.sock.close()

    def _left(self) -> float:
        left = self.until - monotonic()
        if left <= 0:
            raise TimeoutError("timed out while connecting")
        return min(left, FOREVER)

    def _connect(self, step: Connect) -> socket.socket:
        where = step.where
        if where.sock is not None:
            if isinstance(where.sock, ssl.SSLSocket):
                raise TypeError("sock cannot be an SSLSocket; use wss: and ssl=")
            return where.sock  # type: ignore[no-any-return]
        if step.turn_at is not None:
            self._stand_in_line(step.turn_at)
        if where.path is not None:
            return self._connect_unix(where.path)
        race = Race(self._resolve(where), self.limits.happy_eyeballs_delay)
        with selectors.DefaultSelector() as running, closing(Line()) as line:
            try:
                return self._race(race, running, line if step.turn_at is None else None)
            finally:
                for key in list(running.get_map().values()):
                    key.fileobj.close()  # type: ignore[union-attr]

    def _connect_unix(self, path: Any) -> socket.socket:
        sock = socket.socket(socket.AF_UNIX)
        try:
            sock.settimeout(self._left())
            sock.connect(os.fspath(path))
        except BaseException:
            sock.close()
            raise
        return sock

    def _race(
        self, race: Race, running: selectors.BaseSelector, line: Line | None
    ) -> socket.socket:
        """Happy Eyeballs (RFC 8305 5): the socket that is connected first."""
        while not race.is_lost:
            candidate = race.start(monotonic())
            if candidate is not None:
                turn = None
                if line is not None:
                    turn = self._opening.take_turn(candidate.address, line.ring)
                if line is None or turn is None or turn.granted:
                    self._begin(race, running, candidate, turn)
                else:
                    line.add(turn, candidate)
            for sock in self._ready(race, running, line):
                number = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                if not number:
                    running.unregister(sock)
                    return sock
                self._lose(race, running, sock, number)
        raise race.error()

    def _begin(
        self, race: Race, running: selectors.BaseSelector, candidate: Candidate, turn: Turn | None
    ) -> None:
        sock = socket.socket(candidate.family, candidate.type, candidate.proto)
        running.register(sock, selectors.EVENT_WRITE, (candidate, turn))
        sock.setblocking(False)
        try:
            if candidate.local is not None:
                sock.bind(candidate.local)
            number = sock.connect_ex(candidate.address)
        except OSError as exc:
            number = exc.errno or errno.EINVAL
        if number not in (0, errno.EINPROGRESS, errno.EWOULDBLOCK):
            self._lose(race, running, sock, number)

    def _ready(
        self, race: Race, running: selectors.BaseSelector, line: Line | None
    ) -> list[socket.socket]:
        """Sockets of which the outcome is known, when there are any or the next one is due."""
        bell = None if line is None else line.bell
        idle = bell is not None and not running.get_map()  # all that goes on is standing in line
        if bell is not None:
            running.register(bell, selectors.EVENT_READ)
        since = monotonic()
        wait = race.wait(since)
        left = FOREVER if idle else self._left()
        try:
            events = running.select(left if wait is None else min(wait, left))
        finally:
            if bell is not None:
                running.unregister(bell)
        if idle:
            self.until += monotonic() - since  # the time is for connecting, not for standing here
        ready = [cast("socket.socket", key.fileobj) for key, _ in events]
        if line is not None and bell in ready:
            ready.remove(bell)
            for turn, candidate in line.called():
                self._begin(race, running, candidate, turn)
        return ready

    def _lose(
        self, race: Race, running: selectors.BaseSelector, sock: socket.socket, number: int
    ) -> None:
        candidate, turn = running.unregister(sock).data
        sock.close()
        if turn is not None:
            turn.leave()
        race.failed(candidate, OSError(number, os.strerror(number)))

    def _stand_in_line(self, address: Any) -> Turn | None:
        granted = threading.Event()
        turn = self._opening.take_turn(address, granted.set)
        if turn is not None and not turn.granted:
            since = monotonic()
            granted.wait()
            self.until += monotonic() - since  # the time is for connecting, not for standing here
        return turn

    def _resolve(self, where: Where) -> list[Candidate]:
        assert where.host is not None and where.port is not None
        if where.local_addr is None:
            found = literal(where.host, where.port, where.family)
            if found is not None:
                return found
        infos = self._ask(where.host, where.port, where.family)
        local = None if where.local_addr is None else self._ask(*where.local_addr, where.family)
        return candidates(infos, local)

    def _ask(self, host: str, port: int, family: int) -> Any:
        # The resolver knows neither of deadlines nor of Ctrl-C: it has a thread to itself.
        answers: queue.SimpleQueue[Any] = queue.SimpleQueue()

        def ask() -> None:
            try:
                answers.put(socket.getaddrinfo(host, port, family, socket.SOCK_STREAM))
            except Exception as exc:  # noqa: BLE001 - raised where somebody waits for it
                answers.put(exc)

        threading.Thread(target=ask, name="duplexer-resolver", daemon=True).start()
        try:
            answer = answers.get(timeout=self._left())
        except queue.Empty:
            raise TimeoutError(f"the address of {host} was not found in time") from None
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
        dialler = _Dialler(opening, inf if timeout is None else monotonic() + timeout)
        while True:
            try:
                return self._attempt(opening, dialler)
            except InvalidStatus as exc:
                dialler.run(opening.refused(exc))
            except TimeoutError as exc:
                if monotonic() < dialler.until:
                    raise
                raise TimeoutError("timed out during opening handshake") from exc

    def _attempt(self, opening: Opening, dialler: _Dialler) -> ClientConnection:
        handshake = opening.handshake()
        try:
            dialler.run(opening.route())
            make = self.create_connection or ClientConnection
            connection: ClientConnection = make(dialler.wire, self.limits, self.logger)
            connection.staying = self.staying
            agreement, rest = dialler.run(open_client(connection, handshake, self.limits))
            opening.opened(agreement.response)
            connection.established(agreement, rest)
        except BaseException:
            dialler.drop()
            raise
        finally:
            opening.leave_turns()
        return connection

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
    if uri is None:
        uri = "ws://localhost/" if kwargs.get("ssl") is None else "wss://localhost/"
    connector: connect = connect(uri, path=path, **kwargs)
    return connector


#: ``websockets`` has these names for connectors that are not ``legacy``.
reconnect, unix_reconnect = connect, unix_connect
