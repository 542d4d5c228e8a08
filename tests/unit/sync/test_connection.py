"""A connection of threads, as its users use it. What every front does is in tests/contract/."""

from __future__ import annotations

import gc
import threading
from typing import Any

import pytest

from duplexer import ConcurrencyError, ConnectionClosedError, ConnectionClosedOK, Limits, Prepared
from duplexer.sync import connect
from tests.unit.sync.conftest import Background, Serving, echo, until


def quiet(ws: Any) -> None:
    ws.wait_closed()


def test_a_message_that_does_not_come_in_time_is_not_lost(serving: Serving) -> None:
    go = threading.Event()

    def handler(ws: Any) -> None:
        go.wait(40)
        ws.send("late")
        ws.wait_closed()

    with serving(handler) as (_, uri), connect(uri, proxy=None) as ws:
        for timeout in (0, 0.01, 0.05):
            with pytest.raises(TimeoutError, match=str(timeout)):
                ws.recv(timeout=timeout)
        go.set()
        assert ws.recv(timeout=40) == "late"
        assert not ws.is_receiving()


def test_a_stream_whose_reading_is_interrupted_goes_on(serving: Serving, monkeypatch: Any) -> None:
    with serving() as (_, uri), connect(uri, proxy=None) as ws:
        stream = ws.recv_streaming()
        with monkeypatch.context() as patched:

            def interrupted(*args: Any) -> None:
                raise KeyboardInterrupt

            patched.setattr("duplexer.sync.pump.monotonic", interrupted)
            with pytest.raises(KeyboardInterrupt):
                next(stream)
        ws.send("whole")
        assert ws.recv() == "whole"


@pytest.mark.parametrize("then", [lambda ws: ws.recv(), lambda ws: "".join(ws.recv_streaming())])
def test_a_stream_that_is_forgotten_discards_the_rest(serving: Serving, then: Any) -> None:
    common = {"compression": None, "max_size": None}
    with serving(**common) as (_, uri), connect(uri, proxy=None, **common) as ws:
        ws.send(b"x" * 3_000_000)
        ws.send("next")
        for piece in ws.recv_streaming():
            assert piece
            break
        gc.collect()
        assert then(ws) == "next"


def test_one_receives_while_others_send_ping_and_close(serving: Serving) -> None:
    n, senders = 100, 4

    def send(ws: Any, mark: int) -> None:
        for i in range(n):
            ws.send(f"{mark} {i} " + "x" * (i * 331 % 5000))
            if i % 10 == 0:
                ws.ping().wait(40)

    def receive(ws: Any) -> list[list[str]]:
        return [message.split()[:2] for message in ws]

    with serving() as (_, uri), connect(uri, proxy=None, compression=None) as ws:
        receiving = Background(receive, ws)
        sending = [Background(send, ws, mark) for mark in range(senders)]
        for each in sending:
            each.outcome()
        # The last echoes may be under way: what was sent before a Ping is back with its Pong.
        assert ws.ping().wait(40)
        Background(ws.close).outcome()
        got = receiving.outcome()
    for mark in range(senders):
        assert [i for m, i in got if m == str(mark)] == [str(i) for i in range(n)]


def test_closing_wakes_a_reader_in_another_thread(serving: Serving) -> None:
    with serving(quiet) as (_, uri), connect(uri, proxy=None) as ws:
        receiving = Background(ws.recv)
        until(ws.is_receiving)
        with pytest.raises(ConcurrencyError):
            ws.recv()
        ws.close()
        with pytest.raises(ConnectionClosedOK):
            receiving.outcome()


def test_a_sender_reads_while_it_waits(serving: Serving) -> None:
    """Both ends send, neither is in recv(): both would wait for ever if sending did not read."""
    limits = Limits(queue_messages=1000, queue_bytes=100_000_000)
    messages = [b"x" * 1_000_000] * 20

    def handler(ws: Any) -> None:
        for message in messages:
            ws.send(message)
        assert [len(ws.recv()) for _ in messages] == [len(message) for message in messages]

    common = {"compression": None, "limits": limits}
    with serving(handler, **common) as (_, uri), connect(uri, proxy=None, **common) as ws:
        for message in messages:
            ws.send(message)
        assert [len(ws.recv()) for _ in messages] == [len(message) for message in messages]


def test_a_pong_tells_of_the_end(serving: Serving) -> None:
    with serving(lambda ws: ws.recv()) as (_, uri), connect(uri, proxy=None) as ws:
        pong = ws.ping(b"1")
        assert pong.wait(40)
        assert pong.latency is not None and pong.latency == ws.latency > 0
        ws.abort()
        with pytest.raises(ConnectionClosedError):
            ws.ping()
    with serving(lambda ws: ws.wait_closed()) as (server, uri), connect(uri, proxy=None) as ws:
        until(lambda: server.connections)
        for each in list(server.connections):
            each.mutex.acquire()  # it does not answer
        try:
            pong = ws.ping()
            assert not pong.wait(0.01)
            ws.abort()
            with pytest.raises(ConnectionClosedError):
                pong.wait()
        finally:
            for each in list(server.connections):
                each.mutex.release()


def test_what_cannot_be_sent(serving: Serving) -> None:
    async def pieces() -> Any:
        yield "a"

    with serving(quiet) as (_, uri), connect(uri, proxy=None) as ws:
        with pytest.raises(TypeError, match="async"):
            ws.send(pieces())
        with pytest.raises(TypeError, match="pieces are sent by send"):
            ws.send_nowait(["a", "b"])

        def recursive() -> Any:
            yield "a"
            ws.send("b")

        with pytest.raises(ConcurrencyError, match="pieces"):
            ws.send(recursive())


def test_everything_that_can_be_sent(serving: Serving) -> None:
    with serving() as (_, uri), connect(uri, proxy=None) as ws:
        for message in ("text", b"bytes", bytearray(b"more"), Prepared("prepared"), ["a", "b"]):
            ws.send(message)
        ws.send_nowait("now")
        ws.pong(b"nobody asked")
        assert [ws.recv() for _ in range(6)] == ["text", b"bytes", b"more", "prepared", "ab", "now"]
        assert ws.buffered_amount == 0
        assert ws.wait_closed(0.01) is False
        assert "ClientConnection" in repr(ws)
    assert ws.wait_closed() is True


def test_an_exception_closes_with_1011(serving: Serving) -> None:
    codes = []

    def handler(ws: Any) -> None:
        ws.wait_closed()
        codes.append(ws.close_code)

    with serving(handler) as (_, uri):
        with pytest.raises(ZeroDivisionError), connect(uri, proxy=None):
            raise ZeroDivisionError
        until(lambda: codes)
    assert codes == [1011]


def test_tls_from_many_threads(serving: Serving, contexts: Any) -> None:
    def send(ws: Any) -> None:
        for i in range(100):
            ws.send(bytes([i]) * (i * 997 % 40_000))

    with serving(echo, ssl=contexts[0]) as (_, uri):
        with connect(uri, ssl=contexts[1], proxy=None, compression=None) as ws:
            sending = [Background(send, ws) for _ in range(3)]
            got = [ws.recv(timeout=20) for _ in range(300)]
            for each in sending:
                each.outcome()
    assert sorted(map(len, got)) == sorted(3 * [i * 997 % 40_000 for i in range(100)])
    assert all(len(set(message)) <= 1 for message in got)
