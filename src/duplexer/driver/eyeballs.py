"""Happy Eyeballs (RFC 8305): which addresses to try, in which order, and when.

I/O-free: a front resolves names and connects sockets; :class:`Race` says what to do next.
"""

from __future__ import annotations

import collections
import errno
import itertools
import os
import socket
from math import inf
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["Candidate", "Race", "candidates", "interleaved", "literal"]


class Candidate(NamedTuple):
    """An address to try: as for ``socket.socket`` and ``sock.connect``."""

    family: int
    type: int
    proto: int
    address: Any
    #: to connect from, for ``sock.bind``; ``None`` leaves it to the system
    local: Any = None

    def __str__(self) -> str:
        if not isinstance(self.address, tuple):
            return str(self.address)
        host, port = self.address[:2]
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def literal(host: str, port: int, family: int = 0) -> list[Candidate] | None:
    """The only candidate, if ``host`` is an IP address: then nobody has to be asked.

    ``None`` for a name, and for an IPv6 address with a zone, which only the system can read.
    """
    for kind in (socket.AF_INET, socket.AF_INET6):
        if family in (0, kind):
            try:
                socket.inet_pton(kind, host)
            except (OSError, UnicodeEncodeError):
                continue
            address = (host, port) if kind == socket.AF_INET else (host, port, 0, 0)
            return [Candidate(kind, socket.SOCK_STREAM, socket.IPPROTO_TCP, address)]
    return None


def candidates(infos: Iterable[Any], local_infos: Iterable[Any] | None = None) -> list[Candidate]:
    """What ``getaddrinfo`` gave, as candidates, each with a local address of its own family.

    Raises :exc:`OSError` where there is none.
    """
    found = [Candidate(family, kind, proto, address) for family, kind, proto, _, address in infos]
    if not found:
        raise OSError("the name has no address")
    if local_infos is None:
        return found
    local: dict[int, Any] = {}
    for family, _, _, _, address in local_infos:
        local.setdefault(family, address)
    matching = [one._replace(local=local[one.family]) for one in found if one.family in local]
    if not matching:
        raise OSError("local_addr is of another address family than the server's addresses")
    return matching


def interleaved(found: Iterable[Candidate], first: int = 1) -> list[Candidate]:
    """``found`` with the families taking turns, ``first`` of the preferred one in front.

    The resolver has sorted them (RFC 6724): its first says which family is preferred (RFC 8305 4).
    """
    families: dict[int, list[Candidate]] = {}
    for candidate in found:
        families.setdefault(candidate.family, []).append(candidate)
    rows = list(families.values())
    if not rows:
        return []
    ahead, rows[0] = rows[0][: first - 1], rows[0][first - 1 :]
    rest = itertools.chain.from_iterable(itertools.zip_longest(*rows))
    return [*ahead, *(candidate for candidate in rest if candidate is not None)]


class Race:
    """Several addresses, of which the first that answers wins (RFC 8305 5).

    ::

        start(now) ──► an address to try now, or None
        wait(now)  ──► seconds until the next one is due; None if only outcomes can move it on
        failed()   ──► the next one is due at once
        is_lost    ──► nothing is under way and nothing is left: raise error()
    """

    def __init__(self, found: Sequence[Candidate], delay: float | None, first: int = 1) -> None:
        self._left = collections.deque(interleaved(found, first))
        self._delay = inf if delay is None else delay
        self._due = -inf
        self._running = 0
        self._errors: list[tuple[Candidate, Exception]] = []

    def start(self, now: float) -> Candidate | None:
        """The next candidate, if it is due."""
        if not self._left or now < self._due:
            return None
        self._due = now + self._delay
        self._running += 1
        return self._left.popleft()

    def wait(self, now: float) -> float | None:
        """Seconds until ``start`` has the next candidate."""
        if not self._left or self._due == inf:
            return None
        return max(self._due - now, 0.0)

    def failed(self, candidate: Candidate, exc: Exception) -> None:
        """``candidate`` could not be connected to."""
        self._running -= 1
        self._due = -inf
        self._errors.append((candidate, exc))

    @property
    def is_lost(self) -> bool:
        """Whether all have failed."""
        return not self._left and not self._running

    def error(self, *, all_errors: bool = False) -> Exception:
        """What to raise when it is lost.

        An :exc:`OSError` that names each address, of the class that all failures have in common;
        or with ``all_errors`` an :exc:`ExceptionGroup`, which otherwise is its cause.
        """
        told = "; ".join(f"{candidate}: {_words(exc)}" for candidate, exc in self._errors)
        failures = [exc for _, exc in self._errors]
        if all_errors:
            return ExceptionGroup("failed to connect", failures)
        numbers = {exc.errno if isinstance(exc, OSError) else None for exc in failures}
        number = numbers.pop() if len(numbers) == 1 else None
        text = f"failed to connect to {told}"
        error = OSError(text) if number is None else OSError(number, text)
        error.__cause__ = (
            failures[0] if len(failures) == 1 else ExceptionGroup("all addresses failed", failures)
        )
        return error


def _words(exc: Exception) -> str:
    # Each event loop has words of its own for what the system says.
    if isinstance(exc, OSError) and exc.errno is not None and exc.errno in errno.errorcode:
        return os.strerror(exc.errno)
    return str(exc) or type(exc).__name__
