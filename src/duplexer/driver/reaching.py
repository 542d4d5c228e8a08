"""A connected socket for a ``Connect``: who is tried when, and whose turn it is.

The front resolves names, connects and waits. Addresses are tried beside one another (RFC 8305 5),
each when it has its turn (RFC 6455 4.1); one that stands in line holds up no other.
"""

from __future__ import annotations

import os
import socket
import ssl
from typing import TYPE_CHECKING, Any

from duplexer.driver.eyeballs import Candidate, Race, candidates, literal
from duplexer.driver.sockopts import set_options
from duplexer.driver.steps import Resolve

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from duplexer.driver.opening import Opening
    from duplexer.driver.steps import Connect
    from duplexer.driver.turns import Turn
    from duplexer.limits import Limits

__all__ = ["Await", "Begin", "reach", "resolve"]


class Begin:
    """Wants ``sock`` to be connected to ``address``, beside what else is going on.

    It does not block. It is the front's until ``Await`` has told what has become of it: one whose
    outcome nobody asks for any more is closed.
    """

    def __init__(self, sock: socket.socket, address: Any) -> None:
        self.sock = sock
        self.address = address


class Await:
    """Wants the outcomes of sockets that were begun: pairs of one, and its error or ``None``.

    Not before there are any, or ``timeout`` seconds have passed, or somebody has rung (see
    ``reach``): where one is ``in_line``. While one is and nothing is ``trying`` to connect, the
    time for connecting stands still.
    """

    def __init__(self, timeout: float | None, *, in_line: bool, trying: bool) -> None:
        self.timeout = timeout
        self.in_line = in_line
        self.is_idle = in_line and not trying


def reach(
    opening: Opening, step: Connect, clock: Callable[[], float], ring: Callable[[], object]
) -> Generator[Begin | Await | Resolve, Any, socket.socket]:
    """What ``step`` wants: ends in a socket.

    ``ring``, called in any thread, ends an ``Await``. Raises :exc:`OSError`; ``TypeError`` or
    ``ValueError`` for a socket of the user's that will not do.
    """
    where = step.where
    if where.sock is not None:
        set_options(_checked(where.sock), opening.base.limits)
        return where.sock  # type: ignore[no-any-return]
    if step.turn_at is not None:
        turn = opening.take_turn(step.turn_at, ring)
        while turn is not None and not turn.granted:
            yield Await(None, in_line=True, trying=False)
    if where.path is not None:
        found = [Candidate(socket.AF_UNIX, socket.SOCK_STREAM, 0, os.fspath(where.path))]
    else:
        found = yield from resolve(where)
    own, limits = opening.base.own, opening.base.limits
    delay = own.get("happy_eyeballs_delay", limits.happy_eyeballs_delay)
    field = _Field(Race(found, delay, own.get("interleave") or 1), limits)
    their_own = step.turn_at is None

    def take_turn(address: Any) -> Turn | None:
        return opening.take_turn(address, ring) if their_own else None

    try:
        winner = yield from field.run(clock, take_turn)
    finally:
        field.leave()
    if winner is None:
        raise field.race.error(all_errors=bool(own.get("all_errors")))
    return winner


def resolve(where: Any) -> Generator[Resolve, Any, list[Candidate]]:
    """The addresses of ``where``, which has ``host``, ``port``, ``family`` and ``local_addr``."""
    if where.local_addr is None:
        found = literal(where.host, where.port, where.family)
        if found is not None:
            return found
    infos = yield Resolve(where.host, where.port, where.family)
    local = None
    if where.local_addr is not None:
        host, port = where.local_addr
        local = yield Resolve(host, port, where.family)
    return candidates(infos, local)


class _Field:
    """Who runs in ``race``: in line for a turn, or trying."""

    def __init__(self, race: Race, limits: Limits) -> None:
        self.race = race
        self._limits = limits
        self._in_line: list[tuple[Candidate, Turn]] = []
        self._trying: dict[socket.socket, tuple[Candidate, Turn | None]] = {}

    def run(
        self, clock: Callable[[], float], take_turn: Callable[[Any], Turn | None]
    ) -> Generator[Begin | Await, Any, socket.socket | None]:
        """The race: ends in its winner, if there is one."""
        while not self.race.is_lost:
            candidate = self.race.start(clock())
            if candidate is not None:
                turn = take_turn(candidate.address)
                if turn is None or turn.granted:
                    yield from self._begin(candidate, turn)
                else:
                    self._in_line.append((candidate, turn))
            for each in [each for each in self._in_line if each[1].granted]:
                self._in_line.remove(each)
                yield from self._begin(*each)
            if self.race.is_lost:
                break
            outcomes = yield Await(
                self.race.wait(clock()), in_line=bool(self._in_line), trying=bool(self._trying)
            )
            winner = None
            for sock, error in outcomes:
                candidate, turn = self._trying.pop(sock)
                if error is None and winner is None:
                    winner = sock
                    continue
                sock.close()
                self._fail(candidate, turn, error)
            if winner is not None:
                return winner  # type: ignore[no-any-return]
        return None

    def _begin(self, candidate: Candidate, turn: Turn | None) -> Generator[Begin, Any, None]:
        try:
            sock = _socket_for(candidate, self._limits)
        except OSError as exc:
            self._fail(candidate, turn, exc)
            return
        self._trying[sock] = candidate, turn
        try:
            yield Begin(sock, candidate.address)
        except BaseException:
            sock.close()
            raise

    def _fail(self, candidate: Candidate, turn: Turn | None, error: Exception | None) -> None:
        if turn is not None:
            turn.leave()
        if error is not None:  # otherwise it came second
            self.race.failed(candidate, error)

    def leave(self) -> None:
        """It is over: those who have not won want no turn any more."""
        for _, turn in (*self._in_line, *self._trying.values()):
            if turn is not None:
                turn.leave()


def _socket_for(candidate: Candidate, limits: Limits) -> socket.socket:
    sock = socket.socket(candidate.family, candidate.type, candidate.proto)
    try:
        sock.setblocking(False)
        set_options(sock, limits)
        if candidate.local is not None:
            sock.bind(candidate.local)
    except BaseException:
        sock.close()
        raise
    return sock


def _checked(sock: socket.socket) -> socket.socket:
    if isinstance(sock, ssl.SSLSocket):
        raise TypeError("sock cannot be an SSLSocket; use wss: and ssl=")
    if sock.type != socket.SOCK_STREAM:
        raise ValueError(f"sock must be a stream socket, not {sock!r}")
    sock.setblocking(False)
    return sock
