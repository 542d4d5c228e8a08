"""How a connection of threads moves: system calls, interruptions, failures in the middle."""

from __future__ import annotations

import logging
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from duplexer import ConcurrencyError, ConnectionClosedError, ConnectionClosedOK, Limits
from duplexer.driver import conduct
from duplexer.sync import connect, mutex, pump, wire
from tests.contract.peers import CLOSE, PING, TEXT, RawListener, close_body
from tests.unit.sync.conftest import Background, Serving, until

ROOT = Path(__file__).parents[3]

ROUND_TRIPS = """
import os, sys
from duplexer.sync import connect
with connect(sys.argv[1], proxy=None, compression=None) as ws:
    def talk(n):
        for _ in range(n):
            ws.send("x" * 32)
            ws.recv()
    talk(20)
    os.read(0, 1)  # a mark: everything after it is counted
    talk(200)
    os.read(0, 1)
    ws.abort()
"""


class Counting(socket.socket):
    """A socket that says what is asked of the kernel."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.calls: list[str] = []


for name in ("send", "sendmsg", "recv_into", "setsockopt"):

    def counted(self: Any, *args: Any, name: str = name) -> Any:
        self.calls.append(name)
        return getattr(socket.socket, name)(self, *args)

    setattr(Counting, name, counted)


def test_a_round_trip_is_two_calls(serving: Serving) -> None:
    with serving() as (server, uri):
        sock = Counting()
        sock.connect(server.socket.getsockname())
        with connect(uri, sock=sock, compression=None) as ws:
            for _ in range(20):
                ws.send("x" * 32)
                ws.recv()
            sock.calls.clear()
            for _ in range(200):
                ws.send("x" * 32)
                ws.recv()
            told = [call for call in sock.calls if call != "setsockopt"]
            assert told == ["send", "recv_into"] * 200
            # Its deadline moves on with time, not with messages.
            assert len(sock.calls) - len(told) < 100


def test_a_round_trip_is_two_system_calls(serving: Serving, tmp_path: Path) -> None:
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("needs strace")
    trial = subprocess.run([strace, "-qq", "true"], capture_output=True)
    if trial.returncode:
        pytest.skip("needs ptrace")
    log = tmp_path / "calls"
    with serving() as (_, uri):
        running = subprocess.Popen(
            [strace, "-qq", "-o", log, sys.executable, "-c", ROUND_TRIPS, uri],
            stdin=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        )
        assert running.stdin is not None
        running.communicate(b"12", timeout=60)
        assert running.returncode == 0
    lines = log.read_text().splitlines()
    first, last = (i for i, line in enumerate(lines) if line.startswith("read(0, "))
    calls = [line.partition("(")[0] for line in lines[first + 1 : last]]
    moved = [call for call in calls if call in ("sendto", "recvfrom")]
    assert moved == ["sendto", "recvfrom"] * 200
    # Anything else is rare: the kernel is told of a new deadline, the interpreter takes memory.
    assert len(calls) - len(moved) < 100


INTERRUPTED = """
import sys, threading
from duplexer.sync import connect, serve

