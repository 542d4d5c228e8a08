"""``connect``. What it does is in tests/contract/."""

from __future__ import annotations

import copy
import socket
import threading
from typing import Any

import pytest

from duplexer import InvalidStatus, Limits, Retry
from duplexer.driver.turns import TURNS
from duplexer.sync import client as module
from duplexer.sync import unix_connect, unix_serve
from duplexer.sync.client import ClientConnection, connect
from tests.unit.sync.conftest import Background, Serving, echo, until


def test_open_context_and_iteration(serving: Serving) -> None:
    with serving() as (_, uri):
        connection = connect(uri, proxy=None).open()
        assert isinstance(connection, ClientConnection)
        connection.close()
        with connect(uri, proxy=None) as ws:
            ws.send("Hello")
            assert ws.recv() == "Hello"
        count = 0
        for ws in connect(uri, proxy=None):
            count += 1
            ws.close()
            if count == 2:
                break
        assert count == 2


def test_nobody_answers() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        with pytest.raises(TimeoutError, match="opening handshake"):
            connect(f"ws://127.0.0.1:{port}/", proxy=None, open_timeout=0.1).open()
    with pytest.raises(ConnectionRefusedError, match=str(port)):
        connect(f"ws://127.0.0.1:{port}/", proxy=None).open()


def fake_addresses(monkeypatch: Any, *addresses: tuple[int, Any]) -> None:
    def getaddrinfo(host: str, port: int, *args: Any, **kwargs: Any) -> Any:
        return [
            (family, socket.SOCK_STREAM, 6, "", (address, port, *((0, 0) * (family == 10))))
            for family, address in addresses
        ]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)


def counted(monkeypatch: Any) -> None:
    monkeypatch.setattr("duplexer.driver.opening.is_counted", lambda address: True)


def test_an_address_that_waits_for_its_turn_holds_up_no_other(
    serving: Serving, monkeypatch: Any
) -> None:
    counted(monkeypatch)
    with serving() as (server, _):
        port = server.socket.getsockname()[1]
        held = TURNS.enter(("127.0.0.2", port), 1)
        fake_addresses(monkeypatch, (socket.AF_INET, "127.0.0.2"), (socket.AF_INET, "127.0.0.1"))
        opened: list[ClientConnection] = []
        limits = Limits(happy_eyeballs_delay=0.01)
        connector = connect(f"ws://example.test:{port}/", proxy=None, origin=None, limits=limits)
        thread = threading.Thread(target=lambda: opened.append(connector.open()), daemon=True)
        thread.start()
        thread.join(30)
        assert opened
        opened[0].close()
        held.leave()
        assert TURNS.enter(("127.0.0.2", port), 1).granted  # nobody waits any more
        TURNS.forget()


def test_one_goes_on_when_its_turn_has_come(serving: Serving, monkeypatch: Any) -> None:
    counted(monkeypatch)
    with serving() as (server, uri):
        held = TURNS.enter(("127.0.0.1", server.socket.getsockname()[1]), 1)
        opened: list[ClientConnection] = []
        connector = connect(uri, proxy=None, open_timeout=20)
        thread = threading.Thread(target=lambda: opened.append(connector.open()), daemon=True)
        thread.start()
        until(lambda: held.place.waiting)
        held.leave()
        thread.join(30)
        assert opened
        opened[0].close()
        TURNS.forget()


def test_the_next_address_is_tried_at_once_when_one_refuses(
    serving: Serving, monkeypatch: Any
) -> None:
    with serving() as (server, _):
        port = server.socket.getsockname()[1]
        fake_addresses(monkeypatch, (socket.AF_INET, "127.0.0.2"), (socket.AF_INET, "127.0.0.1"))
        limits = Limits(happy_eyeballs_delay=1000.0)
        with connect(f"ws://example.test:{port}/", proxy=None, origin=None, limits=limits) as ws:
            assert ws.remote_address == ("127.0.0.1", port)


def test_the_next_address_is_tried_when_one_does_not_answer(
    serving: Serving, monkeypatch: Any
) -> None:
    with serving() as (server, _), socket.socket() as full:
        port = server.socket.getsockname()[1]
        full.bind(("127.0.0.3", port))
        full.listen(0)
        waiting = [socket.socket() for _ in range(4)]
        for each in waiting:  # no room is left in its backlog
            each.setblocking(False)
            each.connect_ex(("127.0.0.3", port))
        fake_addresses(monkeypatch, (socket.AF_INET, "127.0.0.3"), (socket.AF_INET, "127.0.0.1"))
        with connect(f"ws://example.test:{port}/", proxy=None) as ws:
            assert ws.remote_address == ("127.0.0.1", port)
        for each in waiting:
            each.close()


