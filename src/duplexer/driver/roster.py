"""Who is on a server, and what each of its connections knows of that, whatever the front."""

from __future__ import annotations

import copy
from math import inf
from typing import TYPE_CHECKING, Any, cast

from duplexer.core.session import check_close
from duplexer.driver.accept import open_server
from duplexer.driver.admission import came_late
from duplexer.driver.draining import close
from duplexer.driver.steps import Call, Read
from duplexer.http.messages import Response, make_response
from duplexer.limits import DEFAULT_LIMITS
from duplexer.policy.forwarded import Client
from duplexer.policy.guard import Guard

if TYPE_CHECKING:
    from duplexer.driver.accept import Serving
    from duplexer.driver.draining import Leaver
    from duplexer.driver.steps import Steps

__all__ = ["Roster", "RosterEntry"]


class Roster:
    """The connections of a server.

    ::

        opening ──► admitted ──► connected ──► (forgotten)
           └─────────────────────────┘             ▲
           any of them ────────────────────────────┘

    Those that are ``admitted`` are being told that they may come in: they count for
    ``max_connections`` already. Of those that are ``opening`` it is known which are ``answering``
    (a hook or what answers plain HTTP runs, or its answer is written) and which are ``idle``: kept
    alive, with no next request. Nothing here waits or locks; a front with threads does.
    """

    if TYPE_CHECKING:
        serving: Serving

    def __init__(self, most: float | None, guard: Guard | None = None) -> None:
        self.guard = Guard(DEFAULT_LIMITS) if guard is None else guard
        #: as many may be inside; more are answered with 503
        self.most: float = inf if most is None else most
        self.opening: set[Any] = set()
        self.admitted: set[Any] = set()
        self.connected: set[Any] = set()
        self.answering: set[Any] = set()
        self.idle: set[Any] = set()
        #: who was being answered when it was closed: they have the time that handlers have
        self.spared: set[Any] = set()
        self.leaving = False  #: nobody is to come any more: it is closing, or going to
        self.closing = False
        #: the code and the reason for those who come too late
        self.closed_with = (1001, "")
        #: the same, once all others have been told to finish
        self.finishing: tuple[int, str] | None = None

    @property
    def connections(self) -> set[Any]:
        """The connections that are open or closing, or whose handlers still run."""
        return self.connected

    @property
    def staying(self) -> set[Any]:
        """Those whom a server that leaves waits for: see ``is_empty``."""
        return self.connected | (self.admitted | self.spared if self.closing else self.opening)

    def is_empty(self) -> bool:
        """Whether nobody is waited for.

        Of those who are not open yet, everybody is while it drains, for no longer than each has
        for a request anyway; when it closes, who has been admitted or spared.
        """
        more = self.admitted or self.spared if self.closing else self.opening
        return not (self.connected or more)

    @property
    def struck(self) -> dict[str, int]:
        """How often each bound has struck, by its name in ``Limits``; see ``Guard.struck``."""
        return self.guard.struck

    def admit(self, connection: Any) -> bool:
        """Whether there is room for ``connection``, which is being opened.

        It is asked before and after the hooks. When the answer says 101 that is for the last time:
        then the connection has its place.
        """
        if connection in self.admitted:
            return True
        if len(self.admitted) + len(self.connected) >= self.most:
            return False
        if connection.response is not None and connection.response.status_code == 101:
            self.admitted.add(connection)
        return True

    def opened(self, connection: Any) -> None:
        """``connection`` is open."""
        self.guard.opened(connection)
        limits = connection.limits  # of its route
        if self.guard.watches or limits.message_rate is not None:
            self.guard.watch(connection.session, connection.client.address, limits)
        self.opening.discard(connection)
        self.admitted.discard(connection)
        self.connected.add(connection)
        if self.finishing is not None:
            connection.finish(*self.finishing)

    def forget(self, connection: Any) -> None:
        """``connection`` has ended, and so has its handler; or it has never been opened."""
        self.guard.leave(connection)
        if connection in self.connected:
            self.guard.ended(connection.session.error)
            if came_late(connection):
                self.guard.strike("first_message_timeout")
        for group in (self.opening, self.admitted, self.connected, self.spared):
            group.discard(connection)

    def opening_steps(self, connection: Any, *, secure: bool) -> Steps:
        """The steps of ``open_server``; meanwhile it is known what ``connection`` is at.

        Of a server that leaves, an answer says ``Connection: close``, and nobody is kept alive.
        """
        steps = open_server(connection, self.serving, secure=secure)
        try:
            step = next(steps)
            while True:
                if not isinstance(step, Read):
                    self.answering.add(connection)
                else:
                    self.answering.discard(connection)
                    if step.idle:
                        self.idle.add(connection)
                        if not self.most:  # it is zero before those who are idle are looked for
                            return None
                try:
                    outcome = yield step
                except Exception as exc:  # noqa: BLE001 - it is not ours
                    self.idle.discard(connection)
                    step = steps.throw(exc)
                    continue
                self.idle.discard(connection)
                if self.leaving and isinstance(step, Call) and isinstance(outcome, Response):
                    outcome = _last(outcome)
                step = steps.send(outcome)
        except StopIteration as stop:
            return stop.value
        finally:
            steps.close()
            self.answering.discard(connection)
            self.idle.discard(connection)

    def drop(self, connection: Any) -> None:
        """Close ``connection``, which is not open yet, and is at no answer."""
        connection.abort()

    def spare(self, connection: Any, bound: float | None) -> None:
        """Let ``connection`` be answered within so many seconds, if nobody else sees to that."""

    def close(self, close_connections: bool = True, code: int = 1001, reason: str = "") -> None:
        """Stop accepting; close connections with ``code`` unless told not to. Does not wait."""
        if self.begin_closing(code, reason):
            next(close(cast("Leaver", self), close_connections))  # what follows is for who waits

    def drop_idle(self) -> None:
        """See :class:`~duplexer.driver.draining.Leaver`."""
        for connection in list(self.idle):
            self.drop(connection)

    def drop_opening(self) -> None:
        """See :class:`~duplexer.driver.draining.Leaver`."""
        for connection in list(self.opening - self.admitted - self.answering):
            self.drop(connection)
        self.spared |= (self.opening & self.answering) - self.admitted
        for connection in list(self.spared):
            self.spare(connection, self.guard.limits.handler_timeout)

    def cancel_handlers(self) -> int:
        """See :class:`~duplexer.driver.draining.Leaver`.

        A front that can cancel handlers does that too; a thread cannot be ended from outside.
        """
        cut = len(self.spared & self.answering)  # others linger, or have only to read
        for connection in list(self.spared):
            connection.abort()
        return cut

    def begin_closing(self, code: int, reason: str) -> bool:
        """From now on nobody comes in; false if that is nothing new.

        Raises ``ValueError`` or ``TypeError`` for what a Close cannot say, and has done nothing.
        """
        check_close(code, reason)
        if self.closing:
            return False
        self.closing = self.leaving = True
        self.closed_with = (code, reason)
        return True


