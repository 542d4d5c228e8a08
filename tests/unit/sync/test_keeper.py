"""The keeper: what it does for connections that no thread looks after."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from duplexer import ConnectionClosedError, Limits, State
from duplexer.sync import connect
from duplexer.sync import keeper as module
from duplexer.sync.keeper import KEEPER
from tests.contract.peers import CLOSE, PING, PONG, TEXT, Raw, RawListener, close_body
from tests.unit.sync.conftest import until
from tests.unit.sync.test_pump import raw_pair


@pytest.fixture(autouse=True)
def often(monkeypatch: Any) -> Iterator[None]:
    until(lambda: not running())
    monkeypatch.setattr(module, "PERIOD", 0.02)
    yield
    until(lambda: not running())


def running() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "duplexer-keeper"]


def test_one_thread_for_all_and_none_for_none() -> None:
    pairs = [raw_pair() for _ in range(3)]
    assert len(running()) == 1
    for ws, peer in pairs:
        ws.abort()
        peer.close()
    until(lambda: not running())
    ws, peer = raw_pair(ping_interval=None)  # nothing for it to do
    assert not running()
    ws.abort()
    peer.close()


def test_pings_are_answered_and_sent_while_the_application_does_something_else() -> None:
    ws, peer = raw_pair(ping_interval=0.1, ping_timeout=0.1)
    peer.send(PING, b"are you there?")
    frames = []
    while len([frame for frame in frames if frame.opcode == PING]) < 5:
        frames.append(peer.recv())
        if frames[-1].opcode == PING:
            peer.send(PONG, frames[-1].payload)
    assert b"are you there?" in [frame.payload for frame in frames if frame.opcode == PONG]
    assert ws.latency > 0
    assert ws.state is State.OPEN
    ws.abort()
    peer.close()


def test_a_dead_peer_is_noticed_though_nobody_receives() -> None:
    ws, peer = raw_pair(ping_interval=0.1, ping_timeout=0.1)
    until(lambda: ws.lost)
    with pytest.raises(ConnectionClosedError) as caught:
        ws.recv()
    assert "ping_timeout" in str(caught.value.__cause__)
    peer.close()


def test_what_nobody_receives_is_bounded() -> None:
    ws, peer = raw_pair(limits=Limits(queue_messages=4, frames_per_turn=1))
    for i in range(20):
        peer.send(TEXT, b"%d" % i)
    until(lambda: not ws.wants_bytes())
    assert ws.session.inbox.count <= 6
    assert [ws.recv(timeout=40) for _ in range(20)] == [str(i) for i in range(20)]
    ws.abort()
    peer.close()


def test_a_close_is_answered_though_nobody_receives() -> None:
    ws, peer = raw_pair()
    peer.send(CLOSE, close_body(4001))
    assert peer.recv_close() == (4001, "")
    peer.close()
    until(lambda: ws.lost)
    assert ws.close_code == 4001


def test_a_close_that_nobody_waits_for_has_its_deadline() -> None:
    ws, peer = raw_pair(ping_interval=None, close_timeout=0.1)
    ws.start_close(4002)
    assert peer.recv_close() == (4002, "")
    until(lambda: ws.lost)
    peer.close()


def test_what_could_not_be_written_at_once() -> None:
    ws, peer = raw_pair(ping_interval=None)
    data = b"x" * 10_000_000
    ws.send_nowait(data)
    assert ws.buffered_amount > 0
    frame = peer.recv()
    assert frame.payload == data
    until(lambda: not ws.buffered_amount)
    ws.abort()
    peer.close()


def test_a_ping_is_settled_though_nobody_waits_for_it() -> None:
    ws, peer = raw_pair(ping_interval=None)
    pong = ws.ping(b"x")
    peer.recv()
    peer.send(PONG, b"x")
    until(pong.is_set)
    ws.abort()
    peer.close()


def test_a_connection_that_fails_does_not_take_the_others_along(
    monkeypatch: Any, caplog: Any
) -> None:
    (one, its_peer), (other, peer) = raw_pair(), raw_pair(ping_interval=0.05)

    def fail(*args: Any) -> Any:
        raise ZeroDivisionError

    one.pong_came = fail
    one.ping(b"x")
    its_peer.recv()
    its_peer.send(PONG, b"x")
    until(lambda: one.lost)
    assert "failed" in caplog.text
    peer.recv()  # a ping: the keeper is there
    for each in (its_peer, peer):
        each.close()
    other.abort()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_child_begins_anew() -> None:
    ws, peer = raw_pair()
    parents = KEEPER._thread
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            assert KEEPER._thread is None and not KEEPER._connections
            mine, its_peer = raw_pair(ping_interval=0.05)
            assert KEEPER._thread is not None and KEEPER._thread is not parents
            assert its_peer.recv().opcode == PING
            mine.abort()
            status = 0
        finally:
            os._exit(status)
    deadline = time.monotonic() + 20
    while (done := os.waitpid(pid, os.WNOHANG))[0] == 0:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert done[1] == 0
    assert KEEPER._thread is parents
    ws.abort()
    peer.close()


def test_a_connection_that_is_lost_already_is_not_kept() -> None:
    ws, peer = raw_pair(ping_interval=None)
    ws.abort()
    KEEPER.add(ws)
    until(lambda: not running())
    assert ws not in KEEPER._connections
    peer.close()


def test_a_thread_that_does_not_start_is_started_the_next_time(monkeypatch: Any) -> None:
    ws, peer = raw_pair(ping_interval=None)
    start = threading.Thread.start

    def refused(thread: threading.Thread) -> None:
        if thread.name == "duplexer-keeper":
            raise RuntimeError("can't start new thread")
        start(thread)

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refused)
        with pytest.raises(RuntimeError):
            KEEPER.add(ws)
        listener = RawListener(None)
        peers: list[Raw] = []
        accepting = threading.Thread(target=lambda: peers.append(listener.accept()))
        accepting.start()
        with pytest.raises(RuntimeError):
            connect(f"ws://127.0.0.1:{listener.sock.getsockname()[1]}/", proxy=None).open()
        accepting.join()
        assert peers[0].sock.recv(1) == b""  # its socket is closed
        peers[0].close()
        listener.close()
    peer.send(PING, b"?")
    KEEPER.add(ws)
    assert peer.recv().opcode == PONG
    ws.abort()
    peer.close()
