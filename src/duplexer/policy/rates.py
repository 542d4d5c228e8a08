"""How often something may happen: token buckets, one or one for each address. No I/O, no clock.

A bucket has ``burst`` tokens when nothing has happened for a while, and gets ``rate`` a second.
What is counted by address is counted by network in IPv6, where a single customer has 2**64
addresses: the first 64 bits are one key.
"""

from __future__ import annotations

import ipaddress
import threading
from typing import Any

__all__ = ["Bucket", "Buckets", "Meter", "address_key"]


def address_key(address: Any) -> str | None:
    """What connections from ``address`` are counted by; ``None`` for those that have none.

    ``address`` is as ``socket.getpeername()`` gives it: IPv4 stays as it is, also where it comes
    mapped into IPv6; of IPv6 it is the /64; Unix sockets have no address.
    """
    if not isinstance(address, tuple) or not address or not isinstance(address[0], str):
        return None
    host = address[0]
    if ":" not in host:
        return host or None
    try:
        parsed = ipaddress.IPv6Address(host.partition("%")[0])
    except ValueError:
        return host
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return f"{ipaddress.IPv6Address(int(parsed) >> 64 << 64)}/64"


class Bucket:
    """One bucket, for whoever has a place to keep it."""

    __slots__ = ("at", "burst", "rate", "tokens")

    def __init__(self, rate: float, burst: int) -> None:
        self.rate = rate
        self.burst = float(burst)
        self.tokens = self.burst
        self.at = 0.0  # whenever that is: it is full

    def take(self, now: float, n: float = 1.0) -> bool:
        """Take ``n`` tokens; false, and nothing is taken, if there are not so many."""
        self.tokens = min(self.burst, self.tokens + (now - self.at) * self.rate)
        self.at = now
        if self.tokens < n:
            return False
        self.tokens -= n
        return True

    def give(self, now: float) -> None:
        """Give a token back."""
        self.take(now, -1.0)
        self.tokens = min(self.burst, self.tokens)


class Buckets:
    """A bucket for each key, ``most`` at a time: then the one that was longest idle is forgotten.

    Threads may share it.
    """

    def __init__(self, rate: float, burst: int, most: int) -> None:
        self.rate = rate
        self.burst = burst
        self.most = most
        self._buckets: dict[str, Bucket] = {}  # what was used last is at the end
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._buckets)

    def take(self, key: str, now: float, n: float = 1.0) -> bool:
        """Take ``n`` tokens of ``key``; false, and nothing is taken, if there are not so many."""
        with self._lock:
            bucket = self._buckets.pop(key, None)
            if bucket is None:
                bucket = Bucket(self.rate, self.burst)
                if len(self._buckets) >= self.most:
                    del self._buckets[next(iter(self._buckets))]
            self._buckets[key] = bucket
            return bucket.take(now, n)

    def give(self, key: str, now: float) -> None:
        """Give a token back to ``key``."""
        with self._lock:
            bucket = self._buckets.get(key)
            if bucket is not None:  # else it is forgotten: it has all there are
                bucket.give(now)


class Meter:
    """The allowances of one connection that its address or its server gives it.

    ``messages`` and ``controls`` are the buckets of its address, ``own`` is its own for messages;
    each may be ``None``.
    """

    __slots__ = ("controls", "key", "messages", "own")

    def __init__(
        self,
        key: str | None,
        own: Bucket | None,
        messages: Buckets | None,
        controls: Buckets | None,
    ) -> None:
        self.key = "" if key is None else key
        self.own = own
        self.messages = None if key is None else messages
        self.controls = None if key is None else controls

    def charge(self, messages: int, controls: int, now: float) -> tuple[str, str] | None:
        """Charge what has come; the rule that this breaks, and how, if there is one."""
        own = self.own
        if messages and own is not None and not own.take(now, messages):
            return "message-rate", f"more than {own.burst:g}, then {own.rate:g} a second"
        for n, buckets, rule, bound in (
            (messages, self.messages, "message-rate", "address_message_rate"),
            (controls, self.controls, "control-rate", "address_control_rate"),
        ):
            if n and buckets is not None and not buckets.take(self.key, now, n):
                return rule, f"of all connections from {self.key} (Limits.{bound})"
        return None