def _last(response: Response) -> Response:
    """``response`` as the last one on its connection; one that lets in is left as it is."""
    if response.status_code < 200:
        return response
    last = copy.copy(response)  # its class may be the user's own
    last.headers = response.headers.copy()
    last.headers.replace("Connection", "close")
    return last


class RosterEntry:
    """What connections of a server have in common."""

    __slots__ = ()

    if TYPE_CHECKING:
        server: Any
        remote_address: Any
        _client: Client | None

        def _describe(self, *, remote: Any) -> str: ...

    #: for whom the peer speaks, as it said in the PROXY protocol: an address; ``None`` for itself
    introduced: Any = None
    if not TYPE_CHECKING:
        _client = None

    @property
    def client(self) -> Client:
        """Who has connected, as far as trusted proxies say: ``address``, ``secure``, ``host``.

        Without ``trusted_proxies`` and ``proxy_protocol`` it is the peer.
        """
        return self._client or Client(self.introduced or self.remote_address)

    @client.setter
    def client(self, client: Client) -> None:
        self._client = client  # type: ignore[misc]  # in the __dict__ of the front's class

    def introduce(self, source: Any) -> None:
        """A proxy has said for whom it speaks (``None``: for itself), before the first byte.

        Raises :exc:`~duplexer.errors.HttpError` if there are too many from there.
        """
        self.introduced = source
        self.server.guard.identify(self, self.client.address)

    def __repr__(self) -> str:
        return self._describe(remote=self.client.address)

    def respond(self, status: int, text: str) -> Response:
        """A response with ``text``, to be given back by ``process_request``."""
        return make_response(status, text.encode())

    def is_left(self) -> bool:
        """Whether the server is leaving: nobody comes in, and no bound is why."""
        return bool(self.server.leaving)

    def is_full(self) -> bool:
        """Whether the server has as many connections as it may have."""
        server = self.server
        return server.most < inf and not server.admit(self)
