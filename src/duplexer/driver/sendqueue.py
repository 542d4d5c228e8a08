"""What waits to be sent while the peer does not read: so much, and no more.

::

    send() ──► does the peer read? ── yes ──────────────────────────► the wire
                      │ no                                               ▲
                      ▼                                                  │
                   offer() ──► [ oldest ... newest ] ──► pop(), when it reads again
                      │ full
                      ▼
                   OnFull: wait, drop the oldest, drop the newest, conflate, or close

Whole messages wait here, that have not been framed yet: dropping one tears nothing, and control
frames pass by. Whoever reads fast enough never sees the queue.
"""

from __future__ import annotations

import dataclasses
import enum
from collections import OrderedDict
from collections.abc import Callable, Hashable
from time import monotonic
from typing import TYPE_CHECKING, Any, NamedTuple

from duplexer.core import opcodes
from duplexer.core.prepared import Prepared
from duplexer.core.sending import contiguous

if TYPE_CHECKING:
    from duplexer.limits import Limits

__all__ = ["Backlog", "OnFull", "SendQueue", "Waiting", "put_off", "put_one", "put_rest"]


class OnFull(enum.Enum):
    """What becomes of a message for which there is no room in the send queue."""

    #: ``send()`` waits for room; what cannot wait (``send_nowait``, ``broadcast``) fails
    WAIT = "wait"
    #: the oldest messages make room
    DROP_OLDEST = "drop_oldest"
    #: it is not sent
    DROP_NEWEST = "drop_newest"
    #: a message replaces the waiting one with the same key; then as ``DROP_OLDEST``, but what has
    #: no key is never dropped: without anything else to drop the connection is closed
    CONFLATE = "conflate"
    #: the connection is closed with 1013 (try again later)
    CLOSE = "close"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class SendQueue:
    """How a connection queues messages for a peer that does not read fast enough.

    * ``on_full``: an :class:`OnFull`, or its value, such as ``"drop_oldest"``.
    * ``key``: for ``OnFull.CONFLATE``, a function of the message that gives what it is about, or
      ``None`` for a message that must not be replaced. A ``Prepared`` message may have its own.
    * ``max_messages``, ``max_bytes`` (of payload): the bounds, if they are not to be those of
      ``Limits.send_queue_messages`` and ``Limits.send_queue_bytes``. An empty queue takes any
      message.

    Raises ``ValueError`` or ``TypeError`` for a combination that makes no sense.
    """

    on_full: OnFull | str = OnFull.WAIT
    key: Callable[[Any], Hashable | None] | None = None
    max_messages: int | None = None
    max_bytes: int | None = None

    def __post_init__(self) -> None:
        try:
            object.__setattr__(self, "on_full", OnFull(self.on_full))
        except ValueError:
            known = ", ".join(repr(one.value) for one in OnFull)
            raise ValueError(f"on_full must be one of {known}, not {self.on_full!r}") from None
        if self.key is not None:
            if not callable(self.key):
                raise TypeError(f"key must be a function, not {type(self.key).__name__}")
            if self.on_full is not OnFull.CONFLATE:
                raise ValueError("key= is for on_full=OnFull.CONFLATE")
        for name in ("max_messages", "max_bytes"):
            value = getattr(self, name)
            if value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, int):
                raise TypeError(f"{name} must be an int, not {type(value).__name__}")
            if value <= 0:
                raise ValueError(f"{name} must be positive, not {value}")


class Waiting(NamedTuple):
    """A message in the queue."""

    message: str | bytes | Prepared
    text: bool | None
    compress: bool | None
    size: int  # of the payload, in bytes
    since: float  # by the clock of whoever offered it


