"""Tickets: tokens that are good for once, for a short time."""

from __future__ import annotations

import secrets
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Any

from duplexer.limits import DEFAULT_LIMITS
from duplexer.policy.basic import digest

if TYPE_CHECKING:
    from collections.abc import Callable

    from duplexer.limits import Limits

__all__ = ["Tickets"]


class Tickets:
    """Tickets for ``Bearer(tickets.redeem, via="query")``.

    A page that knows its user asks for one by HTTP, and has its WebSocket show it. Whoever finds it
    in a log later cannot use it any more: it is good for once, for ``Limits.ticket_lifetime``.

    They are in the memory of this process: where several share a port, keep them elsewhere and
    give a function of your own to ``Bearer``. Any thread may issue and redeem them.
    """

    def __init__(
        self, limits: Limits = DEFAULT_LIMITS, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._lifetime = limits.ticket_lifetime
        self._most = limits.max_tickets
        self._clock = clock
        self._users: dict[bytes, Any] = {}
        self._order: deque[tuple[float, bytes]] = deque()  # when each expires
        self._lock = threading.Lock()

    def __len__(self) -> int:
        """How many may still be used."""
        with self._lock:
            self._forget()
            return len(self._users)

    def issue(self, user: Any) -> str:
        """A ticket for ``user``. Beyond ``Limits.max_tickets`` the oldest is good no more."""
        ticket = secrets.token_urlsafe(32)
        key = digest(ticket)
        with self._lock:
            self._forget()
            if len(self._users) >= self._most:
                del self._users[self._order.popleft()[1]]
            self._users[key] = user
            self._order.append((self._clock() + self._lifetime, key))
        return ticket

    def redeem(self, ticket: str) -> Any:
        """The user of a ticket that is good, and is not any more; ``None`` for any other."""
        # They are found by a digest: how long that takes tells nothing about those that are good.
        key = digest(ticket)
        with self._lock:
            self._forget()
            user = self._users.pop(key, None)
            if len(self._order) > 2 * len(self._users) + 8:  # most of them have been used
                self._order = deque(item for item in self._order if item[1] in self._users)
            return user

    def _forget(self) -> None:
        # What is first then has not been used: it is the oldest that is good.
        now, order = self._clock(), self._order
        while order and (order[0][0] <= now or order[0][1] not in self._users):
            self._users.pop(order.popleft()[1], None)
