"""Reading and writing by descriptor, on real sockets."""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from duplexer.driver import netio

Pair = tuple[socket.socket, socket.socket]


@pytest.fixture
def pair() -> Iterator[Pair]:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    with ours, theirs:
        yield ours, theirs


def test_read_into_takes_what_is_there(pair: Pair) -> None:
    ours, theirs = pair
    buffer = bytearray(8)
    assert netio.read_into(ours.fileno(), buffer) == -1
    theirs.sendall(b"hello")
    assert netio.read_into(ours.fileno(), buffer) == 5
    assert buffer == b"hello\0\0\0"
    theirs.sendall(b"0123456789")
    assert netio.read_into(ours.fileno(), buffer) == 8
    assert netio.read_into(ours.fileno(), buffer) == 2
    theirs.close()
    assert netio.read_into(ours.fileno(), buffer) == 0


def test_write_starts_where_it_is_told(pair: Pair) -> None:
    ours, theirs = pair
    assert netio.write(ours.fileno(), b"hello", 2) == 3
    assert theirs.recv(8) == b"llo"


def test_write_says_how_much_fitted(pair: Pair) -> None:
    ours, theirs = pair
    data = os.urandom(1 << 22)
    n = netio.write(ours.fileno(), data, 0)
    assert 0 < n < len(data)
    assert netio.write(ours.fileno(), data, n) == -1
    received = theirs.recv(n, socket.MSG_WAITALL)
    assert received == data[:n]


def test_pieces_are_written_in_one_go(pair: Pair) -> None:
    ours, theirs = pair
    pieces = [bytes([65 + k]) * (k + 1) for k in range(20)]
    n = netio.write_pieces(ours.fileno(), pieces, 0)
    assert n == sum(map(len, pieces[:16]))  # as many as one call takes
    assert theirs.recv(1000) == b"".join(pieces)[:n]


def test_the_first_piece_may_have_been_begun(pair: Pair) -> None:
    ours, theirs = pair
    assert netio.write_pieces(ours.fileno(), [b"hello", b"you"], 3) == 5
    assert theirs.recv(100) == b"loyou"


def test_an_error_is_an_oserror_and_no_signal(pair: Pair) -> None:
    ours, theirs = pair
    theirs.close()
    with pytest.raises(BrokenPipeError):
        netio.write(ours.fileno(), b"x", 0)
    with pytest.raises(BrokenPipeError):
        netio.write_pieces(ours.fileno(), [b"x"], 0)
    with pytest.raises(OSError, match="Bad file descriptor"):
        netio.read_into(-1, bytearray(1))


def test_with_flags(pair: Pair) -> None:
    ours, theirs = pair
    fd, now = ours.fileno(), socket.MSG_DONTWAIT
    ours.setblocking(True)
    buffer = bytearray(8)
    assert netio.receive(fd, buffer, now) == -1
    assert netio.send(theirs.fileno(), b"hello", now) == 5
    assert netio.receive(fd, buffer, socket.MSG_PEEK) == 5
    assert netio.receive(fd, buffer, 0) == 5
    assert buffer == b"hello\0\0\0"
    pieces = [bytes([65 + k]) * (k + 1) for k in range(20)]
    n = netio.send_pieces(fd, pieces, now)
    assert n == sum(map(len, pieces[:16]))
    assert theirs.recv(1000) == b"".join(pieces)[:n]
    assert 0 < netio.send(fd, bytes(1 << 22), now) < 1 << 22
    assert netio.send(fd, b"x", now) == netio.send_pieces(fd, [b"x", b"y"], now) == -1
    theirs.close()
    with pytest.raises(OSError):
        netio.send(fd, b"x", now)
    with pytest.raises(OSError):
        netio.send_pieces(fd, [b"x"], now)


def test_the_time_of_a_read_may_be_over(pair: Pair) -> None:
    ours, _ = pair
    ours.setblocking(True)
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("@ll", 0, 1000))
    assert netio.receive(ours.fileno(), bytearray(8), 0) == -1


def test_a_socket_with_methods_of_its_own_keeps_them(pair: Pair) -> None:
    class Own(socket.socket):
        def send(self, *args: object) -> int:
            raise NotImplementedError

    compiled = not str(netio.__file__).endswith(".py")
    assert netio.by_descriptor(pair[0]) == (pair[0].fileno() if compiled else -1)
    with Own() as own:
        assert netio.by_descriptor(own) == -1
    assert netio.by_descriptor(object()) == -1  # type: ignore[arg-type]


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="needs IPv6")
def test_accept_tells_the_address_of_ipv6() -> None:
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as listening:
        with socket.create_connection(listening.getsockname()[:2]) as client:
            fd, address = netio.accept(listening.fileno())
            os.close(fd)
            assert address == client.getsockname()


def test_accept_on_a_unix_socket(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listening, socket.socket(socket.AF_UNIX) as client:
        listening.bind(str(tmp_path / "s"))
        listening.listen()
        client.connect(str(tmp_path / "s"))
        fd, address = netio.accept(listening.fileno())
        os.close(fd)
        assert address == ""


def test_accept() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.setblocking(False)
        assert netio.accept(listening.fileno()) is None
        with socket.create_connection(listening.getsockname()) as client:
            fd, address = netio.accept(listening.fileno())
            assert address == client.getsockname()
            with socket.socket(fileno=fd) as accepted:
                assert not os.get_blocking(fd)
                assert not os.get_inheritable(fd)
                assert accepted.getpeername() == client.getsockname()
