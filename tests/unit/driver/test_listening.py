"""The sockets that servers listen on."""

from __future__ import annotations

import contextlib
import errno
import logging
import socket
from typing import Any

import pytest

from duplexer.driver.listening import Shortage, check_place, listening_sockets
from duplexer.limits import Limits
from duplexer.policy.guard import Guard

LIMITS = Limits(backlog=5)


@contextlib.contextmanager
def listening(*args: Any, **kwargs: Any) -> Any:
    sockets = listening_sockets(*args, LIMITS, **kwargs)
    try:
        yield sockets
    finally:
        for sock in sockets:
            sock.close()


def reach(sock: socket.socket) -> None:
    with socket.socket(sock.family) as client:
        client.settimeout(20)
        client.connect(sock.getsockname())


def test_an_address_each() -> None:
    with listening(["127.0.0.1", "127.0.0.2", "127.0.0.1"], None) as sockets:
        assert [sock.getsockname()[0] for sock in sockets] == ["127.0.0.1", "127.0.0.2"]
        for sock in sockets:
            assert not sock.getblocking()
            reach(sock)


def test_all_interfaces() -> None:
    with listening(None, 0, family=socket.AF_INET) as (sock,):
        assert sock.getsockname()[0] == "0.0.0.0"
    with listening("", 0) as sockets:
        assert len({sock.family for sock in sockets}) == len(sockets) > 0


def test_a_port_is_shared_on_request_alone() -> None:
    with listening("127.0.0.1", 0, reuse_port=True) as (first,):
        with listening(*first.getsockname(), reuse_port=True) as (second,):
            assert first.getsockname() == second.getsockname()
        with pytest.raises(OSError, match="cannot listen on") as caught, listening("127.0.0.1", 0):
            listening_sockets(*first.getsockname(), LIMITS)
        assert caught.value.errno == errno.EADDRINUSE


def test_a_family_that_the_kernel_does_not_know_is_passed_over(monkeypatch: Any) -> None:
    found = [
        (family, socket.SOCK_STREAM, 6, "", address)
        for family, address in [(98, ("a", 1)), (socket.AF_INET, ("127.0.0.1", 0)), (99, ("b", 1))]
    ]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    with listening("name", 0) as (sock,):
        reach(sock)
    del found[1]
    with pytest.raises(OSError, match=r".+") as caught:
        listening_sockets("name", 0, LIMITS)
    assert caught.value.errno == errno.EAFNOSUPPORT


def test_a_socket_that_was_left_behind_makes_way(tmp_path: Any) -> None:
    path = tmp_path / "socket"
    for _ in range(2):  # the first one stays there
        with listening(None, None, path=path) as (sock,):
            reach(sock)
    assert path.is_socket()
    document = tmp_path / "document"
    document.write_text("keep me")
    with pytest.raises(OSError, match=r".+"):
        listening_sockets(None, None, LIMITS, path=str(document))
    assert document.read_text() == "keep me"


def test_one_of_ones_own() -> None:
    given = socket.socket()
    given.bind(("127.0.0.1", 0))
    with listening(None, None, sock=given) as sockets:
        assert sockets == [given]
        reach(given)


def test_what_cannot_be_bound_leaves_nothing_open(recwarn: Any) -> None:
    with pytest.raises(OSError, match="cannot listen on"):
        listening_sockets(["127.0.0.1", "192.0.2.1"], 0, LIMITS)


@pytest.mark.parametrize(
    ("where", "own", "fine"),
    [
        ((None, None), {}, False),
        (("localhost", None), {}, True),
        ((None, 80), {"path": None}, True),
        ((None, 80), {"path": "x"}, False),
        ((None, None), {"path": "x"}, True),
        ((None, None), {"path": "x", "sock": "y"}, False),
        ((None, None), {"sock": "y", "backlog": 3}, True),
    ],
)
def test_one_place(where: Any, own: Any, fine: bool) -> None:
    with contextlib.nullcontext() if fine else pytest.raises(ValueError, match="one of them"):
        check_place(where, own, "sock")


def test_a_shortage_is_told_once_and_counted(caplog: Any) -> None:
    guard = Guard(Limits())
    shortage = Shortage(guard, logging.getLogger("duplexer.server"))
    used_up = OSError(errno.EMFILE, "too many open files")
    for _ in range(2):
        shortage.met(used_up)
    shortage.met(RuntimeError("no more threads"))
    assert caplog.text.count("accepting pauses") == 1
    assert guard.struck["descriptors"] == 3
    shortage.over()
    shortage.met(used_up)
    assert caplog.text.count("accepting pauses") == 2


def test_another_error_is_no_shortage(caplog: Any) -> None:
    guard = Guard(Limits())
    error = OSError(errno.EBADF, "bad file descriptor")
    with pytest.raises(OSError, match="bad file") as caught:
        Shortage(guard, logging.getLogger("duplexer.server")).met(error)
    assert caught.value is error
    assert not guard.struck.get("descriptors")
    assert not caplog.text
