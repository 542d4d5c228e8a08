"""Sessions to be fed with frames, for tests of the core."""

from __future__ import annotations

from typing import Any

from duplexer.core.session import Session
from duplexer.dialects.rfc6455 import RFC6455
from duplexer.extensions.deflate import PerMessageDeflate
from duplexer.limits import Limits
from tests.wire.frames import KEY, Frame, build, joined, parse

QUIET = Limits(ping_interval=None)


def make(
    server: bool = True, *, deflate: bool = False, now: float = 0.0, **changes: Any
) -> Session:
    limits = QUIET.replace(**changes)
    extensions = (PerMessageDeflate(False, False, 15, 15, limits=limits),) if deflate else ()
    return Session(RFC6455, server=server, limits=limits, extensions=extensions, now=now)


def feed(session: Session, *pieces: bytes) -> None:
    """Bytes arrive, in these reads."""
    for piece in pieces:
        assert session.receive(piece, 0, len(piece)) == len(piece)
        session.conclude()


def to(session: Session, opcode: int, payload: bytes = b"", **kwargs: Any) -> bytes:
    """A frame as the session's peer sends it."""
    return build(opcode, payload, key=KEY if session.server else None, **kwargs)


def sent(session: Session) -> list[Frame]:
    """What the session has sent, without the keys; they must be right for the role."""
    found = parse(joined(session.cork.take()))
    assert all((frame.key is None) is session.server for frame in found)
    return [frame._replace(key=None) for frame in found]


def messages(session: Session) -> list[Any]:
    """What waits for its reader."""
    return [session.inbox.pop() for _ in range(session.inbox.count)]


def pair(**kwargs: Any) -> tuple[Session, Session]:
    """A client and a server."""
    return make(False, **kwargs), make(True, **kwargs)


def carry(source: Session, target: Session) -> None:
    """What one has sent arrives at the other."""
    feed(target, joined(source.cork.take()))