def test_all_addresses_refuse(monkeypatch: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    fake_addresses(monkeypatch, (socket.AF_INET, "127.0.0.1"), (socket.AF_INET, "127.0.0.2"))
    with pytest.raises(ConnectionRefusedError, match=r"127\.0\.0\.1.*127\.0\.0\.2"):
        connect(f"ws://example.test:{port}/", proxy=None).open()


def test_a_resolver_that_does_not_answer(monkeypatch: Any) -> None:
    done = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **kwargs: done.wait())
    with pytest.raises(TimeoutError, match="opening handshake"):
        connect("ws://example.test/", proxy=None, open_timeout=0.05).open()
    done.set()


def test_a_name_that_is_none(monkeypatch: Any) -> None:
    def fail(*args: Any) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "no such name")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    with pytest.raises(socket.gaierror, match="no such name"):
        connect("ws://example.test/", proxy=None).open()


def test_one_at_a_time_stands_before_an_address(serving: Serving, monkeypatch: Any) -> None:
    """RFC 6455 4.1; this machine's own addresses are not counted, unless somebody says so."""
    monkeypatch.setattr("duplexer.driver.opening.is_counted", lambda address: True)
    inside, most, gate = [], [], threading.Event()

    def process_request(ws: Any, request: Any) -> None:
        inside.append(ws)
        most.append(len(inside))
        gate.wait(40)
        inside.remove(ws)

    with serving(process_request=process_request) as (_, uri):
        connecting = [Background(connect(uri, proxy=None).open) for _ in range(4)]
        until(lambda: inside)
        gate.set()
        for each in connecting:
            each.outcome().close()
    assert most == [1] * 4


def test_a_socket_of_the_users(serving: Serving) -> None:
    with serving() as (server, uri):
        sock = socket.create_connection(server.socket.getsockname())
        with connect(uri, sock=sock) as ws:
            assert ws.socket is sock
        assert sock.fileno() == -1


def test_a_redirect_is_followed(serving: Serving) -> None:
    def process_request(ws: Any, request: Any) -> Any:
        if request.path == "/there":
            return None
        response = ws.respond(302, "")
        response.headers["Location"] = "/there"
        return response

    with serving(process_request=process_request) as (_, uri):
        with pytest.raises(InvalidStatus):
            connect(uri, proxy=None).open()
        with connect(uri, proxy=None, redirects=1) as ws:
            assert ws.request.path == "/there"


def test_what_is_exported() -> None:
    assert set(module.__all__) == {
        "ClientConnection",
        "connect",
        "process_exception",
        "reconnect",
        "unix_connect",
        "unix_reconnect",
    }


def test_the_older_way_of_websockets_connects_at_once(serving: Serving, tmp_path: Any) -> None:
    with serving() as (_, uri):
        ws = connect(uri, proxy=None, legacy=True)
        assert isinstance(ws, ClientConnection)
        ws.send("x")
        assert ws.recv() == "x"
        ws.close()
        with connect(uri, legacy=True, proxy=None, retry=True) as same:
            same.send("y")
            assert same.recv() == "y"
        assert same.lost
        changed = Retry(before=lambda retrying: {"user_agent_header": "another"})
        for connector in (
            connect(uri, proxy=None, legacy=False),
            module.reconnect(uri, proxy=None),
            connect(uri, proxy=None, legacy=False, retry=changed),
        ):
            with connector as ws:
                ws.send("z")
                assert ws.recv() == "z"
    path = str(tmp_path / "socket")
    with unix_serve(echo, path):
        ws = unix_connect(path, legacy=True)
        ws.send("x")
        assert ws.recv() == "x"
        ws.close()
        with module.unix_reconnect(path) as ws:
            ws.send("x")
            assert ws.recv() == "x"


@pytest.mark.parametrize("name", ["send", "recv", "close", "ping", "subprotocol", "response"])
def test_a_connector_that_is_taken_for_a_connection_says_what_to_write(name: str) -> None:
    connector = connect("ws://localhost/")
    with pytest.raises(AttributeError, match=r"with connect\(...\) as ws:.*legacy=True"):
        getattr(connector, name)
    with pytest.raises(AttributeError, match="'connect' object has no attribute 'sendd'"):
        connector.sendd  # noqa: B018 - it is the question
    assert copy.copy(connector).uri == connector.uri
