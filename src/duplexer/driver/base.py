"""What every connection tells of itself, whatever its front."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

from duplexer.core.closing import State
from duplexer.driver.observing import Traffic
from duplexer.driver.sendqueue import Backlog, SendQueue

if TYPE_CHECKING:
    from collections import deque
    from collections.abc import Iterator

    from duplexer.core.extension import Extension
    from duplexer.core.session import Session
    from duplexer.core.staying import Staying
    from duplexer.http.messages import Request, Response
    from duplexer.limits import Limits

__all__ = ["ConnectionBase"]


class ConnectionBase:
    """The properties that connections of all fronts have."""

    __slots__ = ()

    if TYPE_CHECKING:
        session: Session | None
        limits: Limits
        backlog: Backlog | None
        written: int
        _id: uuid.UUID | None

        def queue_made(self) -> None: ...

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

    def explain(self) -> str:
        """Who closed, why, the last frame each way, the likely cause and its cure, as text."""
        if self.session is None:
            return "The opening handshake has not been finished."
        return self.session.explain()

    def _describe(self, *, remote: Any) -> str:
        return f"<{type(self).__name__} {self.id} {self.state.name} {remote}>"
