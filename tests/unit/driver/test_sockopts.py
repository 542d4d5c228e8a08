"""What every TCP socket is told."""

from __future__ import annotations

import contextlib
import socket
import sys

import pytest

from duplexer.driver.sockopts import set_options
from duplexer.limits import DEFAULT_LIMITS

UNSENT = getattr(socket, "TCP_NOTSENT_LOWAT", None)
#: What the kernel says where nobody has said anything.
ANY = 0


def told(sock: socket.socket) -> tuple[bool, int | None]:
    return (
        bool(sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)),
        None if UNSENT is None else sock.getsockopt(socket.IPPROTO_TCP, UNSENT),
    )


@pytest.mark.parametrize("unsent", [None, 50_000])
def test_tcp(unsent: int | None) -> None:
    with socket.socket() as sock:
        set_options(sock, DEFAULT_LIMITS.replace(write_unsent=unsent))
        assert told(sock) == (True, None if UNSENT is None else unsent or ANY)


@pytest.mark.skipif(sys.platform != "linux", reason="others need not pass it on")
def test_what_a_listening_socket_accepts_is_told_the_same() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        set_options(listener, DEFAULT_LIMITS)
        with socket.create_connection(listener.getsockname()), listener.accept()[0] as accepted:
            assert told(accepted) == (True, DEFAULT_LIMITS.write_unsent)


def test_others_are_let_be() -> None:
    for sock in socket.socketpair():
        with sock:
            set_options(sock, DEFAULT_LIMITS)


def test_a_kind_of_tcp_without_the_bound() -> None:
    class Multipath(socket.socket):
        def setsockopt(self, level: int, name: int, value: object) -> None:  # type: ignore[override]
            if name == UNSENT:
                raise OSError(95, "Operation not supported")
            super().setsockopt(level, name, value)  # type: ignore[arg-type]

    with contextlib.closing(Multipath()) as sock:
        set_options(sock, DEFAULT_LIMITS)
        assert told(sock) == (True, None if UNSENT is None else ANY)