what, uri = sys.argv[1:]
if what == "serve":
    server = serve(lambda ws: None, "127.0.0.1", 0)
    with server:
        print("ready", flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            print("interrupted", flush=True)
    sys.exit()
if what == "connect":
    print("ready", flush=True)
    try:
        connect(uri, proxy=None, open_timeout=None).open()
    except KeyboardInterrupt:
        print("interrupted", flush=True)
    sys.exit()
with connect(uri, proxy=None, compression=None, close_timeout=0.1) as ws:
    def other():
        while not ws.is_receiving():
            pass
        print("ready", flush=True)
    calls = {
        "recv": ws.recv,
        "timeout": lambda: ws.recv(timeout=1000),
        "stream": lambda: next(ws.recv_streaming()),
        "send": lambda: ws.send(b"x" * 50_000_000),
        "pong": lambda: ws.ping().wait(),
        "wait_closed": ws.wait_closed,
        "close": ws.close,
    }
    print("ready", flush=True)
    try:
        calls[what]()
    except KeyboardInterrupt:
        print("interrupted", flush=True)
"""


@pytest.mark.parametrize(
    "what",
    ["recv", "timeout", "stream", "send", "pong", "wait_closed", "close", "connect", "serve"],
)
def test_ctrl_c_ends_every_wait(what: str) -> None:
    listener = RawListener(None)
    address = f"127.0.0.1:{listener.sock.getsockname()[1]}"
    running = subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED, what, f"ws://{address}/"],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
    )
    assert running.stdout is not None
    peer = None
    try:
        if what != "serve":
            peer = listener.accept(handshake=what != "connect")
        assert running.stdout.readline() == "ready\n"
        # It may not have come to its wait yet: then it is told again.
        for _ in range(100):
            running.send_signal(signal.SIGINT)
            try:
                out, _ = running.communicate(timeout=0.3)
                break
            except subprocess.TimeoutExpired:
                continue
        assert "interrupted" in out or running.returncode == -signal.SIGINT
        assert running.returncode in (0, -signal.SIGINT)
    finally:
        running.kill()
        running.wait()
        running.stdout.close()
        if peer is not None:
            peer.close()
        listener.close()


def raw_pair(**kwargs: Any) -> Any:
    listener = RawListener(None)
    accepting = Background(listener.accept)
    ws = connect(
        f"ws://127.0.0.1:{listener.sock.getsockname()[1]}/", proxy=None, compression=None, **kwargs
    ).open()
    listener.close()
    return ws, accepting.outcome()


def test_the_last_words_of_a_peer_that_is_gone_are_heard() -> None:
    """Writing fails, but what it said before is still there to be read."""
    ws, peer = raw_pair(ping_interval=None)
    peer.send(TEXT, b"last message")
    peer.send(CLOSE, close_body(4000, "good night"))
    peer.close()
    with pytest.raises(ConnectionClosedError) as caught:
        while True:
            ws.send(b"x" * 100_000)
    assert caught.value.rcvd is not None and caught.value.rcvd.code == 4000
    assert ws.recv() == "last message"
    assert ws.wait_closed(10)


def test_the_last_words_are_heard_though_another_thread_has_them_in_its_hands() -> None:
    """Writing fails while a reader, which holds them, waits for who writes."""
    ws, peer = raw_pair(ping_interval=None)
    receiving = Background(ws.recv)
    until(partial(getattr, ws, "reading"), 20)
    with ws.mutex:  # as who sends does
        peer.send(TEXT, b"last message")
        until(ws.wire.is_full, 20)  # it has read that, and comes no further
        peer.send(CLOSE, close_body(4000, "good night"))
        assert wait_readable(ws.socket)
        ws.socket.shutdown(socket.SHUT_WR)
        ws.put(b"x", None, None)
        with pytest.raises(ConnectionClosedError) as caught:
            ws.push()
    assert receiving.outcome() == "last message"
    assert caught.value.rcvd is not None and caught.value.rcvd.code == 4000
    assert isinstance(caught.value.__cause__, BrokenPipeError)
    peer.close()


def wait_readable(sock: socket.socket) -> bool:
    return bool(select.select([sock], [], [], 20)[0])


#: Where Ctrl-C strikes: in the front, in what it waits with, in what takes in.
SOURCES = {module.__file__ for module in (pump, mutex, wire, conduct, threading)}


def interrupted(action: Callable[[], Any], when: int) -> bool:
    """Whether ``action()`` was ended by Ctrl-C, which came at the ``when``-th moment it can.

    The interpreter looks for signals where a function begins, and where a call of C has returned.
    """
    moments = 0

    def profile(frame: Any, event: str, arg: object) -> None:
        nonlocal moments
        if event in ("call", "c_return") and frame.f_code.co_filename in SOURCES:
            moments += 1
            if moments == when:
                raise KeyboardInterrupt

    sys.setprofile(profile)
    try:
        action()
    except KeyboardInterrupt:
        return True
    finally:
        sys.setprofile(None)
    return False


def in_order(ws: Any, threads: int = 0) -> None:
    """What every call leaves behind, whatever has ended it; ``threads`` are within others."""
    assert not ws.mutex._is_owned()
    assert ws.reading == bool(threads)
    assert (ws._polling, ws._sleeping) == (0, 0)


def test_ctrl_c_at_any_moment_of_a_read_leaves_the_connection_in_order() -> None:
    ws = peer = None
    for when in range(1, 1000):
        if ws is None:
            ws, peer = raw_pair(ping_interval=None)
        peer.send(TEXT, b"one")
        if not interrupted(ws.recv, when):
            break
        in_order(ws)
        peer.send(TEXT, b"two")
        try:
            while ws.recv(timeout=20) != "two":
                pass
        except ConnectionClosedError as exc:  # nobody knows how much of "one" was taken in
            assert isinstance(exc.__cause__, ConnectionAbortedError)  # noqa: PT017
            peer.close()
            ws = None
        else:
            in_order(ws)
    else:
        pytest.fail("it has never come to its end")
    ws.abort()
    peer.close()


@pytest.mark.parametrize("who", ["application", "sender", "keeper"])
def test_ctrl_c_in_the_middle_of_taking_in_ends_the_connection(who: str) -> None:
    class Interrupting(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if "ping" in record.getMessage():
                raise KeyboardInterrupt

    logger = logging.getLogger("tests.unit.sync.interrupting")
    logger.setLevel(logging.DEBUG)
    logger.addHandler(Interrupting())
    ws, peer = raw_pair(ping_interval=None, logger=logger)
    peer.send(PING, b"?")
    with pytest.raises(KeyboardInterrupt):
        ws.recv()
    in_order(ws)
    if who == "keeper":
        ws.tend(0.0, False)
        assert ws.lost
    with pytest.raises(ConnectionClosedError) as caught:
        ws.send("x") if who == "sender" else ws.recv()
    assert isinstance(caught.value.__cause__, ConnectionAbortedError)
    peer.close()


@pytest.mark.parametrize("pending", [False, True])
@pytest.mark.parametrize("receiving", [False, True])
def test_ctrl_c_at_any_moment_of_a_wait_leaves_the_connection_in_order(
    receiving: bool, pending: bool
) -> None:
    ws = peer = other = None
    for when in range(1, 1000):
        if ws is None:
            ws, peer = raw_pair(ping_interval=None)
            if receiving:
                other = Background(ws.recv)
                until(partial(getattr, ws, "reading"), 20)
            if pending:
                ws.send_nowait(b"x" * 8_000_000)
        struck = interrupted(partial(ws.wait_closed, 0.0001), when)
        if not ws.lost:
            in_order(ws, threads=int(receiving))
            if struck:
                continue
            break
        assert pending  # how much of that went out is not known
        peer.close()
        ws = None
    else:
        pytest.fail("it has never come to its end")
    peer.send(TEXT, b"next")
    assert (other.outcome() if other else ws.recv(timeout=20)) == "next"
    ws.abort()
    peer.close()


def test_a_signal_handler_may_close_what_it_has_interrupted() -> None:
    ws, peer = raw_pair(ping_interval=None, close_timeout=60)
    came = threading.Event()

    def handle(*_: Any) -> None:
        if not came.is_set():
            came.set()
            ws.close()

    def answer() -> Any:
        until(partial(getattr, ws, "reading"), 20)
        while not came.wait(0.05):  # it may not have come to its wait yet: then it is told again
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)
        peer.send(TEXT, b"before")
        code = peer.recv_close()[0]
        peer.send(CLOSE, close_body(1000))
        peer.close()
        return code

    before = signal.signal(signal.SIGUSR1, handle)
    try:
        answering = Background(answer)
        assert ws.recv() == "before"  # the handler has read it
        with pytest.raises(ConnectionClosedOK):
            ws.recv()
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert answering.outcome() == 1000
    assert ws.close_code == 1000
    assert ws.socket.fileno() == -1


def test_a_breach_behind_a_message_is_answered_when_that_has_been_read() -> None:
    ws, peer = raw_pair(ping_interval=None)  # no keeper would do it
    peer.send_bytes(peer.frame(TEXT, b"fine") + peer.frame(TEXT, b"not", rsv=7))
    assert ws.recv() == "fine"
    with pytest.raises(ConnectionClosedError):
        ws.recv()
    assert peer.recv_close()[0] == 1002
    peer.close()
    assert ws.wait_closed(10)


def test_over_tls_an_application_that_is_behind_sees_the_answer_to_its_close(
    serving: Serving, contexts: Any
) -> None:
    sent = threading.Event()
    ends: list[Any] = []

    def behind(ws: Any) -> None:
        assert sent.wait(20)
        assert ws.recv() == "0" * 1000
        ws.close()
        ends.append((ws.close_code, ws.recv()))

    limits = Limits(queue_messages=4, ping_interval=None, close_timeout=60)
    with serving(behind, ssl=contexts[0], limits=limits) as (_, uri):
        with connect(uri, proxy=None, ssl=contexts[1], compression=None, close_timeout=60) as ws:
            for i in range(100):
                ws.send(f"{i}" * 1000)  # each is a record of its own
            sent.set()
            assert ws.wait_closed(20)
        until(lambda: ends)
    assert ends == [(1000, "1" * 1000)]


def test_a_write_that_was_interrupted_ends_the_connection() -> None:
    ws, peer = raw_pair()
    ws.wire.torn = True
    with pytest.raises(ConnectionClosedError) as caught:
        ws.send("half of something may be out")
    assert isinstance(caught.value.__cause__, ConnectionAbortedError)
    peer.close()


def test_who_waits_for_its_turn_to_send_learns_of_the_end() -> None:
    ws, peer = raw_pair()
    begun, gate = threading.Event(), threading.Event()

    def pieces() -> Any:
        yield "a"
        begun.set()
        gate.wait(40)
        yield "b"

    one = Background(ws.send, pieces())
    assert begun.wait(40)
    other = Background(ws.send, "other")
    until(lambda: ws._sleeping)
    ws.abort()
    gate.set()
    for each in (one, other):
        with pytest.raises(ConnectionClosedError):
            each.outcome()
    peer.close()


def test_a_peer_that_never_reads_is_given_up() -> None:
    ws, peer = raw_pair(limits=Limits(send_timeout=0.1, ping_interval=None))
    with pytest.raises(ConnectionClosedError) as caught:
        ws.send(b"x" * 50_000_000)
    assert "send_timeout" in str(caught.value.__cause__)
    peer.close()


def test_several_senders_whose_bytes_one_of_them_writes() -> None:
    ws, peer = raw_pair()
    sending = [Background(ws.send, b"x" * 8_000_000) for _ in range(4)]
    until(lambda: ws._polling == 4)
    frames = [peer.recv() for _ in range(4)]
    assert [len(frame.payload) for frame in frames] == [8_000_000] * 4
    for each in sending:
        each.outcome()
    assert ws.buffered_amount == 0
    ws.abort()
    peer.close()


class Calling(logging.Handler):
    """Calls the connection about which it is told something."""

    def __init__(self) -> None:
        super().__init__()
        self.errors: list[Exception] = []

    def emit(self, record: logging.LogRecord) -> None:
        ws: Any = record.args[0] if record.args else None
        if "ping" in record.getMessage():
            for call in (ws.send, ws.send_nowait, ws.ping, ws.recv):
                try:
                    call("x") if call != ws.recv else call()
                except ConcurrencyError as exc:
                    self.errors.append(exc)


def test_a_call_within_a_call_is_an_error_and_no_deadlock() -> None:
    logger = logging.getLogger("tests.unit.sync.calling")
    logger.setLevel(logging.DEBUG)
    handler = Calling()
    logger.addHandler(handler)
    ws, peer = raw_pair(ping_interval=None, logger=logger)
    peer.send(PING, b"?")
    peer.send(TEXT, b"next")
    assert Background(ws.recv).outcome() == "next"
    assert len(handler.errors) == 4
    assert "signal handler" in str(handler.errors[0])
    ws.abort()
    peer.close()
