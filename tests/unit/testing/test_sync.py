"""Pairs of the blocking front."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from duplexer.errors import ConnectionClosedError, ConnectionClosedOK, InvalidStatus
from duplexer.testing.hangs import Hang, guard
from duplexer.testing.links import Link
from duplexer.testing.sync import connect_to, pair, serve


def shout(ws: Any) -> None:
    for message in ws:
        ws.send(message.upper())


def test_both_ends() -> None:
    with pair(subprotocols=["chat"], additional_headers={"X-A": "1"}) as (client, server):
        assert client.subprotocol == server.subprotocol == "chat"
        assert server.request is not None and server.request.headers["X-A"] == "1"
        client.send("hello")
        assert server.recv() == "hello"
        sending = threading.Thread(target=server.send, args=(b"x" * 500_000,))
        sending.start()
        assert client.recv() == b"x" * 500_000
        sending.join()
    assert client.close_code == server.close_code == 1000
    with pytest.raises(ConnectionClosedOK):
        client.recv()


@pytest.mark.parametrize("split", [None, 1, (1, 9)])
def test_a_handler(split: Any) -> None:
    link = None if split is None else Link(split=split)
    with connect_to(shout, "/room", link=link) as ws:
        for message in ("hello", "", "x" * 3000):
            ws.send(message)
        assert [ws.recv() for _ in range(3)] == ["HELLO", "", "X" * 3000]
        assert ws.request is not None and ws.request.path == "/room"


def test_hooks_of_the_server() -> None:
    def refuse(connection: Any, request: Any) -> Any:
        return connection.respond(403, "not you") if request.path == "/secret" else None

    with serve(shout, process_request=refuse) as server:
        with pytest.raises(InvalidStatus), server.connect("/secret"):
            pass
        with server.connect() as one, server.connect() as other:
            one.send("a")
            other.send("b")
            assert [one.recv(), other.recv()] == ["A", "B"]
            assert len(server.connections) == 2
        with pytest.raises(TypeError, match="unexpected"):
            server.connect(no_such_argument=1)
    with pytest.raises(ConnectionRefusedError):
        server.connect()


def test_keepalive() -> None:
    link = Link()
    with pair(link=link, ping_interval=0.05, ping_timeout=0.05) as (client, _):
        link.drop()
        with pytest.raises(ConnectionClosedError) as caught:
            client.recv()
        assert "ping_timeout" in str(caught.value.__cause__)


def test_a_link_that_fails() -> None:
    link = Link()
    with pair(link=link) as (client, server):
        link.to_server.stall()
        client.send("late")
        with pytest.raises(TimeoutError):
            server.recv(timeout=0.05)
        link.resume()
        assert server.recv() == "late"
        link.reset()
        for end in (client, server):
            with pytest.raises(ConnectionClosedError):
                end.recv()


def test_leaving_does_not_wait_for_a_broken_link() -> None:
    link = Link()
    with pair(link=link, close_timeout=60, ping_interval=None):
        link.drop()


def test_a_hang_says_who_waits(reporting: Any) -> None:
    reporting("in shout: for message in ws:", "ws.recv()")
    with pytest.raises(Hang) as caught:
        with guard(0.05):
            with connect_to(shout) as ws:
                ws.recv()
    text = str(caught.value)
    assert "recv() waits for a message" in text and "in shout: for message in ws:" in text


def test_wrong_arguments() -> None:
    with pytest.raises(TypeError, match="host has no meaning"), serve(shout, host="localhost"):
        pass
    with pytest.raises(TypeError, match="handler must be"), serve("no handler"):  # type: ignore[arg-type]
        pass
