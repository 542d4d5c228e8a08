"""What every connection tells of itself, whatever its front."""

from __future__ import annotations

import uuid
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Self

from duplexer.core.closing import State
from duplexer.core.session import check_close
from duplexer.driver.admission import renew
from duplexer.driver.finishing import Finishing
from duplexer.driver.lanes import Lanes
from duplexer.driver.observing import Traffic
from duplexer.driver.sendqueue import Backlog, SendQueue, put_rest
from duplexer.driver.streaming import control_payload
from duplexer.errors import ConcurrencyError, InvalidState

if TYPE_CHECKING:
    from collections import deque
    from collections.abc import Awaitable, Callable, Hashable, Iterator, Mapping

    from duplexer.core.extension import Extension
    from duplexer.core.session import Session
    from duplexer.core.staying import Staying
    from duplexer.driver.admission import Login
    from duplexer.http.messages import Request, Response
    from duplexer.limits import Limits
    from duplexer.policy.router import Route

__all__ = ["AwaitedBase", "ConnectionBase"]


class ConnectionBase(Finishing):
    """The properties that connections of all fronts have."""

    __slots__ = ()

    if TYPE_CHECKING:
        session: Session | None
        limits: Limits
        backlog: Backlog | None
        written: int
        _id: uuid.UUID | None
        _addresses: tuple[Any, Any]
        open_session: Callable[[], Session]

    #: the opening handshake's request, ``None`` before there is one
    request: Request | None
    #: the opening handshake's response
    response: Response | None
    #: the subprotocol that was agreed on (RFC 6455 1.9)
    subprotocol: str | None
    #: what connections before this one sent and never saw arrive, for you to send again; see
    #: :meth:`take_undelivered`
    undelivered: deque[str | bytes] | tuple[()] = ()
    #: heartbeats and the like, from when the handshake is done
    staying: Staying | None

    #: who has come in, on a server with ``authenticate=``: what that has given back
    user: Any = None
    #: how, and for how long
    login: Login | None = None
    #: what a ``Router`` has found for the path of the request ...
    route: Route | None = None
    #: ... and the parameters in it
    path_parameters: Mapping[str, Any] = MappingProxyType({})

    @property
    def id(self) -> uuid.UUID:
        """A unique identifier of this connection, for logs."""
        if self._id is None:
            self._id = uuid.uuid4()  # type: ignore[misc]  # a slot of the front's class
        return self._id

    @property
    def state(self) -> State:
        """CONNECTING, OPEN, CLOSING or CLOSED."""
        return State.CONNECTING if self.session is None else self.session.state

    @property
    def extensions(self) -> tuple[Extension, ...]:
        """The extensions that were agreed on (RFC 6455 9)."""
        return () if self.session is None else self.session.extensions

    @property
    def latency(self) -> float:
        """Seconds between the last Ping that was answered and its Pong; 0 before the first."""
        return 0.0 if self.session is None else self.session.latency

    @property
    def close_code(self) -> int | None:
        """The code of the peer's Close; 1006 without one, ``None`` while open (RFC 6455 7.1.5)."""
        session = self.session
        if session is None or session.reads:
            return None
        return 1006 if session.close_rcvd is None else session.close_rcvd.code

    @property
    def close_reason(self) -> str | None:
        """The reason in the peer's Close; ``""`` if there was none, ``None`` if open."""
        session = self.session
        if session is None or session.reads:
            return None
        return "" if session.close_rcvd is None else session.close_rcvd.reason

    @property
    def unacknowledged(self) -> list[str | bytes] | None:
        """What was sent, and no Pong has shown to have arrived: the oldest message first.

        ``None`` unless the connection was made with ``keep_unacknowledged=True``. It is still there
        when the connection has been lost.
        """
        if self.session is None or self.session.kept is None:
            return None
        return self.session.kept.messages()

    def take_undelivered(self) -> Iterator[str | bytes]:
        """The messages in ``undelivered``; each is taken out when the next one is asked for.

        So none is forgotten when sending one fails: what is left goes to the next connection.
        """
        while self.undelivered:
            yield self.undelivered[0]
            self.undelivered.popleft()

    @property
    def traffic(self) -> Traffic:
        """Messages and bytes, each way, so far."""
        session = self.session
        if session is None:
            return Traffic(0, 0, 0, 0)
        return Traffic(session.assembler.serial, session.sent, session.received, self.written)

    @property
    def send_queue(self) -> Backlog | None:
        """What waits because the peer does not read fast enough, and what became of it.

        ``None`` without a queue. Give it a :class:`~duplexer.driver.sendqueue.SendQueue` to have
        one, or to change its rules; ``None`` only while there is none.
        """
        return self.backlog

    @send_queue.setter
    def send_queue(self, rules: SendQueue | None) -> None:
        if not isinstance(rules, SendQueue):
            if rules is None and self.backlog is None:
                return
            raise TypeError(f"send_queue must be a SendQueue, not {type(rules).__name__}")
        if self.staying is not None and self.staying.keep_unacknowledged:
            raise ValueError("send_queue and keep_unacknowledged exclude each other: choose one")
        if self.backlog is None:
            self.backlog = Backlog(rules, self.limits)  # type: ignore[misc]  # as _id
            self.queue_made()
        else:
            self.backlog.follow(rules)

    def queue_made(self) -> None:
        """There is a send queue now: for fronts that have to know."""

    def renew(self, token: str) -> Any:
        """Let the user stay by another token, on a server where ``Bearer`` let it in by one.

        True if the token is right: ``user`` is what it says, and the connection is closed when it
        expires. False if it is not, if it is of another user (see ``same_user`` of ``Bearer``), or
        if the address has failed too often (``Limits.failure_rate``): then nothing has changed. It
        is to be awaited if the function that verifies tokens is a coroutine function. Raises
        :exc:`TypeError` elsewhere.
        """
        return renew(self, token)

    def put_ping(self, data: Any, token: Any, now: float) -> None:
        """Send a Ping whose answer is ``pong_came(token)``; ``data=None`` chooses its payload."""
        session = self.open_session()
        payload = session.new_ping_payload() if data is None else control_payload(data)
        if session.is_pinging(payload):
            raise ConcurrencyError("already waiting for a pong with the same data")
        session.send_ping(payload, token, now)

    def put_pong(self, data: Any) -> None:
        """Send a Pong that nobody asked for (RFC 6455 5.5.3)."""
        session = self.open_session()
        payload = control_payload(data)
        if not session.is_open:
            raise session.closed_error()
        session.send_pong(payload)

    def put_close(self, code: int | None, reason: str, now: float) -> bool:
        """Send a Close; false if one has been sent before, or can be no more."""
        session = self.open_session()
        if self.backlog is not None:
            check_close(code, reason)
            put_rest(self)
        try:
            session.send_close(code, reason, now)
        except InvalidState:
            return False
        return True

    def explain(self) -> str:
        """Who closed, why, the last frame each way, the likely cause and its cure, as text."""
        if self.session is None:
            return "The opening handshake has not been finished."
        return self.session.explain()

    @property
    def local_address(self) -> Any:
        """Our address; for IP a pair of host and port; ``None`` if the byte stream has none."""
        return self._addresses[0]

    @property
    def remote_address(self) -> Any:
        """The peer's; for IP a pair of host and port; ``None`` if the byte stream has none."""
        return self._addresses[1]

    def __repr__(self) -> str:
        return self._describe(remote=self.remote_address)

    def _describe(self, *, remote: Any) -> str:
        return f"<{type(self).__name__} {self.id} {self.state.name} {remote}>"


