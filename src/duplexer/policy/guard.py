"""What a server remembers of those who come: how many there are, how often they try, what struck.

One for each server, shared by its connections and, in ``duplexer.sync``, by its threads. Every
bound is one of ``Limits``; one that is ``None`` costs nothing. No I/O, no clock, no log.
"""

from __future__ import annotations

import dataclasses
import re
import threading
from typing import TYPE_CHECKING, Any

from duplexer.errors import HttpError, InvalidMessage, PeerTimeout, ProtocolError
from duplexer.limits import Limits
from duplexer.policy.ledger import Ledger
from duplexer.policy.rates import Bucket, Buckets, Meter, address_key

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    from duplexer.policy.networks import Networks

__all__ = ["Guard"]

#: What a bound can be called. The text of an error that one led to names it, or it is the usual
#: one; an HttpError has it as an attribute.
_NAMES = frozenset(field.name for field in dataclasses.fields(Limits))

#: Rules of the protocol that are bounds.
_RULES = {
    "control-rate": "control_rate",
    "fragments-too-many": "max_fragments",
    "frame-too-big": "max_frame",
    "message-rate": "message_rate",
    "message-timeout": "message_timeout",
    "message-too-big": "max_message",
    "messages-incomplete": "max_incomplete",
}


class Guard:
    """The doorkeeper of one server."""

    def __init__(self, limits: Limits, proxies: Sequence[Networks] = ()) -> None:
        self.limits = limits
        self._proxies = proxies  # who speaks for others: they are not bounded themselves
        #: How often each bound has struck, by its name in ``Limits``; those that never did are not
        #: in it. Accepting that paused because descriptors or memory were used up counts as
        #: ``"descriptors"``.
        self.struck: dict[str, int] = {}
        self._lock = threading.Lock()
        #: Whether ``enter`` ever refuses anybody.
        self.counts = any(
            most is not None
            for most in (limits.max_per_address, limits.max_opening_per_address, limits.max_opening)
        )
        self._keys: dict[Hashable, str | None] = {}  # of those who are here
        self._present: dict[str | None, int] = {}
        self._opening: set[Hashable] = set()
        self._opening_at: dict[str | None, int] = {}
        self._handshakes = self._buckets(limits.handshake_rate, limits.handshake_burst)
        self._failures = self._buckets(limits.failure_rate, limits.failure_burst)
        self._messages = self._buckets(limits.address_message_rate, limits.address_message_burst)
        self._controls = self._buckets(limits.address_control_rate, limits.address_control_burst)
        self._lines = Bucket(limits.refusal_log_rate, limits.refusal_log_burst)
        self._unwritten = 0
        most = limits.max_incomplete
        #: What its connections hold of incomplete messages; ``None`` if nothing bounds that.
        self.ledger = None if most is None else Ledger(most)

    def _buckets(self, rate: float | None, burst: int) -> Buckets | None:
        return None if rate is None else Buckets(rate, burst, self.limits.max_addresses)

    def strike(self, name: str, times: int = 1) -> None:
        """The bound ``name`` has struck."""
        with self._lock:
            self.struck[name] = self.struck.get(name, 0) + times

    # -- connections -----------------------------------------------------------------------------

    def enter(self, connection: Hashable, address: Any) -> bool:
        """Somebody has connected; false if it is to be closed at once. Once in is in."""
        if not self.counts:
            return True
        speaks_for_others = any(address in networks for networks in self._proxies)
        key = None if speaks_for_others else address_key(address)
        most = self.limits.max_opening
        with self._lock:
            if connection in self._keys:
                return True
            reason = self._bound_at(key, is_opening=True)
            if reason is None and most is not None and len(self._opening) >= most:
                reason = "max_opening"
            if reason is None:
                self._opening.add(connection)
                self._count(connection, key)
                return True
        self.strike(reason)
        return False

    def identify(self, connection: Hashable, address: Any, *, strikes: bool = True) -> None:
        """A proxy has said that it speaks for ``address``: from now on that is what counts.

        Raises :exc:`HttpError` 429 if there are too many from there; without ``strikes`` that is
        not counted yet, because it is going to be asked again.
        """
        if not self.counts:
            return
        key = address_key(address)
        with self._lock:
            if self._keys.get(connection) == key:
                return
            reason = self._bound_at(key, is_opening=connection in self._opening)
            if reason is None:
                self._uncount(connection)
                self._count(connection, key)
        if reason is not None:
            if strikes:
                self.strike(reason)
            raise HttpError(429, f"too many connections ({reason}); try later")

    def _bound_at(self, key: str | None, *, is_opening: bool) -> str | None:
        """The bound that forbids one more from ``key``."""
        most, opening = self.limits.max_per_address, self.limits.max_opening_per_address
        if key is None:
            return None
        if most is not None and self._present.get(key, 0) >= most:
            return "max_per_address"
        if is_opening and opening is not None and self._opening_at.get(key, 0) >= opening:
            return "max_opening_per_address"
        return None

    def _count(self, connection: Hashable, key: str | None) -> None:
        self._keys[connection] = key
        self._present[key] = self._present.get(key, 0) + 1
        if connection in self._opening:
            self._opening_at[key] = self._opening_at.get(key, 0) + 1

    def _uncount(self, connection: Hashable) -> None:
        if connection in self._keys:
            key = self._keys.pop(connection)
            _take_one(self._present, key)
            if connection in self._opening:
                _take_one(self._opening_at, key)

    def opened(self, connection: Hashable) -> None:
        """The handshake is done, or a request of plain HTTP has come: it is opening no more."""
        if self.counts:
            with self._lock:
                if connection in self._opening:
                    self._opening.remove(connection)
                    _take_one(self._opening_at, self._keys[connection])

    def leave(self, connection: Hashable) -> None:
        """It is over; once is enough, whatever it was."""
        if not self.counts:
            return
        with self._lock:
            self._uncount(connection)
            self._opening.discard(connection)

    # -- handshakes ------------------------------------------------------------------------------

    @property
    def asks(self) -> bool:
        """Whether ``check`` ever refuses a handshake."""
        return self._handshakes is not None or self._failures is not None

    def check(self, address: Any, now: float) -> None:
        """A handshake begins; :exc:`HttpError` 429 if there were too many from this address.

        Otherwise it has to be followed by ``answered``, whatever becomes of the handshake.
        """
        key = address_key(address)
        if key is None:
            return
        if self._handshakes is not None and not self._handshakes.take(key, now):
            raise self._too_often("handshake_rate", self._handshakes)
        self._attempt(key, now)

    def attempt(self, address: Any, now: float) -> None:
        """Somebody shows who they are after the handshake; otherwise as ``check``."""
        key = address_key(address)
        if key is not None:
            self._attempt(key, now)

    def _attempt(self, key: str, now: float) -> None:
        # It counts as a failure until it is none: others do not wait for that to try as well.
        if self._failures is not None and not self._failures.take(key, now):
            raise self._too_often("failure_rate", self._failures)

    def _too_often(self, name: str, buckets: Buckets) -> HttpError:
        self.strike(name)
        after = str(max(1, round(1 / buckets.rate)))
        return HttpError(429, f"too many attempts ({name}); try later", [("Retry-After", after)])

    def answered(self, address: Any, status: int | None, now: float) -> None:
        """What ``check`` or ``attempt`` let pass is answered; ``None``: it has left before.

        Who fails to show who they are, with 401 or 403, has only so many tries.
        """
        if self._failures is not None and status not in (401, 403):
            key = address_key(address)
            if key is not None:
                self._failures.give(key, now)

    def refused(self, error: HttpError) -> None:
        """We have refused a request: count the bound, if that is why."""
        if error.bound is not None:
            self.strike(error.bound)

    def failed(self, error: BaseException) -> None:
        """An opening handshake has failed without an answer: count the bound, if that is why."""
        if isinstance(error, (BufferError, InvalidMessage, TimeoutError)):
            name = _named(str(error))
            if name is not None:
                self.strike(name)

    def may_log(self, now: float) -> int | None:
        """Whether to log one more refusal: how many before it were not; ``None`` for no."""
        with self._lock:
            if not self._lines.take(now):
                self._unwritten += 1
                return None
            unwritten, self._unwritten = self._unwritten, 0
            return unwritten

    # -- open connections ------------------------------------------------------------------------

    @property
    def watches(self) -> bool:
        """Whether ``watch`` bounds everybody; it may also bound who has ``limits`` of its own."""
        rate = self.limits.message_rate
        rates = rate is not None or self._messages is not None or self._controls is not None
        return rates or self.ledger is not None

    def watch(self, session: Any, address: Any, limits: Limits | None = None) -> None:
        """Bound a new connection by what its address, and what all of them together may do.

        ``limits`` are its own, by default those of the server.
        """
        session.meter = self.meter(address, limits)
        session.assembler.ledger = self.ledger

    def meter(self, address: Any, limits: Limits | None = None) -> Meter | None:
        """The allowances of a new connection; ``None`` if there is nothing to be counted."""
        limits = limits or self.limits
        rate = limits.message_rate
        if rate is None and self._messages is None and self._controls is None:
            return None
        own = None if rate is None else Bucket(rate, limits.message_burst)
        return Meter(address_key(address), own, self._messages, self._controls)

    def ended(self, error: BaseException | None) -> None:
        """A connection has ended by ``error``: count the bound, if that is why."""
        name = None
        if isinstance(error, ProtocolError):
            name = _RULES.get(error.name)
            if name is not None:
                name = _named(error.detail) or name
        elif isinstance(error, PeerTimeout):
            name = "ping_timeout"
        elif isinstance(error, BufferError):
            name = _named(str(error)) or "write_hard"
        elif isinstance(error, TimeoutError) and error.errno is None:  # else: the kernel's own
            name = _named(str(error)) or "close_timeout"
        if name is not None:
            self.strike(name)


def _named(text: str) -> str | None:
    return next((word for word in re.findall(r"\w+", text) if word in _NAMES), None)


def _take_one(counts: dict[str | None, int], key: str | None) -> None:
    counts[key] -= 1
    if not counts[key]:
        del counts[key]