class Backlog:
    """The send queue of one connection: read its counters, and nothing else.

    At any time ``queued == messages + sent + dropped + conflated + lost``.
    """

    __slots__ = (
        "_entries",
        "_limits",
        "_serial",
        "bytes",
        "conflated",
        "dropped",
        "lost",
        "most_bytes",
        "most_messages",
        "queued",
        "rules",
        "sent",
    )

    def __init__(self, rules: SendQueue, limits: Limits) -> None:
        #: by (key,), or by a number if they have none; the oldest first
        self._entries: OrderedDict[Any, Waiting] = OrderedDict()
        self._limits = limits
        self._serial = 0
        #: payload bytes that wait now
        self.bytes = 0
        #: messages that could not be sent at once, in all
        self.queued = 0
        #: ... that have left for the peer
        self.sent = 0
        #: ... that were dropped for want of room
        self.dropped = 0
        #: ... that were replaced by a newer one with the same key
        self.conflated = 0
        #: ... that were still waiting when the connection ended
        self.lost = 0
        self.follow(rules)

    def __repr__(self) -> str:
        return (
            f"<{type(self).__name__} {self.rules.on_full}: {self.messages} messages, "
            f"{self.bytes} bytes wait; {self.dropped} dropped, {self.conflated} conflated>"
        )

    def follow(self, rules: SendQueue) -> None:
        """From now on these are the rules; what waits stays."""
        limits = self._limits
        self.rules = rules
        self.most_messages = rules.max_messages or limits.send_queue_messages
        self.most_bytes = rules.max_bytes or limits.send_queue_bytes

    @property
    def messages(self) -> int:
        """How many wait now."""
        return len(self._entries)

    def has_room(self, size: int) -> bool:
        """Whether a message of ``size`` bytes may come in without anything being dropped."""
        entries = self._entries
        return not entries or (
            len(entries) < self.most_messages and self.bytes + size <= self.most_bytes
        )

    def offer(self, message: Any, text: bool | None, compress: bool | None, now: float) -> bool:
        """Take a message that cannot be sent now, by the rules of ``OnFull``.

        False: there is no room, and by the rules it waits outside. Raises :exc:`BufferError` if
        by the rules the connection is to be closed, ``TypeError`` for what is no message.
        """
        message, size = _frozen(message)
        entry = Waiting(message, text, compress, size, now)
        on_full = self.rules.on_full
        key: Any = self._key_of(message) if on_full is OnFull.CONFLATE else None
        if key is not None and (old := self._entries.get(key)) is not None:
            self._entries[key] = entry  # in the old one's place: no key is put off for ever
            self.bytes += size - old.size
            while self.bytes > self.most_bytes and self._drop_one(but=key):
                pass
            if self.bytes > self.most_bytes and self.messages > 1:
                self._entries[key] = old
                self.bytes -= size - old.size
                raise self.full()
            self.queued += 1
            self.conflated += 1
            return True
        if not self.has_room(size):
            if on_full is OnFull.WAIT:
                return False
            if on_full is OnFull.CLOSE:
                raise self.full()
            if on_full is OnFull.DROP_NEWEST:
                self.queued += 1
                self.dropped += 1
                return True
            while not self.has_room(size):
                if not self._drop_one():
                    raise self.full()
        if key is None:
            self._serial += 1
            key = self._serial
        self._entries[key] = entry
        self.bytes += size
        self.queued += 1
        return True

    def _key_of(self, message: str | bytes | Prepared) -> tuple[Hashable] | None:
        key: Hashable = None
        function = self.rules.key
        if isinstance(message, Prepared):
            key = message.key
            if key is None and function is not None:
                key = function(
                    message.data.decode() if message.opcode == opcodes.TEXT else message.data
                )
        elif function is not None:
            key = function(message)
        return None if key is None else (key,)

    def _drop_one(self, but: Any = None) -> bool:
        # The oldest that may be dropped; false if there is none.
        conflates = self.rules.on_full is OnFull.CONFLATE
        for key in self._entries:
            if key != but and (isinstance(key, tuple) or not conflates):
                self.bytes -= self._entries.pop(key).size
                self.dropped += 1
                return True
        return False

    def full(self) -> BufferError:
        """What to tell whoever cannot wait."""
        which = "messages" if self.messages >= self.most_messages else "bytes"
        return BufferError(
            f"the send queue is full: {self.messages} of {self.most_messages} messages, "
            f"{self.bytes} of {self.most_bytes} bytes; the peer does not read. Raise "
            f"Limits.send_queue_{which}, or choose another on_full"
        )

    def pop(self) -> Waiting:
        """The oldest message, to be sent now; there is one."""
        _, entry = self._entries.popitem(last=False)
        self.bytes -= entry.size
        self.sent += 1
        return entry

    def abandon(self) -> None:
        """The connection has ended: nothing of it will be sent."""
        self.lost += len(self._entries)
        self._entries.clear()
        self.bytes = 0


def _frozen(message: Any) -> tuple[str | bytes | Prepared, int]:
    # The message as nobody can change it any more, and its size on the wire.
    if isinstance(message, Prepared):
        return message, len(message.data)
    if isinstance(message, str):
        return message, len(message) if message.isascii() else len(message.encode())
    if not isinstance(message, bytes):
        message = bytes(contiguous(message))
    return message, len(message)


# A connection with a queue, whatever its front, has ``session``, ``backlog``, ``observer``,
# ``put(message, text, compress)`` and ``settle_now()``.


def put_off(connection: Any, message: Any, text: bool | None, compress: bool | None) -> bool:
    """Queue a message that cannot be sent now; false if it has to wait for room outside.

    Raises :exc:`~duplexer.errors.ConnectionClosed` when the connection is not open, also if that
    comes of there being no room (``OnFull.CLOSE``).
    """
    session = connection.open_session()
    if not session.is_open:
        raise session.closed_error()
    try:
        taken: bool = connection.backlog.offer(message, text, compress, monotonic())
    except BufferError as exc:
        session.fail(exc, 1013, "slow consumer")
        connection.settle_now()
        raise session.closed_error() from exc
    return taken


def put_one(connection: Any) -> None:
    """The oldest message of the queue is to be sent now."""
    entry = connection.backlog.pop()
    if connection.observer is not None:
        connection.observer.sent_late(connection, monotonic() - entry.since)
    connection.put(entry.message, entry.text, entry.compress)


def put_rest(connection: Any) -> None:
    """All of the queue is to be sent now: a Close follows."""
    session, backlog = connection.session, connection.backlog
    if backlog is None or session.sending:
        return  # in the middle of a fragmented message nothing else can be sent
    while backlog.messages and session.is_open:
        put_one(connection)
