"""A server with a thread for each connection: ``serve``, ``unix_serve``, ``broadcast``."""

from __future__ import annotations

import contextlib
import contextvars
import inspect
import selectors
import socket
import threading
from math import inf
from time import monotonic
from typing import Any, Self

from duplexer.driver.accept import open_server
from duplexer.driver.basic_auth import basic_auth
from duplexer.driver.fanning import broadcast
from duplexer.driver.handling import close_code_after, report_refusal
from duplexer.driver.introducing import introduce
from duplexer.driver.listening import PAUSE, Shortage, check_place, listening_sockets
from duplexer.driver.roster import Roster, RosterEntry
from duplexer.driver.serving import ServeBase
from duplexer.driver.tls import TlsLayer
from duplexer.sync.connection import Connection
from duplexer.sync.exchange import Exchange
from duplexer.sync.wire import Wire

__all__ = ["Server", "ServerConnection", "basic_auth", "broadcast", "serve", "unix_serve"]


class ServerConnection(RosterEntry, Connection):
    """A connection to a client: what the handler is called with, in a thread of its own."""

    def __init__(self, server: Server, wire: Wire) -> None:
        super().__init__(wire, server.limits, server.logger, server=True)
        self.server = server

    def open(self) -> bool:
        """Answer requests until one becomes a WebSocket; false if none has."""
        server, limits = self.server, self.limits
        until = inf if limits.open_timeout is None else monotonic() + limits.open_timeout
        exchange = Exchange(self.wire, limits, until, until)
        outcome = None
        try:
            exchange.run(introduce(self, server.serving.introducers))
            if server.context is not None:
                exchange.secure(TlsLayer(server.context, None))
            exchange.until = inf  # from here on each read has a time of its own
            secure = server.context is not None
            outcome = exchange.run(open_server(self, server.serving, secure=secure))
        except Exception as exc:  # noqa: BLE001 - it is reported
            report_refusal(self, exc)
        if outcome is not None:
            self.established(*outcome)
            return True
        with contextlib.suppress(OSError):  # of a peer that has left, or does not leave
            exchange.until = monotonic() + (limits.close_timeout or 0)
            exchange.linger()
        return False


