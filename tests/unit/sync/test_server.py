"""``serve`` for threads. What every front does is in tests/contract/."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import errno
import functools
import http.client
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from duplexer import InvalidHandshake, InvalidStatus, Limits
from duplexer.http.messages import Response, make_response
from duplexer.sync import ServerConnection, broadcast, connect, serve, unix_connect, unix_serve
from duplexer.sync import server as module
from duplexer.sync.router import route
from duplexer.sync.server import Server, basic_auth
from tests.contract.peers import Raw
from tests.unit.sync.conftest import Background, Serving, echo, until


def test_serving_for_ever_and_shutting_down() -> None:
    server = serve(echo, "127.0.0.1", 0)
    assert not server.is_serving()
    assert server.fileno() == server.socket.fileno()
    running = Background(server.serve_forever)
    with connect(f"ws://127.0.0.1:{server.socket.getsockname()[1]}/", proxy=None) as ws:
        ws.send("x")
        assert ws.recv() == "x"
        assert server.is_serving()
        server.shutdown(1012, "back soon")
        assert ws.wait_closed(10)
        assert (ws.close_code, ws.close_reason) == (1012, "back soon")
    running.outcome()
    assert server.sockets == ()
    server.shutdown()


def test_a_handler_that_does_not_return_is_named(caplog: Any) -> None:
    gate = threading.Event()
    with serve(lambda ws: gate.wait(40), "127.0.0.1", 0, close_timeout=0.1) as server:
        with connect(f"ws://127.0.0.1:{server.socket.getsockname()[1]}/", proxy=None):
            until(lambda: server.connections)
            server.shutdown()
    assert "handlers have not finished" in caplog.text
    assert not server.wait_closed(0)
    gate.set()
    assert server.wait_closed(10)


def test_threads_are_bounded_and_the_last_ones_say_503(serving: Serving) -> None:
    with serving(limits=Limits(max_threads=10)) as (server, uri):
        inside = [connect(uri, proxy=None).open() for _ in range(9)]
        with pytest.raises(InvalidStatus) as caught:
            connect(uri, proxy=None).open()
        assert caught.value.response.status_code == 503
        address = server.socket.getsockname()
        silent = Raw.dial(address, handshake=False)
        until(lambda: server.opening)
        waiting = Background(connect(uri, proxy=None).open)  # nobody is there to let it in
        silent.close()
        with pytest.raises(InvalidStatus):
            waiting.outcome()
        for ws in inside:
            ws.close()
        with connect(uri, proxy=None) as ws:
            ws.send("room again")
            assert ws.recv() == "room again"


def test_handlers_see_the_context_of_who_serves(serving: Serving) -> None:
    variable = contextvars.ContextVar("variable", default="outside")
    variable.set("inside")
    seen = []

    def handler(ws: Any) -> None:
        seen.append(variable.get())
        variable.set("changed by another connection")

    with serving(handler) as (_, uri):
        for _ in range(2):
            with connect(uri, proxy=None) as ws:
                ws.wait_closed()
    assert seen == ["inside", "inside"]


def test_no_more_descriptors(serving: Serving, monkeypatch: Any, caplog: Any) -> None:
    monkeypatch.setattr(module, "PAUSE", 0.02)
    refusals = [OSError(errno.EMFILE, "too many open files")] * 2

    class Exhausted:
        def __init__(self, sock: socket.socket) -> None:
            self.sock = sock

        def accept(self) -> Any:
            if refusals:
                raise refusals.pop()
            return self.sock.accept()

    accept = module.Server._accept
    monkeypatch.setattr(module.Server, "_accept", lambda self, sock: accept(self, Exhausted(sock)))
    with serving() as (_, uri), connect(uri, proxy=None) as ws:
        ws.send("x")
        assert ws.recv() == "x"
    assert not refusals
    assert caplog.text.count("accepting pauses") == 1  # it is told once, until it goes on


def test_no_more_threads(serving: Serving, monkeypatch: Any, caplog: Any) -> None:
    monkeypatch.setattr(module, "PAUSE", 0.02)
    with serving() as (server, uri):
        until(server.is_serving)
        failures = [RuntimeError("can't start new thread")]
        start = threading.Thread.start

        def fail(thread: threading.Thread) -> None:
            if failures and str(thread.name).startswith("duplexer-("):
                raise failures.pop()
            start(thread)

        monkeypatch.setattr(threading.Thread, "start", fail)
        with pytest.raises((OSError, InvalidHandshake)):
            connect(uri, proxy=None).open()
        with connect(uri, proxy=None) as ws:
            ws.send("x")
            assert ws.recv() == "x"
    assert "can't start new thread" in caplog.text


def test_plain_http_on_the_same_port(serving: Serving) -> None:
    def answer(request: Any) -> Response:
        assert threading.current_thread() is not threading.main_thread()
        return make_response(200, b"fine\n")

    with serving(http={"/health": answer}) as (server, _):
        client = http.client.HTTPConnection(*server.socket.getsockname(), timeout=40)
        for _ in range(2):  # over one connection
            client.request("GET", "/health")
            response = client.getresponse()
            assert (response.status, response.read()) == (200, b"fine\n")
        client.close()
        until(lambda: not server.opening)


def test_connections_of_ones_own(serving: Serving) -> None:
    class Mine(ServerConnection):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args)
            self.user = "nobody"

    def handler(ws: Any) -> None:
        ws.send(ws.user)

    with serving(handler, create_connection=Mine) as (_, uri), connect(uri, proxy=None) as ws:
        assert ws.recv() == "nobody"


def test_broadcasting_waits_for_nobody(serving: Serving) -> None:
    def handler(ws: Any) -> None:
        ws.wait_closed()

    with serving(handler, limits=Limits(write_hard=1_000_000), compression=None) as (server, uri):
        slow = Raw.dial(server.socket.getsockname(), receive_buffer=4096)
        with connect(uri, proxy=None, compression=None) as good:
            until(lambda: len(server.connections) == 2)
            while len(server.connections) == 2:
                broadcast(server.connections, b"x" * 500_000)
                assert len(good.recv(timeout=40)) == 500_000
            broadcast(server.connections, "still here")
            assert good.recv(timeout=40) == "still here"
        slow.close()


def test_unix_sockets(tmp_path: Any) -> None:
    path = str(tmp_path / "socket")
    for _ in range(2):  # the second one finds what the first has left
        with unix_serve(echo, path), unix_connect(path) as ws:
            ws.send("through a file")
            assert ws.recv() == "through a file"


def test_a_handler_for_each_path_behind_a_password() -> None:
    from werkzeug.routing import Map, Rule

    def one(ws: Any, name: str) -> None:
        ws.send(f"{ws.username}: {name}")

    auth = basic_auth("here", ("me", "secret"))
    url_map = Map([Rule("/one/<name>", endpoint=one)])
    with route(url_map, "127.0.0.1", 0, process_request=auth) as server:
        address = f"127.0.0.1:{server.socket.getsockname()[1]}"
        with connect(f"ws://me:secret@{address}/one/x", proxy=None) as ws:
            assert ws.recv() == "me: x"
        for uri, status in ((f"ws://{address}/one/x", 401), (f"ws://me:secret@{address}/", 404)):
            with pytest.raises(InvalidStatus) as caught:
                connect(uri, proxy=None).open()
            assert caught.value.response.status_code == status


def test_sockets_of_ones_own_and_several_addresses() -> None:
    given = socket.create_server(("127.0.0.1", 0))
    with serve(echo, sock=given) as server:
        assert server.socket is given
        with connect(f"ws://127.0.0.1:{given.getsockname()[1]}/", proxy=None) as ws:
            ws.send("x")
            assert ws.recv() == "x"
    assert given.fileno() == -1
    with serve(echo, ["127.0.0.1", "127.0.0.2"], 0) as server:
        assert [sock.getsockname()[0] for sock in server.sockets] == ["127.0.0.1", "127.0.0.2"]
        for sock in server.sockets:
            with connect("ws://{}:{}/".format(*sock.getsockname()), proxy=None) as ws:
                ws.send("x")
                assert ws.recv() == "x"


def test_what_is_wrong_is_said_at_once() -> None:
    async def handler(ws: Any) -> None: ...

    for wrong in (handler, None, "handler"):
        with pytest.raises(TypeError, match="handler must be a function"):
            serve(wrong, "127.0.0.1", 0)
    with pytest.raises(ValueError, match="one of them"):
        serve(echo)
    with pytest.raises(ValueError, match="one of them"):
        serve(echo, "127.0.0.1", 0, path="/tmp/socket")
    with pytest.raises(TypeError, match="loop"):
        serve(echo, "127.0.0.1", 0, loop=asyncio)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        with pytest.raises(OSError):
            serve(echo, *taken.getsockname())


def test_max_connections_holds_though_they_come_at_once(serving: Serving) -> None:
    together = threading.Barrier(2)

    class Simultaneous(ServerConnection):
        def is_full(self) -> bool:
            together.wait(40)
            full = super().is_full()
            together.wait(40)
            return full

    def dial(uri: str) -> int:
        try:
            with connect(uri, proxy=None) as ws:
                ws.wait_closed()
                return 101
        except InvalidStatus as exc:
            return exc.response.status_code

    with serving(create_connection=Simultaneous, limits=Limits(max_connections=1)) as (server, uri):
        two = [Background(dial, uri) for _ in range(2)]
        until(lambda: server.connections and not server.opening)
        server.close()
        assert sorted(each.outcome() for each in two) == [101, 503]
        assert not server.admitted


def test_handlers_may_shut_the_server_down() -> None:
    together = threading.Barrier(2)

    def handler(ws: Any) -> None:
        together.wait(40)
        ws.server.shutdown()

    server = serve(handler, "127.0.0.1", 0, close_timeout=None)
    running = Background(server.serve_forever)
    uri = f"ws://127.0.0.1:{server.socket.getsockname()[1]}/"
    with connect(uri, proxy=None) as one, connect(uri, proxy=None) as other:
        assert one.wait_closed(10)
        assert other.wait_closed(10)
        assert one.close_code == other.close_code == 1001
        running.outcome()
    assert server.wait_closed(10)


@contextlib.contextmanager
def signalled(*acts: Callable[[Any], Any]) -> Iterator[tuple[Any, Any]]:
    """A server that runs for ever, and a client; each signal to it is answered by the next act.

    The block is about what is so when it runs no more.
    """
    server = serve(echo, "127.0.0.1", 0)
    uri = f"ws://127.0.0.1:{server.socket.getsockname()[1]}/"
    server.start_serving()
    left = list(acts)
    before = signal.signal(signal.SIGUSR1, lambda *_: left.pop(0)(server))

    def tell() -> None:
        until(lambda: server.connections)
        for number in range(len(acts)):
            until(lambda: server.leaving or not number)  # noqa: B023 - it is called here
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)

    try:
        with connect(uri, proxy=None) as ws:
            telling = Background(tell)
            server.serve_forever()
            telling.outcome()
            assert ws.wait_closed(40)
            yield server, ws
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_a_signal_handler_may_shut_the_server_down() -> None:
    with signalled(lambda server: server.shutdown()) as (server, ws):
        assert ws.close_code == 1001
    assert server.wait_closed(0)


def test_a_connection_that_cannot_be_made_does_not_stop_the_server(
    serving: Serving, caplog: Any
) -> None:
    def make(*args: Any) -> ServerConnection:
        if not made.is_set():
            made.set()
            raise ValueError("not today")
        return ServerConnection(*args)

    made = threading.Event()
    with serving(create_connection=make) as (_, uri):
        with pytest.raises((InvalidHandshake, OSError)):
            connect(uri, proxy=None).open()
        with connect(uri, proxy=None) as ws:
            ws.send("x")
            assert ws.recv() == "x"
    assert "not today" in caplog.text


def busy_until(gate: threading.Event) -> Any:
    def handler(ws: Any) -> None:
        for message in ws:
            begun.set()
            gate.wait(40)
            ws.send(message)

    begun = threading.Event()
    return handler, begun


def test_draining_from_a_thread_ends_serving_for_ever() -> None:
    gate = threading.Event()
    handler, begun = busy_until(gate)
    server = serve(handler, "127.0.0.1", 0)
    running = Background(server.serve_forever)
    with connect(f"ws://127.0.0.1:{server.socket.getsockname()[1]}/", proxy=None) as ws:
        ws.send("x")
        assert begun.wait(40)
        (connection,) = server.connections
        draining = Background(server.drain, 0.0)
        until(lambda: connection.finishing)
        assert not server.is_serving() and running.is_alive()
        gate.set()
        assert ws.recv(timeout=40) == "x"
        assert ws.wait_closed(40)
        assert ws.close_code == 1012
        draining.outcome()
        running.outcome()


def test_a_signal_handler_may_drain() -> None:
    with signalled(lambda server: server.drain(0.0)) as (_, ws):
        assert ws.close_code == 1012


def test_a_second_signal_ends_a_drain() -> None:
    long = functools.partial(Server.drain, notice=3600)
    with signalled(long, lambda server: server.close()) as (_, ws):
        assert ws.close_code == 1001


def test_handlers_that_do_not_end_are_named_when_it_has_drained(caplog: Any) -> None:
    gate = threading.Event()
    handler, begun = busy_until(gate)
    limits = Limits(handler_timeout=0.05, close_timeout=0.05)
    with serve(handler, "127.0.0.1", 0, limits=limits) as server:
        with connect(f"ws://127.0.0.1:{server.socket.getsockname()[1]}/", proxy=None) as ws:
            ws.send("x")
            assert begun.wait(40)
            Background(server.drain, 0.0).outcome()
            assert ws.wait_closed(40)
            (connection,) = server.connections
            assert f"handlers have not finished: <{type(connection).__name__}" in caplog.text
            assert connection.lost
        gate.set()
        assert server.wait_closed(40)


def test_a_handler_may_drain(serving: Serving) -> None:
    def handler(ws: Any) -> None:
        for _ in ws:
            ws.server.drain(0.0)
            ws.send("done")

    with serving(handler, limits=Limits(handler_timeout=None)) as (_, uri):
        with connect(uri, proxy=None) as one, connect(uri, proxy=None) as other:
            one.send("leave")
            assert other.wait_closed(40)
            assert one.wait_closed(40)
            assert other.close_code == one.close_code == 1012


def test_what_answers_plain_http_may_drain() -> None:
    def leave(request: Any) -> Response:
        server.drain(0.0)
        return make_response(200, request.path.encode())

    limits = Limits(handler_timeout=None)
    server = serve(echo, "127.0.0.1", 0, http={"/leave": leave}, limits=limits)
    where = server.socket.getsockname()
    with server:
        peer = Raw.dial(where, handshake=False)
        peer.send_bytes(b"GET /leave HTTP/1.1\r\nHost: a\r\n\r\n")
        assert peer.read_head().startswith(b"HTTP/1.1 200 ")
        peer.close()
        assert server.wait_closed(40)


def test_what_the_acceptor_has_not_come_to_is_answered(serving: Serving, monkeypatch: Any) -> None:
    gate, stuck = threading.Event(), threading.Event()
    handler, begun = busy_until(gate)
    with serving(handler) as (server, uri), connect(uri, proxy=None) as ws:
        ws.send("x")
        assert begun.wait(40)
        accept = server._accept

        def late(sock: Any) -> None:
            stuck.set()
            until(lambda: not server.sockets)
            accept(sock)

        monkeypatch.setattr(server, "_accept", late)
        peers = [Raw.dial(server.socket.getsockname(), handshake=False) for _ in range(3)]
        assert stuck.wait(40)
        draining = Background(server.drain, 0.0)
        for peer in peers:
            peer.send_bytes(b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n")
            peer.send_bytes(b"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n")
            peer.send_bytes(b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
            assert peer.read_head().startswith(b"HTTP/1.1 503 ")
            peer.close()
        gate.set()
        draining.outcome()


def test_handlers_that_all_drain_wait_for_none_of_each_other() -> None:
    together = threading.Barrier(2)

    def handler(ws: Any) -> None:
        together.wait(40)
        ws.server.drain(0.0)

    server = serve(handler, "127.0.0.1", 0, limits=Limits(handler_timeout=None))
    running = Background(server.serve_forever)
    uri = f"ws://127.0.0.1:{server.socket.getsockname()[1]}/"
    with connect(uri, proxy=None) as one, connect(uri, proxy=None) as other:
        assert one.wait_closed(40)
        assert other.wait_closed(40)
        assert one.close_code == other.close_code == 1012
        running.outcome()
    assert server.wait_closed(40)
