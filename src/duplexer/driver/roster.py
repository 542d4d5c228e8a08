"""Who is on a server, and what each of its connections knows of that, whatever the front."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Any

from duplexer.core.session import check_close
from duplexer.driver.admission import came_late
from duplexer.http.messages import make_response
from duplexer.limits import DEFAULT_LIMITS
from duplexer.policy.forwarded import Client
from duplexer.policy.guard import Guard

if TYPE_CHECKING:
    from duplexer.http.messages import Response

__all__ = ["Roster", "RosterEntry"]


class Roster:
    """The connections of a server.

    ::

        opening ──► admitted ──► connected ──► (forgotten)
           └─────────────────────────┘             ▲
           any of them ────────────────────────────┘

    Those that are ``admitted`` are being told that they may come in: they count for
    ``max_connections`` already. Nothing here waits or locks; a front with threads does.
    """

    def __init__(self, most: float | None, guard: Guard | None = None) -> None:
        self.guard = Guard(DEFAULT_LIMITS) if guard is None else guard
        #: as many may be inside; more are answered with 503
        self.most: float = inf if most is None else most
        self.opening: set[Any] = set()
        self.admitted: set[Any] = set()
        self.connected: set[Any] = set()
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
        """Those who are open, or are being told so: nobody may cut them short."""
        return self.connected | self.admitted

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
        for group in (self.opening, self.admitted, self.connected):
            group.discard(connection)

    def drop_opening(self) -> None:
        """See :class:`~duplexer.driver.draining.Leaver`."""
        for connection in list(self.opening - self.admitted):
            connection.abort()

    def cancel_handlers(self) -> int:
        """See :class:`~duplexer.driver.draining.Leaver`: a thread cannot be ended from outside."""
        return 0

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

    def is_full(self) -> bool:
        """Whether the server has as many connections as it may have."""
        server = self.server
        return server.most < inf and not server.admit(self)
