"""A server with a thread for each connection: ``serve``, ``unix_serve``, ``broadcast``."""

from __future__ import annotations

import contextlib
import contextvars
import inspect
import selectors
import socket
import threading
from collections.abc import Iterator
from math import inf
from time import monotonic
from typing import Any, Self

from duplexer.driver.basic_auth import basic_auth
from duplexer.driver.draining import drain, follow_blocking, report_unfinished
from duplexer.driver.fanning import broadcast
from duplexer.driver.handling import close_code_after, report_refusal
from duplexer.driver.introducing import introduce
from duplexer.driver.listening import PAUSE, Shortage, check_place, listening_sockets, those_waiting
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
            outcome = exchange.run(server.opening_steps(self, secure=secure))
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
        self._drains = threading.RLock()  # a signal handler may come meanwhile
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
        return self._acceptor is not None and bool(self.sockets)

    def start_serving(self) -> None:
        """Start accepting connections, in a thread."""
        with self._changed:
            if self._acceptor is None and self.sockets:
                self._acceptor = threading.Thread(
                    None, self._accept_all, "duplexer-acceptor", (self.sockets,), daemon=True
                )
                self._acceptor.start()

    def serve_forever(self) -> None:
        """Accept connections until it is closed, or this is interrupted: then it is closed."""
        self.start_serving()
        try:
            with self._gate:
                pass
        finally:
            self.shutdown()

    def drain(
        self, over: float | None = None, *, notice: float = 0.0, code: int = 1012, reason: str = ""
    ) -> None:
        """Leave without an outage, and wait for that: see ``drain()`` of asyncio's ``Server``.

        It blocks until that is done; ``close()`` in another thread, or in a signal handler, ends
        it at once. Handlers that do not end in time are named in the log and lose their
        connections: a thread cannot be ended from outside. A signal handler may call it where the
        main thread is in ``serve_forever()``; everywhere else let it start a thread for that.
        """
        steps = drain(self, over, notice, code, reason)
        with self._apart(), self._drains:
            if not self.leaving:
                self.leaving = True
                follow_blocking(steps, self._pause_unless_closing, self._wait_empty)

    def _pause_unless_closing(self, timeout: float) -> bool:
        with self._changed:
            return self._changed.wait_for(lambda: self.closing, timeout)

    def _wait_empty(self, timeout: float | None) -> bool:
        with self._changed:
            return self._changed.wait_for(
                lambda: self._acceptor is None and not self.staying - self._waiting, timeout
            )

    def begin_closing(self, code: int, reason: str) -> bool:
        """See :class:`~duplexer.driver.roster.Roster`."""
        with self._changed:
            begins = super().begin_closing(code, reason)
            self._changed.notify_all()
        if begins:
            self._gate.release()
        return begins

    def stop_accepting(self) -> None:
        """See :class:`~duplexer.driver.draining.Leaver`."""
        with self._changed:
            self.most = 0
            sockets, self.sockets = self.sockets, ()
            self._changed.notify_all()
        if not sockets:
            return
        acceptor = self._acceptor
        if acceptor is not None:
            self._bell.send(b"!")
            # It waits for nobody, unless a signal handler is here and has interrupted its thread.
            acceptor.join(PAUSE)
            sockets = ()  # those are its own to close
        for sock in (*sockets, self._bell, self._ear):
            sock.close()

    def drop(self, connection: ServerConnection) -> None:
        """See :class:`~duplexer.driver.roster.Roster`: what has come is read, and answered."""
        connection.wire.shutdown(socket.SHUT_RD)

    def wait_closed(self, timeout: float | None = None) -> bool:
        """Wait until it is closed and all handlers have finished; false after ``timeout``.

        A handler that calls this waits for the others.
        """
        with self._apart() as mine, self._changed:
            return self._changed.wait_for(lambda: self._is_over(mine), timeout)

    @contextlib.contextmanager
    def _apart(self) -> Iterator[Any]:
        # A handler that waits for all others is not waited for by them.
        mine: Any = getattr(self._local, "connection", None)
        with self._changed:
            self._waiting |= {mine} - {None}
            self._changed.notify_all()
        try:
            yield mine
        finally:
            self._waiting.discard(mine)

    def _is_over(self, mine: ServerConnection | None) -> bool:
        left = self.staying | self.opening
        return self.closing and not (left if mine is None else left - self._waiting)

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
            report_unfinished(self)

    def __enter__(self) -> Self:
        self.start_serving()
        return self

    def __exit__(self, exc_type: object, exc: object, tb: object) -> None:
        self.shutdown()

    # -- connections -----------------------------------------------------------------------------

    def _accept_all(self, sockets: tuple[Any, ...]) -> None:
        with selectors.DefaultSelector() as selector, contextlib.ExitStack() as closing:
            closing.callback(self._stopped)
            selector.register(self._ear, selectors.EVENT_READ)
            for sock in sockets:
                selector.register(closing.enter_context(sock), selectors.EVENT_READ)
            while self.sockets:
                for key, _ in selector.select():
                    if key.fileobj is not self._ear:
                        self._accept(key.fileobj)
            if not self.closing and "sock" not in self.own:  # that may be another process's as well
                for sock in sockets:
                    for _ in those_waiting(sock, self.limits):
                        self._accept(sock)

    def _stopped(self) -> None:
        with self._changed:
            self._acceptor = None
            self._changed.notify_all()

    def _has_room(self) -> bool:
        return len(self.opening) + len(self.connected) < self.limits.max_threads

    def _accept(self, sock: Any) -> None:
        with self._changed:  # for room
            self._changed.wait_for(lambda: not self.sockets or self._has_room())
            if self.closing or not self._has_room():
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
            self._changed.wait_for(lambda: not self.sockets, PAUSE)

    def _live(self, connection: ServerConnection) -> None:
        self._local.connection = connection
        try:
            if not connection.open():
                return
            with self._changed:
                self.opened(connection)
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