class Server(ServeBase, Roster):
    """Serve WebSockets on ``host`` and ``port``: it listens at once.

    ::

        with serve(handler, "localhost", 8765) as server:
            server.serve_forever()

    Inside the ``with`` connections are accepted, by a thread; leaving it closes the server.
    ``handler`` is called in a thread for each connection, ``Limits.max_threads`` at a time, and
    so are ``process_request`` and what answers plain HTTP. Beside the arguments of
    :class:`~duplexer.driver.serving.ServeBase` there are

    * ``sock``: a bound socket to listen on; it is ours from now on. ``path``: of a Unix socket.
    * ``family``, ``backlog``, ``reuse_port``: for the listening sockets.
    """

    OWN_ARGUMENTS = frozenset({"backlog", "family", "path", "reuse_port", "sock"})
    IS_ASYNC = False

    def take_own(self) -> None:
        """See :class:`~duplexer.driver.serving.ServeBase`."""
        if not callable(self.handler) or inspect.iscoroutinefunction(self.handler):
            kind = "an async one" if callable(self.handler) else type(self.handler).__name__
            raise TypeError(f"handler must be a function, not {kind}")
        threads, most = self.limits.max_threads, self.limits.max_connections
        # A tenth is left for those who are to be told that there is no room.
        room = min(threads - threads // 10, inf if most is None else most)
        Roster.__init__(self, room, self.serving.guard)
        check_place(self.where, self.own, "sock")
        self._shortage = Shortage(self.guard, self.logger)
        self._waiting: set[ServerConnection] = set()  # whose handlers wait for all others
        self._changed = threading.Condition()
        self._gate = threading.Lock()  # open when the server is closing; good for signal handlers
        self._gate.acquire()
        self._local = threading.local()  # for each handler its connection
        self._surroundings = contextvars.copy_context()  # what handlers see
        self._acceptor: threading.Thread | None = None
        self._bell, self._ear = socket.socketpair()
        try:
            self.sockets = tuple(listening_sockets(*self.where, self.limits, **self.own))
        except BaseException:
            self._bell.close()
            self._ear.close()
            raise

    @property
    def connections(self) -> set[ServerConnection]:
        """Those that are open or closing now, or whose handlers still run."""
        with self._changed:
            return self.connected.copy()

    @property
    def socket(self) -> socket.socket:
        """The listening socket; the first one if there are several."""
        return self.sockets[0]

    def fileno(self) -> int:
        """The descriptor of ``socket``."""
        return self.socket.fileno()

    def is_serving(self) -> bool:
        """Whether it accepts connections."""
        return self._acceptor is not None and not self.closing

    def start_serving(self) -> None:
        """Start accepting connections, in a thread."""
        with self._changed:
            if self._acceptor is None and not self.closing:
                self._acceptor = threading.Thread(target=self._accept_all, daemon=True)
                self._acceptor.name = "duplexer-acceptor"
                self._acceptor.start()

    def serve_forever(self) -> None:
        """Accept connections until it is closed, or this is interrupted: then it is closed."""
        self.start_serving()
        try:
            with self._gate:
                pass
        finally:
            self.shutdown()

    def close(self, close_connections: bool = True, code: int = 1001, reason: str = "") -> None:
        """Stop accepting; close connections with ``code`` unless told not to. Does not wait."""
        with self._changed:
            if not self.begin_closing(code, reason):
                return
            self._changed.notify_all()
        self._gate.release()
        self._bell.send(b"!")
        if self._acceptor is not None:
            # It waits for nobody, unless a signal handler is here and has interrupted its thread.
            self._acceptor.join(PAUSE)
        for sock in (*self.sockets, self._bell, self._ear):
            sock.close()
        self.sockets = ()
        for connection in list(self.opening):
            connection.wire.shutdown(socket.SHUT_RDWR)
        if close_connections:
            for connection in self.connections:
                connection.start_close(code, reason)

    def wait_closed(self, timeout: float | None = None) -> bool:
        """Wait until it is closed and all handlers have finished; false after ``timeout``.

        A handler that calls this waits for the others.
        """
        mine: Any = getattr(self._local, "connection", None)
        with self._changed:
            if mine is not None:
                self._waiting.add(mine)
                self._changed.notify_all()
            try:
                return self._changed.wait_for(lambda: self._is_over(mine), timeout)
            finally:
                self._waiting.discard(mine)

    def _is_over(self, mine: ServerConnection | None) -> bool:
        left = self.connected if mine is None else self.connected - self._waiting
        return self.closing and not left and not self.opening

    def admit(self, connection: ServerConnection) -> bool:
        """See :class:`~duplexer.driver.roster.Roster`."""
        with self._changed:
            return super().admit(connection)

    def shutdown(self, code: int = 1001, reason: str = "") -> None:
        """``close()``, then wait: for ``close_timeout`` twice at most.

        Once for connections to be closed, once for their handlers to notice. A thread cannot be
        ended from outside: handlers that go on are named in the log, and end with the process.
        """
        self.close(True, code, reason)
        timeout = self.limits.close_timeout
        if not self.wait_closed(None if timeout is None else 2 * timeout):
            left = ", ".join(map(str, self.connections))
            self.logger.warning("handlers have not finished: %s", left)

    def __enter__(self) -> Self:
        self.start_serving()
        return self

    def __exit__(self, exc_type: object, exc: object, tb: object) -> None:
        self.shutdown()

    # -- connections -----------------------------------------------------------------------------

    def _accept_all(self) -> None:
        with selectors.DefaultSelector() as selector:
            for sock in (*self.sockets, self._ear):
                selector.register(sock, selectors.EVENT_READ)
            while not self.closing:
                for key, _ in selector.select():
                    if key.fileobj is not self._ear:
                        self._accept(key.fileobj)

    def _accept(self, sock: Any) -> None:
        with self._changed:  # for room
            self._changed.wait_for(
                lambda: (
                    self.closing
                    or len(self.opening) + len(self.connected) < self.limits.max_threads
                )
            )
            if self.closing:
                return
        try:
            accepted, _ = sock.accept()
        except (BlockingIOError, ConnectionError):
            return  # it left before we came
        except OSError as exc:
            self._pause(exc)
            return
        try:
            make = self.create_connection or ServerConnection
            connection = make(self, Wire(accepted))
        except Exception as exc:
            accepted.close()
            if not isinstance(exc, OSError):  # it has left already
                self.logger.exception("create_connection failed")
            return
        if not self.guard.enter(connection, connection.remote_address):
            connection.abort()
            return
        self._shortage.over()
        self.opening.add(connection)
        thread = threading.Thread(target=self._live, args=(connection,), daemon=True)
        thread.name = f"duplexer-{connection.remote_address}"
        try:
            thread.start()
        except RuntimeError as exc:  # the system has no more threads
            self.forget(connection)
            self._pause(exc)

    def _pause(self, error: Exception) -> None:
        self._shortage.met(error)
        with self._changed:
            self._changed.wait_for(lambda: self.closing, PAUSE)

    def _live(self, connection: ServerConnection) -> None:
        try:
            if not connection.open():
                return
            with self._changed:
                self.opened(connection)
            self._local.connection = connection
            if self.closing:
                connection.close(*self.closed_with)
                return
            try:
                self._surroundings.copy().run(self.handler, connection)
                code = 1000
            except BaseException as exc:  # noqa: BLE001 - the user's code: it is logged
                code = close_code_after(connection, exc)
            connection.close(code)
        except Exception:
            self.logger.exception("connection failed")
        finally:
            self.forget(connection)

    def forget(self, connection: ServerConnection) -> None:
        """See :class:`~duplexer.driver.roster.Roster`."""
        connection.abort()
        with self._changed:
            super().forget(connection)
            self._changed.notify_all()


serve = Server


def unix_serve(handler: Any, path: str | None = None, **kwargs: Any) -> Server:
    """Serve WebSockets on the Unix socket at ``path``; otherwise as :class:`Server`."""
    return Server(handler, path=path, **kwargs)
