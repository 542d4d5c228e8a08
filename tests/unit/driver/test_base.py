"""What every connection tells of itself."""

from __future__ import annotations

from typing import Any

from duplexer.core.closing import State
from duplexer.core.session import Session
from duplexer.driver.base import ConnectionBase
from tests.wire.frames import CLOSE, close_body
from tests.wire.sessions import feed, make, to


class Bare(ConnectionBase):
    def __init__(self, session: Session | None) -> None:
        self.session = session
        self._id: Any = None
        self._addresses = (("::1", 1), ("127.0.0.1", 80))


def test_before_it_is_open() -> None:
    bare = Bare(None)
    assert bare.state is State.CONNECTING
    assert (bare.extensions, bare.latency) == ((), 0.0)
    assert (bare.close_code, bare.close_reason) == (None, None)
    assert "not been finished" in bare.explain()


def test_while_it_is_open() -> None:
    session = make(deflate=True)
    bare = Bare(session)
    assert bare.state is State.OPEN
    assert bare.extensions == session.extensions
    session.send_ping(b"x", None, 1.0)
    session.match_pong(b"x", 1.5)
    assert bare.latency == 0.5
    assert (bare.close_code, bare.close_reason) == (None, None)
    assert bare.explain() == session.explain()


def test_once_it_is_closed() -> None:
    session = make()
    bare = Bare(session)
    feed(session, to(session, CLOSE, close_body(4000, "bye")))
    assert (bare.state, bare.close_code) == (State.CLOSING, 4000)  # as soon as recv() raises
    session.receive_eof()
    assert bare.state is State.CLOSED
    assert (bare.close_code, bare.close_reason) == (4000, "bye")


def test_once_it_is_lost() -> None:
    session = make()
    session.receive_eof()
    bare = Bare(session)
    assert (bare.close_code, bare.close_reason) == (1006, "")


def test_its_id_stays() -> None:
    bare = Bare(None)
    assert bare.id == bare.id != Bare(None).id
    assert (bare.local_address, bare.remote_address) == (("::1", 1), ("127.0.0.1", 80))
    text = repr(bare)
    assert text == f"<Bare {bare.id} CONNECTING ('127.0.0.1', 80)>"
