"""What the peer has got, as its kernel says."""

from __future__ import annotations

import socket
import sys
import time

import pytest

from duplexer.driver.progress import bytes_acked

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs TCP_INFO")


def test_what_the_peer_has_room_for_is_acknowledged_and_no_more() -> None:
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        with socket.create_connection(listener.getsockname()) as sock, listener.accept()[0] as peer:
            before = bytes_acked(sock)
            sock.sendall(b"x" * 1000)
            deadline = time.monotonic() + 30
            while bytes_acked(sock) < before + 1000:
                assert time.monotonic() < deadline
                time.sleep(0.001)
            sock.setblocking(False)
            sent = 1000 + sock.send(bytes(1_000_000))
            assert bytes_acked(sock) < before + sent
            got = 0
            while got < sent:
                got += len(peer.recv(65536))
            while bytes_acked(sock) < before + sent:
                assert time.monotonic() < deadline
                time.sleep(0.001)
            assert bytes_acked(sock) == before + sent


def test_what_does_not_tell() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        assert bytes_acked(ours) == -1
    assert bytes_acked(ours) == bytes_acked(None) == -1
