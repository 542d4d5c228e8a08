"""The close handshake: every legal transition is a cell of one table (RFC 6455 5.5.1 and 7.1).

::

      us                                     peer
       │  Close ─────────────────────────────▶ │     SEND_CLOSE:  OPEN → CLOSE_SENT
       │ ◀───────────────────────────── Close  │     RECV_CLOSE:  CLOSE_SENT → CLOSED_BOTH
       │            (server closes TCP)        │     LOST:        CLOSED_BOTH → GONE

What is not in the table is illegal: :func:`step` raises :exc:`~duplexer.errors.InvalidState`.
The figure in the documentation is drawn from the table, and a test visits every cell.
"""

from __future__ import annotations

import enum

from duplexer.errors import InvalidState

__all__ = ["DISCARDING", "TABLE", "Happening", "Phase", "State", "step"]


class State(enum.IntEnum):
    """The state of a connection as its user sees it; the numbers are those of browsers."""

    CONNECTING = 0
    OPEN = 1
    CLOSING = 2
    CLOSED = 3


class Phase(enum.IntEnum):
    """How far the close handshake has come."""

    OPEN = 0  #: data flows both ways
    CLOSE_SENT = 1  #: our Close is out; the peer may finish what it was saying
    CLOSE_RECEIVED = 2  #: the peer's Close is in; we may finish what we were saying
    CLOSED_BOTH = 3  #: both are; the server closes TCP, the client waits for that
    FAILED = 4  #: a rule was broken; nothing that comes is looked at any more
    GONE = 5  #: the byte stream has ended

    __hash__ = int.__hash__  # that of an enum is Python code, and takes as long as all the rest


class Happening(enum.IntEnum):
    """What moves it."""

    SEND_CLOSE = 0
    RECV_CLOSE = 1
    FAIL = 2
    LOST = 3

    __hash__ = int.__hash__


_P = Phase
_H = Happening

TABLE: dict[tuple[Phase, Happening], Phase] = {
    (_P.OPEN, _H.SEND_CLOSE): _P.CLOSE_SENT,
    (_P.OPEN, _H.RECV_CLOSE): _P.CLOSE_RECEIVED,
    (_P.OPEN, _H.FAIL): _P.FAILED,
    (_P.OPEN, _H.LOST): _P.GONE,
    (_P.CLOSE_SENT, _H.RECV_CLOSE): _P.CLOSED_BOTH,
    (_P.CLOSE_SENT, _H.FAIL): _P.FAILED,
    (_P.CLOSE_SENT, _H.LOST): _P.GONE,
    (_P.CLOSE_RECEIVED, _H.SEND_CLOSE): _P.CLOSED_BOTH,
    (_P.CLOSE_RECEIVED, _H.FAIL): _P.FAILED,
    (_P.CLOSE_RECEIVED, _H.LOST): _P.GONE,
    (_P.CLOSED_BOTH, _H.LOST): _P.GONE,
    (_P.FAILED, _H.LOST): _P.GONE,
}

#: Phases in which incoming bytes are no longer looked at (RFC 6455 7.1.7: not even a Close).
DISCARDING = frozenset({_P.CLOSE_RECEIVED, _P.CLOSED_BOTH, _P.FAILED, _P.GONE})

_ILLEGAL = {
    _H.SEND_CLOSE: "a Close frame has been sent already",
    _H.RECV_CLOSE: "the peer has nothing more to say",
    _H.FAIL: "the connection has failed or ended already",
    _H.LOST: "the byte stream has ended already",
}


def step(phase: Phase, happening: Happening) -> Phase:
    """The phase after ``happening``; :exc:`~duplexer.errors.InvalidState` if it cannot happen."""
    try:
        return TABLE[phase, happening]
    except KeyError:
        raise InvalidState(f"{_ILLEGAL[happening]} ({phase.name})") from None


def state_of(phase: Phase) -> State:
    """The same as a user sees it."""
    if phase is _P.OPEN:
        return State.OPEN
    return State.CLOSED if phase is _P.GONE else State.CLOSING