class AwaitedBase:
    """What connections of all fronts that await do alike."""

    __slots__ = ()

    #: how the front handles several messages at a time: (connection, handle, lanes, finish)
    dispatcher: ClassVar[Callable[..., Awaitable[None]]]

    if TYPE_CHECKING:
        settle: Callable[[], None]
        start_close: Callable[..., None]
        wait_closed: Callable[[], Awaitable[None]]
        open_session: Callable[[], Session]

    async def dispatch(
        self,
        handle: Callable[[Any], Awaitable[None]],
        *,
        concurrency: int = 1,
        key: Callable[[Any], Hashable] | None = None,
        finish: bool = False,
    ) -> None:
        """Handle messages as they come, up to ``concurrency`` at a time, until the connection ends.

        ``handle(message)`` is a coroutine. Messages for which ``key(message)`` gives the same are
        handled one after the other, in the order in which they came; ``None`` is the key of those
        that may overtake any. While as many as may be are at work nothing is received.

        When the connection ends those at work are cancelled, and what waits is left; with
        ``finish=True`` all that came before the end is handled first.

        Raises what a handler raised, once the others have been cancelled; otherwise nothing if the
        connection ended well, :exc:`~duplexer.errors.ConnectionClosedError` if not.
        """
        lanes = Lanes(self, concurrency, key)
        self.open_session()
        await type(self).dispatcher(self, handle, lanes, finish)

    async def close(self, code: int | None = 1000, reason: str = "") -> None:
        """Close the connection, and wait until it is closed. Closing twice does nothing.

        ``code`` is 1000 to 1003, 1007 to 1014 or 3000 to 4999 (``ValueError`` otherwise); ``None``
        sends an empty Close. ``reason`` is at most 123 bytes of UTF-8 (RFC 6455 5.5.1). It takes
        no longer than ``close_timeout``.
        """
        self.start_close(code, reason)
        await self.wait_closed()

    async def __aenter__(self) -> Self:
        return self

    def settle_now(self) -> None:
        """Write what there is, and see to the end."""
        self.settle()
